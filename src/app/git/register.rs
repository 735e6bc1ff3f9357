//! Registering a project of a Git provider as a service.

use entity::{RuntimeKind, service};
use sea_orm::ConnectionTrait;
use serde_json::json;

use super::{Connected, Source, branch, connect, project_path, source_kind};
use crate::app::events::ChangeKind;
use crate::app::services::check::{self, Against, Checked};
use crate::app::services::input::ContainerInput;
use crate::app::services::register::{NewService, Origin, insert, runtime_for_use};
use crate::app::{Actor, App, Error, Result, Scope, Violations, runtimes, services};
use crate::domain::git::{Provider, TokenRight};
use crate::domain::names::{BranchName, Namespace, ServiceName, SourcePath};
use crate::git::{Project, ProjectRef};

/// What registering takes of the token.
pub const RIGHTS: &[TokenRight] = &[TokenRight::ReadProjects, TokenRight::ReadSource];

/// What the container is called that a build fills in, where nobody says.
const BUILT_CONTAINER: &str = "app";

/// A project to be registered.
#[derive(Clone)]
pub struct RegisterGitProject {
    /// Which provider.
    pub provider: Provider,
    /// The project's path.
    pub project: String,
    /// A branch that it has.
    pub branch: String,
    /// What the service is and runs as.
    pub service: GitService,
    /// The Kubernetes namespace; the name when left out. GitLab only.
    pub namespace: Option<String>,
    /// What runs, one of them without an image; one that is built when left out.
    pub containers: Option<Vec<ContainerInput>>,
    /// The folder of the project that is built; its root when left out.
    pub context_path: Option<String>,
}

/// What every service that comes from Git has.
#[derive(Clone)]
pub struct GitService {
    /// RFC 1123 label, unique in the organization.
    pub name: String,
    /// Where it will run; to be said later when left out.
    pub runtime_id: Option<String>,
}

/// Registers a project that is there. Nothing is built or deployed yet.
///
/// # Errors
/// BAD_USER_INPUT with every fault, for a project or branch that is not there, and for an archived project; NOT_FOUND for
/// the runtime; CONFLICT when the name is taken; FAILED_PRECONDITION where the provider is not set up; UPSTREAM_ERROR when
/// it does not answer.
pub async fn register_project(app: &App, actor: &Actor, input: RegisterGitProject) -> Result<service::Model> {
    let which = input.provider;
    let kind = runtime_kind(app, &actor.scope, &input.service).await?;
    let mut v = Violations::default();
    let path = v.check("input.project", project_path(which, &input.project));
    let branch = v.check("input.branch", BranchName::parse(&input.branch));
    check_name(&mut v, &input.service);
    let namespace = check_namespace(&mut v, which, &input);
    let context = input.context_path.as_deref().map_or_else(|| Ok(SourcePath::root()), SourcePath::parse);
    let context = v.check("input.contextPath", context);
    let inputs = input.containers.unwrap_or_else(built_container);
    let against = Against { source: source_kind(which), stored: &[], kind };
    let containers = check::containers(&mut v, "input.containers", inputs, against);
    v.finish()?;
    let (Some(path), Some(branch), Some(context)) = (path, branch, context) else {
        return Err(Error::internal("a project was neither read nor refused"));
    };
    name_is_free(app, &actor.scope, &input.service.name).await?;

    let connected = connect(app, actor, which, RIGHTS).await?;
    let project = match connected.client.project(&ProjectRef::Path(path)).await {
        Ok(Some(project)) => project,
        Ok(None) => {
            let message = format!("there is no such project that the organization's {which} token may see");
            return Err(Error::bad_input("input.project", message));
        }
        Err(error) => return Err(connected.failed(app, actor, error).await),
    };
    if project.archived {
        let message = format!("{} is archived on {which}: it can be registered once it is no longer", project.path);
        return Err(Error::bad_input("input.project", message));
    }
    branch::exists(app, actor, &connected, &project.reference(), &branch).await?;

    let source = source(&connected, &project, &branch, &context);
    let tx = app.begin().await?;
    let new = Registration { service: input.service, namespace, containers, source };
    let row = store(app, &tx, actor, new).await?;
    tx.commit().await?;
    app.events.service(&row, ChangeKind::Added);
    Ok(row)
}

/// A registration without a fault.
pub(super) struct Registration {
    pub(super) service: GitService,
    pub(super) namespace: String,
    pub(super) containers: Vec<Checked>,
    pub(super) source: Source,
}

/// Writes the service.
pub(super) async fn store(
    app: &App,
    tx: &impl ConnectionTrait,
    actor: &Actor,
    new: Registration,
) -> Result<service::Model> {
    let runtime = match &new.service.runtime_id {
        Some(id) => Some(runtime_for_use(tx, &actor.scope, id).await?),
        None => None,
    };
    let containers = check::seal(app, tx, &actor.scope, new.containers).await?;
    let detail = json!({ "project": new.source.path, "branch": new.source.branch });
    let service = NewService {
        name: new.service.name,
        namespace: new.namespace,
        runtime,
        containers,
        registry_username: None,
        registry_secret_id: None,
        origin: Origin::Git(new.source),
        detail,
    };
    insert(app, tx, actor, service).await
}

/// Where a service of this project is built from.
pub(super) fn source(connected: &Connected, project: &Project, branch: &BranchName, context: &SourcePath) -> Source {
    Source {
        provider: connected.which,
        base_url: connected.settings.base_url.clone(),
        external_id: project.external_id.clone(),
        path: project.path.to_string(),
        web_url: project.web_url.clone(),
        branch: branch.to_string(),
        context_path: context.to_string(),
    }
}

/// One container that a build fills in.
pub(super) fn built_container() -> Vec<ContainerInput> {
    vec![ContainerInput { name: BUILT_CONTAINER.to_owned(), ..ContainerInput::default() }]
}

pub(super) fn check_name(v: &mut Violations, service: &GitService) {
    v.check("input.name", ServiceName::parse(&service.name));
}

/// The kind of the runtime that is named.
///
/// # Errors
/// NOT_FOUND when there is none.
pub(super) async fn runtime_kind(app: &App, scope: &Scope, service: &GitService) -> Result<Option<RuntimeKind>> {
    let Some(id) = &service.runtime_id else { return Ok(None) };
    let runtime = runtimes::by_id(app, scope, id).await?.ok_or_else(|| Error::not_found("runtime"))?;
    Ok(Some(runtime.kind))
}

/// Sees to it that a name is free before a provider is asked for anything.
///
/// # Errors
/// CONFLICT when it is taken.
pub(super) async fn name_is_free(app: &App, scope: &Scope, name: &str) -> Result<()> {
    match services::by_name(app, scope, name).await? {
        None => Ok(()),
        Some(_) => Err(Error::conflict("input.name", format!("there is already a service named {name}"))),
    }
}

/// A GitHub service is always in the namespace of its name.
fn check_namespace(v: &mut Violations, which: Provider, input: &RegisterGitProject) -> String {
    if let Some(namespace) = &input.namespace {
        if which == Provider::Github {
            v.add("input.namespace", "the namespace of a GitHub service is always its name: leave this out");
        } else {
            v.check("input.namespace", Namespace::parse(namespace));
        }
    }
    input.namespace.clone().unwrap_or_else(|| input.service.name.clone())
}
