//! Which Node.js a project asks for.

use super::package::Package;
use crate::builder::wizard::tree::Tree;
use crate::builder::wizard::versions::{self, Asked};

/// Lines with images, the current long-term one first, then those with long-term support before the others.
const LINES: [&str; 9] = ["24", "22", "20", "26", "18", "16", "14", "12", "25"];
const CURRENT: &str = LINES[0];

/// Names of long-term lines, <https://nodejs.org/en/about/previous-releases>.
const NAMES: [(&str, &str); 6] =
    [("gallium", "16"), ("hydrogen", "18"), ("iron", "20"), ("jod", "22"), ("krypton", "24"), ("*", CURRENT)];

/// The version, and the evidence for it.
pub fn of(tree: &Tree<'_>, root: &Package) -> (String, String) {
    let named = |file: &str| {
        let text = tree.text(file)?;
        let name = text.trim().strip_prefix("lts/")?;
        let (_, version) = NAMES.iter().find(|(known, _)| *known == name)?;
        Some(Asked::new((*version).to_owned(), file))
    };
    let file = |file: &str| versions::of_file(tree, file).or_else(|| named(file));
    let said = |pointer: &str, by: &str| Some(Asked::new(versions::in_range(root.text(pointer)?, &LINES)?, by));
    let asked = file(".nvmrc")
        .or_else(|| file(".node-version"))
        .or_else(|| said("/volta/node", "package.json, volta"))
        .or_else(|| versions::of_tool(tree, &["nodejs", "node"]))
        .or_else(|| said("/engines/node", "package.json, engines"));
    Asked::or_current(asked, CURRENT)
}
