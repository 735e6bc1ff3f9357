//! Sealing secrets.
