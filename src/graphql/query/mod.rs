//! The query root: one file a noun.

mod audit;
mod identity;
mod server;

use async_graphql::MergedObject;

/// What can be asked.
#[derive(MergedObject, Default)]
pub struct Query(identity::IdentityQuery, audit::AuditQuery, server::ServerQuery);
