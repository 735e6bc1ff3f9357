//! Why a provider can't be used now, and who can mend it: for the menus and for whoever tries all the same.

use chrono::{DateTime, Utc};
use entity::git_settings;

use super::settings::missing_of;
use crate::app::{Actor, Precondition, Result};
use crate::domain::git::{Provider, TokenRight};
use crate::domain::policy::Action;

/// The first thing in the way of using the provider for what takes these rights; none when nothing is.
///
/// # Errors
/// INTERNAL when the row holds something else than rights.
pub(in crate::app) fn obstacle(
    actor: &Actor,
    which: Provider,
    settings: Option<&git_settings::Model>,
    needs: &[TokenRight],
    now: DateTime<Utc>,
) -> Result<Option<(Precondition, String)>> {
    let mend = mend(actor, which);
    let Some(settings) = settings else {
        return Ok(Some((Precondition::GitNotConfigured, format!("{mend}: no {which} token is stored yet"))));
    };
    if let Some(ended) = settings.expires_at.filter(|at| *at <= now) {
        let message = format!("{mend}: the {which} token ended on {}", ended.format("%Y-%m-%d"));
        return Ok(Some((Precondition::GitTokenRejected, message)));
    }
    if settings.rejected {
        let message = format!("{mend}: {which} does not take the stored token any more");
        return Ok(Some((Precondition::GitTokenRejected, message)));
    }
    let missing = missing_of(settings)?;
    Ok(needs.iter().find_map(|right| missing.iter().find(|m| m.right == *right)).map(|lacks| {
        let message = format!("{mend}: the token lacks {}, needed for {}", lacks.scope, lacks.right.needed_for());
        (Precondition::GitScopeMissing, message)
    }))
}

/// Who completes the settings: "ask your admin to complete "GitLab Settings"".
pub(in crate::app) fn mend(actor: &Actor, which: Provider) -> String {
    let title = which.settings_title();
    if actor.may(Action::ChangeGitSettings) {
        format!("complete \"{title}\" first")
    } else {
        format!("ask your admin to complete \"{title}\"")
    }
}
