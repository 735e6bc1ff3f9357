//! The Build Wizard: from the files of a source tree to a Dockerfile. It reads a bounded number of files below the
//! chosen root, runs nothing and fetches nothing. The same tree gives the same bytes.

mod check;
mod deno;
mod dockerfile;
mod dotnet;
mod elixir;
mod existing;
mod folder;
mod go;
mod ignore;
mod java;
mod node;
mod php;
mod plan;
mod procfile;
mod python;
mod ruby;
mod rust;
mod site;
mod tree;
mod versions;
mod web_server;

pub(super) use existing::WINNERS;
pub use folder::Folder;
pub use plan::BuildPlan;
pub use tree::{Files, Kind, Tree};

use plan::Proposal;

/// What a detector is given.
struct Project<'a> {
    tree: &'a Tree<'a>,
    /// The Procfile's web process.
    web: Option<&'a [String]>,
}

/// Answers if the root is a project of its language that can be started.
type Detector = fn(&Project<'_>) -> Option<Proposal>;

/// The first that answers decides. A language that uses npm for its assets comes before Node; a page of plain files
/// is what is left.
const DETECTORS: [Detector; 12] = [
    dotnet::detect,
    java::detect,
    elixir::detect,
    rust::detect,
    go::detect,
    php::detect,
    ruby::detect,
    python::detect,
    deno::detect,
    node::detect,
    php::detect_plain,
    site::detect,
];

/// Folders that are looked at as parts of a monorepo.
const MAX_FOLDERS: usize = 120;

/// Folders that hold no project of their own.
const NO_PARTS: [&str; 12] = [
    "node_modules",
    "vendor",
    "target",
    "dist",
    "build",
    "docs",
    "test",
    "tests",
    "fixtures",
    "examples",
    "public",
    "static",
];

/// What would be built from the root of the tree.
#[must_use]
pub fn plan(tree: &Tree<'_>) -> BuildPlan {
    let existing = existing::dockerfiles(tree);
    match propose(tree) {
        Some(proposal) => finish(proposal, existing),
        None => BuildPlan { existing_dockerfiles: existing, subfolders: subfolders(tree), ..BuildPlan::default() },
    }
}

fn propose(tree: &Tree<'_>) -> Option<Proposal> {
    let web = procfile::web(tree);
    let project = Project { tree, web: web.as_deref() };
    let mut proposal = DETECTORS.iter().find_map(|detect| detect(&project))?;
    if let (Some(command), Some(web)) = (&mut proposal.command, web) {
        *command = web;
        proposal.evidence.push("Procfile: its web process is the command".to_owned());
    }
    Some(proposal)
}

fn finish(mut proposal: Proposal, existing_dockerfiles: Vec<String>) -> BuildPlan {
    if let Some(command) = &proposal.command {
        proposal.dockerfile.cmd(command);
    }
    BuildPlan {
        language: Some(proposal.language.to_owned()),
        framework: proposal.framework,
        version: proposal.version,
        package_manager: proposal.package_manager.map(str::to_owned),
        port: proposal.port,
        evidence: proposal.evidence,
        dockerfile: Some(proposal.dockerfile.text().to_owned()),
        dockerignore: Some(ignore::dockerignore(&proposal.ignore)),
        existing_dockerfiles,
        subfolders: Vec::new(),
    }
}

/// The folders, up to two levels down, that would be recognised as a root of their own.
fn subfolders(tree: &Tree<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let mut looked = 0;
    for folder in parts(tree, "") {
        let inner = if is_project(tree, &folder, &mut looked) {
            found.push(folder);
            continue;
        } else {
            parts(tree, &folder)
        };
        found.extend(inner.into_iter().filter(|inner| is_project(tree, inner, &mut looked)));
    }
    found
}

fn parts(tree: &Tree<'_>, folder: &str) -> Vec<String> {
    let names = tree.folders(folder).into_iter();
    let names = names.filter(|name| !name.starts_with('.') && !NO_PARTS.contains(&name.as_str()));
    names.map(|name| tree::join(folder, &name)).collect()
}

fn is_project(tree: &Tree<'_>, folder: &str, looked: &mut usize) -> bool {
    *looked += 1;
    *looked <= MAX_FOLDERS
        && tree.below(folder).is_some_and(|tree| tree.first(&existing::WINNERS).is_some() || propose(&tree).is_some())
}
