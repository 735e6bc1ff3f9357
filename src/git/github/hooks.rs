//! Webhooks (<https://docs.github.com/rest/repos/webhooks>) and the status of commits
//! (<https://docs.github.com/rest/commits/statuses>).

use reqwest::Method;
use serde_json::json;

use super::super::call::{Answer, Memory};
use super::super::{CommitState, CommitStatus, GitError, HookEvents, HookState, NewHook, ProjectRef};
use super::paging::ROWS;
use super::{Github, branches, wire};
use crate::domain::names::{CommitHash, ProjectPath};
use crate::domain::secret::ExposeSecret as _;

/// Pages of a repository's webhooks that are looked through: GitHub allows twenty of them for each event.
const PAGES: u32 = 10;

pub(super) async fn save(github: &Github, project: &ProjectRef, hook: &NewHook) -> Result<HookState, GitError> {
    let github = &github.hiding(&hook.secret);
    let path = found(github, project).await?.ok_or_else(|| gone(github))?;
    let known = |row: &wire::HookRow| hook.known_id.as_deref() == Some(row.id.to_string().as_str());
    let mut rows = list(github, &path).await?;
    rows.retain(|row| known(row) || row.config.url.as_deref() == Some(hook.url.as_str()));
    rows.sort_by_key(|row| (!known(row), row.id));
    let mut rows = rows.into_iter();
    let kept = rows.next();
    for row in rows {
        remove_one(github, &path, row.id).await?;
    }
    let mut body = json!({
        "active": true,
        "events": events(hook.events),
        "config": {
            "url": hook.url,
            "content_type": "json",
            "insecure_ssl": "0",
            "secret": hook.secret.expose_secret(),
        },
    });
    if let Some(row) = kept {
        let url = branches::below(github, &path, &["hooks", &row.id.to_string()])?;
        match github.api.tell(Method::PATCH, url, &body).await {
            // Somebody removed it meanwhile.
            Err(GitError::NotFound(_)) => {}
            changed => return state(github, &changed?),
        }
    }
    body["name"] = "web".into();
    let answer = github.api.tell(Method::POST, branches::below(github, &path, &["hooks"])?, &body).await;
    let answer = answer.map_err(|error| refused(github, error, &path))?;
    state(github, &answer)
}

pub(super) async fn remove(
    github: &Github,
    project: &ProjectRef,
    known_id: Option<&str>,
    url: &str,
) -> Result<(), GitError> {
    let Some(path) = found(github, project).await? else { return Ok(()) };
    let is_meant =
        |row: &wire::HookRow| row.config.url.as_deref() == Some(url) || known_id == Some(row.id.to_string().as_str());
    for row in list(github, &path).await?.into_iter().filter(is_meant) {
        remove_one(github, &path, row.id).await?;
    }
    Ok(())
}

pub(super) async fn report(
    github: &Github,
    project: &ProjectRef,
    commit: &CommitHash,
    status: &CommitStatus,
) -> Result<(), GitError> {
    let path = found(github, project).await?.ok_or_else(|| gone(github))?;
    let state = match status.state {
        CommitState::Pending | CommitState::Running => "pending",
        CommitState::Success => "success",
        CommitState::Failure => "failure",
        CommitState::Canceled => "error",
    };
    let mut body = json!({ "state": state, "context": status.context, "description": status.line() });
    if let Some(url) = &status.target_url {
        body["target_url"] = url.as_str().into();
    }
    let url = branches::below(github, &path, &["statuses", commit.as_str()])?;
    match github.api.tell(Method::POST, url, &body).await {
        Err(GitError::NotFound(_)) => Err(GitError::Forbidden(format!(
            "{} does not let the token report the status of commits of {path}: a classic token needs the scope repo or \
             repo:status, a fine-grained one \"Commit statuses: write\"",
            github.api.name()
        ))),
        Err(GitError::Invalid(said)) if said.contains("No commit found") => Err(GitError::NotFound(said)),
        told => told.map(|_| ()),
    }
}

/// Where the repository is now: what changes something is followed from no former path.
async fn found(github: &Github, project: &ProjectRef) -> Result<Option<ProjectPath>, GitError> {
    let Some(repository) = github.repository(project, Memory::Revalidated).await? else { return Ok(None) };
    branches::path_of(github, &repository).map(Some)
}

async fn list(github: &Github, path: &ProjectPath) -> Result<Vec<wire::HookRow>, GitError> {
    let mut all = Vec::new();
    for number in 1..=PAGES {
        let mut url = branches::below(github, path, &["hooks"])?;
        url.query_pairs_mut().append_pair("per_page", ROWS).append_pair("page", &number.to_string());
        let answer = github.api.get(url, Memory::Never).await.map_err(|error| refused(github, error, path))?;
        let rows: Vec<wire::HookRow> = github.api.json(&answer)?;
        let whole = rows.len().to_string() == ROWS;
        all.extend(rows);
        if !whole {
            break;
        }
    }
    Ok(all)
}

async fn remove_one(github: &Github, path: &ProjectPath, id: u64) -> Result<(), GitError> {
    match github.api.delete(branches::below(github, path, &["hooks", &id.to_string()])?).await {
        Err(GitError::NotFound(_)) => Ok(()),
        done => done,
    }
}

/// A tag comes as a push of `refs/tags/…`, and as `create`.
fn events(events: HookEvents) -> Vec<&'static str> {
    let push = (events.push || events.tags).then_some("push");
    let merge_requests = events.merge_requests.then_some("pull_request");
    let tags = events.tags.then_some("create");
    [push, merge_requests, tags].into_iter().flatten().collect()
}

fn state(github: &Github, answer: &Answer) -> Result<HookState, GitError> {
    let row: wire::HookRow = github.api.json(answer)?;
    Ok(HookState { id: row.id.to_string(), signing: true })
}

fn gone(github: &Github) -> GitError {
    GitError::NotFound(format!("{} knows no such repository that the token may see", github.api.name()))
}

/// GitHub says of a repository that the token sees that it has no webhooks, where the token may not know of them.
fn refused(github: &Github, error: GitError, path: &ProjectPath) -> GitError {
    match error {
        GitError::NotFound(_) => GitError::Forbidden(format!(
            "{} does not let the token manage webhooks of {path}: its owner must be an administrator of the repository, \
             and a classic token needs the scope repo or admin:repo_hook, a fine-grained one \"Webhooks: write\"",
            github.api.name()
        )),
        error => error,
    }
}
