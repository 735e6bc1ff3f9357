//! Holds the table of rooms: which may use which. Reads paths with syn, so comments and strings don't count.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use syn::visit::Visit;

/// A room and the rooms that it may use; boot, cli, main and lib may use all.
const MAY_USE: [(&str, &[&str]); 20] = [
    ("domain", &[]),
    ("app", &["domain", "queue", "vault", "measure", "git", "registry", "builder", "scanner", "runtime"]),
    ("graphql", &["domain", "app"]),
    ("http", &["graphql", "app", "domain", "config", "measure"]),
    ("queue", &["domain"]),
    ("worker", &["app", "queue", "domain", "measure"]),
    ("engine", &["domain"]),
    ("cluster", &["domain"]),
    ("net", &["domain", "measure"]),
    ("vault", &["domain"]),
    ("git", &["domain", "net", "engine", "cluster", "vault"]),
    ("registry", &["domain", "net", "engine", "cluster", "vault"]),
    ("builder", &["domain", "net", "engine", "cluster", "vault"]),
    ("scanner", &["domain", "net", "engine", "cluster", "vault"]),
    ("runtime", &["domain", "net", "engine", "cluster", "vault"]),
    ("config", &[]),
    ("measure", &[]),
    ("telemetry", &["config", "measure", "net"]),
    ("boot", &["*"]),
    ("cli", &["*"]),
];

/// Crates that a room must not name.
const NEVER: [(&str, &[&str]); 7] = [
    ("domain", &["tokio", "entity", "sea_orm", "async_graphql", "axum", "reqwest", "bollard", "async_trait"]),
    ("app", &["async_graphql", "axum", "bollard", "reqwest"]),
    ("graphql", &["sea_orm", "bollard", "reqwest"]),
    ("http", &["sea_orm", "bollard"]),
    ("runtime", &["entity", "async_graphql", "sea_orm"]),
    ("registry", &["entity", "async_graphql", "sea_orm"]),
    ("config", &["entity", "tokio", "sea_orm"]),
];

#[derive(Default)]
struct Names(BTreeSet<String>);

impl Names {
    fn path(&mut self, first: &str, second: Option<String>) {
        match second {
            Some(room) if first == "crate" => self.0.insert(format!("crate::{room}")),
            _ => self.0.insert(first.to_owned()),
        };
    }
}

impl<'ast> Visit<'ast> for Names {
    fn visit_use_tree(&mut self, tree: &'ast syn::UseTree) {
        match tree {
            syn::UseTree::Path(path) => {
                for second in heads(&path.tree) {
                    self.path(&path.ident.to_string(), Some(second));
                }
            }
            syn::UseTree::Group(group) => group.items.iter().for_each(|item| self.visit_use_tree(item)),
            other => heads(other).into_iter().for_each(|head| self.path(&head, None)),
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let mut idents = path.segments.iter().map(|segment| segment.ident.to_string());
        if let Some(first) = idents.next().filter(|_| path.segments.len() > 1) {
            self.path(&first, idents.next());
        }
        syn::visit::visit_path(self, path);
    }
}

fn heads(tree: &syn::UseTree) -> Vec<String> {
    match tree {
        syn::UseTree::Path(path) => vec![path.ident.to_string()],
        syn::UseTree::Name(name) => vec![name.ident.to_string()],
        syn::UseTree::Rename(rename) => vec![rename.ident.to_string()],
        syn::UseTree::Glob(_) => vec!["*".to_owned()],
        syn::UseTree::Group(group) => group.items.iter().flat_map(heads).collect(),
    }
}

fn sources(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("the directory is there").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

fn all(roots: &[&str]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    roots.iter().for_each(|root| sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(root), &mut files));
    files
}

#[test]
fn rooms_use_only_what_they_may() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut faults = Vec::new();
    for file in all(&["src"]) {
        let inside = file.strip_prefix(&src).expect("it is in src");
        let room = inside.components().next().map(|c| c.as_os_str().to_string_lossy().into_owned()).unwrap_or_default();
        let room = room.trim_end_matches(".rs").to_owned();
        if matches!(room.as_str(), "main" | "lib") {
            continue;
        }
        let Some((_, may)) = MAY_USE.iter().find(|(name, _)| *name == room) else {
            faults.push(format!("{}: {room} is no room of the table", inside.display()));
            continue;
        };
        let text = std::fs::read_to_string(&file).expect("it can be read");
        let mut names = Names::default();
        names.visit_file(&syn::parse_file(&text).expect("it is Rust"));
        let never = NEVER.iter().find(|(name, _)| *name == room).map_or(&[][..], |(_, crates)| crates);
        for name in names.0 {
            let bad = match name.strip_prefix("crate::") {
                Some(used) => used != room && !may.contains(&"*") && !may.contains(&used),
                None => never.contains(&name.as_str()),
            };
            if bad {
                faults.push(format!("{}: {room} must not use {name}", inside.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn files_are_short_and_allow_nothing() {
    let attribute = concat!("#[", "allow(");
    let inner = concat!("#![", "allow(");
    for file in all(&["src", "entity/src", "migration/src", "tests"]) {
        let text = std::fs::read_to_string(&file).expect("it can be read");
        assert!(text.lines().count() <= 500, "{} has more than 500 lines: split it", file.display());
        assert!(!text.contains(attribute) && !text.contains(inner), "{}: use expect with a reason", file.display());
    }
}
