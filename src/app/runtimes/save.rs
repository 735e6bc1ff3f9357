//! Registering and changing runtimes: connected to before they are stored.

use entity::{RuntimeKind, ServiceExposure, runtime};
use sea_orm::{ActiveModelTrait, ColumnTrait, DbErr, IntoActiveModel, QueryFilter, QuerySelect, Set};
use serde_json::json;

use super::connection::{self, Connection, DockerInput, KubernetesInput};
use super::local::{self, DEFAULT_HOST};
use super::{by_id, check, not_declared};
use crate::app::change::Change;
use crate::app::deployments::leftovers;
use crate::app::error::is_unique_violation;
use crate::app::{Actor, App, Error, Event, Result, Scope, Violations, audit, secrets};
use crate::domain::kubeconfig::ClusterAccess;
use crate::domain::names::{DomainName, RuntimeName};
use crate::domain::policy::Action;
use crate::runtime::{DockerConnection, RuntimeConnection, RuntimeInfo};

/// A runtime to be stored.
#[derive(Clone, Default)]
pub struct RegisterRuntime {
    /// Unique in the organization.
    pub name: String,
    /// A Docker engine.
    pub docker: Option<DockerInput>,
    /// A Kubernetes cluster; exactly one of the two.
    pub kubernetes: Option<KubernetesInput>,
    /// Kubernetes: what ingresses use unless told otherwise; the cluster's default when left out.
    pub ingress_class: Option<String>,
    /// Kubernetes: what volumes use unless told otherwise; the cluster's default when left out.
    pub storage_class: Option<String>,
    /// Kubernetes: how a published port is reached; a port of every node when left out.
    pub exposure: Option<ServiceExposure>,
}

/// What becomes of a runtime.
#[derive(Clone, Default)]
pub struct UpdateRuntime {
    /// Which.
    pub id: String,
    /// Its name.
    pub name: Change<String>,
    /// How the engine is reached.
    pub docker: Change<DockerInput>,
    /// How the cluster is reached.
    pub kubernetes: Change<KubernetesInput>,
    /// The cluster's default when cleared.
    pub ingress_class: Change<String>,
    /// The cluster's default when cleared.
    pub storage_class: Change<String>,
    /// A port of every node when cleared.
    pub exposure: Change<ServiceExposure>,
}

/// A connection that answered.
struct Tried {
    connection: Connection,
    info: RuntimeInfo,
}

/// Connects to an engine or a cluster and stores it. A cluster whose login lacks permissions is stored too: what is missing,
/// and the manifest that grants it, are read from it then.
///
/// # Errors
/// FORBIDDEN for members, BAD_USER_INPUT with every fault, FAILED_PRECONDITION LOCAL_ENGINE_NOT_ALLOWED,
/// UPSTREAM_ERROR when it does not answer, CONFLICT when the name is taken.
pub async fn register(app: &App, actor: &Actor, input: RegisterRuntime) -> Result<runtime::Model> {
    actor.require(Action::ChangeRuntimes)?;
    let scope = &actor.scope;
    let mut v = Violations::default();
    let connection = read(&mut v, &input);
    v.finish()?;
    let tried = try_out(app, scope, connection).await?;

    let tx = app.begin().await?;
    let now = app.clock.now();
    let secret_id = match tried.connection.secret() {
        Some(secret) => Some(secrets::store(app, &tx, scope, &secret).await?),
        None => None,
    };
    let (ca, cert) = tried.connection.certificates();
    let kind = tried.connection.kind();
    let mut row = runtime::ActiveModel {
        id: Set(app.ids.id()),
        organization_id: Set(scope.organization_id.clone()),
        name: Set(input.name.clone()),
        kind: Set(kind),
        endpoint: Set(tried.connection.address()),
        tls_ca: Set(ca),
        tls_cert: Set(cert),
        secret_id: Set(secret_id),
        checked_at: Set(Some(now)),
        ingress_class: Set(input.ingress_class),
        storage_class: Set(input.storage_class),
        exposure: Set(exposure_of(kind, input.exposure)),
        declared: Set(false),
        created_at: Set(now),
        ..Default::default()
    };
    check::write_found(&mut row, Ok(tried.info))?;
    let row = row.insert(&tx).await.map_err(|e| taken(e, &input.name))?;
    record(app, &tx, actor, &row, "runtime.registered").await?;
    tx.commit().await?;
    Ok(row)
}

/// Checks a new runtime at its fields, and gives how it is reached.
pub(in crate::app) fn read(v: &mut Violations, input: &RegisterRuntime) -> Option<Connection> {
    v.check("input.name", RuntimeName::parse(&input.name));
    let connection = connection::read(v, input.docker.clone(), input.kubernetes.clone(), None);
    if let Some(connection) = &connection {
        let classes = [("input.ingressClass", &input.ingress_class), ("input.storageClass", &input.storage_class)];
        for (field, class) in classes {
            check_class(v, field, class.as_deref(), connection.kind());
        }
    }
    connection
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
    let connection = new_connection(app, scope, &mut v, (input.docker, input.kubernetes), &stored).await?;
    let classes = [("input.ingressClass", &input.ingress_class), ("input.storageClass", &input.storage_class)];
    for (field, class) in classes {
        if let Change::Set(class) = class {
            check_class(&mut v, field, Some(class), stored.kind);
        }
    }
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
    // It may have become the file's while its connection was tried: what is trusted is stated there alone.
    not_declared(&current)?;
    let old_secret = current.secret_id.clone();
    let name = input.name.over(Some(current.name.clone())).unwrap_or_default();
    let (ingress_class, storage_class) = (current.ingress_class.clone(), current.storage_class.clone());
    let (kind, exposure) = (current.kind, current.exposure);
    let mut row = current.into_active_model();
    row.name = Set(name.clone());
    let leads_elsewhere = tried.is_some();
    row.ingress_class = Set(input.ingress_class.over(ingress_class));
    row.storage_class = Set(input.storage_class.over(storage_class));
    row.exposure = Set(exposure_of(kind, input.exposure.over(exposure)));
    if let Some(Tried { connection, info }) = tried {
        row.secret_id = Set(match connection.secret() {
            Some(secret) => Some(secrets::store(app, &tx, scope, &secret).await?),
            None => None,
        });
        let (ca, cert) = connection.certificates();
        row.tls_ca = Set(ca);
        row.tls_cert = Set(cert);
        row.endpoint = Set(connection.address());
        row.checked_at = Set(Some(app.clock.now()));
        check::write_found(&mut row, Ok(info))?;
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
    audit::record(app, tx, actor, entry(action, row)).await
}

/// What the audit trail says of a runtime.
pub(super) fn entry<'a>(action: &'a str, row: &'a runtime::Model) -> audit::Entry<'a> {
    audit::Entry {
        action,
        subject_kind: "Runtime",
        subject_id: &row.id,
        subject_name: &row.name,
        detail: match row.kind {
            RuntimeKind::Docker => {
                json!({ "kind": "DOCKER", "endpoint": row.endpoint, "tls": row.secret_id.is_some() })
            }
            RuntimeKind::Kubernetes => json!({
                "kind": "KUBERNETES",
                "endpoint": row.endpoint,
                "inCluster": row.secret_id.is_none(),
                "ingressClass": row.ingress_class,
                "storageClass": row.storage_class,
                "exposure": row.exposure,
            }),
        },
    }
}

/// What a change says of the connection, or none where it says nothing.
async fn new_connection(
    app: &App,
    scope: &Scope,
    v: &mut Violations,
    (docker, kubernetes): (Change<DockerInput>, Change<KubernetesInput>),
    stored: &runtime::Model,
) -> Result<Option<Option<Connection>>> {
    let (own, other) = match stored.kind {
        RuntimeKind::Docker => (("input.docker", &docker.is_given()), ("input.kubernetes", kubernetes.is_given())),
        RuntimeKind::Kubernetes => (("input.kubernetes", &kubernetes.is_given()), ("input.docker", docker.is_given())),
    };
    if other.1 {
        v.add(other.0, "a runtime stays what it is: register another one");
        return Ok(None);
    }
    if !own.1 {
        return Ok(None);
    }
    let (docker, kubernetes) = (docker.over(None), kubernetes.over(None));
    if docker.is_none() && kubernetes.is_none() {
        v.add(own.0, "a runtime needs a connection");
        return Ok(None);
    }
    let key = match &stored.secret_id {
        Some(id) if docker.is_some() => Some(secrets::open(app, scope, id).await?),
        _ => None,
    };
    Ok(Some(connection::read(v, docker, kubernetes, Some((stored, key)))))
}

fn check_class(v: &mut Violations, field: &str, class: Option<&str>, kind: RuntimeKind) {
    let Some(class) = class else { return };
    if kind == RuntimeKind::Docker {
        v.add(field, "this is for Kubernetes runtimes, and the runtime is a Docker engine");
    } else {
        v.check(field, DomainName::parse(class));
    }
}

pub(super) fn exposure_of(kind: RuntimeKind, wanted: Option<ServiceExposure>) -> Option<ServiceExposure> {
    (kind == RuntimeKind::Kubernetes).then(|| wanted.unwrap_or(ServiceExposure::NodePort))
}

async fn try_out(app: &App, scope: &Scope, connection: Option<Connection>) -> Result<Tried> {
    let connection =
        connection.ok_or_else(|| Error::internal("a runtime's connection was neither read nor refused"))?;
    connection.admit(app, scope, connection.field()).await?;
    let client = app
        .runtimes
        .connect(&connection.to_runtime())
        .map_err(|e| Error::bad_input(connection.field(), e.to_string()))?;
    let info = client.check().await?;
    if is_own(app, connection.kind(), &info).await && !local::may_use_local(app, scope).await? {
        return Err(local::not_allowed());
    }
    Ok(Tried { connection, info })
}

/// Whether it is this machine's own engine, or the cluster that it runs in, under whatever address: both tell the same id.
async fn is_own(app: &App, kind: RuntimeKind, info: &RuntimeInfo) -> bool {
    let Some(id) = &info.engine_id else { return false };
    let connection = match kind {
        RuntimeKind::Docker => RuntimeConnection::Docker(DockerConnection { host: DEFAULT_HOST.to_owned(), tls: None }),
        RuntimeKind::Kubernetes => RuntimeConnection::Kubernetes(ClusterAccess::InCluster),
    };
    match app.runtimes.connect(&connection) {
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
