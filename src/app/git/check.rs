//! Trying stored tokens again from time to time, so that one that has ended is known before it is needed.

use chrono::TimeDelta;
use entity::{git_settings, organization};
use futures_util::StreamExt as _;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait as _, QueryFilter as _};

use super::settings::{CHECKED_EVERY, store_check};
use super::{client, create, seen};
use crate::app::{App, Result, Scope};
use crate::git::GitError;

/// How soon a token that was not taken, or whose provider did not answer, is tried again.
const AGAIN: TimeDelta = TimeDelta::hours(1);
/// How many providers are asked at once.
const AT_ONCE: usize = 4;

/// Tries every token that is due, in every organization, and forgets what was left of making projects long ago. Servers
/// that share a database try each token once.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn check_due(app: &App) -> Result<()> {
    let organizations = organization::Entity::find().all(app.db.read()).await?;
    let now = app.clock.now();
    let mut due = Vec::new();
    for organization in organizations {
        let scope = Scope { organization_id: organization.id };
        let rows = scope.git_settings().filter(git_settings::Column::NextCheckAt.lte(now)).all(app.db.read()).await?;
        if !rows.is_empty() {
            create::forget_old(app, &scope).await?;
        }
        due.extend(rows);
    }
    futures_util::stream::iter(due)
        .for_each_concurrent(AT_ONCE, |row| async move {
            if let Err(error) = check_claimed(app, &row).await {
                tracing::warn!(settings = %row.id, %error, "a Git token could not be checked");
            }
        })
        .await;
    Ok(())
}

async fn check_claimed(app: &App, row: &git_settings::Model) -> Result<()> {
    // Whoever moves the time first has the row to themselves.
    let claimed = git_settings::Entity::update_many()
        .col_expr(git_settings::Column::NextCheckAt, Expr::value(app.clock.now() + AGAIN))
        .filter(git_settings::Column::Id.eq(&row.id))
        .filter(git_settings::Column::NextCheckAt.eq(row.next_check_at))
        .exec(app.db.read_write())
        .await?;
    if claimed.rows_affected == 0 {
        return Ok(());
    }
    check(app, row).await
}

/// Tries one token now and stores what came of it.
///
/// # Errors
/// INTERNAL when the database does not answer or the sealed token does not open. A token that is not taken is no error:
/// the settings say so.
pub async fn check(app: &App, row: &git_settings::Model) -> Result<()> {
    let Some(client) = client(app, row).await? else { return Ok(()) };
    let found = client.identify().await;
    let taken = found.is_ok();
    let next = app.clock.now() + if taken { CHECKED_EVERY } else { AGAIN };
    store_check(app, row, found, next).await?;
    if taken {
        seen::refresh(app, row, client.as_ref()).await?;
    }
    Ok(())
}

/// Remembers that the provider does not take the token any more.
pub(super) async fn reject(app: &App, row: &git_settings::Model, message: &str) -> Result<()> {
    store_check(app, row, Err(GitError::Unauthorized(message.to_owned())), app.clock.now() + AGAIN).await
}
