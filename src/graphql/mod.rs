//! The API's transport: objects wrap records, resolvers decode ids, call one use case and wrap what it gives.

pub mod errors;
pub mod guard;
pub mod ids;
