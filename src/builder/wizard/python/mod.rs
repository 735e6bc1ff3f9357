//! Python.

mod app;
mod manager;

use super::dockerfile::{Dockerfile, words};
use super::plan::Proposal;
use super::tree::Tree;
use super::versions::{self, Asked};
use super::{Project, check};
use app::{App, Framework};
use manager::{Dependencies, Manager};

/// Newest first, but for the current one, which libraries have wheels for.
const VERSIONS: [&str; 8] = ["3.13", "3.14", "3.12", "3.11", "3.10", "3.9", "3.8", "3.7"];
const CURRENT: &str = VERSIONS[0];
const PORT: u16 = 8000;

/// What is added to the environment when the project brings no server.
const GUNICORN: &str = "gunicorn==27.0.1";
const UVICORN: &str = "uvicorn==0.54.0";

/// Packages that are linked with a library of the system, and its package in Debian.
const LIBRARIES: [(&str, &str); 4] =
    [("psycopg2", "libpq5"), ("psycopg", "libpq5"), ("mysqlclient", "libmariadb3"), ("weasyprint", "libpango-1.0-0")];

/// A manifest of Python and something to start.
pub fn detect(project: &Project<'_>) -> Option<Proposal> {
    let tree = project.tree;
    let manager = Manager::of(tree)?;
    let dependencies = Dependencies::read(tree);
    let app = app::find(tree, &dependencies).or_else(|| project.web.map(|_| App::of_procfile()))?;
    let (version, asked) = Asked::or_current(version(tree), CURRENT);
    let mut evidence = vec![manager.evidence(tree), asked];
    evidence.extend(app.evidence.iter().cloned());

    let mut dockerfile = Dockerfile::new();
    dockerfile.stage(&format!("python:{version}"), "build").add("WORKDIR /app").env(&[
        ("PYTHONDONTWRITEBYTECODE", "1"),
        ("UV_PYTHON_DOWNLOADS", "never"),
        ("VIRTUAL_ENV", "/app/.venv"),
        ("PATH", "/app/.venv/bin:$PATH"),
    ]);
    manager.install(&mut dockerfile, tree);
    // With a Procfile the project says itself what serves it.
    let server = app.server().filter(|_| project.web.is_none());
    if let Some((name, pinned)) = server
        && !dependencies.have(name)
    {
        evidence.push(format!("{name} is not among the dependencies: the image adds it"));
        dockerfile.run_with(&["/root/.cache/pip"], &[&manager.add(pinned)]);
    }

    dockerfile.stage(&format!("python:{version}-slim"), "");
    let mut libraries: Vec<&str> =
        LIBRARIES.iter().filter(|(name, _)| dependencies.have(name)).map(|(_, package)| *package).collect();
    libraries.dedup();
    if !libraries.is_empty() {
        evidence.push(format!("the dependencies need {}", libraries.join(", ")));
        dockerfile.apt(&libraries);
    }
    let port = (app.framework.is_some() || project.web.is_some()).then_some(PORT);
    let number = port.map(|port| port.to_string());
    let mut env = vec![("PYTHONUNBUFFERED", "1"), ("PYTHONDONTWRITEBYTECODE", "1"), ("PATH", "/app/.venv/bin:$PATH")];
    env.extend(number.as_deref().map(|number| ("PORT", number)));
    dockerfile.add("WORKDIR /app").env(&env);
    if tree.has_folder("src") && !tree.has_folder("src/src") {
        dockerfile.add("ENV PYTHONPATH=/app/src");
    }
    dockerfile.add("COPY --from=build /app/.venv ./.venv").add("COPY . .");
    if app.collects_static {
        dockerfile.note("No secret: a value that is needed to load the settings, for this one command.");
        dockerfile.run(&["SECRET_KEY=unused python manage.py collectstatic --noinput"]);
    }
    dockerfile.add("USER 10001:10001");
    if let Some(port) = port {
        dockerfile.add(&format!("EXPOSE {port}"));
    }
    Some(Proposal {
        language: "python",
        framework: app.framework.map(|framework| framework.name().to_owned()),
        version: Some(version),
        package_manager: Some(manager.name()),
        port,
        evidence,
        dockerfile,
        command: Some(app.command),
        ignore: vec![
            ".venv",
            "venv",
            "**/__pycache__",
            "**/*.pyc",
            ".pytest_cache",
            ".mypy_cache",
            ".ruff_cache",
            "*.egg-info",
        ],
    })
}

fn version(tree: &Tree<'_>) -> Option<Asked> {
    if let Some(asked) = versions::of_file(tree, ".python-version").or_else(|| versions::of_tool(tree, &["python"])) {
        return Some(asked);
    }
    // Heroku's: python-3.12.4
    let runtime = tree.text("runtime.txt").and_then(|text| check::version(text.trim().strip_prefix("python-")?));
    if let Some(version) = runtime {
        return Some(Asked::new(version, "runtime.txt"));
    }
    let in_range = |range: &str| versions::in_range(range, &VERSIONS);
    if let Some(project) = tree.toml("pyproject.toml") {
        let range = project.get("project").and_then(|table| table.get("requires-python"));
        let poetry = || project.get("tool")?.get("poetry")?.get("dependencies")?.get("python");
        if let Some(version) = range.or_else(poetry).and_then(|range| in_range(range.as_str()?)) {
            return Some(Asked::new(version, "pyproject.toml"));
        }
    }
    let pipfile = tree.toml("Pipfile")?;
    let requires = pipfile.get("requires")?;
    let said = requires.get("python_full_version").or_else(|| requires.get("python_version"))?;
    Some(Asked::new(check::version(said.as_str()?)?, "Pipfile"))
}

impl App {
    /// The server that the framework is run with: its package's name, and what is added where it is missing.
    fn server(&self) -> Option<(&'static str, &'static str)> {
        match self.framework? {
            Framework::FastApi => Some(("uvicorn", UVICORN)),
            Framework::Django if self.command.first().is_some_and(|word| word == "uvicorn") => {
                Some(("uvicorn", UVICORN))
            }
            Framework::Django | Framework::Flask => Some(("gunicorn", GUNICORN)),
        }
    }

    /// What a Procfile starts.
    fn of_procfile() -> Self {
        Self { framework: None, command: words(&["python"]), evidence: Vec::new(), collects_static: false }
    }
}
