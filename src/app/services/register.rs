//! Registering a service from images.

use entity::{ServiceStatus, SourceKind, runtime, service};
use sea_orm::{ActiveModelTrait, ColumnTrait, ConnectionTrait, QueryFilter, QuerySelect, Set};
use serde_json::{Value, json};

use super::check::{self, Against};
use super::definition::ContainerDefinition;
use super::input::{ContainerInput, RegistryAuth};
use crate::app::error::is_unique_violation;
use crate::app::events::ChangeKind;
use crate::app::git::{self, Source};
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
    let against = Against { source: SourceKind::DockerHub, stored: &[], kind: Some(runtime.kind) };
    let checked = check::containers(&mut v, "input.containers", input.containers, against);
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
    let images = containers.iter().flat_map(|c| &c.image).map(|i| format!("{}:{}", i.repository, i.tag));
    let images: Vec<String> = images.collect();
    let new = NewService {
        namespace: input.namespace.unwrap_or_else(|| input.name.clone()),
        name: input.name,
        runtime: Some(runtime),
        containers,
        registry_username,
        registry_secret_id,
        origin: Origin::Images,
        detail: json!({ "images": images }),
    };
    let row = insert(app, &tx, actor, new).await?;
    tx.commit().await?;
    app.events.service(&row, ChangeKind::Added);
    Ok(row)
}

/// A service whose every part was checked.
pub(in crate::app) struct NewService {
    /// Free or not: that is seen when it is inserted.
    pub(in crate::app) name: String,
    /// The Kubernetes namespace of its production.
    pub(in crate::app) namespace: String,
    /// Where it will run.
    pub(in crate::app) runtime: Option<runtime::Model>,
    /// What runs.
    pub(in crate::app) containers: Vec<ContainerDefinition>,
    /// The service's own registry login.
    pub(in crate::app) registry_username: Option<String>,
    /// Its sealed token.
    pub(in crate::app) registry_secret_id: Option<String>,
    /// Where it comes from.
    pub(in crate::app) origin: Origin,
    /// What the audit trail says of it besides source and runtime.
    pub(in crate::app) detail: Value,
}

/// Where a service comes from.
pub(in crate::app) enum Origin {
    /// Images of registries.
    Images,
    /// A project of a Git provider.
    Git(Source),
}

/// Writes a service and its entry of the audit trail.
///
/// # Errors
/// CONFLICT at `input.name` when the name is taken, INTERNAL when the database refuses.
pub(in crate::app) async fn insert(
    app: &App,
    tx: &impl ConnectionTrait,
    actor: &Actor,
    new: NewService,
) -> Result<service::Model> {
    let now = app.clock.now();
    let (source, git) = match new.origin {
        Origin::Images => (SourceKind::DockerHub, None),
        Origin::Git(source) => (git::source_kind(source.provider), Some(source)),
    };
    let of_git = |part: fn(&Source) -> &String| Set(git.as_ref().map(part).cloned());
    let row = service::ActiveModel {
        id: Set(app.ids.id()),
        organization_id: Set(actor.scope.organization_id.clone()),
        name: Set(new.name.clone()),
        source: Set(source),
        namespace: Set(new.namespace),
        runtime_id: Set(new.runtime.as_ref().map(|r| r.id.clone())),
        containers: Set(serde_json::to_value(&new.containers)?),
        registry_username: Set(new.registry_username),
        registry_secret_id: Set(new.registry_secret_id),
        status: Set(ServiceStatus::Registered),
        status_message: Set(None),
        definition_version: Set(1),
        changed_at: Set(now),
        removing: Set(false),
        removal: Set(None),
        build: Set(None),
        auto_ci: Set(None),
        webhook_secret_id: Set(None),
        latest_pipeline_id: Set(None),
        next_pipeline: Set(1),
        git_base_url: of_git(|s| &s.base_url),
        git_project_id: of_git(|s| &s.external_id),
        git_project_path: of_git(|s| &s.path),
        git_web_url: of_git(|s| &s.web_url),
        git_branch: of_git(|s| &s.branch),
        git_context_path: of_git(|s| &s.context_path),
        created_at: Set(now),
        created_by: Set(Some(actor.user_id.clone())),
    };
    let row = row.insert(tx).await.map_err(|e| taken(e, &new.name))?;
    let mut detail = new.detail;
    detail["source"] = serde_json::to_value(row.source)?;
    detail["runtime"] = json!(new.runtime.map(|r| r.name));
    let entry = audit::Entry {
        action: "service.registered",
        subject_kind: "Service",
        subject_id: &row.id,
        subject_name: &row.name,
        detail,
    };
    audit::record(app, tx, actor, entry).await?;
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
