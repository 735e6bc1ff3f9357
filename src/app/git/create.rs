//! Making a project on a provider and registering it as a service: two halves that a crash may part.
//!
//! What is asked of the provider is written down first. Whoever asks again while that is there goes on where it broke
//! off: a project that the provider has by now is the one that was asked for.

use entity::{git_creation, service};
use sea_orm::{ActiveModelTrait as _, ColumnTrait, ConnectionTrait, EntityTrait as _, QueryFilter, Set};

use super::register::{self, GitService, Registration};
use super::{Connected, Visibility, connect, project_path, source_kind, stored};
use crate::app::error::is_unique_violation;
use crate::app::events::ChangeKind;
use crate::app::services::check::{self, Against};
use crate::app::{Actor, App, Code, Error, Result, Violations};
use crate::domain::git::{Provider, TokenRight};
use crate::domain::names::{BranchName, NamespacePath, ProjectName, SourcePath};
use crate::git::{GitError, NewProject, Project, ProjectRef};

/// A project to be made and registered.
#[derive(Clone)]
pub struct CreateGitProject {
    /// Which provider.
    pub provider: Provider,
    /// The group, organization or user; the token's own account when left out.
    pub git_namespace: Option<String>,
    /// The project's name.
    pub project_name: String,
    /// Its first branch.
    pub branch: String,
    /// Who may see it.
    pub visibility: Visibility,
    /// What the service is and runs as.
    pub service: GitService,
}

/// Makes a project with a README on its first branch and registers it.
///
/// # Errors
/// BAD_USER_INPUT with every fault, ours or the provider's; CONFLICT when the service's name or the project's path is
/// taken; NOT_FOUND for the runtime; FAILED_PRECONDITION where the provider is not set up; UPSTREAM_ERROR when it does not
/// answer. Where the project was made and could not be registered the message says so, and how to go on.
pub async fn create_project(app: &App, actor: &Actor, input: CreateGitProject) -> Result<service::Model> {
    let which = input.provider;
    let scope = &actor.scope;
    let kind = register::runtime_kind(app, scope, &input.service).await?;
    let mut v = Violations::default();
    v.check("input.projectName", ProjectName::parse(&input.project_name));
    if let Some(namespace) = &input.git_namespace {
        v.check("input.gitNamespace", check_namespace(which, namespace));
    }
    let branch = v.check("input.branch", BranchName::parse(&input.branch));
    register::check_name(&mut v, &input.service);
    let against = Against { source: source_kind(which), stored: &[], kind };
    let containers = check::containers(&mut v, "input", register::built_container(), against);
    v.finish()?;
    let branch = branch.ok_or_else(|| Error::internal("a branch was neither read nor refused"))?;
    register::name_is_free(app.db.read(), scope, &input.service.name).await?;

    let rights = [TokenRight::CreateProjects, TokenRight::ReadProjects, TokenRight::ReadSource];
    let connected = connect(app, actor, which, &rights).await?;
    let new = NewProject {
        namespace: input.git_namespace,
        name: input.project_name,
        branch: branch.clone(),
        visibility: input.visibility,
    };
    let begun = begin(app, actor, &connected, &new).await?;
    let project = make(app, actor, &connected, &new, &begun).await?;

    let registered = async {
        if let Err(error) = connected.client.first_branch(&project, &branch).await {
            return Err(connected.failed(app, actor, error).await);
        }
        let source = register::source(&connected, &project, &branch, &SourcePath::root());
        let tx = app.begin().await?;
        let registration =
            Registration { namespace: input.service.name.clone(), service: input.service, containers, source };
        let row = register::store(app, &tx, actor, registration).await?;
        forget(&tx, &begun).await?;
        tx.commit().await?;
        Ok(row)
    };
    let row = registered.await.map_err(|error| half_done(which, &project, error))?;
    app.events.service(&row, ChangeKind::Added);
    Ok(row)
}

/// Whether the project is asked for the first time.
enum Attempt {
    First,
    Again,
}

/// What was written down before the provider is asked.
struct Begun {
    id: String,
    attempt: Attempt,
}

async fn begin(app: &App, actor: &Actor, connected: &Connected, new: &NewProject) -> Result<Begun> {
    let scope = &actor.scope;
    let path = format!("{}/{}", new.namespace.as_deref().unwrap_or_default(), new.name);
    let same = || {
        scope
            .git_creations()
            .filter(git_creation::Column::Provider.eq(stored(connected.which)))
            .filter(git_creation::Column::BaseUrl.eq(&connected.settings.base_url))
            .filter(git_creation::Column::Path.eq(&path))
    };
    if let Some(row) = same().one(app.db.read()).await? {
        return Ok(Begun { id: row.id, attempt: Attempt::Again });
    }
    let row = git_creation::ActiveModel {
        id: Set(app.ids.id()),
        organization_id: Set(scope.organization_id.clone()),
        provider: Set(stored(connected.which)),
        base_url: Set(connected.settings.base_url.clone()),
        path: Set(path.clone()),
        started_at: Set(app.clock.now()),
    };
    match row.insert(app.db.read_write()).await {
        Ok(row) => Ok(Begun { id: row.id, attempt: Attempt::First }),
        // Somebody else asks for the same project at this moment.
        Err(error) if is_unique_violation(&error) => match same().one(app.db.read_write()).await? {
            Some(row) => Ok(Begun { id: row.id, attempt: Attempt::Again }),
            None => Err(Error::conflict("input.projectName", "somebody else is making the same project: try again")),
        },
        Err(error) => Err(error.into()),
    }
}

/// The project: made now, or found where it was made before.
async fn make(app: &App, actor: &Actor, connected: &Connected, new: &NewProject, begun: &Begun) -> Result<Project> {
    let which = connected.which;
    let error = match connected.client.create_project(new).await {
        Ok(project) => return Ok(project),
        Err(error) => error,
    };
    match (&error, &begun.attempt) {
        (GitError::Taken(_), Attempt::Again) => {
            if let Some(project) = find(app, actor, connected, new).await? {
                return Ok(project);
            }
        }
        // It may have been made: what was written down stays.
        (GitError::Unreachable(message), _) => {
            return Err(Error::upstream(format!(
                "{message}. Whether {} was made is not known: ask for it again in a while, and no second one is made",
                new.name
            )));
        }
        (_, Attempt::Again) => {}
        (_, Attempt::First) => forget(app.db.read_write(), begun).await?,
    }
    Err(match error {
        GitError::Taken(_) => {
            let message =
                format!("{which} has a project of this name there already: register it as an existing project");
            Error::conflict("input.projectName", message)
        }
        GitError::NotFound(message) => Error::bad_input("input.gitNamespace", message),
        GitError::Invalid(message) => Error::bad_input("input.projectName", message),
        other => connected.failed(app, actor, other).await,
    })
}

async fn find(app: &App, actor: &Actor, connected: &Connected, new: &NewProject) -> Result<Option<Project>> {
    let Some(namespace) = new.namespace.as_ref().or(connected.settings.account.as_ref()) else { return Ok(None) };
    let Ok(path) = project_path(connected.which, &format!("{namespace}/{}", new.name)) else { return Ok(None) };
    match connected.client.project(&ProjectRef::Path(path)).await {
        Ok(project) => Ok(project),
        Err(error) => Err(connected.failed(app, actor, error).await),
    }
}

async fn forget(db: &impl ConnectionTrait, begun: &Begun) -> Result<()> {
    git_creation::Entity::delete_many().filter(git_creation::Column::Id.eq(&begun.id)).exec(db).await?;
    Ok(())
}

/// The provider did its half, and the other half failed.
fn half_done(which: Provider, project: &Project, error: Error) -> Error {
    let path = &project.path;
    let how = match error.code {
        Code::Conflict => "call createGitProject again with another service name",
        _ => "call createGitProject again with the same input",
    };
    let message = format!(
        "{which} has made {path}, and it is not registered yet: {}. To go on, {how}, or register {path} as an existing \
         project",
        error.message
    );
    Error { message, ..error }
}

fn check_namespace(which: Provider, text: &str) -> std::result::Result<NamespacePath, String> {
    let path = NamespacePath::parse(text).map_err(|e| e.to_string())?;
    if which == Provider::Github && text.contains('/') {
        return Err("give the organization or user by its name: GitHub has no groups in groups".to_owned());
    }
    Ok(path)
}
