//! From a source tree to what is built of it: the folder, and the Dockerfile's text.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::wizard::{self, BuildPlan, Folder, Tree};
use crate::domain::names::SourcePath;

/// A Dockerfile is at most this large.
const LARGEST: u64 = 1024 * 1024;

/// Where the Dockerfile comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DockerfileChoice {
    /// The one that is there.
    AutoDetect,
    /// The one at this path, relative to the folder that is built.
    Path(SourcePath),
    /// This text; none takes what the wizard proposes.
    Wizard(Option<String>),
}

/// What is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// The folder whose files the build may use.
    pub context: PathBuf,
    /// The Dockerfile's text.
    pub dockerfile: String,
    /// What stays out of the context where it has no `.dockerignore` of its own.
    pub dockerignore: Option<String>,
    /// Which Dockerfile it is, for the log.
    pub note: String,
}

/// Why nothing can be built, for the person who pushed. It names the setting that would mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotBuildable(pub String);

/// Looks into a tree that was fetched. Nothing outside of it is read, whatever its links say.
///
/// # Errors
/// When the folder or the Dockerfile is not there, leaves the tree, or is no text; when nothing is recognised.
pub fn prepare(tree: &Path, folder: &SourcePath, choice: &DockerfileChoice) -> Result<Prepared, NotBuildable> {
    let context = context(tree, folder)?;
    match choice {
        DockerfileChoice::Path(path) => {
            let dockerfile = read(&context, path.as_str())?;
            Ok(Prepared { context, dockerfile, dockerignore: None, note: format!("Building with {path}") })
        }
        DockerfileChoice::Wizard(Some(text)) => {
            let dockerignore = plan(&context)?.dockerignore;
            let note = "Building with the Dockerfile of the build settings".to_owned();
            Ok(Prepared { context, dockerfile: text.clone(), dockerignore, note })
        }
        DockerfileChoice::Wizard(None) => {
            let plan = plan(&context)?;
            let Some(dockerfile) = plan.dockerfile else { return Err(unknown(folder, &plan)) };
            let language = plan.language.unwrap_or_default();
            let note =
                format!("Building with the Build Wizard's Dockerfile: {language} ({})", plan.evidence.join("; "));
            Ok(Prepared { context, dockerfile, dockerignore: plan.dockerignore, note })
        }
        DockerfileChoice::AutoDetect => {
            let plan = plan(&context)?;
            let Some(own) = plan.own_dockerfile() else { return Err(none_there(folder, &plan)) };
            let dockerfile = read(&context, own)?;
            Ok(Prepared { dockerfile, dockerignore: None, note: format!("Building with {own}"), context })
        }
    }
}

fn context(tree: &Path, folder: &SourcePath) -> Result<PathBuf, NotBuildable> {
    let away = |why: &str| NotBuildable(format!("contextPath {folder}: {why}"));
    let tree = tree.canonicalize().map_err(|_| away("the source is gone"))?;
    let found = tree.join(folder.as_str()).canonicalize().map_err(|_| away("there is no such folder"))?;
    if !found.starts_with(&tree) {
        return Err(away("a link leads out of the project"));
    }
    if !found.is_dir() {
        return Err(away("it is no folder"));
    }
    Ok(found)
}

fn plan(context: &Path) -> Result<BuildPlan, NotBuildable> {
    let folder = Folder::open(context).map_err(|e| NotBuildable(format!("the source can't be read: {e}")))?;
    Ok(wizard::plan(&Tree::new(&folder)))
}

fn read(context: &Path, path: &str) -> Result<String, NotBuildable> {
    let bad = |why: &str| NotBuildable(format!("Dockerfile {path}: {why}"));
    let found = context.join(path).canonicalize().map_err(|_| bad("there is no such file"))?;
    if !found.starts_with(context) {
        return Err(bad("a link leads out of the folder that is built"));
    }
    if !found.is_file() {
        return Err(bad("it is no file"));
    }
    let file = std::fs::File::open(found).map_err(|_| bad("it can't be read"))?;
    let mut text = String::new();
    match file.take(LARGEST + 1).read_to_string(&mut text) {
        Ok(_) if text.len() as u64 > LARGEST => Err(bad("it is larger than 1 MiB")),
        Ok(_) => Ok(text),
        Err(_) => Err(bad("it is no text")),
    }
}

/// There is no Dockerfile; the wizard may have one to offer.
fn none_there(folder: &SourcePath, plan: &BuildPlan) -> NotBuildable {
    let offer = match (&plan.language, plan.existing_dockerfiles.first(), plan.subfolders.is_empty()) {
        (_, Some(other), _) => format!("there is {other}: name it with mode PATH"),
        (Some(language), ..) => format!("it looks like {language}: with mode WIZARD the Build Wizard writes one"),
        (None, None, false) => format!("set contextPath to one of its parts: {}", plan.subfolders.join(", ")),
        (None, None, true) => "add one, or store one with mode WIZARD".to_owned(),
    };
    NotBuildable(format!("there is no Dockerfile in {folder}; {offer}"))
}

fn unknown(folder: &SourcePath, plan: &BuildPlan) -> NotBuildable {
    let offer = match plan.subfolders.is_empty() {
        true => "add a Dockerfile, or store one in the build settings".to_owned(),
        false => format!("set contextPath to one of its parts: {}", plan.subfolders.join(", ")),
    };
    NotBuildable(format!("the Build Wizard recognises nothing that it could build in {folder}; {offer}"))
}
