//! What a server says its branches and tags are.

use super::{RefKind, Resolved};
use crate::domain::names::{BranchName, CommitHash};

/// The full names that a short one may have: a branch, a tag, and what an annotated tag points at.
pub(super) fn full_names(name: &BranchName) -> [String; 3] {
    let name = name.as_str();
    [format!("refs/heads/{name}"), format!("refs/tags/{name}"), format!("refs/tags/{name}^{{}}")]
}

/// Finds the name in the lines of `git ls-remote`, which matches ends of names: only a whole one counts. A branch comes
/// before a tag.
pub(super) fn find(listed: &str, name: &BranchName) -> Option<Resolved> {
    let [branch, tag, pointed_at] = full_names(name);
    let hash_of = |full: &str| {
        let mut pairs = listed.lines().filter_map(|line| line.split_once('\t'));
        pairs.find(|(_, found)| *found == full).and_then(|(hash, _)| CommitHash::parse(hash).ok())
    };
    if let Some(commit) = hash_of(&branch) {
        return Some(Resolved { commit, kind: RefKind::Branch });
    }
    let commit = hash_of(&pointed_at).or_else(|| hash_of(&tag))?;
    Some(Resolved { commit, kind: RefKind::Tag })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_names_count_and_branches_come_first() {
        let (a, b, c, d) = ("a".repeat(40), "b".repeat(40), "c".repeat(40), "d".repeat(40));
        let listed = format!(
            "{a}\trefs/remotes/refs/heads/main\n{b}\trefs/heads/main\n{c}\trefs/tags/main\n{c}\trefs/tags/v1\n\
             {d}\trefs/tags/v1^{{}}\n{c}\trefs/tags/light\nnonsense\trefs/heads/odd\n"
        );
        let of = |name: &str| find(&listed, &BranchName::parse(name).expect("a name"));
        let hash = |text: &str| CommitHash::parse(text).expect("a hash");
        assert_eq!(of("main"), Some(Resolved { commit: hash(&b), kind: RefKind::Branch }));
        assert_eq!(of("v1"), Some(Resolved { commit: hash(&d), kind: RefKind::Tag }));
        assert_eq!(of("light"), Some(Resolved { commit: hash(&c), kind: RefKind::Tag }));
        assert_eq!((of("mai"), of("odd"), of("heads/main")), (None, None, None));
    }
}
