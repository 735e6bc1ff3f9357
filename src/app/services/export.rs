//! Compose files in and out.

use entity::service;

use super::definition::containers_of;
use super::spec::{container, image_of, spec_of};
use crate::app::deployments::{PRODUCTION, built, environments};
use crate::app::pipelines::image::Image;
use crate::app::{App, Error, Result, Scope};
use crate::domain::compose::{self, Import};
use crate::domain::spec::{Resources, Spec, Strategy, Target};

/// What a service can be exported as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// A Compose file.
    Compose,
    /// Kubernetes manifests.
    Kubernetes,
}

/// Reads a Compose file into containers to register.
///
/// # Errors
/// BAD_USER_INPUT at `compose` when the text is no Compose file that can be read.
pub fn import(text: &str) -> Result<Import> {
    compose::import(text).map_err(|why| Error::bad_input("compose", why.to_string()))
}

/// The service as it would be deployed now, with its newest build, secrets masked: with the settings of production, else of the only
/// environment, else as it was registered.
///
/// # Errors
/// FAILED_PRECONDITION (NOTHING_BUILT) for a service that is still to be built, INTERNAL when a row holds no definition or
/// the database does not answer.
pub async fn export(app: &App, scope: &Scope, service: &service::Model, format: ExportFormat) -> Result<String> {
    let db = app.db.read();
    let build = built::choose(db, scope, service, None).await?;
    let image = build.as_ref().map(|build| &build.image);
    let spec = match environments::meant(db, scope, &service.id, None).await? {
        Some(environment) => {
            let runtime = environments::runtime(db, scope, environments::destination(&environment)).await?;
            spec_of(service, (&environment, &runtime), &Default::default(), image)?
        }
        None => registered(service, image)?,
    };
    Ok(match format {
        ExportFormat::Compose => compose::export(&spec),
        ExportFormat::Kubernetes => app.runtimes.manifests(&spec, None),
    })
}

/// The spec of a service that has no environment yet.
fn registered(service: &service::Model, built: Option<&Image>) -> Result<Spec> {
    let target = Target {
        organization_id: service.organization_id.clone(),
        service_id: service.id.clone(),
        service: service.name.clone(),
        environment_id: String::new(),
        environment: PRODUCTION.to_owned(),
        namespace: service.namespace.clone(),
    };
    let resources = Resources::default();
    let containers = containers_of(service)?.into_iter().map(|c| {
        let image = image_of(&c, None, built)?;
        Ok(container(c, image, None, &[], &resources))
    });
    let containers = containers.collect::<Result<_>>()?;
    Ok(Spec { target, containers, strategy: Strategy::default(), cluster: None })
}
