//! Whether an event starts a pipeline.

use super::event::{Event, HeadCommit, MergeRequest, MergeRequestAction, Push, RefKind, Source};
use super::pattern::BranchPattern;
use crate::domain::names::{BranchName, CommitHash, ProjectPath};

/// What a service wants pipelines for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Branches that are pushed to, or that merge requests are into. Empty: the service's own branch alone.
    pub branches: Vec<BranchPattern>,
    /// Pushes to branches.
    pub on_push: bool,
    /// Merge requests whose source branch is in the same project.
    pub on_merge_request: bool,
    /// New and moved tags, whatever branch they are on.
    pub on_tag: bool,
    /// The service's own branch.
    pub service_branch: BranchName,
    /// The provider's id of the service's project.
    pub external_project_id: String,
}

/// What started a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// A push to a branch.
    Push,
    /// A merge request.
    MergeRequest,
    /// A tag.
    Tag,
}

/// A pipeline to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// What for.
    pub trigger: Trigger,
    /// What `name` is.
    pub kind: RefKind,
    /// The branch or tag: of a merge request its source branch.
    pub name: BranchName,
    /// What is built.
    pub commit: CommitHash,
    /// The code was brought into the project by somebody who may push to it, so that it may be built with the service's
    /// secrets. Only such code is ever started; it is said here so that nobody need remember why.
    pub trusted: bool,
    /// The commit, where the delivery tells of it.
    pub head: Option<HeadCommit>,
    /// The merge request's number and title.
    pub merge_request: Option<(u64, Option<String>)>,
    /// Where the project is now: another path than the service's when it was renamed.
    pub path: Option<ProjectPath>,
}

/// What comes of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// A pipeline.
    Start(Box<Start>),
    /// Nothing, for this reason.
    Ignore(String),
}

/// What comes of an event, for a service that wants these.
///
/// Every push that leaves a branch somewhere starts: one of many commits once, for the newest; one without new commits
/// (a branch set back, or made of another) for where it points now. A draft is built as any merge request is. GitHub
/// does not tell the message of a pull request's newest commit, so that there `[skip ci]` is not seen.
#[must_use]
pub fn decide(event: &Event, filter: &Filter) -> Decision {
    let decided = match event {
        Event::Ping => Err("it only tries the webhook, which works".to_owned()),
        Event::Other { name } => Err(format!("events of this kind start no pipeline: {name}")),
        Event::Created { kind, source, .. } => is_ours(source, filter)
            .and_then(|()| Err(format!("the push that made the {} is what can start a pipeline", kind.word()))),
        Event::Deleted { kind, source, .. } => is_ours(source, filter).and_then(|()| Err(deleted(*kind))),
        Event::Push(push) => is_ours(&push.source, filter).and_then(|()| pushed(push, filter)),
        Event::MergeRequest(request) => is_ours(&request.source, filter).and_then(|()| requested(request, filter)),
    };
    decided.map_or_else(Decision::Ignore, |start| Decision::Start(Box::new(start)))
}

fn is_ours(source: &Source, filter: &Filter) -> Result<(), String> {
    if source.external_id == filter.external_project_id {
        return Ok(());
    }
    Err("it is of another project than this service's".to_owned())
}

fn pushed(push: &Push, filter: &Filter) -> Result<Start, String> {
    if push.deleted {
        return Err(deleted(push.kind));
    }
    let trigger = match push.kind {
        RefKind::Tag if !filter.on_tag => return Err("tags do not start pipelines of this service".to_owned()),
        RefKind::Tag => Trigger::Tag,
        RefKind::Branch if !filter.on_push => return Err("pushes do not start pipelines of this service".to_owned()),
        RefKind::Branch => {
            is_wanted(&push.name, filter)?;
            Trigger::Push
        }
    };
    let Some(commit) = &push.commit else {
        return Err(format!("the provider did not say which commit the {} {} is", push.kind.word(), push.name));
    };
    if push.skips {
        return Err("the push asks for no pipeline: ci.skip".to_owned());
    }
    does_not_skip(push.head.as_ref())?;
    Ok(Start {
        trigger,
        kind: push.kind,
        name: push.name.clone(),
        commit: commit.clone(),
        trusted: true,
        head: push.head.clone(),
        merge_request: None,
        path: push.source.path.clone(),
    })
}

fn requested(request: &MergeRequest, filter: &Filter) -> Result<Start, String> {
    if !filter.on_merge_request {
        return Err("merge requests do not start pipelines of this service".to_owned());
    }
    match &request.action {
        MergeRequestAction::Opened | MergeRequestAction::Updated | MergeRequestAction::Reopened => {}
        MergeRequestAction::Closed => return Err("the merge request was closed".to_owned()),
        MergeRequestAction::Other(name) => {
            let named = if name.is_empty() { String::new() } else { format!(": {name}") };
            return Err(format!("the merge request has no new code{named}"));
        }
    }
    if request.from_fork {
        let why = "it comes from a fork: a fork's code is never built with this service's secrets, nor deployed";
        return Err(why.to_owned());
    }
    is_wanted(&request.target_branch, filter)?;
    does_not_skip(request.head.as_ref())?;
    Ok(Start {
        trigger: Trigger::MergeRequest,
        kind: RefKind::Branch,
        name: request.source_branch.clone(),
        commit: request.commit.clone(),
        trusted: !request.from_fork,
        head: request.head.clone(),
        merge_request: Some((request.number, request.title.clone())),
        path: request.source.path.clone(),
    })
}

fn is_wanted(branch: &BranchName, filter: &Filter) -> Result<(), String> {
    let wanted = if filter.branches.is_empty() {
        *branch == filter.service_branch
    } else {
        filter.branches.iter().any(|pattern| pattern.matches(branch))
    };
    if wanted { Ok(()) } else { Err(format!("the branch {branch} is not one of those that start a pipeline")) }
}

fn does_not_skip(head: Option<&HeadCommit>) -> Result<(), String> {
    match head {
        Some(head) if head.skips => Err("the commit's message says [skip ci]".to_owned()),
        _ => Ok(()),
    }
}

fn deleted(kind: RefKind) -> String {
    format!("the {} was deleted", kind.word())
}
