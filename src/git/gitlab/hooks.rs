//! Webhooks (<https://docs.gitlab.com/api/project_webhooks/>) and the status of commits
//! (<https://docs.gitlab.com/api/commits/#set-commit-pipeline-status>).

use reqwest::Method;
use serde_json::{Value, json};

use super::super::call::Memory;
use super::super::{CommitState, CommitStatus, GitError, HookState, NewHook, ProjectRef};
use super::Gitlab;
use super::paging::{MOST, goes_on};
use super::projects::{self, segment};
use super::wire::HookRow;
use crate::domain::names::CommitHash;
use crate::domain::secret::ExposeSecret as _;

/// Pages of a project's webhooks that are looked through: GitLab allows a project a hundred of them.
const PAGES: usize = 5;

pub(super) async fn save(gitlab: &Gitlab, project: &ProjectRef, hook: &NewHook) -> Result<HookState, GitError> {
    let gitlab = &gitlab.hiding(&hook.secret);
    let id = found(gitlab, project).await?;
    let known = |row: &HookRow| hook.known_id.as_deref() == Some(row.id.to_string().as_str());
    let mut rows = list(gitlab, &id).await?;
    rows.retain(|row| known(row) || row.url == hook.url);
    rows.sort_by_key(|row| (row.is_off(), !known(row), row.id));
    let kept = rows.first().filter(|row| !row.is_off()).map(|row| row.id);
    let (kept, others): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| Some(row.id) == kept);
    for row in others {
        remove_one(gitlab, &id, row.id).await?;
    }
    let saved = match kept.into_iter().next() {
        Some(row) => change(gitlab, &id, row, hook).await,
        None => create(gitlab, &id, hook).await,
    };
    match saved {
        // Somebody removed it meanwhile.
        Err(GitError::NotFound(_)) => create(gitlab, &id, hook).await,
        saved => saved,
    }
}

pub(super) async fn remove(
    gitlab: &Gitlab,
    project: &ProjectRef,
    known_id: Option<&str>,
    url: &str,
) -> Result<(), GitError> {
    let id = match found(gitlab, project).await {
        Err(GitError::NotFound(_)) => return Ok(()),
        id => id?,
    };
    let rows = match list(gitlab, &id).await {
        Err(GitError::NotFound(_)) => return Ok(()),
        rows => rows?,
    };
    for row in rows.into_iter().filter(|row| row.url == url || known_id == Some(row.id.to_string().as_str())) {
        remove_one(gitlab, &id, row.id).await?;
    }
    Ok(())
}

pub(super) async fn report(
    gitlab: &Gitlab,
    project: &ProjectRef,
    commit: &CommitHash,
    status: &CommitStatus,
) -> Result<(), GitError> {
    let id = found(gitlab, project).await?;
    let state = match status.state {
        CommitState::Pending => "pending",
        CommitState::Running => "running",
        CommitState::Success => "success",
        CommitState::Failure => "failed",
        CommitState::Canceled => "canceled",
    };
    let mut body = json!({ "state": state, "name": status.context, "description": status.line() });
    if let Some(url) = &status.target_url {
        body["target_url"] = url.as_str().into();
    }
    let url = gitlab.at(&["projects", &id, "statuses", commit.as_str()]);
    match gitlab.api.tell(Method::POST, url, &body).await {
        // What is pending or running can't become so again:
        // https://gitlab.com/gitlab-org/gitlab-foss/-/issues/25807
        Err(GitError::Invalid(said)) if said.contains("Cannot transition status") => Ok(()),
        told => told.map(|_| ()),
    }
}

/// The id by which a project is addressed: what changes something is redirected from no former path.
async fn found(gitlab: &Gitlab, project: &ProjectRef) -> Result<String, GitError> {
    let gone = || GitError::NotFound(format!("{} knows no such project that the token may see", gitlab.api.name()));
    match project {
        ProjectRef::Known { .. } => segment(project).map(str::to_owned).ok_or_else(gone),
        ProjectRef::Path(_) => {
            Ok(projects::find(gitlab, project, Memory::Revalidated).await?.ok_or_else(gone)?.external_id)
        }
    }
}

async fn list(gitlab: &Gitlab, id: &str) -> Result<Vec<HookRow>, GitError> {
    let mut all = Vec::new();
    for number in 1..=PAGES {
        let mut url = gitlab.at(&["projects", id, "hooks"]);
        url.query_pairs_mut().append_pair("per_page", &MOST.to_string()).append_pair("page", &number.to_string());
        let answer = gitlab.api.get(url, Memory::Never).await?;
        let rows: Vec<HookRow> = gitlab.api.json(&answer)?;
        let more = goes_on(&answer, MOST, rows.len());
        all.extend(rows);
        if !more {
            break;
        }
    }
    Ok(all)
}

async fn create(gitlab: &Gitlab, id: &str, hook: &NewHook) -> Result<HookState, GitError> {
    let made = gitlab.api.tell(Method::POST, gitlab.at(&["projects", id, "hooks"]), &signed(hook)).await?;
    let row: HookRow = gitlab.api.json(&made)?;
    settle(gitlab, id, row, hook).await
}

/// A server that says nothing of signing tokens has none.
async fn change(gitlab: &Gitlab, id: &str, row: HookRow, hook: &NewHook) -> Result<HookState, GitError> {
    if row.signing_token_present.is_none() {
        return settle(gitlab, id, row, hook).await;
    }
    let mut body = signed(hook);
    if row.token_present == Some(true) {
        // From a time when the server signed nothing. What signs must not be sent along.
        body["token"] = "".into();
    }
    let row = put(gitlab, id, row.id, &body).await?;
    settle(gitlab, id, row, hook).await
}

/// Where the server has not taken the signing token, which it then leaves out without a word, the secret becomes what is
/// sent along with each delivery.
async fn settle(gitlab: &Gitlab, id: &str, row: HookRow, hook: &NewHook) -> Result<HookState, GitError> {
    if row.signing_token_present == Some(true) {
        return Ok(HookState { id: row.id.to_string(), signing: true });
    }
    let mut body = wanted(hook);
    body["token"] = hook.secret.expose_secret().into();
    let row = put(gitlab, id, row.id, &body).await?;
    Ok(HookState { id: row.id.to_string(), signing: false })
}

async fn put(gitlab: &Gitlab, id: &str, hook_id: u64, body: &Value) -> Result<HookRow, GitError> {
    let url = gitlab.at(&["projects", id, "hooks", &hook_id.to_string()]);
    let answer = gitlab.api.tell(Method::PUT, url, body).await?;
    gitlab.api.json(&answer)
}

async fn remove_one(gitlab: &Gitlab, id: &str, hook_id: u64) -> Result<(), GitError> {
    match gitlab.api.delete(gitlab.at(&["projects", id, "hooks", &hook_id.to_string()])).await {
        Err(GitError::NotFound(_)) => Ok(()),
        done => done,
    }
}

/// What signs is 32 bytes in base64 after `whsec_`; the answer says in `signing_token_present` whether it was taken
/// (<https://gitlab.com/gitlab-org/gitlab/-/merge_requests/231325>).
fn signed(hook: &NewHook) -> Value {
    let mut body = wanted(hook);
    body["signing_token"] = hook.secret.expose_secret().into();
    body
}

/// All but what proves deliveries. Which branches count is decided here, not there.
fn wanted(hook: &NewHook) -> Value {
    json!({
        "url": hook.url,
        "push_events": hook.events.push,
        "tag_push_events": hook.events.tags,
        "merge_requests_events": hook.events.merge_requests,
        "enable_ssl_verification": true,
        "branch_filter_strategy": "all_branches",
        "push_events_branch_filter": "",
    })
}
