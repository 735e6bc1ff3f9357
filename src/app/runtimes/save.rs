//! Registering and changing runtimes: connected to before they are stored.

use entity::{RuntimeKind, RuntimeStatus, runtime};
use sea_orm::{ActiveModelTrait, ColumnTrait, DbErr, IntoActiveModel, QueryFilter, QuerySelect, Set};
use serde_json::json;

use super::local::{self, DEFAULT_HOST, Endpoint};
use super::{by_id, not_declared};
use crate::app::change::Change;
use crate::app::deployments::leftovers;
use crate::app::error::is_unique_violation;
use crate::app::{Actor, App, Error, Event, Result, Scope, Violations, audit, secrets};
use crate::domain::names::RuntimeName;
use crate::domain::policy::Action;
use crate::domain::secret::{ExposeSecret as _, SecretString};
use crate::runtime::{DockerConnection, DockerTls, RuntimeConnection, RuntimeInfo};

const MAX_PEM_BYTES: usize = 64 * 1024;

/// How an engine is reached; what is left out stays, or has its default in a new one.
#[derive(Clone, Default)]
pub struct DockerInput {
    /// `unix:///var/run/docker.sock` or `tcp://host:2376`.
    pub host: Change<String>,
    /// PEM.
    pub tls_ca: Change<String>,
    /// PEM.
    pub tls_cert: Change<String>,
    /// PEM.
    pub tls_key: Change<SecretString>,
}

/// A runtime to be stored.
#[derive(Clone, Default)]
pub struct RegisterRuntime {
    /// Unique in the organization.
    pub name: String,
    /// A Docker engine.
    pub docker: Option<DockerInput>,
}

/// What becomes of a runtime.
#[derive(Clone, Default)]
pub struct UpdateRuntime {
    /// Which.
    pub id: String,
    /// Its name.
    pub name: Change<String>,
    /// How it is reached.
    pub docker: Change<DockerInput>,
}

/// A connection that answered.
struct Tried {
    endpoint: Endpoint,
    tls: Option<DockerTls>,
    info: RuntimeInfo,
}

/// Connects to an engine and stores it.
///
/// # Errors
/// FORBIDDEN for members, BAD_USER_INPUT with every fault, FAILED_PRECONDITION LOCAL_ENGINE_NOT_ALLOWED,
/// UPSTREAM_ERROR when it does not answer, CONFLICT when the name is taken.
pub async fn register(app: &App, actor: &Actor, input: RegisterRuntime) -> Result<runtime::Model> {
    actor.require(Action::ChangeRuntimes)?;
    let scope = &actor.scope;
    let mut v = Violations::default();
    v.check("input.name", RuntimeName::parse(&input.name));
    if input.docker.is_none() {
        v.add("input.docker", "say how the engine is reached");
    }
    let docker = input.docker.unwrap_or_default();
    let connection = read(&mut v, docker, None);
    v.finish()?;
    let tried = try_out(app, scope, connection).await?;

    let tx = app.begin().await?;
    let now = app.clock.now();
    let secret_id = match &tried.tls {
        Some(tls) => Some(secrets::store(app, &tx, scope, &tls.key).await?),
        None => None,
    };
    let (ca, cert) = tried.tls.map(|t| (t.ca, t.cert)).unzip();
    let row = runtime::ActiveModel {
        id: Set(app.ids.id()),
        organization_id: Set(scope.organization_id.clone()),
        name: Set(input.name.clone()),
        kind: Set(RuntimeKind::Docker),
        endpoint: Set(tried.endpoint.to_string()),
        tls_ca: Set(ca),
        tls_cert: Set(cert),
        secret_id: Set(secret_id),
        status: Set(RuntimeStatus::Ready),
        status_message: Set(None),
        version: Set(Some(tried.info.version)),
        engine_id: Set(tried.info.engine_id),
        checked_at: Set(Some(now)),
        declared: Set(false),
        created_at: Set(now),
    };
    let row = row.insert(&tx).await.map_err(|e| taken(e, &input.name))?;
    record(app, &tx, actor, &row, "runtime.registered").await?;
    tx.commit().await?;
    Ok(row)
}

/// Changes a runtime; a new connection is tried before it is stored.
///
/// # Errors
/// As [`register`]; NOT_FOUND, and FAILED_PRECONDITION DECLARED.
pub async fn update(app: &App, actor: &Actor, input: UpdateRuntime) -> Result<runtime::Model> {
    let scope = &actor.scope;
    let stored = by_id(app, scope, &input.id).await?.ok_or_else(|| Error::not_found("runtime"))?;
    actor.require(Action::ChangeRuntimes)?;
    not_declared(&stored)?;
    let mut v = Violations::default();
    match &input.name {
        Change::Set(name) => {
            v.check("input.name", RuntimeName::parse(name));
        }
        Change::Clear => v.add("input.name", "a runtime needs a name"),
        Change::Keep => {}
    }
    let connection = match input.docker {
        Change::Set(docker) => {
            let key = match &stored.secret_id {
                Some(id) => Some(secrets::open(app, scope, id).await?),
                None => None,
            };
            Some(read(&mut v, docker, Some((&stored, key))))
        }
        Change::Clear => {
            v.add("input.docker", "a runtime needs a connection");
            None
        }
        Change::Keep => None,
    };
    v.finish()?;
    let tried = match connection {
        Some(connection) => Some(try_out(app, scope, connection).await?),
        None => None,
    };

    let tx = app.begin().await?;
    let current = scope
        .runtimes()
        .filter(runtime::Column::Id.eq(&input.id))
        .lock_exclusive()
        .one(&tx)
        .await?
        .ok_or_else(|| Error::not_found("runtime"))?;
    let old_secret = current.secret_id.clone();
    let name = input.name.over(Some(current.name.clone())).unwrap_or_default();
    let mut row = current.into_active_model();
    row.name = Set(name.clone());
    let leads_elsewhere = tried.is_some();
    if let Some(tried) = tried {
        row.secret_id = Set(match &tried.tls {
            Some(tls) => Some(secrets::store(app, &tx, scope, &tls.key).await?),
            None => None,
        });
        let (ca, cert) = tried.tls.map(|t| (t.ca, t.cert)).unzip();
        row.tls_ca = Set(ca);
        row.tls_cert = Set(cert);
        row.endpoint = Set(tried.endpoint.to_string());
        row.status = Set(RuntimeStatus::Ready);
        row.status_message = Set(None);
        row.version = Set(Some(tried.info.version));
        row.engine_id = Set(tried.info.engine_id);
        row.checked_at = Set(Some(app.clock.now()));
    }
    let row = row.update(&tx).await.map_err(|e| taken(e, &name))?;
    if let Some(old) = old_secret.filter(|old| Some(old) != row.secret_id.as_ref()) {
        secrets::forget(&tx, scope, &old).await?;
    }
    if leads_elsewhere {
        leftovers::hurry(app, &tx, &row).await?;
    }
    record(app, &tx, actor, &row, "runtime.updated").await?;
    tx.commit().await?;
    app.events.publish(Event::Jobs);
    Ok(row)
}

async fn record(
    app: &App,
    tx: &entity::WriteTx,
    actor: &Actor,
    row: &runtime::Model,
    action: &'static str,
) -> Result<()> {
    let entry = audit::Entry {
        action,
        subject_kind: "Runtime",
        subject_id: &row.id,
        subject_name: &row.name,
        detail: json!({ "kind": "DOCKER", "endpoint": row.endpoint, "tls": row.secret_id.is_some() }),
    };
    audit::record(app, tx, actor, entry).await
}

/// The connection as it will be, or none after a fault.
fn read(
    v: &mut Violations,
    input: DockerInput,
    stored: Option<(&runtime::Model, Option<SecretString>)>,
) -> Option<(Endpoint, Option<DockerTls>)> {
    let (row, key) = stored.unzip();
    let key = input.tls_key.over(key.flatten());
    let ca = input.tls_ca.over(row.and_then(|r| r.tls_ca.clone()));
    let cert = input.tls_cert.over(row.and_then(|r| r.tls_cert.clone()));
    let host = match input.host {
        Change::Keep => row.map(|r| r.endpoint.clone()),
        Change::Clear => None,
        Change::Set(host) => Some(host),
    };
    let host = host.unwrap_or_else(|| DEFAULT_HOST.to_owned());

    let parts = [
        ("input.docker.tlsCa", ca.as_deref()),
        ("input.docker.tlsCert", cert.as_deref()),
        ("input.docker.tlsKey", key.as_ref().map(|k| k.expose_secret())),
    ];
    let given = parts.iter().filter(|(_, text)| text.is_some()).count();
    for (field, text) in parts {
        match text {
            None if given > 0 => v.add(field, "TLS needs all of tlsCa, tlsCert and tlsKey"),
            Some(pem) if pem.len() > MAX_PEM_BYTES || !pem.contains("-----BEGIN ") => {
                v.add(field, "this is no PEM text");
            }
            _ => {}
        }
    }
    let endpoint = v.check("input.docker.host", Endpoint::parse(&host, given > 0))?;
    let tls = match (ca, cert, key) {
        (Some(ca), Some(cert), Some(key)) => Some(DockerTls { ca, cert, key }),
        _ => None,
    };
    Some((endpoint, tls))
}

async fn try_out(app: &App, scope: &Scope, connection: Option<(Endpoint, Option<DockerTls>)>) -> Result<Tried> {
    let (endpoint, tls) =
        connection.ok_or_else(|| Error::internal("a runtime's connection was neither read nor refused"))?;
    local::admit(app, scope, &endpoint, "input.docker.host").await?;
    let connection = DockerConnection { host: endpoint.to_string(), tls: tls.clone() };
    let client = app
        .runtimes
        .connect(&RuntimeConnection::Docker(connection))
        .map_err(|e| Error::bad_input("input.docker", e.to_string()))?;
    let info = client.check().await?;
    if is_local_engine(app, &info).await && !local::may_use_local(app, scope).await? {
        return Err(local::not_allowed());
    }
    Ok(Tried { endpoint, tls, info })
}

/// Whether the engine is this machine's own under whatever address: both tell the same id.
async fn is_local_engine(app: &App, info: &RuntimeInfo) -> bool {
    let Some(id) = &info.engine_id else { return false };
    let connection = DockerConnection { host: DEFAULT_HOST.to_owned(), tls: None };
    match app.runtimes.connect(&RuntimeConnection::Docker(connection)) {
        Ok(own) => own.check().await.is_ok_and(|own| own.engine_id.as_ref() == Some(id)),
        Err(_) => false,
    }
}

fn taken(error: DbErr, name: &str) -> Error {
    if is_unique_violation(&error) {
        Error::conflict("input.name", format!("there is already a runtime named {name}"))
    } else {
        error.into()
    }
}
