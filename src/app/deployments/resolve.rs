//! What tags mean now: asked from the registry, else from the engine that holds the image.

use std::collections::BTreeMap;

use entity::service;

use crate::app::{App, Result, Scope, registries};
use crate::domain::secret::RegistryLogin;
use crate::domain::spec::Spec;
use crate::registry::RegistryError;
use crate::runtime::Runtime;

/// Why a revision can't be made: the image or the login is wrong for certain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused(pub String);

/// The logins that the spec's hosts have: the service's own, else the organization's.
///
/// # Errors
/// INTERNAL when one can't be opened.
pub async fn logins(
    app: &App,
    scope: &Scope,
    service: &service::Model,
    spec: &Spec,
) -> Result<BTreeMap<String, RegistryLogin>> {
    let mut logins = BTreeMap::new();
    for host in spec.containers.iter().map(|c| c.repository.host()) {
        if !logins.contains_key(host)
            && let Some(login) = registries::login_for(app, scope, Some(service), host).await?
        {
            logins.insert(host.to_owned(), login);
        }
    }
    Ok(logins)
}

/// Fills in each digest that is not there yet. What can't be asked gives a warning: the engine's own image is then
/// taken, or the tag as it is.
///
/// # Errors
/// The outer one is INTERNAL; the inner one says that an image does not exist or its login is refused.
pub async fn digests(
    app: &App,
    runtime: Option<&dyn Runtime>,
    logins: &BTreeMap<String, RegistryLogin>,
    spec: &mut Spec,
) -> Result<std::result::Result<Vec<String>, Refused>> {
    let mut warnings = Vec::new();
    // What an engine calls by an id of its own is in no registry, and means one thing only.
    for container in spec.containers.iter_mut().filter(|c| c.digest.is_none() && c.image_id.is_none()) {
        let (repository, tag) = (&container.repository, &container.tag);
        let login = logins.get(repository.host());
        let problem = match app.registries.resolve(repository, tag, login).await {
            Ok(digest) => {
                container.digest = Some(digest);
                continue;
            }
            Err(problem) => problem,
        };
        let local = match runtime {
            Some(runtime) => runtime.local_image(repository, tag).await.unwrap_or_default(),
            None => None,
        };
        match (&problem, local, runtime) {
            (RegistryError::NotFound(_) | RegistryError::Unauthorized(_), None, _) if runtime.is_some() => {
                return Ok(Err(Refused(problem.to_string())));
            }
            (_, Some(local), _) => {
                container.digest = local.digest;
                warnings.push(format!("{problem}; the engine has {repository}:{tag}, and that is what runs"));
            }
            (_, None, _) => warnings.push(format!("{problem}; {repository}:{tag} is taken as it is")),
        }
    }
    Ok(Ok(warnings))
}
