//! Writing the Dockerfile of a Node project.

use super::framework::{Keeps, Layout, Shape};
use super::manager::Setup;
use super::package::{Package, Workspace};
use crate::builder::wizard::dockerfile::Dockerfile;
use crate::builder::wizard::tree::{Tree, join};
use crate::builder::wizard::web_server;

/// All that the stages are made of.
pub struct Plan<'a> {
    pub tree: &'a Tree<'a>,
    pub workspace: &'a Workspace,
    pub root: &'a Package,
    /// What is started: the root or a member of its workspace.
    pub package: &'a Package,
    pub setup: &'a Setup,
    pub version: &'a str,
}

impl Plan<'_> {
    /// The Dockerfile without its last instruction, and the command for that; none where a web server brings its own.
    pub fn write(&self, shape: &Shape, build: Option<&str>) -> (Dockerfile, Option<Vec<String>>) {
        let mut dockerfile = Dockerfile::new();
        dockerfile.stage(&self.setup.image(self.version), "base").add("WORKDIR /app");
        manifests(&mut dockerfile, self.tree, self.setup, self.workspace);
        let is_server = matches!(shape.layout, Layout::Server { .. });
        let needs_all = build.is_some() || shape.keeps_development == Keeps::All;
        if needs_all {
            dockerfile.stage("base", "dependencies").run_with(&[self.setup.cache()], &[&self.setup.install()]);
            dockerfile.stage("dependencies", "build").add("COPY . .");
            self.build(&mut dockerfile, shape, build);
        }
        if is_server && shape.keeps_development == Keeps::Production {
            dockerfile.stage("base", "production");
            let mut commands: Vec<String> = Vec::new();
            // Hooks for developers are installed by a program that production does not have.
            if self.root.script("prepare").is_some() {
                commands.push(self.setup.forget_script("prepare"));
            }
            commands.push(self.setup.install_production());
            let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
            dockerfile.run_with(&[self.setup.cache()], &commands);
        }
        let command = self.last(&mut dockerfile, shape, needs_all);
        (dockerfile, command)
    }

    fn build(&self, dockerfile: &mut Dockerfile, shape: &Shape, build: Option<&str>) {
        // Production's dependencies take the place of all.
        let clean = "find . -name node_modules -type d -prune -exec rm -rf {} +";
        let mut commands: Vec<String> = Vec::new();
        commands.extend(build.map(str::to_owned));
        if let Layout::Server { writes, .. } | Layout::Bundle { writes, .. } = &shape.layout {
            commands.extend(writes.iter().map(|folder| format!("mkdir -p {}", self.package.at(folder))));
        }
        if matches!(shape.layout, Layout::Server { .. }) && shape.keeps_development == Keeps::Production {
            commands.push(clean.to_owned());
        }
        if shape.framework == Some("next") {
            dockerfile.add("ENV NEXT_TELEMETRY_DISABLED=1");
        }
        dockerfile.run(&commands.iter().map(String::as_str).collect::<Vec<_>>());
    }

    fn last(&self, dockerfile: &mut Dockerfile, shape: &Shape, is_built: bool) -> Option<Vec<String>> {
        let home = match self.package.folder.as_str() {
            "" => "/app".to_owned(),
            folder => format!("/app/{folder}"),
        };
        let (command, writes) = match &shape.layout {
            Layout::Static { folder, missing } => {
                web_server::serve(dockerfile, &format!("--from=build {}/", join(&home, folder)), *missing);
                return None;
            }
            Layout::Server { command, writes } | Layout::Bundle { command, writes, .. } => (command, writes),
        };
        dockerfile.stage(&self.setup.slim_image(self.version), "");
        let port = shape.port.to_string();
        let mut env = vec![("NODE_ENV", "production")];
        env.extend(shape.env.iter().copied());
        env.push(("PORT", &port));
        dockerfile.add("WORKDIR /app").env(&env);
        match &shape.layout {
            Layout::Bundle { copies, .. } => {
                for (from, to) in copies {
                    dockerfile.add(&format!("COPY --from=build {} {to}", join(&home, from)));
                }
            }
            _ => {
                if shape.keeps_development == Keeps::Production {
                    dockerfile.add("COPY --from=production /app ./");
                }
                dockerfile.add(if is_built { "COPY --from=build /app ./" } else { "COPY . ." });
            }
        }
        if !self.package.folder.is_empty() {
            dockerfile.add(&format!("WORKDIR {home}"));
        }
        if !writes.is_empty() {
            dockerfile.note("What is written while it runs.");
            dockerfile.run(&[&format!("chown -R 1000:1000 {}", writes.join(" "))]);
        }
        dockerfile.add("USER 1000:1000").add(&format!("EXPOSE {port}"));
        Some(command.clone())
    }
}

/// The package manager and the files that it reads: the layer on which all installs stand.
pub fn manifests(dockerfile: &mut Dockerfile, tree: &Tree<'_>, setup: &Setup, workspace: &Workspace) {
    dockerfile.env(setup.env());
    if let Some(prepare) = setup.prepare() {
        dockerfile.run(&[&prepare]);
    }
    dockerfile.add(&format!("COPY {} ./", tree.present(&setup.files()).join(" ")));
    // Yarn of the tree, patches, and the schema from which Prisma's client is made after an install.
    for folder in [".yarn/releases", ".yarn/plugins", ".yarn/patches", "patches", "prisma"] {
        if tree.has_folder(folder) {
            dockerfile.add(&format!("COPY {folder} ./{folder}"));
        }
    }
    for member in &workspace.members {
        dockerfile.add(&format!("COPY {} {}/", member.file(), member.folder));
    }
}
