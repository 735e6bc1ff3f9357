//! Where links of a tree lead, found without a file system: before anything is written.

use std::collections::HashMap;

/// Links that one path may go through, as Linux counts them.
const MAX_FOLLOWED: usize = 40;
/// Bytes of the longest path that a walk goes on at: twice what an entry of the tree can have.
const MAX_AT: usize = 4096;
/// Names that the targets of all links may have together, each counted as often as it is walked.
const MAX_WALKED: usize = 200_000;

/// What is at a path, as far as links need to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// A link with its target.
    Link(Vec<u8>),
}

/// All entries of a tree.
#[derive(Debug, Default)]
pub(super) struct Map {
    nodes: HashMap<Vec<u8>, Node>,
}

/// Why a link is not let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It says `/etc/passwd`.
    Absolute,
    /// It says `../..`, or goes through another link that leads out.
    LeadsOut,
    /// It goes through more links than a system follows.
    TooMany,
    /// It and the links before it take too long to be judged.
    TooLong,
    /// It has a NUL in it.
    Odd,
}

impl Fault {
    /// The end of a sentence that begins with the link.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Absolute => "is a link to an absolute path, which is outside of the source",
            Self::LeadsOut => "is a link that leads out of the source",
            Self::TooMany => "is a link that goes through too many others",
            Self::TooLong => "is one of links that go through too many names together",
            Self::Odd => "is a link with a target that no system takes",
        }
    }
}

impl Map {
    /// Takes an entry up, after the folder that it is in. False when there is something of that name already, or what it
    /// would be in is no folder: a name in a tree object can have a slash in it.
    pub(super) fn add(&mut self, path: &[u8], node: Node) -> bool {
        let slash = path.iter().rposition(|byte| *byte == b'/');
        let has_folder = slash.is_none_or(|slash| self.nodes.get(&path[..slash]) == Some(&Node::Folder));
        has_folder && self.nodes.insert(path.to_vec(), node).is_none()
    }

    /// Judges a link: its target must stay inside of the tree both by its text and by what it goes through. The work
    /// is that of all links together.
    ///
    /// # Errors
    /// With the fault.
    pub(super) fn judge(&self, link: &[u8], target: &[u8], work: &mut Work) -> Result<(), Fault> {
        let folder = parent(link);
        lexically(folder, target)?;
        let mut walk = Walk { map: self, at: folder.to_vec(), followed: 0, inside_of: vec![link.to_vec()], work };
        walk.go(target).map(|_| ())
    }
}

/// The names that may still be walked.
#[derive(Debug)]
pub(super) struct Work {
    left: usize,
}

impl Default for Work {
    fn default() -> Self {
        Self { left: MAX_WALKED }
    }
}

/// Whether a walk can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    On,
    /// It runs in a circle, or to where no system can have anything, so that none gets to its end.
    Nowhere,
}

struct Walk<'a> {
    map: &'a Map,
    /// The path from the root to where it is now.
    at: Vec<u8>,
    followed: usize,
    /// The links whose targets are being walked.
    inside_of: Vec<Vec<u8>>,
    work: &'a mut Work,
}

impl Walk<'_> {
    fn go(&mut self, target: &[u8]) -> Result<Way, Fault> {
        if target.first() == Some(&b'/') {
            return Err(Fault::Absolute);
        }
        if target.is_empty() || target.contains(&0) {
            return Err(Fault::Odd);
        }
        for name in target.split(|byte| *byte == b'/') {
            self.work.left = self.work.left.checked_sub(1).ok_or(Fault::TooLong)?;
            match name {
                b"" | b"." => continue,
                b".." => {
                    self.up()?;
                    continue;
                }
                name => self.down(name),
            }
            if self.at.len() > MAX_AT {
                return Ok(Way::Nowhere);
            }
            let Some(Node::Link(next)) = self.map.nodes.get(&self.at) else { continue };
            if self.inside_of.contains(&self.at) {
                return Ok(Way::Nowhere);
            }
            self.followed += 1;
            if self.followed > MAX_FOLLOWED {
                return Err(Fault::TooMany);
            }
            self.inside_of.push(self.at.clone());
            self.up()?;
            let way = self.go(next)?;
            self.inside_of.pop();
            if way == Way::Nowhere {
                return Ok(way);
            }
        }
        Ok(Way::On)
    }

    fn down(&mut self, name: &[u8]) {
        if !self.at.is_empty() {
            self.at.push(b'/');
        }
        self.at.extend_from_slice(name);
    }

    fn up(&mut self) -> Result<(), Fault> {
        if self.at.is_empty() {
            return Err(Fault::LeadsOut);
        }
        self.at.truncate(parent(&self.at).len());
        Ok(())
    }
}

fn lexically(folder: &[u8], target: &[u8]) -> Result<(), Fault> {
    let mut depth = folder.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).count();
    for name in target.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => depth = depth.checked_sub(1).ok_or(Fault::LeadsOut)?,
            _ => depth += 1,
        }
    }
    Ok(())
}

/// The folder that a path is in; empty for the root.
fn parent(path: &[u8]) -> &[u8] {
    &path[..path.iter().rposition(|byte| *byte == b'/').unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(folders: &[&str], links: &[(&str, &str)]) -> Vec<Result<(), Fault>> {
        let mut map = Map::default();
        folders.iter().for_each(|path| assert!(map.add(path.as_bytes(), Node::Folder)));
        links
            .iter()
            .for_each(|(path, target)| assert!(map.add(path.as_bytes(), Node::Link(target.as_bytes().to_vec()))));
        let mut work = Work::default();
        links.iter().map(|(path, target)| map.judge(path.as_bytes(), target.as_bytes(), &mut work)).collect()
    }

    #[test]
    fn everything_is_in_a_folder_and_there_once() {
        let mut map = Map::default();
        assert!(map.add(b"a", Node::Folder) && map.add(b"a/file", Node::File));
        assert!(map.add(b"a/link", Node::Link(b"file".to_vec())));
        for path in ["a", "a/file", "a/link", "a/file/x", "a/link/x", "b/x"] {
            assert!(!map.add(path.as_bytes(), Node::File), "{path}");
        }
    }

    #[test]
    fn links_within_the_tree_are_let_through() {
        let links = [
            ("x", "a/b/c"),
            ("a/y", "../x"),
            ("a/b/z", "../../a/./b//c"),
            ("dangling", "nowhere/at/all"),
            ("self", "self"),
            ("one", "two"),
            ("two", "one"),
            ("root", "."),
            ("a/up", ".."),
            ("through", "a/up/a/b"),
        ];
        assert_eq!(judged(&["a", "a/b", "a/b/c"], &links), vec![Ok(()); links.len()]);
    }

    #[test]
    fn links_that_leave_it_are_not() {
        let one = |plain: &[&str], links: &[(&str, &str)]| judged(plain, links).pop().expect("a link");
        assert_eq!(one(&[], &[("x", "/etc/passwd")]), Err(Fault::Absolute));
        assert_eq!(one(&[], &[("x", "..")]), Err(Fault::LeadsOut));
        assert_eq!(one(&["a"], &[("a/x", "../../etc")]), Err(Fault::LeadsOut));
        assert_eq!(one(&["a"], &[("x", "missing/../../etc")]), Err(Fault::LeadsOut));
        // By its text it stays inside; through the first link it is one folder higher than it looks.
        assert_eq!(one(&["a", "a/b"], &[("a/b/up", "../.."), ("x", "a/b/up/../etc")]), Err(Fault::LeadsOut));
        assert_eq!(one(&["a", "d"], &[("a/b", "../d"), ("x", "a/b/../../etc")]), Err(Fault::LeadsOut));
        assert_eq!(one(&[], &[("out", "/etc"), ("x", "out/passwd")]), Err(Fault::Absolute));
        assert_eq!(one(&[], &[("x", "a\0b")]), Err(Fault::Odd));
    }

    #[test]
    fn many_links_end_soon() {
        let names: Vec<(String, String)> = (1..60).map(|n| (format!("l{n}"), format!("l{0}/../l{0}", n - 1))).collect();
        let links: Vec<(&str, &str)> = names.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(judged(&["l0"], &links).pop(), Some(Err(Fault::TooMany)));
    }

    #[test]
    fn walks_through_what_is_not_there_end_soon() {
        let begun = std::time::Instant::now();
        let long = "x/".repeat(2040);
        let chain: Vec<(String, String)> = (1..40).map(|n| (format!("l{n}"), format!("l{}/{long}", n - 1))).collect();
        let links: Vec<(&str, &str)> = chain.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let judged_chain = judged(&["l0"], &links);
        assert!(judged_chain.iter().all(|outcome| matches!(outcome, Ok(()) | Err(Fault::TooLong))));
        // Names that lead nowhere count too.
        let dots = format!("{}a", "./".repeat(2000));
        let many: Vec<(String, String)> = (0..120).map(|n| (format!("l{n}"), dots.clone())).collect();
        let links: Vec<(&str, &str)> = many.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let outcomes = judged(&[], &links);
        assert_eq!((outcomes.first(), outcomes.last()), (Some(&Ok(())), Some(&Err(Fault::TooLong))));
        assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    }
}
