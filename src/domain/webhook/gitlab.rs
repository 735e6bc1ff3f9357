//! GitLab's deliveries: <https://docs.gitlab.com/user/project/integrations/webhook_events/>.

use serde_json::Value;

use super::event::{Event, InvalidPayload, MergeRequest, MergeRequestAction, Push, RefKind, Source, harmless, other};
use super::json::{Part, missing};

/// What a payload is stands in it, under the signature; the header is not. A system hook, which an administrator makes
/// for a whole server, may look like a project's.
pub(super) fn read(event: &str, payload: Part<'_>) -> Result<Event, InvalidPayload> {
    if event == "System Hook" {
        return Ok(other(event));
    }
    match payload.text("object_kind") {
        Some("push" | "tag_push") => push(payload).map(Event::Push),
        Some("merge_request") => merge_request(payload).map(Event::MergeRequest),
        _ => Ok(other(event)),
    }
}

fn push(payload: Part<'_>) -> Result<Push, InvalidPayload> {
    let (kind, name) = payload.reference("ref")?;
    let after = payload.commit_or_zeros("after")?;
    // For an annotated tag `after` is the tag itself, and the commit is what would be checked out. GitLab has none
    // where it no longer found the tag.
    let commit = match kind {
        RefKind::Branch => after.clone(),
        RefKind::Tag if after.is_none() || payload.at("checkout_sha").is_none() => None,
        RefKind::Tag => Some(payload.commit("checkout_sha")?),
    };
    // The newest twenty are told of, the newest last.
    let commits = payload.list("commits");
    let head = commits.iter().rev().map(|value| Part(value).head()).find(|head| head.commit == commit);
    Ok(Push {
        kind,
        name,
        before: payload.commit_or_zeros("before")?,
        deleted: after.is_none(),
        after,
        head: head.filter(|_| commit.is_some()),
        commit,
        forced: false,
        commits: payload.number("total_commits_count").unwrap_or(commits.len() as u64),
        skips: payload.at("push_options.ci.skip").is_some_and(is_set),
        source: source(payload)?,
    })
}

fn merge_request(payload: Part<'_>) -> Result<MergeRequest, InvalidPayload> {
    let attributes = payload.at("object_attributes").ok_or_else(|| missing("object_attributes"))?;
    let action = match attributes.text("action") {
        Some("open") => MergeRequestAction::Opened,
        Some("reopen") => MergeRequestAction::Reopened,
        Some("close" | "merge") => MergeRequestAction::Closed,
        // Only new commits come with where the branch was before.
        Some("update") if attributes.text("oldrev").is_some() => MergeRequestAction::Updated,
        name => MergeRequestAction::Other(harmless(name.unwrap_or_default())),
    };
    let source = payload.source("object_attributes.target_project_id", "project.path_with_namespace")?;
    Ok(MergeRequest {
        number: attributes.number("iid").ok_or_else(|| missing("object_attributes.iid"))?,
        action,
        source_branch: attributes.branch("source_branch")?,
        target_branch: attributes.branch("target_branch")?,
        commit: attributes.commit("last_commit.id")?,
        // A source project that was deleted is null.
        from_fork: attributes.id("source_project_id").as_deref() != Some(source.external_id.as_str()),
        draft: attributes.yes("draft") || attributes.yes("work_in_progress"),
        title: attributes.line("title"),
        head: attributes.at("last_commit").map(Part::head),
        url: attributes.page("url"),
        source,
    })
}

fn source(payload: Part<'_>) -> Result<Source, InvalidPayload> {
    let id = if payload.at("project.id").is_some() { "project.id" } else { "project_id" };
    payload.source(id, "project.path_with_namespace")
}

/// A push option without a value is the number 1.
fn is_set(part: Part<'_>) -> bool {
    match part.0 {
        Value::Bool(yes) => *yes,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => text != "false" && text != "0",
        _ => false,
    }
}
