//! What is read of a package.json, and which packages a workspace has.

use serde_json::Value;

use crate::builder::wizard::check;
use crate::builder::wizard::tree::{Tree, join};

const MAX_MEMBERS: usize = 80;

/// A package.json.
#[derive(Debug)]
pub struct Package {
    /// Where it is, below the root.
    pub folder: String,
    json: Value,
}

impl Package {
    /// That of a folder.
    pub fn read(tree: &Tree<'_>, folder: &str) -> Option<Self> {
        let json = tree.json(&join(folder, "package.json"))?;
        json.is_object().then(|| Self { folder: folder.to_owned(), json })
    }

    /// A path in its folder, from the root.
    pub fn at(&self, path: &str) -> String {
        join(&self.folder, path)
    }

    /// Its own path, from the root.
    pub fn file(&self) -> String {
        self.at("package.json")
    }

    /// A text at a JSON pointer.
    pub fn text(&self, pointer: &str) -> Option<&str> {
        self.json.pointer(pointer)?.as_str()
    }

    /// A value at a JSON pointer.
    pub fn value(&self, pointer: &str) -> Option<&Value> {
        self.json.pointer(pointer)
    }

    /// Its name, where that is plain.
    pub fn name(&self) -> Option<&str> {
        self.text("/name").filter(|name| check::is_word(name))
    }

    /// A script that does something.
    pub fn script(&self, name: &str) -> Option<&str> {
        self.json.get("scripts")?.get(name)?.as_str().map(str::trim).filter(|script| !script.is_empty())
    }

    /// The file that `main` names.
    pub fn main(&self) -> Option<String> {
        self.text("/main").and_then(check::path)
    }

    /// Whether a package is among its dependencies of any kind.
    pub fn has(&self, name: &str) -> bool {
        self.range(name).is_some()
    }

    /// Whether a package is there for developers alone.
    pub fn is_for_development(&self, name: &str) -> bool {
        let listed = |kind: &str| self.json.get(kind).is_some_and(|all| all.get(name).is_some());
        listed("devDependencies") && !listed("dependencies")
    }

    /// The range of versions that it asks for.
    pub fn range(&self, name: &str) -> Option<&str> {
        ["dependencies", "devDependencies"].iter().find_map(|kind| self.json.get(kind)?.get(name)?.as_str())
    }
}

/// The members of a workspace.
#[derive(Debug, Default)]
pub struct Workspace {
    /// In order of their folders.
    pub members: Vec<Package>,
}

impl Workspace {
    /// By `workspaces` of package.json and by pnpm-workspace.yaml. A `*` is one level of folders.
    pub fn read(tree: &Tree<'_>, root: &Package) -> Self {
        let listed = root.value("/workspaces/packages").or_else(|| root.value("/workspaces"));
        let mut patterns: Vec<String> = texts(listed);
        if let Some(text) = tree.text("pnpm-workspace.yaml")
            && let Ok(yaml) = serde_norway::from_str::<Value>(&text)
        {
            patterns.extend(texts(yaml.get("packages")));
        }
        let mut folders = Vec::new();
        for pattern in patterns.iter().filter(|pattern| !pattern.starts_with('!')) {
            match pattern.trim_end_matches(['*', '/']) {
                whole if whole.len() == pattern.trim_end_matches('/').len() => folders.extend(check::path(whole)),
                "" => folders.extend(tree.folders("")),
                parent => {
                    let parent = check::path(parent).into_iter();
                    folders.extend(parent.flat_map(|parent| {
                        tree.folders(&parent).into_iter().map(move |name| join(&parent, &name)).collect::<Vec<_>>()
                    }));
                }
            }
        }
        let excluded: Vec<String> =
            patterns.iter().filter_map(|pattern| check::path(pattern.strip_prefix('!')?)).collect();
        folders.retain(|folder| !excluded.contains(folder));
        folders.sort();
        folders.dedup();
        let members = folders.iter().take(MAX_MEMBERS).filter_map(|folder| Package::read(tree, folder)).collect();
        Self { members }
    }
}

fn texts(list: Option<&Value>) -> Vec<String> {
    let all = list.and_then(Value::as_array).into_iter().flatten();
    all.filter_map(Value::as_str).take(MAX_MEMBERS).map(str::to_owned).collect()
}
