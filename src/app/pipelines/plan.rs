//! What the Build Wizard proposes for a project that may not be registered yet.

use std::path::PathBuf;
use std::time::Duration;

use crate::app::git::{self, register::RIGHTS};
use crate::app::{Actor, App, Error, Result, Violations, secrets};
use crate::builder::source::{Origin, SourceError, SourceLimits};
use crate::builder::wizard::{self, Folder, Tree};
use crate::builder::{Journal, Output};
use crate::domain::git::Provider;
use crate::domain::names::{BranchName, SourcePath};
use crate::git::ProjectRef;

pub use crate::builder::wizard::BuildPlan;

/// A person waits for the answer.
const PATIENCE: Duration = Duration::from_secs(8);
/// Files of a tree at most.
const FILES: u64 = 100_000;

/// Which part of which project is looked at.
#[derive(Debug, Clone)]
pub struct PlanInput {
    /// Which provider.
    pub provider: Provider,
    /// The project's path.
    pub project: String,
    /// Branch, tag or full hash; the default branch when left out.
    pub ref_name: Option<String>,
    /// The folder that would be built; its root when left out.
    pub context_path: Option<String>,
}

/// Fetches a project with the organization's token and looks what it is. None where there is no such project that the
/// token may see.
///
/// # Errors
/// BAD_USER_INPUT for a name that is none, a ref or folder that is not there and a tree that is too large;
/// FAILED_PRECONDITION where the provider is not set up; UPSTREAM_ERROR when it does not answer in time.
pub async fn plan(app: &App, actor: &Actor, input: PlanInput) -> Result<Option<BuildPlan>> {
    let which = input.provider;
    let mut v = Violations::default();
    let path = v.check("project", git::project_path(which, &input.project));
    if let Some(name) = &input.ref_name {
        v.check("ref", BranchName::parse(name));
    }
    let folder = input.context_path.as_deref().map_or_else(|| Ok(SourcePath::root()), SourcePath::parse);
    let folder = v.check("contextPath", folder);
    v.finish()?;
    let (Some(path), Some(folder)) = (path, folder) else {
        return Err(Error::internal("a project was neither read nor refused"));
    };
    let connected = git::connect(app, actor, which, RIGHTS).await?;
    let project = match connected.client.project(&ProjectRef::Path(path)).await {
        Ok(Some(project)) => project,
        Ok(None) => return Ok(None),
        Err(error) => return Err(connected.failed(app, actor, error).await),
    };
    let Some(name) = input.ref_name.or_else(|| project.default_branch.clone()) else {
        return Ok(Some(BuildPlan::default()));
    };
    let address = connected.client.source(&project.path);
    let token = secrets::open(app, &actor.scope, &connected.settings.secret_id).await?;
    let origin = Origin { url: address.url, username: address.username, token, trusted: address.trusted };
    let tree = Temporary(app.settings.builds.work_dir.join(format!("plan-{}", app.ids.id())));
    match tokio::time::timeout(PATIENCE, fetch(app, &origin, &name, &tree)).await {
        Ok(fetched) => fetched?,
        Err(_) => return Err(Error::upstream(format!("fetching {} takes too long to look at it now", project.path))),
    }
    let looked = tokio::task::spawn_blocking(move || look(&tree, &folder)).await;
    looked.map_err(Error::internal)?.map(Some)
}

async fn fetch(app: &App, origin: &Origin, name: &str, tree: &Temporary) -> Result<()> {
    let made = tokio::fs::create_dir_all(&app.settings.builds.work_dir).await;
    made.map_err(|e| Error::internal(format!("the folder for sources can't be made: {e}")))?;
    // It ends by itself before nobody waits any more.
    let limits = SourceLimits { bytes: app.settings.builds.max_context_bytes, files: FILES, time: PATIENCE * 3 / 4 };
    let resolved = app.sources.resolve(origin, name).await.map_err(|e| refused("ref", e))?;
    let fetched = app.sources.fetch(origin, &resolved.commit, &tree.0, limits, &Silence).await;
    fetched.map(|_| ()).map_err(|e| refused("project", e))
}

fn look(tree: &Temporary, folder: &SourcePath) -> Result<BuildPlan> {
    let away = || Error::bad_input("contextPath", format!("there is no folder {folder} in the project"));
    let root = tree.0.canonicalize().map_err(|_| away())?;
    let found = root.join(folder.as_str()).canonicalize().map_err(|_| away())?;
    if !found.starts_with(&root) {
        return Err(Error::bad_input("contextPath", "a link leads out of the project"));
    }
    let folder = Folder::open(&found).map_err(|_| away())?;
    Ok(wizard::plan(&Tree::new(&folder)))
}

fn refused(field: &str, error: SourceError) -> Error {
    match error {
        SourceError::NotFound(message) | SourceError::Refused(message) => Error::bad_input(field, message),
        SourceError::Broken(message) => Error::internal(message),
        SourceError::Unauthorized(message) | SourceError::TimedOut(message) | SourceError::Unreachable(message) => {
            Error::upstream(message)
        }
    }
}

/// A folder that goes when nobody looks at it any more.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "a folder that was looked at is left");
        }
    }
}

/// Nobody reads what a look at a project says on its way.
struct Silence;

#[async_trait::async_trait]
impl Journal for Silence {
    async fn line(&self, _: Output, _: &str) {}
}
