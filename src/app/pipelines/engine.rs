//! Which engine builds.

use std::sync::Arc;

use entity::{RuntimeKind, organization, runtime};
use sea_orm::{ColumnTrait, EntityTrait as _, QueryFilter};

use crate::app::runtimes::local::DEFAULT_HOST;
use crate::app::{App, Result, Scope, secrets};
use crate::builder::{Builder, EngineConnection};

/// What builds: the runtime that `build.runtime` names, else this machine's own engine. Nothing is asked of it yet.
///
/// # Errors
/// The inner one says for people what is wrong with the configuration; the outer one is INTERNAL.
pub(in crate::app) async fn builder(app: &App) -> Result<std::result::Result<Arc<dyn Builder>, String>> {
    let connection = match &app.settings.builds.runtime {
        None => EngineConnection { host: DEFAULT_HOST.to_owned(), tls: None },
        Some((slug, name)) => match named(app, slug, name).await? {
            Ok(connection) => connection,
            Err(why) => return Ok(Err(why)),
        },
    };
    Ok(app.builders.connect(&connection).map_err(|error| error.to_string()))
}

async fn named(app: &App, slug: &str, name: &str) -> Result<std::result::Result<EngineConnection, String>> {
    let db = app.db.read();
    let at_fault = |why: &str| Ok(Err(format!("build.runtime of kiops.toml is {slug}/{name}, and {why}")));
    let Some(owner) = organization::Entity::find().filter(organization::Column::Slug.eq(slug)).one(db).await? else {
        return at_fault("there is no such organization");
    };
    let scope = Scope { organization_id: owner.id };
    let Some(row) = scope.runtimes().filter(runtime::Column::Name.eq(name)).one(db).await? else {
        return at_fault("the organization has no runtime of that name");
    };
    if row.kind != RuntimeKind::Docker {
        return at_fault("this version builds on Docker engines only");
    }
    let tls = match (&row.tls_ca, &row.tls_cert, &row.secret_id) {
        (Some(ca), Some(cert), Some(secret)) => {
            Some((ca.clone(), cert.clone(), secrets::open(app, &scope, secret).await?))
        }
        _ => None,
    };
    Ok(Ok(EngineConnection { host: row.endpoint, tls }))
}

/// The engine that builds, by its own id, where it can be asked now.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub(super) async fn engine_id(app: &App) -> Result<Option<String>> {
    match builder(app).await? {
        Ok(builder) => Ok(builder.info().await.ok().and_then(|info| info.engine_id)),
        Err(_) => Ok(None),
    }
}
