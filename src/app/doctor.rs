//! Trying what every organization has set up, and saying what fails and how to mend it: for whoever runs the server.

use chrono::TimeDelta;
use entity::{RuntimeStatus, git_settings, organization, runtime};
use sea_orm::{EntityTrait as _, QueryOrder as _};

use super::git::{self, settings};
use super::pipelines::engine;
use super::runtimes::check;
use super::{App, Result, Scope};
use crate::builder::Builder;
use crate::git::{GitError, TokenInfo};

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

/// Tries what builds, and every runtime and every Git provider of every organization. Nothing is stored: what is true from where this runs
/// need not be true from where the server does.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn examine(app: &App) -> Result<Vec<Finding>> {
    let organizations =
        organization::Entity::find().order_by_asc(organization::Column::Slug).all(app.db.read()).await?;
    let mut findings = of_builds(app).await?;
    for organization in organizations {
        let scope = Scope { organization_id: organization.id };
        for row in scope.runtimes().order_by_asc(runtime::Column::Name).all(app.db.read()).await? {
            let subject = format!("runtime {} of {}", row.name, organization.slug);
            findings.push(Finding { subject, verdict: of_runtime(&row, check::ask(app, &row).await) });
        }
        for row in settings::all(app, &scope).await? {
            let subject = format!("{} of {}", git::of_stored(row.provider), organization.slug);
            findings.push(Finding { subject, verdict: of_git(app, &row).await });
        }
    }
    Ok(findings)
}

/// What builds: without it all else works, so that nothing of it is a failure.
async fn of_builds(app: &App) -> Result<Vec<Finding>> {
    let warning = |what: String, remedy: &str| Verdict::Warning { what, remedy: remedy.to_owned() };
    let sources = match app.sources.examine().await {
        Ok(()) => Verdict::Well("git is there".to_owned()),
        Err(error) => warning(error.to_string(), "without it no pipeline gets its source: install git 2.37 or later"),
    };
    let remedy = "without it nothing is built: start a Docker engine here, or name another runtime in build.runtime";
    let builder = match engine::builder(app).await? {
        Ok(builder) => match builder.info().await {
            Ok(info) => of_login(builder.as_ref(), &info.version).await,
            Err(error) => warning(error.to_string(), remedy),
        },
        Err(why) => warning(why, remedy),
    };
    let finding = |subject: &str, verdict| Finding { subject: subject.to_owned(), verdict };
    Ok(vec![finding("sources", sources), finding("builder", builder)])
}

/// What builds answers: whether its login may do what a build needs.
async fn of_login(builder: &dyn Builder, version: &str) -> Verdict {
    let what = if builder.keeps_images() { "engine" } else { "cluster" };
    match builder.lacks().await {
        Ok(None) => Verdict::Well(format!("the {what} that builds answers, version {version}")),
        Ok(Some(lacks)) => Verdict::Warning {
            what: format!("the login of build.runtime may not {}", lacks.permissions.join(", ")),
            remedy: format!("whoever runs the cluster applies\n{}", lacks.grant),
        },
        Err(error) => Verdict::Warning {
            what: error.to_string(),
            remedy: "see that the cluster answers, and that its login is still known there".to_owned(),
        },
    }
}

fn of_runtime(row: &runtime::Model, found: check::Found) -> Verdict {
    let (status, what) = match found {
        Ok(info) => return Verdict::Well(format!("{} answers, version {}", row.endpoint, info.version)),
        Err(refused) => refused,
    };
    let remedy = match status {
        RuntimeStatus::Unauthorized => "an admin stores other credentials with updateRuntime",
        _ => "see that the engine runs and can be reached from here, or have an admin correct it with updateRuntime",
    };
    Verdict::Ill { what, remedy: remedy.to_owned() }
}

async fn of_git(app: &App, row: &git_settings::Model) -> Verdict {
    let which = git::of_stored(row.provider);
    let again = format!("an admin of the organization stores a new token under \"{}\"", which.settings_title());
    let client = match git::client(app, row).await {
        Ok(Some(client)) => client,
        Ok(None) => return Verdict::Ill { what: "its token is missing".to_owned(), remedy: again },
        Err(error) => return Verdict::Ill { what: error.message, remedy: again },
    };
    match client.identify().await {
        Ok(info) => of_token(app, row, &info, again),
        Err(error @ GitError::Unauthorized(_)) => Verdict::Ill { what: error.to_string(), remedy: again },
        Err(error) => {
            let remedy = format!(
                "see that {} can be reached from here (net.allow, net.ca_file), or wait until it answers",
                row.base_url
            );
            Verdict::Ill { what: error.to_string(), remedy }
        }
    }
}

fn of_token(app: &App, row: &git_settings::Model, info: &TokenInfo, again: String) -> Verdict {
    let now = app.clock.now();
    if let Some(ends) = info.expires_at.filter(|at| *at <= now + ENDS_SOON) {
        let day = ends.format("%Y-%m-%d");
        return match ends <= now {
            true => Verdict::Ill { what: format!("the token ended on {day}"), remedy: again },
            false => Verdict::Warning { what: format!("the token ends on {day}"), remedy: again },
        };
    }
    if !info.missing.is_empty() {
        let lacks: Vec<String> =
            info.missing.iter().map(|m| format!("{} (for {})", m.scope, m.right.needed_for())).collect();
        let what = format!("the token lacks {}", lacks.join(", "));
        return Verdict::Warning { what, remedy: format!("if that is wanted, {again}") };
    }
    let account = info.account.as_deref().unwrap_or("an account that it does not name");
    Verdict::Well(format!("{} takes the token of {account}", row.base_url))
}
