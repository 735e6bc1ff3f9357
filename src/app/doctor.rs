//! Trying what every organization has set up, and saying what fails and how to mend it: for whoever runs the server.

use chrono::TimeDelta;
use entity::{RuntimeStatus, git_settings, organization, runtime};
use sea_orm::{EntityTrait as _, QueryOrder as _};

use super::git::{self, check, settings};
use super::{App, Result, Scope, runtimes};

/// How early it is said that a token will end.
const ENDS_SOON: TimeDelta = TimeDelta::days(14);

/// What was tried, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was tried: "runtime local of acme".
    pub subject: String,
    /// What came of it.
    pub verdict: Verdict,
}

/// What came of trying something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It works.
    Well(String),
    /// It works, and somebody should look at it.
    Warning {
        /// What is the matter.
        what: String,
        /// Who mends it how.
        remedy: String,
    },
    /// It does not work.
    Ill {
        /// What is the matter.
        what: String,
        /// Who mends it how.
        remedy: String,
    },
}

/// Tries every runtime and every Git provider of every organization, and stores what it learned as the server's own checks
/// do.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn examine(app: &App) -> Result<Vec<Finding>> {
    let organizations =
        organization::Entity::find().order_by_asc(organization::Column::Slug).all(app.db.read()).await?;
    let mut findings = Vec::new();
    for organization in organizations {
        let scope = Scope { organization_id: organization.id };
        for row in scope.runtimes().order_by_asc(runtime::Column::Name).all(app.db.read()).await? {
            let subject = format!("runtime {} of {}", row.name, organization.slug);
            let row = runtimes::check(app, &scope, &row.id).await?;
            findings.push(Finding { subject, verdict: of_runtime(&row) });
        }
        for row in settings::all(app, &scope).await? {
            let subject = format!("{} of {}", git::of_stored(row.provider), organization.slug);
            // A token that does not open says so in the log; here it is that provider's finding.
            if let Err(error) = check::check(app, &row).await {
                let remedy = "look at the log, and have an admin store the token again".to_owned();
                findings.push(Finding { subject, verdict: Verdict::Ill { what: error.message, remedy } });
                continue;
            }
            let stored = settings::all(app, &scope).await?.into_iter().find(|now| now.id == row.id);
            if let Some(row) = stored {
                findings.push(Finding { subject, verdict: of_git(app, &row)? });
            }
        }
    }
    Ok(findings)
}

fn of_runtime(row: &runtime::Model) -> Verdict {
    if row.status == RuntimeStatus::Ready {
        let version = row.version.as_deref().unwrap_or("of a version that it does not say");
        return Verdict::Well(format!("{} answers, {version}", row.endpoint));
    }
    let what = row.status_message.clone().unwrap_or_else(|| format!("{} does not answer", row.endpoint));
    let remedy = match row.status {
        RuntimeStatus::Unauthorized => "an admin stores other credentials with updateRuntime",
        _ => "see that the engine runs and can be reached from here, or have an admin correct it with updateRuntime",
    };
    Verdict::Ill { what, remedy: remedy.to_owned() }
}

fn of_git(app: &App, row: &git_settings::Model) -> Result<Verdict> {
    let which = git::of_stored(row.provider);
    let again = format!("an admin of the organization stores a new token under \"{}\"", which.settings_title());
    let now = app.clock.now();
    if let Some(ended) = row.expires_at.filter(|at| *at <= now) {
        let what = format!("the token ended on {}", ended.format("%Y-%m-%d"));
        return Ok(Verdict::Ill { what, remedy: again });
    }
    if let Some(what) = row.status_message.clone() {
        let remedy = if row.rejected {
            again
        } else {
            format!(
                "see that {} can be reached from here (net.allow, net.ca_file), or wait until it answers",
                row.base_url
            )
        };
        return Ok(Verdict::Ill { what, remedy });
    }
    if let Some(ends) = row.expires_at.filter(|at| *at <= now + ENDS_SOON) {
        let what = format!("the token ends on {}", ends.format("%Y-%m-%d"));
        return Ok(Verdict::Warning { what, remedy: again });
    }
    let missing = settings::missing_of(row)?;
    if !missing.is_empty() {
        let lacks: Vec<String> =
            missing.iter().map(|m| format!("{} (for {})", m.scope, m.right.needed_for())).collect();
        let what = format!("the token lacks {}", lacks.join(", "));
        let remedy = format!("if that is wanted, {again}");
        return Ok(Verdict::Warning { what, remedy });
    }
    let account = row.account.as_deref().unwrap_or("an account that it does not name");
    Ok(Verdict::Well(format!("{} takes the token of {account}", row.base_url)))
}
