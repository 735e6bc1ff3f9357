//! Registering a service from images.

use entity::{ServiceStatus, SourceKind, runtime, service};
use sea_orm::{ActiveModelTrait, ColumnTrait, ConnectionTrait, QueryFilter, QuerySelect, Set};
use serde_json::json;

use super::check;
use super::input::{ContainerInput, RegistryAuth};
use crate::app::error::is_unique_violation;
use crate::app::events::ChangeKind;
use crate::app::{Actor, App, Error, Result, Scope, Violations, audit, secrets};
use crate::domain::names::{Namespace, ServiceName};

/// A service made of images.
#[derive(Clone)]
pub struct RegisterImages {
    /// RFC 1123 label, unique in the organization.
    pub name: String,
    /// The runtime's id.
    pub runtime_id: String,
    /// What runs.
    pub containers: Vec<ContainerInput>,
    /// The service's own login.
    pub registry_auth: Option<RegistryAuth>,
    /// The Kubernetes namespace; the name when left out.
    pub namespace: Option<String>,
}

/// Registers a service from images of registries. Nothing is deployed yet.
///
/// # Errors
/// BAD_USER_INPUT with every fault, NOT_FOUND for the runtime, CONFLICT when the name is taken.
pub async fn register_images(app: &App, actor: &Actor, input: RegisterImages) -> Result<service::Model> {
    let scope = &actor.scope;
    let tx = app.begin().await?;
    let runtime = runtime_for_use(&tx, scope, &input.runtime_id).await?;

    let mut v = Violations::default();
    v.check("input.name", ServiceName::parse(&input.name));
    if let Some(namespace) = &input.namespace {
        v.check("input.namespace", Namespace::parse(namespace));
    }
    let checked = check::containers(&mut v, "input.containers", input.containers, &[], Some(runtime.kind));
    if let Some(auth) = &input.registry_auth {
        check::login(&mut v, "input.registryAuth", auth);
    }
    v.finish()?;

    let containers = check::seal(app, &tx, scope, checked).await?;
    let (registry_username, registry_secret_id) = match input.registry_auth {
        Some(auth) => {
            let id = secrets::store(app, &tx, scope, &auth.token).await?;
            (Some(auth.username), Some(id))
        }
        None => (None, None),
    };
    let now = app.clock.now();
    let row = service::ActiveModel {
        id: Set(app.ids.id()),
        organization_id: Set(scope.organization_id.clone()),
        name: Set(input.name.clone()),
        source: Set(SourceKind::DockerHub),
        namespace: Set(input.namespace.unwrap_or_else(|| input.name.clone())),
        runtime_id: Set(Some(runtime.id)),
        containers: Set(serde_json::to_value(&containers)?),
        registry_username: Set(registry_username),
        registry_secret_id: Set(registry_secret_id),
        status: Set(ServiceStatus::Registered),
        status_message: Set(None),
        definition_version: Set(1),
        changed_at: Set(now),
        removing: Set(false),
        removal: Set(None),
        created_at: Set(now),
        created_by: Set(Some(actor.user_id.clone())),
    };
    let row = row.insert(&tx).await.map_err(|e| taken(e, &input.name))?;
    let images: Vec<String> = containers.iter().map(|c| format!("{}:{}", c.repository, c.tag)).collect();
    let entry = audit::Entry {
        action: "service.registered",
        subject_kind: "Service",
        subject_id: &row.id,
        subject_name: &row.name,
        detail: json!({ "source": "DOCKER_HUB", "runtime": runtime.name, "images": images }),
    };
    audit::record(app, &tx, actor, entry).await?;
    tx.commit().await?;
    app.events.service(&row, ChangeKind::Added);
    Ok(row)
}

/// The runtime, held so that nobody removes it before the transaction ends.
pub(in crate::app) async fn runtime_for_use(
    tx: &impl ConnectionTrait,
    scope: &Scope,
    id: &str,
) -> Result<runtime::Model> {
    scope
        .runtimes()
        .filter(runtime::Column::Id.eq(id))
        .lock_shared()
        .one(tx)
        .await?
        .ok_or_else(|| Error::not_found("runtime"))
}

fn taken(error: sea_orm::DbErr, name: &str) -> Error {
    if is_unique_violation(&error) {
        Error::conflict("input.name", format!("there is already a service named {name}"))
    } else {
        error.into()
    }
}
