//! Objects and enums of the API: each wraps a record.

pub mod audit;
pub mod enums;
pub mod identity;
pub mod node;
pub mod server;
