//! The API's transport: objects wrap records, resolvers decode ids, call one use case and wrap what it gives.

mod asked;
mod batch;
pub mod brief;
pub mod connection;
pub mod errors;
pub mod executor;
pub mod guard;
pub mod guarded;
pub mod ids;
pub mod limits;
pub mod loaders;
mod meant;
mod merge;
pub mod mutation;
mod nulls;
mod order;
mod outline;
mod overlap;
pub mod query;
pub mod rows_only;
pub mod schema;
mod settle;
pub mod subscription;
pub mod types;
pub mod uses;
pub mod visible;
pub mod whole;

pub use schema::{Schemas, schemas};

/// The SDL that an admin sees. Needs no database.
#[must_use]
pub fn sdl() -> String {
    schemas(None).full.sdl()
}

/// The SDL that members see, and nobody. Needs no database.
#[must_use]
pub fn member_sdl() -> String {
    schemas(None).member.sdl()
}
