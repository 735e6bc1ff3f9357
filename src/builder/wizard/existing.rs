//! Dockerfiles that are in the tree already.

use super::tree::{Tree, join};

/// Names that a build takes by itself, the first before the second.
pub(in crate::builder) const WINNERS: [&str; 2] = ["Dockerfile", "Containerfile"];

/// Folders in which projects keep others.
const FOLDERS: [&str; 5] = ["", "docker", ".docker", "build", "deploy"];

/// The Dockerfiles of the root and of the folders in which they are often kept; those that a build takes by itself first.
pub fn dockerfiles(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for folder in FOLDERS {
        let mut names: Vec<String> = tree.files(folder).into_iter().filter(|name| is_dockerfile(name)).collect();
        names.sort_by_key(|name| (WINNERS.iter().position(|winner| winner == name).unwrap_or(2), name.clone()));
        found.extend(names.into_iter().map(|name| join(folder, &name)));
    }
    found
}

fn is_dockerfile(name: &str) -> bool {
    let affixed = |winner: &str| {
        name == winner
            || name.strip_prefix(winner).is_some_and(|rest| rest.starts_with(['.', '-']) && rest != ".dockerignore")
            || name.strip_suffix(winner).is_some_and(|rest| rest.ends_with('.'))
    };
    WINNERS.iter().any(|winner| affixed(winner)) || name.ends_with(".dockerfile")
}
