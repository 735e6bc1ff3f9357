//! What is built out of a source tree: which of its folders, with which Dockerfile. Reads files, as the Build Wizard
//! does; the tree may be hostile, and nothing outside of it is looked at. Call it where blocking is allowed.

use std::io;
use std::path::{Path, PathBuf};

use super::wizard::{self, BuildPlan, Files as _, Folder, Tree, WINNERS};
use crate::domain::names::SourcePath;

/// Bytes of a Dockerfile, at most.
const MAX_DOCKERFILE: u64 = 1024 * 1024;
/// Rules for what stays out of a context, as every builder knows them.
const IGNORE: &str = ".dockerignore";

/// How the Dockerfile is found; the contract's `DockerfileMode` with what goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DockerfileChoice {
    /// The one of the context: `Dockerfile`, then `Containerfile`.
    AutoDetect,
    /// One by its path, relative to the context.
    Path(SourcePath),
    /// A text that somebody has edited, or what the Build Wizard proposes for the context. A Dockerfile of the context
    /// is not used.
    Wizard(Option<String>),
}

/// What is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// The folder, with no link in its path.
    pub context: PathBuf,
    /// The Dockerfile's text.
    pub dockerfile: String,
    /// Rules for what stays out, where the context has none of its own.
    pub dockerignore: Option<String>,
    /// Which Dockerfile it is, for the log.
    pub note: String,
}

/// Why nothing can be built. The message is for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct ContextError {
    /// The field of the build settings that is at fault: `contextPath`, `dockerfilePath`, `mode`.
    pub field: &'static str,
    /// What is wrong.
    pub message: String,
}

/// Finds the context in a tree and its Dockerfile. The folder must be in the tree and the Dockerfile in the folder,
/// whatever links say.
///
/// # Errors
/// With the field at fault and what is wrong.
pub fn prepare(tree: &Path, context: &SourcePath, choice: &DockerfileChoice) -> Result<Prepared, ContextError> {
    let found = Context::find(tree, context)?;
    match choice {
        DockerfileChoice::AutoDetect => found.detected(),
        DockerfileChoice::Path(path) => {
            let text = found.read("dockerfilePath", path.as_str())?;
            Ok(found.prepared(text, None, format!("Building with {}", path.as_str())))
        }
        DockerfileChoice::Wizard(Some(text)) => {
            let note = "Building with the Dockerfile of the service's build settings".to_owned();
            Ok(found.prepared(text.clone(), found.plan().dockerignore, note))
        }
        DockerfileChoice::Wizard(None) => found.proposed(),
    }
}

struct Context {
    /// With no link in its path.
    real: PathBuf,
    folder: Folder,
    /// As the settings have it.
    named: String,
}

impl Context {
    fn find(tree: &Path, context: &SourcePath) -> Result<Self, ContextError> {
        let named = context.as_str();
        let refused = |message: String| ContextError { field: "contextPath", message };
        let missing = |_| refused(format!("there is no folder {named} in the source"));
        let root = tree.canonicalize().map_err(|_| refused("the source is not there".to_owned()))?;
        let real = root.join(named).canonicalize().map_err(missing)?;
        if !real.starts_with(&root) {
            return Err(refused(format!("{named} leads out of the source")));
        }
        if !real.is_dir() {
            return Err(refused(format!("{named} is no folder")));
        }
        let folder = Folder::open(&real).map_err(missing)?;
        Ok(Self { real, folder, named: named.to_owned() })
    }

    fn plan(&self) -> BuildPlan {
        wizard::plan(&Tree::new(&self.folder))
    }

    fn detected(&self) -> Result<Prepared, ContextError> {
        let plan = self.plan();
        // The wizard sees no file where a link leads out: that there is something is said nevertheless.
        let there = || WINNERS.into_iter().find(|name| self.real.join(name).symlink_metadata().is_ok());
        if let Some(name) = plan.own_dockerfile().or_else(there) {
            let text = self.read("mode", name)?;
            return Ok(self.prepared(text, None, format!("Building with {name}")));
        }
        let mut message = format!("there is neither Dockerfile nor Containerfile in {}", self.named);
        if let Some(what) = recognised(&plan) {
            message += &format!("; the Build Wizard takes it for {what}: with mode WIZARD its Dockerfile is used");
        }
        if let Some(other) = plan.existing_dockerfiles.first() {
            message += &format!("; there is {other}, which mode PATH can name");
        }
        if !plan.subfolders.is_empty() {
            message += &format!("; contextPath could be one of {}", self.parts(&plan));
        }
        Err(ContextError { field: "mode", message })
    }

    fn proposed(&self) -> Result<Prepared, ContextError> {
        let plan = self.plan();
        let Some(dockerfile) = plan.dockerfile.clone() else {
            let mut message = format!("the Build Wizard recognises nothing in {}", self.named);
            if !plan.subfolders.is_empty() {
                message += &format!("; contextPath could be one of {}", self.parts(&plan));
            }
            return Err(ContextError { field: "mode", message });
        };
        let mut note = "Building with the Build Wizard's Dockerfile".to_owned();
        if let Some(what) = recognised(&plan) {
            note += &format!(" for {what}");
        }
        if let Some(own) = plan.own_dockerfile() {
            note += &format!("; {own} is not used, because the mode is WIZARD");
        }
        Ok(self.prepared(dockerfile, plan.dockerignore, note))
    }

    /// The folders that could be built instead, from the root of the tree.
    fn parts(&self, plan: &BuildPlan) -> String {
        let whole = |part: &String| if self.named == "." { part.clone() } else { format!("{}/{part}", self.named) };
        plan.subfolders.iter().take(10).map(whole).collect::<Vec<_>>().join(", ")
    }

    fn read(&self, field: &'static str, path: &str) -> Result<String, ContextError> {
        let refused = |message: String| Err(ContextError { field, message });
        let real = match self.real.join(path).canonicalize() {
            Ok(real) => real,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return refused(format!("there is no {path} in {}", self.named));
            }
            Err(_) => return refused(format!("{path} can't be read")),
        };
        if !real.starts_with(&self.real) {
            return refused(format!("{path} leads out of {}", self.named));
        }
        match real.symlink_metadata() {
            Ok(found) if !found.is_file() => return refused(format!("{path} is no file")),
            Ok(found) if found.len() > MAX_DOCKERFILE => return refused(format!("{path} is larger than 1 MiB")),
            _ => {}
        }
        let Some(bytes) = self.folder.read(path, MAX_DOCKERFILE) else {
            return refused(format!("{path} can't be read"));
        };
        match String::from_utf8(bytes) {
            Ok(text) if text.trim().is_empty() => refused(format!("{path} is empty")),
            Ok(text) => Ok(text),
            Err(_) => refused(format!("{path} is no text of UTF-8")),
        }
    }

    fn prepared(&self, dockerfile: String, ignore: Option<String>, note: String) -> Prepared {
        let has_own = self.real.join(IGNORE).symlink_metadata().is_ok();
        Prepared { context: self.real.clone(), dockerfile, dockerignore: ignore.filter(|_| !has_own), note }
    }
}

/// `node 22, next`.
fn recognised(plan: &BuildPlan) -> Option<String> {
    let mut text = plan.language.clone()?;
    if let Some(version) = &plan.version {
        text += &format!(" {version}");
    }
    if let Some(framework) = &plan.framework {
        text += &format!(", {framework}");
    }
    Some(text)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    fn tree(files: &[(&str, &str)]) -> TempDir {
        let outer = tempfile::tempdir().unwrap();
        fs::create_dir(outer.path().join("tree")).unwrap();
        fs::write(outer.path().join("secret"), "FROM secret").unwrap();
        for (path, text) in files {
            let path = outer.path().join("tree").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        outer
    }

    fn of(outer: &TempDir, context: &str, choice: &DockerfileChoice) -> Result<Prepared, ContextError> {
        prepare(&outer.path().join("tree"), &SourcePath::parse(context).unwrap(), choice)
    }

    fn path(text: &str) -> DockerfileChoice {
        DockerfileChoice::Path(SourcePath::parse(text).unwrap())
    }

    const AUTO: DockerfileChoice = DockerfileChoice::AutoDetect;
    const WIZARD: DockerfileChoice = DockerfileChoice::Wizard(None);

    #[test]
    fn the_chosen_dockerfile_is_taken() {
        let outer = tree(&[
            ("Dockerfile", "FROM one"),
            ("Containerfile", "FROM two"),
            ("go.mod", "module example.com/x\n\ngo 1.25\n"),
            ("main.go", "package main\n"),
            ("app/Containerfile", "FROM three"),
            ("app/docker/dev", "FROM four"),
            ("app/.dockerignore", "x"),
        ]);
        let found = of(&outer, ".", &AUTO).unwrap();
        assert_eq!((found.dockerfile.as_str(), found.note.as_str()), ("FROM one", "Building with Dockerfile"));
        assert_eq!(found.dockerignore, None);
        let found = of(&outer, "app", &AUTO).unwrap();
        assert_eq!((found.dockerfile.as_str(), found.note.as_str()), ("FROM three", "Building with Containerfile"));
        assert_eq!(found.context, outer.path().canonicalize().unwrap().join("tree/app"));
        assert_eq!(of(&outer, "app", &path("docker/dev")).unwrap().dockerfile, "FROM four");
        let found = of(&outer, ".", &WIZARD).unwrap();
        assert!(found.dockerfile.contains("golang:1.25") && found.dockerignore.is_some(), "{found:?}");
        assert!(found.note.contains("go 1.25") && found.note.contains("Dockerfile is not used"), "{}", found.note);
        let edited = DockerfileChoice::Wizard(Some("FROM five".to_owned()));
        let found = of(&outer, "app", &edited).unwrap();
        assert_eq!((found.dockerfile.as_str(), found.dockerignore), ("FROM five", None));
    }

    #[test]
    fn what_is_missing_is_said_with_what_could_be_done() {
        let outer = tree(&[
            ("api/go.mod", "module example.com/x\n\ngo 1.25\n"),
            ("api/main.go", "package main\n"),
            ("api/docker/Dockerfile", "FROM x"),
            ("readme", "x"),
        ]);
        let error = of(&outer, "api", &AUTO).unwrap_err();
        assert_eq!(error.field, "mode");
        for part in ["neither Dockerfile nor", "go 1.25", "mode WIZARD", "docker/Dockerfile, which mode PATH"] {
            assert!(error.message.contains(part), "{error}");
        }
        assert!(of(&outer, ".", &AUTO).unwrap_err().message.ends_with("contextPath could be one of api"));
        assert!(of(&outer, ".", &WIZARD).unwrap_err().message.ends_with("contextPath could be one of api"));
        for (context, choice, field, words) in [
            ("web", AUTO, "contextPath", "there is no folder web"),
            ("readme", AUTO, "contextPath", "is no folder"),
            (".", path("Dockerfile.prod"), "dockerfilePath", "there is no Dockerfile.prod"),
            (".", path("api"), "dockerfilePath", "is no file"),
        ] {
            let error = of(&outer, context, &choice).unwrap_err();
            assert!(error.field == field && error.message.contains(words), "{error}");
        }
    }

    #[test]
    fn nothing_outside_is_read() {
        let outer = tree(&[("in/Dockerfile", "FROM in"), ("real/Dockerfile", "FROM real"), ("up/x", "x")]);
        let root = outer.path().join("tree");
        symlink("../secret", root.join("Dockerfile")).unwrap();
        symlink("/etc/passwd", root.join("passwd")).unwrap();
        symlink("..", root.join("out")).unwrap();
        symlink("real", root.join("link")).unwrap();
        symlink("../in/Dockerfile", root.join("up/Dockerfile")).unwrap();
        symlink("Dockerfile", root.join("in/other")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            root.join("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        for (context, choice, field, words) in [
            (".", AUTO, "mode", "Dockerfile leads out of ."),
            (".", path("passwd"), "dockerfilePath", "leads out of ."),
            (".", path("out/secret"), "dockerfilePath", "leads out of ."),
            ("out", AUTO, "contextPath", "leads out of the source"),
            ("out/tree/in", AUTO, "", ""),
            ("up", AUTO, "mode", "leads out of up"),
            (".", path("pipe"), "dockerfilePath", "is no file"),
        ] {
            match of(&outer, context, &choice) {
                Err(error) => assert!(error.field == field && error.message.contains(words), "{error}"),
                // By way of what is outside it leads back into the tree.
                Ok(found) => assert!(field.is_empty() && found.dockerfile == "FROM in"),
            }
        }
        assert_eq!(of(&outer, "link", &AUTO).unwrap().dockerfile, "FROM real");
        assert_eq!(of(&outer, "in", &path("other")).unwrap().dockerfile, "FROM in");
    }

    #[test]
    fn a_dockerfile_is_a_text_of_some_size() {
        let outer =
            tree(&[("empty", " \n"), ("large", &"#".repeat(1024 * 1024 + 1)), ("fits", &"#".repeat(1024 * 1024))]);
        fs::write(outer.path().join("tree/latin"), b"FROM x\xe4").unwrap();
        for (name, words) in [("empty", "is empty"), ("large", "larger than 1 MiB"), ("latin", "UTF-8")] {
            let error = of(&outer, ".", &path(name)).unwrap_err();
            assert!(error.message.contains(words), "{error}");
        }
        assert!(of(&outer, ".", &path("fits")).is_ok());
    }
}
