//! The GraphQL API.

pub mod executor;
pub mod limits;
