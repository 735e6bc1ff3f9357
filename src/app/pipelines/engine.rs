//! What builds.

use std::sync::Arc;

use entity::{organization, runtime};
use sea_orm::{ColumnTrait, EntityTrait as _, QueryFilter};

use crate::app::runtimes::local::DEFAULT_HOST;
use crate::app::{App, Error, Precondition, Result, Scope, runtimes};
use crate::builder::{Builder, BuilderConnection, ClusterConnection, EngineConnection};
use crate::runtime::RuntimeConnection;

/// What builds: the runtime that `build.runtime` names, else this machine's own engine. Nothing is asked of it yet.
///
/// # Errors
/// The inner one says for people what is wrong with the configuration; the outer one is INTERNAL.
pub(in crate::app) async fn builder(app: &App) -> Result<std::result::Result<Arc<dyn Builder>, String>> {
    let connection = match connection(app).await? {
        Ok(connection) => connection,
        Err(why) => return Ok(Err(why)),
    };
    Ok(app.builders.connect(&connection).map_err(|error| error.to_string()))
}

/// How what builds is reached.
///
/// # Errors
/// As [`builder`].
pub(in crate::app) async fn connection(app: &App) -> Result<std::result::Result<BuilderConnection, String>> {
    match &app.settings.builds.runtime {
        None => Ok(Ok(BuilderConnection::Engine(EngineConnection { host: DEFAULT_HOST.to_owned(), tls: None }))),
        Some((slug, name)) => named(app, slug, name).await,
    }
}

/// FAILED_PRECONDITION, IMAGE_REPOSITORY_NEEDED: what builds keeps no images, and the service has no place for them.
pub(super) fn no_repository() -> Error {
    Error::precondition(
        Precondition::ImageRepositoryNeeded,
        "builds run on a Kubernetes cluster, which keeps no images: give the service an image repository \
         (saveBuildSettings, imageRepository), or ask your admin to store a registry with a repository prefix \
         (saveRegistry, repositoryPrefix)",
    )
}

/// The runtime that builds, where one is named and there.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub(in crate::app) async fn runtime_that_builds(app: &App) -> Result<Option<runtime::Model>> {
    match &app.settings.builds.runtime {
        None => Ok(None),
        Some((slug, name)) => Ok(find(app, slug, name).await?.ok()),
    }
}

async fn find(app: &App, slug: &str, name: &str) -> Result<std::result::Result<runtime::Model, String>> {
    let db = app.db.read();
    let at_fault = |why: &str| Ok(Err(format!("build.runtime of kiops.toml is {slug}/{name}, and {why}")));
    let Some(owner) = organization::Entity::find().filter(organization::Column::Slug.eq(slug)).one(db).await? else {
        return at_fault("there is no such organization");
    };
    let scope = Scope { organization_id: owner.id };
    match scope.runtimes().filter(runtime::Column::Name.eq(name)).one(db).await? {
        Some(row) => Ok(Ok(row)),
        None => at_fault("the organization has no runtime of that name"),
    }
}

async fn named(app: &App, slug: &str, name: &str) -> Result<std::result::Result<BuilderConnection, String>> {
    let row = match find(app, slug, name).await? {
        Ok(row) => row,
        Err(why) => return Ok(Err(why)),
    };
    let scope = Scope { organization_id: row.organization_id.clone() };
    Ok(Ok(match runtimes::connection_of(app, &scope, &row).await? {
        RuntimeConnection::Docker(docker) => BuilderConnection::Engine(EngineConnection {
            host: docker.host,
            tls: docker.tls.map(|tls| (tls.ca, tls.cert, tls.key)),
        }),
        RuntimeConnection::Kubernetes(access) => {
            let place = app.settings.builds.cluster.clone();
            BuilderConnection::Cluster(Box::new(ClusterConnection { access, place }))
        }
    }))
}

/// The engine that builds, by its own id, where it can be asked now.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub(in crate::app) async fn engine_id(app: &App) -> Result<Option<String>> {
    match builder(app).await? {
        Ok(builder) => Ok(builder.info().await.ok().and_then(|info| info.engine_id)),
        Err(_) => Ok(None),
    }
}
