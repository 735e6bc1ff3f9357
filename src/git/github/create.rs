//! Making a repository with its first branch.

use std::time::Duration;

use reqwest::Method;
use tokio::time::Instant;

use super::super::call::{Memory, PATIENCE};
use super::super::{GitError, NewProject, Project, ProjectRef, Visibility};
use super::{Github, branches, wire};
use crate::domain::names::BranchName;

/// How often GitHub is asked whether it has done what it answered that it does, and the pause between two times.
const LOOKS: u32 = 8;
const PAUSE: Duration = Duration::from_millis(400);

/// Makes a repository with a README: the own account's by
/// <https://docs.github.com/rest/repos/repos#create-a-repository-for-the-authenticated-user>, an organization's by
/// <https://docs.github.com/rest/repos/repos#create-an-organization-repository>.
pub(super) async fn project(github: &Github, new: &NewProject) -> Result<Project, GitError> {
    let own = match &new.namespace {
        None => true,
        Some(namespace) => match github.owner().await {
            Ok(owner) => owner.login.eq_ignore_ascii_case(namespace),
            // An app makes repositories in its organization.
            Err(error) if Github::is_installations(&error) => false,
            Err(error) => return Err(error),
        },
    };
    let url = match &new.namespace {
        Some(organization) if !own => github.api.url(&["orgs", organization, "repos"]),
        _ => github.api.url(&["user", "repos"]),
    };
    let body = wire::NewRepository { name: &new.name, private: new.visibility == Visibility::Private, auto_init: true };
    let answer = github.api.send(Method::POST, url, &body).await.map_err(|error| match error {
        GitError::Invalid(said) if said.contains("name already exists on this account") => GitError::Taken(said),
        error => error,
    })?;
    let made: wire::Repository = github.api.json(&answer)?;
    made.project().ok_or_else(|| github.api.garbled())
}

/// Renames the default branch where it has another name
/// (<https://docs.github.com/rest/branches/branches#rename-a-branch>), and waits until it is there: GitHub answers
/// before it has done either, the README or the renaming.
pub(super) async fn first_branch(github: &Github, project: &Project, branch: &BranchName) -> Result<(), GitError> {
    let known = ProjectRef::Known { external_id: project.external_id.clone(), path: project.path.clone() };
    let mut refused = None;
    let mut asked = false;
    let began = Instant::now();
    for look in 0..LOOKS {
        if look > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        // What is said below tells more than that the call took too long.
        if began.elapsed() >= PATIENCE {
            break;
        }
        let Some(now) = github.repository(&known, Memory::Never).await? else {
            return Err(GitError::NotFound(format!("{} has no {} any more", github.api.name(), project.path.as_str())));
        };
        let Some(default) = now.default_branch.as_deref().filter(|name| !name.is_empty()) else { continue };
        let path = now.project().ok_or_else(|| github.api.garbled())?.path;
        let there = branches::read(github, &path, default, Memory::Never).await?.is_some();
        if default == branch.as_str() {
            if there {
                // It may have come only now, after all that was sent.
                github.api.forget();
                return Ok(());
            }
            continue;
        }
        if !there || asked {
            continue;
        }
        let mut segments = vec!["repos"];
        segments.extend(path.parts());
        segments.extend(["branches", default, "rename"]);
        let body = wire::NewName { new_name: branch.as_str() };
        asked = true;
        match github.api.send(Method::POST, github.api.url(&segments), &body).await {
            Ok(_) => {}
            // An earlier call's renaming may be under way: the next looks tell.
            Err(error @ (GitError::Invalid(_) | GitError::NotFound(_))) => refused = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(refused.unwrap_or_else(|| {
        GitError::Unreachable(format!(
            "{} has made {} and not yet its branch {}: try again",
            github.api.name(),
            project.path.as_str(),
            branch.as_str()
        ))
    }))
}
