//! Asking runtimes whether they answer.

use std::time::Duration;

use entity::{RuntimeStatus, organization, runtime};
use futures_util::StreamExt as _;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, EntityTrait as _, IntoActiveModel, QueryFilter, QuerySelect as _, Set,
};

use super::{by_id, connect};
use crate::app::deployments::leftovers;
use crate::app::{App, Code, Error, Event, Result, Scope};
use crate::runtime::{RuntimeError, RuntimeInfo};

/// How many runtimes are asked at once.
const AT_ONCE: usize = 8;

/// Asks a runtime now and stores what came of it.
///
/// # Errors
/// NOT_FOUND. A runtime that does not answer is no error: its status says so.
pub async fn check(app: &App, scope: &Scope, id: &str) -> Result<runtime::Model> {
    let row = by_id(app, scope, id).await?.ok_or_else(|| Error::not_found("runtime"))?;
    let found = ask(app, &row).await;
    store(app, scope, row, found).await?.ok_or_else(|| Error::not_found("runtime"))
}

/// Asks every runtime of every organization that was not asked for so long: what the server does from time to time.
/// Servers that share a database ask each once.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn check_due(app: &App, every: Duration) -> Result<()> {
    let due = app.clock.now() - every;
    let organizations = organization::Entity::find().all(app.db.read()).await?;
    let mut rows = Vec::new();
    for organization in organizations {
        let scope = Scope { organization_id: organization.id };
        let old = Condition::any().add(runtime::Column::CheckedAt.is_null()).add(runtime::Column::CheckedAt.lte(due));
        let found = scope.runtimes().filter(old).all(app.db.read()).await?;
        rows.extend(found.into_iter().map(|row| (scope.clone(), row)));
    }
    futures_util::stream::iter(rows)
        .for_each_concurrent(AT_ONCE, |(scope, row)| async move {
            let name = row.name.clone();
            let checked = async {
                if claim(app, &row).await? {
                    let found = ask(app, &row).await;
                    store(app, &scope, row, found).await?;
                }
                Result::Ok(())
            };
            if let Err(error) = checked.await {
                tracing::warn!(runtime = %name, %error, "the state of a runtime could not be stored");
            }
        })
        .await;
    Ok(())
}

/// Whoever moves the time first is the one who asks.
async fn claim(app: &App, row: &runtime::Model) -> Result<bool> {
    let unmoved = match row.checked_at {
        Some(at) => runtime::Column::CheckedAt.eq(at),
        None => runtime::Column::CheckedAt.is_null(),
    };
    let claimed = runtime::Entity::update_many()
        .col_expr(runtime::Column::CheckedAt, Expr::value(app.clock.now()))
        .filter(runtime::Column::Id.eq(&row.id))
        .filter(unmoved)
        .exec(app.db.read_write())
        .await?;
    Ok(claimed.rows_affected > 0)
}

/// What asking a runtime came to.
pub(in crate::app) type Found = std::result::Result<RuntimeInfo, (RuntimeStatus, String)>;

/// Asks a runtime and stores nothing: what it is, or the status that it would get and why.
pub(in crate::app) async fn ask(app: &App, row: &runtime::Model) -> Found {
    let client = connect(app, row).await.map_err(|e| match e.code {
        Code::UpstreamError => (RuntimeStatus::Unreachable, e.message),
        _ => (RuntimeStatus::Unauthorized, e.message),
    })?;
    client.check().await.map_err(|e| match e {
        RuntimeError::Unauthorized(message) => (RuntimeStatus::Unauthorized, message),
        other => (RuntimeStatus::Unreachable, other.to_string()),
    })
}

/// Stores a state, unless the runtime was changed or removed since it was asked.
async fn store(app: &App, scope: &Scope, asked: runtime::Model, found: Found) -> Result<Option<runtime::Model>> {
    let tx = app.begin().await?;
    let current = scope.runtimes().filter(runtime::Column::Id.eq(&asked.id)).lock_exclusive().one(&tx).await?;
    let Some(current) = current else { return Ok(None) };
    if (&current.endpoint, &current.secret_id) != (&asked.endpoint, &asked.secret_id) {
        return Ok(Some(current));
    }
    let was_away = current.status != RuntimeStatus::Ready;
    let mut row = current.into_active_model();
    row.checked_at = Set(Some(app.clock.now()));
    write_found(&mut row, found)?;
    let row = row.update(&tx).await?;
    let answers_again = was_away && row.status == RuntimeStatus::Ready;
    if answers_again {
        leftovers::hurry(app, &tx, &row).await?;
    }
    tx.commit().await?;
    if answers_again {
        app.events.publish(Event::Jobs);
    }
    Ok(Some(row))
}

/// What a check found, in the row. A login that may not do all that is needed is UNAUTHORIZED, though it answers.
pub(super) fn write_found(row: &mut runtime::ActiveModel, found: Found) -> Result<()> {
    let (status, message) = match found {
        Ok(info) => {
            let lacks = info.missing_permissions.len();
            row.version = Set(Some(info.version));
            row.engine_id = Set(info.engine_id);
            row.grant_manifest = Set(info.grant_manifest);
            row.missing_permissions = Set(Some(serde_json::to_value(info.missing_permissions)?));
            match lacks {
                0 => (RuntimeStatus::Ready, None),
                lacks => {
                    let why = format!("the login lacks {lacks} of the permissions that are needed: see grantManifest");
                    (RuntimeStatus::Unauthorized, Some(why))
                }
            }
        }
        Err((status, message)) => (status, Some(message)),
    };
    row.status = Set(status);
    row.status_message = Set(message);
    Ok(())
}
