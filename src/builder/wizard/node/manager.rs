//! Package managers: which one a project uses, and what it is told.

use super::package::Package;
use crate::builder::wizard::check;
use crate::builder::wizard::dockerfile::words;
use crate::builder::wizard::tree::Tree;
use crate::builder::wizard::versions::{self, Asked};

const BUN: &str = "1.4.5";
const YARN: &str = "1.22.22";
const BERRY: &str = "4.18.1";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manager {
    Npm,
    Yarn,
    Berry,
    Pnpm,
    Bun,
}

/// The package manager of a project.
#[derive(Debug)]
pub struct Setup {
    manager: Manager,
    /// The version to install; none where the image or the tree has it.
    version: Option<String>,
    lock: Option<&'static str>,
    /// What decided.
    by: &'static str,
}

const LOCKS: [(&str, Manager); 6] = [
    ("pnpm-lock.yaml", Manager::Pnpm),
    ("bun.lock", Manager::Bun),
    ("bun.lockb", Manager::Bun),
    ("yarn.lock", Manager::Yarn),
    ("package-lock.json", Manager::Npm),
    ("npm-shrinkwrap.json", Manager::Npm),
];

impl Setup {
    /// By `packageManager` of package.json, else by the lock file, else npm.
    pub fn of(tree: &Tree<'_>, root: &Package) -> Self {
        let said = root.text("/packageManager").and_then(|text| text.split_once('@'));
        let version = said.and_then(|(_, version)| check::version(version.split('+').next()?));
        let named = match said.map(|(name, _)| name) {
            Some("pnpm") => Some(Manager::Pnpm),
            Some("bun") => Some(Manager::Bun),
            Some("yarn") => Some(Manager::Yarn),
            Some("npm") => Some(Manager::Npm),
            _ => None,
        };
        let lock =
            LOCKS.into_iter().find(|(file, manager)| tree.has(file) && named.is_none_or(|named| named == *manager));
        let manager = named.or(lock.map(|(_, manager)| manager)).unwrap_or(Manager::Npm);
        let by = match (named, lock) {
            (Some(_), _) => "package.json, packageManager",
            (None, Some((file, _))) => file,
            (None, None) => "package.json, no lock file",
        };
        let lock = lock.map(|(file, _)| file);
        let setup = |manager, version| Self { manager, version, lock, by };
        match manager {
            Manager::Yarn => {
                let is_first = version.as_deref().is_some_and(|version| version.starts_with("1."));
                let is_berry = tree.has(".yarnrc.yml")
                    || version.is_some() && !is_first
                    || tree.text("yarn.lock").is_some_and(|text| text.contains("__metadata:"));
                let in_tree = tree.text(".yarnrc.yml").is_some_and(|text| text.contains("yarnPath:"));
                match is_berry && !is_first {
                    true if in_tree => setup(Manager::Berry, None),
                    true => setup(Manager::Berry, Some(version.unwrap_or_else(|| BERRY.to_owned()))),
                    false => setup(Manager::Yarn, Some(version.unwrap_or_else(|| YARN.to_owned()))),
                }
            }
            Manager::Pnpm => setup(Manager::Pnpm, Some(version.unwrap_or_else(|| pnpm(tree).to_owned()))),
            // npm comes with Node, in the version that was tried with it.
            Manager::Npm => setup(Manager::Npm, None),
            Manager::Bun | Manager::Berry => setup(manager, version),
        }
    }

    pub fn name(&self) -> &'static str {
        match self.manager {
            Manager::Npm => "npm",
            Manager::Yarn => "yarn",
            Manager::Berry => "yarn-berry",
            Manager::Pnpm => "pnpm",
            Manager::Bun => "bun",
        }
    }

    pub fn evidence(&self) -> String {
        format!("{}: a Node project, with {}", self.by, self.name())
    }

    pub fn is_bun(&self) -> bool {
        self.manager == Manager::Bun
    }

    /// Bun's version, and the evidence for it.
    pub fn bun_version(&self, tree: &Tree<'_>) -> (String, String) {
        let said = self.version.clone().map(|version| Asked::new(version, "package.json, packageManager"));
        Asked::or_current(said.or_else(|| versions::of_file(tree, ".bun-version")), BUN)
    }

    /// The image that is built in; it has compilers for what is not plain JavaScript.
    pub fn image(&self, version: &str) -> String {
        if self.is_bun() { format!("oven/bun:{version}") } else { format!("node:{version}") }
    }

    /// The image that runs.
    pub fn slim_image(&self, version: &str) -> String {
        format!("{}-slim", self.image(version))
    }

    /// Installs the package manager where the image doesn't have it.
    pub fn prepare(&self) -> Option<String> {
        let version = self.version.as_ref()?;
        match self.manager {
            Manager::Pnpm => Some(format!("npm install --global pnpm@{version}")),
            // Some images have a Yarn already, which is replaced.
            Manager::Yarn => Some(format!("npm install --global --force yarn@{version}")),
            Manager::Berry => Some(format!("npm install --global --force @yarnpkg/cli-dist@{version}")),
            Manager::Npm | Manager::Bun => None,
        }
    }

    /// Files and folders beside package.json that an install reads.
    pub fn files(&self) -> Vec<&'static str> {
        let mut files = vec!["package.json"];
        files.extend(self.lock);
        files.extend(match self.manager {
            Manager::Npm => [".npmrc"].as_slice(),
            Manager::Yarn => &[".npmrc", ".yarnrc"],
            Manager::Berry => &[".npmrc", ".yarnrc.yml"],
            Manager::Pnpm => &[".npmrc", ".pnpmfile.cjs", "pnpm-workspace.yaml"],
            Manager::Bun => &[".npmrc", "bunfig.toml"],
        });
        files
    }

    /// Where downloads are kept between builds.
    pub fn cache(&self) -> &'static str {
        match self.manager {
            Manager::Npm => "/root/.npm",
            Manager::Yarn | Manager::Berry => "/usr/local/share/.cache/yarn",
            Manager::Pnpm => "/root/.local/share/pnpm/store",
            Manager::Bun => "/root/.bun/install/cache",
        }
    }

    /// All dependencies, exactly as the lock file says where there is one.
    pub fn install(&self) -> String {
        let locked = self.lock.is_some();
        match self.manager {
            Manager::Npm if locked => "npm ci",
            Manager::Npm => "npm install",
            Manager::Yarn if locked => "yarn install --frozen-lockfile",
            Manager::Yarn => "yarn install",
            Manager::Berry if locked => "yarn install --immutable",
            Manager::Berry => "yarn install --no-immutable",
            Manager::Pnpm if locked => "pnpm install --frozen-lockfile",
            Manager::Pnpm => "pnpm install --no-frozen-lockfile",
            Manager::Bun if locked => "bun install --frozen-lockfile",
            Manager::Bun => "bun install",
        }
        .to_owned()
    }

    /// Those of production alone.
    pub fn install_production(&self) -> String {
        match self.manager {
            Manager::Npm => format!("{} --omit=dev", self.install()),
            Manager::Berry => "yarn workspaces focus --production --all".to_owned(),
            Manager::Pnpm => format!("{} --prod", self.install()),
            Manager::Yarn | Manager::Bun => format!("{} --production", self.install()),
        }
    }

    /// Takes a script away that only developers need, and whose program is not there in production.
    pub fn forget_script(&self, script: &str) -> String {
        match self.manager {
            Manager::Bun => format!("bun pm pkg delete scripts.{script}"),
            _ => format!("npm pkg delete scripts.{script}"),
        }
    }

    /// Settings of the build.
    pub fn env(&self) -> &'static [(&'static str, &'static str)] {
        match self.manager {
            // With its other linker Yarn would have to be in the image that runs.
            Manager::Berry => {
                &[("YARN_NODE_LINKER", "node-modules"), ("YARN_GLOBAL_FOLDER", "/usr/local/share/.cache/yarn")]
            }
            _ => &[],
        }
    }

    /// Runs a script of the root.
    pub fn run(&self, script: &str) -> String {
        format!(
            "{} run {script}",
            match self.manager {
                Manager::Berry => "yarn",
                _ => self.name(),
            }
        )
    }

    /// Runs a script of a member of the workspace.
    pub fn run_in(&self, package: &Package, script: &str) -> String {
        let (folder, name) = (&package.folder, package.name().unwrap_or_default());
        match self.manager {
            _ if folder.is_empty() => self.run(script),
            Manager::Npm => format!("npm run {script} --workspace={folder}"),
            // `...` is what it depends on, which comes first.
            Manager::Pnpm => format!("pnpm --filter ./{folder}... run {script}"),
            Manager::Yarn | Manager::Berry if !name.is_empty() => format!("yarn workspace {name} run {script}"),
            Manager::Yarn | Manager::Berry => format!("yarn --cwd {folder} run {script}"),
            Manager::Bun => format!("bun run --cwd {folder} {script}"),
        }
    }

    /// A program of a package, as a command in the folder of `package`.
    pub fn program(&self, package: &Package, name: &str) -> Vec<String> {
        match self.manager {
            Manager::Bun => words(&["bun", "run", "--bun", name]),
            // All but pnpm keep a workspace's packages in the root.
            Manager::Pnpm => vec![format!("node_modules/.bin/{name}")],
            _ if package.folder.is_empty() => vec![format!("node_modules/.bin/{name}")],
            _ => vec![format!("/app/node_modules/.bin/{name}")],
        }
    }

    /// The command that runs a file.
    pub fn runs(&self, file: &str) -> Vec<String> {
        words(&[if self.is_bun() { "bun" } else { "node" }, file])
    }
}

/// A pnpm that reads the lock file, by the version of its format.
fn pnpm(tree: &Tree<'_>) -> &'static str {
    let text = tree.text("pnpm-lock.yaml").unwrap_or_default();
    let format = text.lines().find_map(|line| line.strip_prefix("lockfileVersion:"));
    match format.map(|format| format.trim().trim_matches(['\'', '"'])) {
        Some(format) if format.starts_with("5.") => "7.33.7",
        Some(format) if format.starts_with("6.") => "8.15.9",
        _ => "10.20.0",
    }
}
