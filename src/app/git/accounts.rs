//! Accounts on the organization's GitLab for the people of the organization. No password passes through here: the
//! server mails everybody a link to choose one.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::json;
use tokio::time::Instant;

use super::{Connected, connect};
use crate::app::identity::{Person, users};
use crate::app::{Actor, App, Error, Result, audit};
use crate::domain::git::{Provider, TokenRight};
use crate::domain::names::gitlab_usernames;
use crate::domain::policy::Action;
use crate::git::{GitAccounts, GitError, NewAccount};

/// What it takes of the token.
pub const RIGHTS: &[TokenRight] = &[TokenRight::CreateAccounts];
/// How many people are looked after at once.
const AT_ONCE: usize = 5;
/// How many people one call may name.
const MAX_NAMED: usize = 2_000;
/// What is said to whom there was no time for.
const NO_TIME: &str = "there was no time left: call again, with the userIds of those who are left";
/// What the answer of a call that was begun in time may take, and a little more.
const LAST_CALL: Duration = Duration::from_secs(10);
/// How many user names are tried for one person.
const NAMES_TRIED: usize = 20;

/// For whom, and whether anything is to be done.
#[derive(Debug, Clone)]
pub struct CreateAccounts {
    /// Their users' ids; everybody's when left out.
    pub user_ids: Option<Vec<String>>,
    /// What is to happen.
    pub mode: Mode,
}

/// Whether anything is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Only say what would be.
    DryRun,
    /// Make the accounts.
    Create,
}

/// What came of one person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountResult {
    /// Who.
    pub person: Person,
    /// What came of it.
    pub outcome: Outcome,
    /// Their user name, where it is known.
    pub username: Option<String>,
    /// Why it failed.
    pub message: Option<String>,
}

/// What came of one person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// They have an account now.
    Created,
    /// They had one before.
    Exists,
    /// They have none.
    Failed,
    /// They would get one.
    WouldCreate,
}

/// Makes an account for each person who has none, by e-mail address. One that fails does not stop the others, and calling
/// again makes no second one. Nobody is begun with in the last ten seconds of `limits.mutation_timeout`: who is left by then
/// is FAILED, and named in another call.
///
/// # Errors
/// FORBIDDEN for members; NOT_FOUND for a user of no or another organization, before anything is done;
/// FAILED_PRECONDITION where GitLab is not set up with a token of an instance administrator.
pub async fn create(app: &App, actor: &Actor, input: CreateAccounts) -> Result<Vec<AccountResult>> {
    actor.require(Action::CreateGitlabAccounts)?;
    let people = people(app, actor, input.user_ids).await?;
    let connected = connect(app, actor, Provider::Gitlab, RIGHTS).await?;
    let accounts = connected.client.accounts();
    let accounts = accounts.ok_or_else(|| Error::internal("a GitLab client makes no accounts"))?;
    let round = Round {
        app,
        actor,
        accounts,
        mode: input.mode,
        deadline: Instant::now() + budget(app),
        stopped: Mutex::new(None),
    };
    let round = &round;
    let mut results: Vec<(usize, AccountResult)> = futures_util::stream::iter(people.into_iter().enumerate())
        .map(|(place, person)| async move { (place, round.one(person).await) })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    if let Some(GitError::Unauthorized(message)) = round.stop() {
        // It is remembered for the menus; each result says it already.
        let _said = Connected::failed(&connected, app, actor, GitError::Unauthorized(message)).await;
    }
    results.sort_by_key(|(place, _)| *place);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

/// What is begun within this ends within the request's own limit.
fn budget(app: &App) -> Duration {
    let limit = app.settings.mutation_timeout;
    limit.saturating_sub(LAST_CALL).max(limit / 3)
}

async fn people(app: &App, actor: &Actor, ids: Option<Vec<String>>) -> Result<Vec<Person>> {
    let Some(mut ids) = ids else { return users::everyone(app, actor).await };
    if ids.len() > MAX_NAMED {
        return Err(Error::bad_input("input.userIds", format!("name at most {MAX_NAMED} users at a time")));
    }
    let mut seen = std::collections::HashSet::new();
    ids.retain(|id| seen.insert(id.clone()));
    let mut found: HashMap<String, Person> = users::by_ids(app, &actor.scope, &ids).await?;
    ids.iter().map(|id| found.remove(id).ok_or_else(|| Error::not_found("user"))).collect()
}

/// One call's work.
struct Round<'a> {
    app: &'a App,
    actor: &'a Actor,
    accounts: &'a dyn GitAccounts,
    mode: Mode,
    deadline: Instant,
    /// What makes every further request senseless.
    stopped: Mutex<Option<GitError>>,
}

/// What one person came to: the outcome and their user name, or why not.
type Answer = std::result::Result<(Outcome, String), String>;

impl Round<'_> {
    async fn one(&self, person: Person) -> AccountResult {
        let answer = match self.stop() {
            Some(error) => Err(format!("not tried: {error}")),
            None => self.attempt(&person).await,
        };
        let (outcome, username, message) = match answer {
            Ok((outcome, username)) => (outcome, Some(username), None),
            Err(message) => (Outcome::Failed, None, Some(message)),
        };
        AccountResult { person, outcome, username, message }
    }

    async fn attempt(&self, person: &Person) -> Answer {
        if let Some(username) = self.existing(person).await? {
            return Ok((Outcome::Exists, username));
        }
        for username in gitlab_usernames(&person.email, &person.name).take(NAMES_TRIED) {
            self.in_time()?;
            if !self.ask(self.accounts.is_free(&username).await)? {
                continue;
            }
            if self.mode == Mode::DryRun {
                return Ok((Outcome::WouldCreate, username));
            }
            self.in_time()?;
            let new = NewAccount { email: person.email.clone(), name: person.name.clone(), username: username.clone() };
            match self.accounts.create(&new).await {
                Ok(()) => {
                    self.record(person, &username).await;
                    return Ok((Outcome::Created, username));
                }
                // Somebody was faster: with the address, or with the name.
                Err(GitError::Taken(_)) => {
                    if let Some(username) = self.existing(person).await? {
                        return Ok((Outcome::Exists, username));
                    }
                }
                Err(error) => return self.ask(Err(error)),
            }
        }
        Err(format!("no user name is free among the {NAMES_TRIED} that were tried"))
    }

    async fn existing(&self, person: &Person) -> std::result::Result<Option<String>, String> {
        self.in_time()?;
        self.ask(self.accounts.find_by_email(&person.email).await)
    }

    /// Asked before each request, so that none is cut off whose effect would then not be known.
    fn in_time(&self) -> std::result::Result<(), String> {
        if Instant::now() < self.deadline { Ok(()) } else { Err(NO_TIME.to_owned()) }
    }

    /// The answer, or why not in words; what would meet everybody else too stops the round.
    fn ask<T>(&self, answer: std::result::Result<T, GitError>) -> std::result::Result<T, String> {
        answer.map_err(|error| {
            if matches!(error, GitError::Unauthorized(_) | GitError::Limited { .. } | GitError::Refused(_)) {
                *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
            }
            error.to_string()
        })
    }

    fn stop(&self) -> Option<GitError> {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The account is there whatever becomes of the rest, so it is written down at once.
    async fn record(&self, person: &Person, username: &str) {
        let entry = audit::Entry {
            action: "gitlab_account.created",
            subject_kind: "User",
            subject_id: &person.id,
            subject_name: &person.email,
            detail: json!({ "username": username }),
        };
        if let Err(error) = audit::record(self.app, self.app.db.read_write(), self.actor, entry).await {
            tracing::error!(%username, %error, "a GitLab account was made and is missing in the audit trail");
        }
    }
}
