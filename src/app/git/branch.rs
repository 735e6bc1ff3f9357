//! Which branch a Git service is built from.

use entity::service;

use super::{Connected, connect_for, source_of};
use crate::app::{Actor, App, Error, Result};
use crate::domain::git::TokenRight;
use crate::domain::names::BranchName;
use crate::git::ProjectRef;

/// Sees to it that a branch can become the service's: it must be there now.
///
/// # Errors
/// BAD_USER_INPUT at `input.branch` for a name that Git does not take, a branch that is not there, and a service that
/// is made of images; otherwise as any call of the provider.
pub(in crate::app) async fn check(app: &App, actor: &Actor, service: &service::Model, branch: &str) -> Result<()> {
    let name = BranchName::parse(branch).map_err(|e| Error::bad_input("input.branch", e.to_string()))?;
    let Some(source) = source_of(service) else {
        return Err(Error::bad_input("input.branch", "the service is made of images: it has no branch"));
    };
    let connected = connect_for(app, actor, &source, &[TokenRight::ReadProjects]).await?;
    exists(app, actor, &connected, &source.project()?, &name).await
}

/// Sees to it that a project has this branch.
///
/// # Errors
/// BAD_USER_INPUT at `input.branch` when it does not; otherwise as any call of the provider.
pub(super) async fn exists(
    app: &App,
    actor: &Actor,
    connected: &Connected,
    project: &ProjectRef,
    name: &BranchName,
) -> Result<()> {
    match connected.client.branch(project, name).await {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(Error::bad_input("input.branch", format!("the project has no branch {name}"))),
        Err(error) => Err(connected.failed(app, actor, error).await),
    }
}
