//! `kiops plan`

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, anyhow};

use super::Failure;
use crate::builder::wizard::{self, BuildPlan, Folder, Tree};

/// How the plan is printed.
#[derive(Debug, Clone, Copy)]
pub enum Form {
    /// For a person.
    Text,
    /// The `BuildPlan` alone.
    Json,
}

/// Prints what the Build Wizard proposes for a source tree. Needs neither configuration nor database.
///
/// # Errors
/// When the folder can't be opened, or nothing in it is recognised; when standard output can't be written.
pub fn run(folder: &Path, form: Form) -> Result<(), Failure> {
    let opened = Folder::open(folder).with_context(|| folder.display().to_string()).map_err(Failure::AskedWrongly)?;
    let plan = wizard::plan(&Tree::new(&opened));
    let text = match form {
        Form::Json => serde_json::to_string_pretty(&plan).context("the plan as JSON")? + "\n",
        Form::Text => text(&plan),
    };
    std::io::stdout().write_all(text.as_bytes()).context("standard output")?;
    if plan.language.is_some() || plan.own_dockerfile().is_some() {
        return Ok(());
    }
    Err(Failure::AskedWrongly(anyhow!("{}: {}", folder.display(), reason(&plan))))
}

fn reason(plan: &BuildPlan) -> String {
    let nothing = "nothing in this folder itself is recognised";
    match plan.subfolders.as_slice() {
        [] => format!("{nothing}: a Dockerfile of its own would be needed"),
        parts => format!("{nothing}; plan one of its parts: {}", parts.join(", ")),
    }
}

fn text(plan: &BuildPlan) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<16} {value}");
    };
    let with_version = |language: &String| match &plan.version {
        Some(version) => format!("{language} {version}"),
        None => language.clone(),
    };
    let facts = [
        ("language", plan.language.as_ref().map(with_version)),
        ("framework", plan.framework.clone()),
        ("package manager", plan.package_manager.clone()),
        ("port", plan.port.map(|port| port.to_string())),
    ];
    for (name, value) in facts {
        if let Some(value) = value {
            line(name, &value);
        }
    }
    let lists =
        [("because", &plan.evidence), ("Dockerfiles", &plan.existing_dockerfiles), ("look in", &plan.subfolders)];
    for (name, values) in lists {
        for (at, value) in values.iter().enumerate() {
            line(if at == 0 { name } else { "" }, value);
        }
    }
    if let Some(own) = plan.own_dockerfile() {
        let _ = writeln!(text, "\n{own} is there and wins: what the wizard would build with is only shown.");
    }
    for (name, content) in [("Dockerfile", &plan.dockerfile), (".dockerignore", &plan.dockerignore)] {
        if let Some(content) = content {
            let _ = write!(text, "\n---- {name} ----\n{content}");
        }
    }
    text
}
