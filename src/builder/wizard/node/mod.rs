//! Node.js and Bun: servers, single pages, workspaces.

mod framework;
mod layout;
mod manager;
mod package;
mod release;

use super::dockerfile::{Dockerfile, words};
use super::plan::Proposal;
use super::tree::Tree;
use super::{Project, check};
use framework::{Keeps, Layout, Shape};
use manager::Setup;
use package::{Package, Workspace};

/// A package.json of something to start: in the root, or in the only member of its workspace that has that.
pub fn detect(project: &Project<'_>) -> Option<Proposal> {
    let tree = project.tree;
    let root = Package::read(tree, "")?;
    let workspace = Workspace::read(tree, &root);
    let setup = Setup::of(tree, &root);
    let mut evidence = vec![setup.evidence()];

    let (package, mut shape) = match shape(tree, &root, &setup) {
        Some(shape) => (&root, shape),
        None if project.web.is_some() => (&root, Shape::server(Vec::new())),
        None => {
            let mut started =
                workspace.members.iter().filter_map(|member| Some((member, shape(tree, member, &setup)?)));
            let only = started.next()?;
            if started.next().is_some() {
                return None;
            }
            evidence.push(format!("{}: the only member of the workspace that can be started", only.0.file()));
            only
        }
    };
    if project.web.is_some() {
        // A Procfile speaks of the project's own files: all of them are in the image.
        shape.layout = Layout::Server { command: Vec::new(), writes: Vec::new() };
    }
    let (version, because) = if setup.is_bun() { setup.bun_version(tree) } else { release::of(tree, &root) };
    evidence.push(because);
    evidence.append(&mut shape.evidence);

    let build = build_command(&root, package, &setup, &shape);
    if let Some(build) = &build {
        evidence.push(format!("package.json: built by `{build}`"));
    }
    let plan = layout::Plan { tree, workspace: &workspace, root: &root, package, setup: &setup, version: &version };
    let (dockerfile, command) = plan.write(&shape, build.as_deref());
    let is_static = matches!(shape.layout, Layout::Static { .. });
    Some(Proposal {
        language: "node",
        framework: shape.framework.map(str::to_owned),
        version: Some(version),
        package_manager: Some(setup.name()),
        port: Some(if is_static { super::web_server::PORT } else { shape.port }),
        evidence,
        dockerfile,
        command,
        ignore: vec![
            "**/node_modules",
            "**/npm-debug.log*",
            "**/.next",
            "**/.nuxt",
            "**/.output",
            "**/.svelte-kit",
            "**/.turbo",
            "coverage",
        ],
    })
}

/// What a package starts, if anything.
fn shape(tree: &Tree<'_>, package: &Package, setup: &Setup) -> Option<Shape> {
    if let Some(shape) = framework::detect(tree, package, setup) {
        return Some(shape);
    }
    let file = package.file();
    // Where both are there, `start` is for developers.
    for name in ["start:prod", "start:production", "start"] {
        let Some(script) = package.script(name) else { continue };
        let mut shape = Shape::server(start(name, script, setup));
        shape.framework = framework::server(package);
        shape.evidence.push(format!("{file}: the script {name}"));
        if script.split_whitespace().next().is_some_and(|program| package.is_for_development(program)) {
            shape.keeps_development = Keeps::All;
            shape.evidence.push(format!("{file}: {name} needs a development dependency, so all are in the image"));
        }
        return Some(shape);
    }
    // npm's own default for `npm start`, and what `main` names if it is a server's.
    let main = package.main().filter(|_| framework::server(package).is_some());
    let entry = ["server.js".to_owned()].into_iter().chain(main).find(|entry| tree.has(&package.at(entry)))?;
    let mut shape = Shape::server(setup.runs(&entry));
    shape.framework = framework::server(package);
    shape.evidence.push(format!("{}: the program", package.at(&entry)));
    Some(shape)
}

/// A start script that only calls node is called without npm around it, so that signals reach it.
fn start(name: &str, script: &str, setup: &Setup) -> Vec<String> {
    let called: Vec<&str> = script.split_whitespace().collect();
    match called.as_slice() {
        ["node", rest @ ..] if !rest.is_empty() && rest.iter().all(|word| check::is_word(word) || is_option(word)) => {
            let mut command = words(&[if setup.is_bun() { "bun" } else { "node" }]);
            command.extend(words(rest));
            command
        }
        _ if setup.is_bun() => words(&["bun", "run", name]),
        _ => words(&["npm", "run", name]),
    }
}

fn is_option(word: &str) -> bool {
    word.starts_with('-') && check::is_word(word.trim_start_matches('-').replace('=', "").as_str())
}

/// The root's script, which knows the order of a workspace, before the member's, before the framework's own command.
fn build_command(root: &Package, package: &Package, setup: &Setup, shape: &Shape) -> Option<String> {
    if root.script("build").is_some() {
        return Some(setup.run("build"));
    }
    if package.script("build").is_some() {
        return Some(setup.run_in(package, "build"));
    }
    let program = shape.builds_with?;
    Some(if setup.is_bun() { format!("bunx {program} build") } else { format!("npx {program} build") })
}

/// A stage named `assets` that builds what another language's pages load. Answers with the package manager.
pub fn assets(dockerfile: &mut Dockerfile, tree: &Tree<'_>) -> Option<&'static str> {
    let root = Package::read(tree, "")?;
    root.script("build")?;
    let setup = Setup::of(tree, &root);
    let version = if setup.is_bun() { setup.bun_version(tree).0 } else { release::of(tree, &root).0 };
    dockerfile.stage(&setup.image(&version), "assets").add("WORKDIR /app");
    layout::manifests(dockerfile, tree, &setup, &Workspace::default());
    dockerfile.run_with(&[setup.cache()], &[&setup.install()]).add("COPY . .").run(&[&setup.run("build")]);
    Some(setup.name())
}

/// The image that has the Node which a project asks for.
pub fn image(tree: &Tree<'_>) -> Option<String> {
    Some(format!("node:{}", release::of(tree, &Package::read(tree, "")?).0))
}

/// Installs what is in package.json, in a stage that has Node already.
pub fn install_assets(dockerfile: &mut Dockerfile, tree: &Tree<'_>) {
    let Some(root) = Package::read(tree, "") else { return };
    let setup = Setup::of(tree, &root);
    if setup.is_bun() {
        dockerfile.run(&["npm install --global bun@1.4.5"]);
    }
    layout::manifests(dockerfile, tree, &setup, &Workspace::default());
    dockerfile.run_with(&[setup.cache()], &[&setup.install()]);
}
