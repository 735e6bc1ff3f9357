//! Compose files in and out.
