//! Git settings that kiops.toml states: stored whether the provider answers or not, and tried afterwards as all tokens are
//! from time to time.

use std::collections::HashSet;

use entity::git_settings;
use sea_orm::{ActiveModelTrait, ColumnTrait, IntoActiveModel as _, QueryFilter as _, Set};
use serde_json::json;

use super::settings::{entry, find, hint};
use super::stored;
use crate::app::declared::{Home, Round};
use crate::app::{Result, secrets};
use crate::domain::git::Provider;
use crate::domain::secret::{ExposeSecret as _, SecretString};

/// What is said of a token until it was tried.
const UNTRIED: &str = "the token was not tried yet";

/// Access to a provider, checked.
pub(in crate::app) struct Stated {
    /// Which provider.
    pub(in crate::app) provider: Provider,
    /// Its address as it is stored.
    pub(in crate::app) base_url: String,
    /// The token.
    pub(in crate::app) token: SecretString,
}

/// Sees that settings are stored as they are stated, and gives their id.
///
/// # Errors
/// INTERNAL when the database refuses.
pub(in crate::app) async fn declare(round: &mut Round<'_>, home: &Home, stated: &Stated) -> Result<String> {
    let (app, scope) = (round.app, &home.scope);
    let now = app.clock.now();
    let Some(row) = find(round.tx, scope, stated.provider).await? else {
        let row = git_settings::ActiveModel {
            id: Set(app.ids.id()),
            organization_id: Set(scope.organization_id.clone()),
            provider: Set(self::stored(stated.provider)),
            base_url: Set(stated.base_url.clone()),
            secret_id: Set(secrets::store(app, round.tx, scope, &stated.token).await?),
            token_hint: Set(hint(&stated.token)),
            account: Set(None),
            scopes: Set(json!([])),
            missing: Set(json!([])),
            expires_at: Set(None),
            rejected: Set(false),
            status_message: Set(Some(UNTRIED.to_owned())),
            checked_at: Set(now),
            next_check_at: Set(now),
            saved_by: Set(None),
            declared: Set(true),
        };
        let row = row.insert(round.tx).await?;
        round.note(home, entry("git_settings.saved", &row, detail(&row))).await?;
        return Ok(row.id);
    };
    // One that nobody can read any more is another one: the file has it.
    let stored = secrets::open_if_readable(app, scope, &row.secret_id).await?;
    let same_token = stored.is_some_and(|stored| stored.expose_secret() == stated.token.expose_secret());
    let same_place = row.base_url == stated.base_url;
    let is_same = same_token && same_place;
    if row.declared && is_same {
        return Ok(row.id);
    }
    let action = if row.declared { "git_settings.saved" } else { "git_settings.declared" };
    let old_secret = row.secret_id.clone();
    let mut row = row.into_active_model();
    row.declared = Set(true);
    row.base_url = Set(stated.base_url.clone());
    if !same_place {
        row.account = Set(None);
        row.scopes = Set(json!([]));
        row.missing = Set(json!([]));
    }
    if !is_same {
        // Stored anew for another place, too: a check of the earlier one that is under way on another server finds by it
        // that it is about something else.
        row.secret_id = Set(secrets::store(app, round.tx, scope, &stated.token).await?);
        row.token_hint = Set(hint(&stated.token));
        row.saved_by = Set(None);
        // What is known of an earlier token is believed of this one until it was tried, which is due.
        row.expires_at = Set(None);
        row.rejected = Set(false);
        row.status_message = Set(Some(UNTRIED.to_owned()));
        row.next_check_at = Set(now);
    }
    let row = row.update(round.tx).await?;
    if !is_same {
        secrets::forget(round.tx, scope, &old_secret).await?;
    }
    round.note(home, entry(action, &row, detail(&row))).await?;
    Ok(row.id)
}

/// Releases the settings that are stated no more. From then on their address passes the filter as anybody's does.
///
/// # Errors
/// INTERNAL when the database refuses.
pub(in crate::app) async fn release(round: &mut Round<'_>, home: &Home, kept: &HashSet<String>) -> Result<()> {
    let rows = home.scope.git_settings().filter(git_settings::Column::Declared.eq(true)).all(round.tx).await?;
    for row in rows.into_iter().filter(|row| !kept.contains(&row.id)) {
        let mut row = row.into_active_model();
        row.declared = Set(false);
        let row = row.update(round.tx).await?;
        round.note(home, entry("git_settings.released", &row, detail(&row))).await?;
    }
    Ok(())
}

fn detail(row: &git_settings::Model) -> serde_json::Value {
    json!({ "baseUrl": row.base_url })
}
