//! Compose files: what a service looks like as one, and what one holds that a service can be made from.
