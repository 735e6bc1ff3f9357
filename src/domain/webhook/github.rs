//! GitHub's deliveries: <https://docs.github.com/webhooks/webhook-events-and-payloads>.

use super::event::{Event, InvalidPayload, MergeRequest, MergeRequestAction, Push, RefKind, Source, harmless, other};
use super::json::{Part, missing};
use crate::domain::names::BranchName;

pub(super) fn read(event: &str, payload: Part<'_>) -> Result<Event, InvalidPayload> {
    match event {
        "ping" => Ok(Event::Ping),
        "push" => push(payload).map(Event::Push),
        "pull_request" => pull_request(payload).map(Event::MergeRequest),
        "create" => made(payload).map(|(kind, name, source)| Event::Created { kind, name, source }),
        "delete" => made(payload).map(|(kind, name, source)| Event::Deleted { kind, name, source }),
        name => Ok(other(name)),
    }
}

/// Branches and tags alike.
fn push(payload: Part<'_>) -> Result<Push, InvalidPayload> {
    let (kind, name) = payload.reference("ref")?;
    let after = payload.commit_or_zeros("after")?;
    let head = payload.at("head_commit").map(Part::head);
    // An annotated tag is an object of its own; its commit is the head.
    let tagged = head.as_ref().and_then(|head| head.commit.clone()).filter(|_| kind == RefKind::Tag);
    let commit = after.as_ref().and_then(|after| tagged.or_else(|| Some(after.clone())));
    Ok(Push {
        kind,
        name,
        before: payload.commit_or_zeros("before")?,
        deleted: after.is_none() || payload.yes("deleted"),
        after,
        commit,
        forced: payload.yes("forced"),
        head,
        commits: payload.list("commits").len() as u64,
        skips: false,
        source: source(payload)?,
    })
}

fn pull_request(payload: Part<'_>) -> Result<MergeRequest, InvalidPayload> {
    let action = match payload.needed("action")? {
        "opened" => MergeRequestAction::Opened,
        "synchronize" => MergeRequestAction::Updated,
        "reopened" => MergeRequestAction::Reopened,
        "closed" => MergeRequestAction::Closed,
        name => MergeRequestAction::Other(harmless(name)),
    };
    let number = payload.number("number").or_else(|| payload.number("pull_request.number"));
    // A fork that was deleted is null here.
    let (from, into) = (payload.id("pull_request.head.repo.id"), payload.id("pull_request.base.repo.id"));
    let source = source(payload)?;
    Ok(MergeRequest {
        number: number.ok_or_else(|| missing("number"))?,
        action,
        source_branch: payload.branch("pull_request.head.ref")?,
        target_branch: payload.branch("pull_request.base.ref")?,
        commit: payload.commit("pull_request.head.sha")?,
        from_fork: from.is_none() || from != into,
        draft: payload.yes("pull_request.draft"),
        title: payload.line("pull_request.title"),
        head: None,
        url: payload.page("pull_request.html_url"),
        source,
    })
}

/// `create` and `delete` name a branch or tag without `refs/heads/`, and no commit.
fn made(payload: Part<'_>) -> Result<(RefKind, BranchName, Source), InvalidPayload> {
    let kind = match payload.needed("ref_type")? {
        "branch" => RefKind::Branch,
        "tag" => RefKind::Tag,
        _ => return Err(missing("ref_type")),
    };
    Ok((kind, payload.branch("ref")?, source(payload)?))
}

fn source(payload: Part<'_>) -> Result<Source, InvalidPayload> {
    payload.source("repository.id", "repository.full_name")
}
