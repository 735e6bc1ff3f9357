//! Where a service's source is fetched from, with the organization's token.

use std::sync::Arc;

use entity::service;

use crate::app::git::{self, Source};
use crate::app::{App, Error, Result, Scope};
use crate::builder::source::Origin;
use crate::domain::git::Provider;
use crate::domain::names::{CommitHash, ProjectPath};
use crate::git::{GitProvider, ProjectRef};

/// A service's source, and the provider that it is at.
pub(in crate::app) struct Place {
    /// Where it is fetched from.
    pub(in crate::app) origin: Origin,
    /// What the provider calls it.
    pub(in crate::app) project: ProjectRef,
    /// Its page there.
    pub(in crate::app) web_url: String,
    /// The provider, for what is to be asked or told.
    pub(in crate::app) client: Arc<dyn GitProvider>,
}

/// Finds out where a service's source is now: projects are renamed.
///
/// # Errors
/// The inner one says for people why there is no way to it; the outer one is INTERNAL.
pub(in crate::app) async fn place(
    app: &App,
    scope: &Scope,
    service: &service::Model,
) -> Result<std::result::Result<Place, String>> {
    let Some(source) = git::source_of(service) else {
        return Ok(Err("the service is made of images: there is nothing to build".to_owned()));
    };
    let which = source.provider;
    let Some(settings) = git::settings::of(app, scope, which).await? else {
        return Ok(Err(format!("no {which} token is stored: an admin completes \"{}\"", which.settings_title())));
    };
    if settings.base_url != source.base_url {
        return Ok(Err(format!(
            "the service comes from {}, and the organization's {which} is {} by now",
            source.base_url, settings.base_url
        )));
    }
    let client = match git::client(app, &settings).await {
        Ok(Some(client)) => client,
        Ok(None) => return Ok(Err(format!("the {which} token is being replaced: try again"))),
        Err(error) => return Ok(Err(error.message)),
    };
    let token = crate::app::secrets::open(app, scope, &settings.secret_id).await?;
    let project = source.project()?;
    let (path, web_url) = now(client.as_ref(), &source, &project).await?;
    let address = client.source(&path);
    let origin = Origin { url: address.url, username: address.username, token, trusted: address.trusted };
    let project = ProjectRef::Known { external_id: source.external_id, path };
    Ok(Ok(Place { origin, project, web_url, client }))
}

/// Where the project is now; where it was last seen when its provider can't say.
async fn now(client: &dyn GitProvider, source: &Source, project: &ProjectRef) -> Result<(ProjectPath, String)> {
    if let Ok(Some(found)) = client.project(project).await {
        return Ok((found.path, found.web_url));
    }
    let path = ProjectPath::parse(&source.path).map_err(|e| Error::internal(format!("a stored project path: {e}")))?;
    Ok((path, source.web_url.clone()))
}

/// The commit's page on its provider.
pub(in crate::app) fn page_of(service: &service::Model, place: &Place, commit: &CommitHash) -> String {
    let provider = git::source_of(service).map(|source| source.provider);
    match provider {
        Some(Provider::Gitlab) => format!("{}/-/commit/{commit}", place.web_url),
        _ => format!("{}/commit/{commit}", place.web_url),
    }
}
