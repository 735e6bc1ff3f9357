//! Making a project on a provider and registering it as a service: two halves that a crash may part.
//!
//! What is asked of the provider is written down first, and the project's id as soon as the provider has said it. Whoever
//! asks again while that is there goes on where it broke off. Where the answer was lost, a project that is there by now
//! is taken for the one that was asked for if it was made in that moment and is as it was to be.

use chrono::{DateTime, TimeDelta, Utc};
use entity::{git_creation, service};
use sea_orm::{ActiveModelTrait as _, ColumnTrait, DbErr, EntityTrait as _, IntoActiveModel as _, QueryFilter, Set};

use super::register::{self, GitService, Registration};
use super::{Connected, Visibility, connect, project_path, source_kind, stored};
use crate::app::error::is_unique_violation;
use crate::app::events::ChangeKind;
use crate::app::services::check::{self, Against};
use crate::app::{Actor, App, Code, Error, Result, Scope, Violations};
use crate::domain::git::{Provider, TokenRight};
use crate::domain::names::{BranchName, NamespacePath, ProjectName, ProjectPath, SourcePath};
use crate::git::{GitError, NewProject, Project, ProjectRef};

/// What making and registering takes of the token.
pub const RIGHTS: &[TokenRight] = &[TokenRight::CreateProjects, TokenRight::ReadProjects, TokenRight::ReadSource];

/// How far a provider's clock may be from ours.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::minutes(5);
/// How long after it was asked a provider may still make a project, its clock aside.
const MADE_WITHIN: TimeDelta = TimeDelta::minutes(2);
/// How long it is remembered that a project is being made.
const KEPT: TimeDelta = TimeDelta::days(7);

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
    register::name_is_free(app, scope, &input.service.name).await?;

    let connected = connect(app, actor, which, RIGHTS).await?;
    let making = Making {
        app,
        actor,
        connected: &connected,
        new: NewProject {
            namespace: input.git_namespace,
            name: input.project_name,
            branch: branch.clone(),
            visibility: input.visibility,
        },
        service_name: input.service.name.clone(),
    };
    let (project, begun) = making.project().await?;

    let registered = async {
        if let Err(error) = connected.client.first_branch(&project, &branch).await {
            return Err(match error {
                GitError::Invalid(message) => Error::bad_input("input.branch", message),
                other => connected.failed(app, actor, other).await,
            });
        }
        let source = register::source(&connected, &project, &branch, &SourcePath::root());
        let tx = app.begin().await?;
        let registration =
            Registration { namespace: input.service.name.clone(), service: input.service, containers, source };
        let row = register::store(app, &tx, actor, registration).await?;
        git_creation::Entity::delete_many().filter(git_creation::Column::Id.eq(&begun.id)).exec(&tx).await?;
        tx.commit().await?;
        Ok(row)
    };
    let row = registered.await.map_err(|error| half_done(which, &project, error))?;
    app.events.service(&row, ChangeKind::Added);
    Ok(row)
}

/// Forgets what was left of making projects long ago.
///
/// # Errors
/// INTERNAL when the database refuses.
pub(super) async fn forget_old(app: &App, scope: &Scope) -> Result<()> {
    git_creation::Entity::delete_many()
        .filter(git_creation::Column::OrganizationId.eq(&scope.organization_id))
        .filter(git_creation::Column::StartedAt.lt(app.clock.now() - KEPT))
        .exec(app.db.read_write())
        .await?;
    Ok(())
}

/// The first half.
struct Making<'a> {
    app: &'a App,
    actor: &'a Actor,
    connected: &'a Connected,
    new: NewProject,
    service_name: String,
}

impl Making<'_> {
    /// The project, made now or found where it was made before, and what is written down about it.
    async fn project(&self) -> Result<(Project, git_creation::Model)> {
        if let Some(row) = self.written().one(self.app.db.read_write()).await? {
            return self.go_on(row).await;
        }
        let row = git_creation::ActiveModel {
            id: Set(self.app.ids.id()),
            organization_id: Set(self.actor.scope.organization_id.clone()),
            provider: Set(stored(self.connected.which)),
            base_url: Set(self.connected.settings.base_url.clone()),
            path: Set(self.key()),
            service_name: Set(self.service_name.clone()),
            branch: Set(self.new.branch.to_string()),
            private: Set(self.is_private()),
            external_id: Set(None),
            project_path: Set(None),
            started_at: Set(self.app.clock.now()),
        };
        match row.insert(self.app.db.read_write()).await {
            Ok(row) => self.make(row).await,
            Err(error) if is_unique_violation(&error) => Err(self.being_made()),
            Err(error) => Err(error.into()),
        }
    }

    /// Goes on where an earlier call broke off.
    async fn go_on(&self, row: git_creation::Model) -> Result<(Project, git_creation::Model)> {
        let now = self.app.clock.now();
        let known = match (&row.external_id, &row.project_path) {
            (Some(external_id), Some(path)) => {
                let path =
                    ProjectPath::parse(path).map_err(|e| Error::internal(format!("a stored project path: {e}")))?;
                self.find(ProjectRef::Known { external_id: external_id.clone(), path }).await?
            }
            // The other call may be at it at this moment.
            _ if now - row.started_at < MADE_WITHIN && !self.is_for(&row) => return Err(self.being_made()),
            _ => match self.path() {
                Some(path) => match self.find(ProjectRef::Path(path)).await? {
                    Some(found) if self.is_the_one(&found, &row) => Some(found),
                    Some(_) => return Err(self.taken()),
                    None => None,
                },
                None => None,
            },
        };
        if let Some(project) = known.as_ref().filter(|project| project.private != self.is_private()) {
            let message = format!(
                "{} was made, and others may see it otherwise: register it as an existing project",
                project.path
            );
            return Err(Error::conflict("input.private", message));
        }
        let mut change = row.into_active_model();
        change.service_name = Set(self.service_name.clone());
        change.branch = Set(self.new.branch.to_string());
        change.private = Set(self.is_private());
        if known.is_none() {
            change.started_at = Set(now);
        }
        // Deleted in between: the other call has registered it.
        let row = match change.update(self.app.db.read_write()).await {
            Ok(row) => row,
            Err(DbErr::RecordNotUpdated) => return Err(self.taken()),
            Err(error) => return Err(error.into()),
        };
        match known {
            Some(project) => Ok((project, row)),
            None => self.make(row).await,
        }
    }

    async fn make(&self, row: git_creation::Model) -> Result<(Project, git_creation::Model)> {
        let connected = self.connected;
        let error = match connected.client.create_project(&self.new).await {
            Ok(project) => {
                let mut change = row.clone().into_active_model();
                change.external_id = Set(Some(project.external_id.clone()));
                change.project_path = Set(Some(project.path.to_string()));
                return match change.update(self.app.db.read_write()).await {
                    Ok(row) => Ok((project, row)),
                    // Somebody who asked for the same has found it by now, and registered it.
                    Err(DbErr::RecordNotUpdated) => Err(self.taken()),
                    Err(error) => Err(half_done(connected.which, &project, error.into())),
                };
            }
            Err(error) => error,
        };
        if let GitError::Unreachable(message) = &error {
            // It may have been made: what was written down stays.
            return Err(Error::upstream(format!(
                "{message}. Whether {} was made is not known: ask for it again in a while, and no second one is made",
                self.new.name
            )));
        }
        // Nothing was made, so nothing is to go on with; unless another call has made it.
        git_creation::Entity::delete_many()
            .filter(git_creation::Column::Id.eq(&row.id))
            .filter(git_creation::Column::ExternalId.is_null())
            .exec(self.app.db.read_write())
            .await?;
        Err(match error {
            GitError::Taken(_) => self.taken(),
            GitError::NotFound(message) if self.new.namespace.is_some() => {
                Error::bad_input("input.gitNamespace", message)
            }
            GitError::Invalid(message) => Error::bad_input("input.projectName", message),
            other => connected.failed(self.app, self.actor, other).await,
        })
    }

    /// What is written down about the same project.
    fn written(&self) -> sea_orm::Select<git_creation::Entity> {
        let settings = &self.connected.settings;
        let scope = &self.actor.scope;
        scope
            .git_creations()
            .filter(git_creation::Column::Provider.eq(settings.provider))
            .filter(git_creation::Column::BaseUrl.eq(&settings.base_url))
            .filter(git_creation::Column::Path.eq(self.key()))
    }

    fn key(&self) -> String {
        format!("{}/{}", self.namespace().unwrap_or_default(), self.new.name)
    }

    /// Where it is made.
    fn namespace(&self) -> Option<&str> {
        self.new.namespace.as_deref().or(self.connected.settings.account.as_deref())
    }

    fn path(&self) -> Option<ProjectPath> {
        project_path(self.connected.which, &format!("{}/{}", self.namespace()?, self.new.name)).ok()
    }

    fn is_private(&self) -> bool {
        self.new.visibility == Visibility::Private
    }

    /// Whether the earlier call wanted the same.
    fn is_for(&self, row: &git_creation::Model) -> bool {
        row.service_name == self.service_name
            && row.branch == self.new.branch.as_str()
            && row.private == self.is_private()
    }

    /// Whether a project that is there by now is what the earlier call asked for.
    fn is_the_one(&self, found: &Project, row: &git_creation::Model) -> bool {
        let made_then = |at: DateTime<Utc>| {
            (row.started_at - CLOCKS_DIFFER..=row.started_at + MADE_WITHIN + CLOCKS_DIFFER).contains(&at)
        };
        found.created_at.is_some_and(made_then) && found.private == row.private
    }

    async fn find(&self, project: ProjectRef) -> Result<Option<Project>> {
        match self.connected.client.project(&project).await {
            Ok(project) => Ok(project),
            Err(error) => Err(self.connected.failed(self.app, self.actor, error).await),
        }
    }

    fn taken(&self) -> Error {
        let which = self.connected.which;
        let message = format!("{which} has a project of this name there already: register it as an existing project");
        Error::conflict("input.projectName", message)
    }

    fn being_made(&self) -> Error {
        Error::conflict(
            "input.projectName",
            "another request is making this project at this moment: try again in a while",
        )
    }
}

/// The provider did its half, and the other half failed.
fn half_done(which: Provider, project: &Project, error: Error) -> Error {
    let path = &project.path;
    let other = |field: &str| error.violations.iter().any(|v| v.field == field);
    let how = match error.code {
        Code::Conflict => "with another service name",
        Code::NotFound => "with another runtime, or none",
        Code::BadUserInput if other("input.branch") => "with another branch",
        _ => "with the same input",
    };
    let message = format!(
        "{which} has made {path}, and it is not registered yet: {}. To go on, call createGitProject again {how}, or \
         register {path} as an existing project",
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
