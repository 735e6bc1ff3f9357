//! Places to deploy to.

pub mod check;
mod connection;
pub(in crate::app) mod declare;
pub mod local;
mod remove;
pub mod same;
mod save;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use entity::{RuntimeKind, runtime};
use sea_orm::{ColumnTrait, QueryFilter};

use super::page::{self, Page};
use super::{App, Error, Precondition, Result, Scope};
use crate::domain::paging::PageRequest;
use crate::runtime::{Runtime, RuntimeConnection};

pub use self::check::{check, check_due};
pub(in crate::app) use self::connection::Connection;
pub use self::connection::{DockerInput, KubernetesInput};
pub use self::remove::remove;
pub(in crate::app) use self::save::read;
pub use self::save::{RegisterRuntime, UpdateRuntime, register, update};

/// One runtime; none for what this organization does not have.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn by_id(app: &App, scope: &Scope, id: &str) -> Result<Option<runtime::Model>> {
    let row = scope.runtimes().filter(runtime::Column::Id.eq(id)).one(app.db.read());
    Ok(row.await?)
}

/// A page of runtimes, the newest first.
///
/// # Errors
/// BAD_USER_INPUT for a cursor of another list, INTERNAL when the database does not answer.
pub async fn list(
    app: &App,
    scope: &Scope,
    kind: Option<RuntimeKind>,
    request: &PageRequest,
) -> Result<Page<runtime::Model>> {
    let mut rows = scope.runtimes();
    if let Some(kind) = kind {
        rows = rows.filter(runtime::Column::Kind.eq(kind));
    }
    page::by_id(app, rows, runtime::Column::Id, request, |row| row.id.clone()).await
}

/// A client of the runtime, its key opened. The address is looked at once more: names can come to mean others, and
/// the configuration can come to allow less.
///
/// # Errors
/// As [`register`], when the address is not let through any more or makes no client.
pub async fn connect(app: &App, row: &runtime::Model) -> Result<Arc<dyn Runtime>> {
    let scope = Scope { organization_id: row.organization_id.clone() };
    let connection = Connection::stored(app, &scope, row).await?;
    if !row.declared {
        connection.admit(app, &scope, "input.id").await?;
    }
    Ok(app.runtimes.connect(&connection.to_runtime())?)
}

/// How a stored runtime is reached, its secret opened. For what the configuration names: where that leads is not asked.
///
/// # Errors
/// INTERNAL when it can't be read.
pub(in crate::app) async fn connection_of(app: &App, scope: &Scope, row: &runtime::Model) -> Result<RuntimeConnection> {
    Ok(Connection::stored(app, scope, row).await?.to_runtime())
}

fn not_declared(row: &runtime::Model) -> Result<()> {
    if row.declared {
        return Err(Error::precondition(
            Precondition::Declared,
            format!("runtime {} is stated in kiops.toml: whoever runs the server changes it there", row.name),
        ));
    }
    Ok(())
}
