//! Package managers of Python: how each fills `/app/.venv` from manifest and lock file alone. Poetry and Pipenv are of
//! versions that still run on Python 3.9.

use crate::builder::wizard::dockerfile::Dockerfile;
use crate::builder::wizard::tree::Tree;

/// How dependencies are declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    Uv,
    Poetry,
    Pdm,
    Pipenv,
    /// requirements.txt
    Pip,
    /// A pyproject.toml without a lock file, which pip installs.
    Project,
}

impl Manager {
    /// By lock file; else by what pyproject.toml configures.
    pub fn of(tree: &Tree<'_>) -> Option<Self> {
        let by_lock = [
            ("uv.lock", Self::Uv),
            ("poetry.lock", Self::Poetry),
            ("pdm.lock", Self::Pdm),
            ("Pipfile.lock", Self::Pipenv),
            ("Pipfile", Self::Pipenv),
            ("requirements.txt", Self::Pip),
        ];
        if let Some((_, manager)) = by_lock.into_iter().find(|(file, _)| tree.has(file)) {
            return Some(manager);
        }
        let project = tree.toml("pyproject.toml")?;
        let configured = |tool: &str| project.get("tool").and_then(|tools| tools.get(tool)).is_some();
        Some(match () {
            () if configured("poetry") => Self::Poetry,
            () if configured("pdm") => Self::Pdm,
            () if configured("uv") => Self::Uv,
            () => Self::Project,
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Uv => "uv",
            Self::Poetry => "poetry",
            Self::Pdm => "pdm",
            Self::Pipenv => "pipenv",
            Self::Pip | Self::Project => "pip",
        }
    }

    /// The file that decided.
    pub fn evidence(self, tree: &Tree<'_>) -> String {
        let file = tree.first(self.files()).unwrap_or("pyproject.toml");
        format!("{file}: a Python project, with {}", self.name())
    }

    /// The manifests and lock files, the one that decides first.
    fn files(self) -> &'static [&'static str] {
        match self {
            Self::Uv => &["uv.lock", "pyproject.toml", "uv.toml"],
            Self::Poetry => &["poetry.lock", "pyproject.toml", "poetry.toml"],
            Self::Pdm => &["pdm.lock", "pyproject.toml", "pdm.toml"],
            Self::Pipenv => &["Pipfile.lock", "Pipfile"],
            Self::Pip => &["requirements.txt", "constraints.txt"],
            Self::Project => &["pyproject.toml"],
        }
    }

    /// The layer of dependencies.
    pub fn install(self, dockerfile: &mut Dockerfile, tree: &Tree<'_>) {
        let mut files: Vec<String> = tree.present(self.files()).into_iter().map(str::to_owned).collect();
        // requirements.txt may include its neighbours by `-r` and `-c`.
        let folder = self == Self::Pip && tree.has_folder("requirements");
        if self == Self::Pip {
            let more = tree.files("").into_iter();
            files.extend(more.filter(|name| {
                name.starts_with("requirements") && name.ends_with(".txt") && name != "requirements.txt"
            }));
        }
        files.sort();
        dockerfile.add(&format!("COPY {} ./", files.join(" ")));
        if folder {
            dockerfile.add("COPY requirements ./requirements");
        }
        let is_locked = self.files().first().is_some_and(|file| tree.has(file));
        let (cache, commands) = self.commands(is_locked);
        dockerfile.run_with(&["/root/.cache/pip", cache][..if cache.is_empty() { 1 } else { 2 }], &commands);
    }

    /// The folder that is cached beside pip's, and what is run.
    fn commands(self, is_locked: bool) -> (&'static str, Vec<&'static str>) {
        const VENV: &str = "python -m venv /app/.venv";
        match (self, is_locked) {
            (Self::Uv, true) => (
                "/root/.cache/uv",
                vec!["pip install uv==0.13.9", "UV_LINK_MODE=copy uv sync --locked --no-dev --no-install-project"],
            ),
            (Self::Uv, false) => (
                "/root/.cache/uv",
                vec!["pip install uv==0.13.9", "UV_LINK_MODE=copy uv sync --no-dev --no-install-project"],
            ),
            (Self::Poetry, _) => (
                "/root/.cache/pypoetry",
                vec![
                    "pip install poetry==2.1.4",
                    VENV,
                    "poetry install --only main --no-root --no-interaction --no-ansi",
                ],
            ),
            (Self::Pdm, true) => (
                "/root/.cache/pdm",
                vec!["pip install pdm==2.29.4", VENV, "pdm install --prod --no-self --frozen-lockfile"],
            ),
            (Self::Pdm, false) => {
                ("/root/.cache/pdm", vec!["pip install pdm==2.29.4", VENV, "pdm install --prod --no-self"])
            }
            (Self::Pipenv, true) => ("/root/.cache/pipenv", vec!["pip install pipenv==2025.0.4", VENV, "pipenv sync"]),
            (Self::Pipenv, false) => {
                ("/root/.cache/pipenv", vec!["pip install pipenv==2025.0.4", VENV, "pipenv install --skip-lock"])
            }
            (Self::Pip, _) => ("", vec![VENV, "pip install -r requirements.txt"]),
            // pip can't install a project's dependencies without the project; uv can.
            (Self::Project, _) => (
                "/root/.cache/uv",
                vec!["pip install uv==0.13.9", VENV, "UV_LINK_MODE=copy uv pip install -r pyproject.toml"],
            ),
        }
    }

    /// The command that adds a package to the environment.
    pub fn add(self, package: &str) -> String {
        match self {
            Self::Uv => format!("uv pip install {package}"),
            _ => format!("pip install {package}"),
        }
    }
}

/// The names of what a project depends on.
#[derive(Debug, Default)]
pub struct Dependencies(Vec<String>);

impl Dependencies {
    /// From requirements.txt, pyproject.toml and Pipfile.
    pub fn read(tree: &Tree<'_>) -> Self {
        let mut names: Vec<String> = Vec::new();
        let requirements = tree.text("requirements.txt").unwrap_or_default();
        names.extend(requirements.lines().filter(|line| !line.trim_start().starts_with(['#', '-'])).map(name));
        if let Some(file) = tree.toml("pyproject.toml") {
            let listed =
                file.get("project").and_then(|table| table.get("dependencies")).and_then(toml::Value::as_array);
            names.extend(listed.into_iter().flatten().filter_map(toml::Value::as_str).map(name));
            let poetry = file.get("tool").and_then(|tools| tools.get("poetry")?.get("dependencies")?.as_table());
            names.extend(poetry.into_iter().flat_map(toml::Table::keys).map(|key| name(key)));
        }
        let pipfile = tree.toml("Pipfile");
        let packages = pipfile.as_ref().and_then(|file| file.get("packages")?.as_table());
        names.extend(packages.into_iter().flat_map(toml::Table::keys).map(|key| name(key)));
        names.retain(|name| !name.is_empty());
        // The extra brings the server.
        let text =
            requirements + &tree.text("pyproject.toml").unwrap_or_default() + &tree.text("Pipfile").unwrap_or_default();
        if text.contains("fastapi[") {
            names.push("uvicorn".to_owned());
        }
        Self(names)
    }

    /// Whether a package is among them.
    pub fn have(&self, name: &str) -> bool {
        self.0.iter().any(|known| known == name)
    }
}

/// The normalised name at the beginning of a requirement (PEP 503).
fn name(requirement: &str) -> String {
    let requirement = requirement.trim();
    let end =
        requirement.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c))).unwrap_or(requirement.len());
    requirement[..end].to_ascii_lowercase().replace(['_', '.'], "-")
}
