//! What Git and its providers name: branches, projects, folders of a source tree.

use serde::{Deserialize, Serialize};

use super::InvalidName;

/// A branch's name by Git's own rules (git-check-ref-format, with `--branch`), at most 255 bytes: `main`, `fix/#12`,
/// `feature/ä`, `release/1.0+rc`. It begins with no hyphen, so that no program takes it for an option.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BranchName(pub(super) String);

/// A project's full path on its provider: `owner/name`, `group/subgroup/name`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProjectPath(pub(super) String);

/// A project's own name, which is the last part of its path too: `shop`, `shop-api`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProjectName(pub(super) String);

/// The path of what a project lives in: a user, an organization, a group: `acme`, `acme/tools`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NamespacePath(pub(super) String);

/// A folder of a source tree, relative to its root and normalised: `.`, `services/shop`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SourcePath(pub(super) String);

/// A commit's full hash: 40 or 64 hexadecimal digits in lower case. Never an abbreviation, which could come to mean
/// another commit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommitHash(pub(super) String);

impl CommitHash {
    /// # Errors
    /// When it is anything else, or all zeros, which Git writes for no commit at all.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let digits = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !matches!(text.len(), 40 | 64) || !digits || text.bytes().all(|b| b == b'0') {
            return Err(InvalidName::new("a commit is named by its full hash: 40 or 64 hexadecimal digits"));
        }
        Ok(Self(text.to_owned()))
    }

    /// Its first eight digits, for people.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..8]
    }
}

impl BranchName {
    /// # Errors
    /// When Git would refuse it (<https://git-scm.com/docs/git-check-ref-format>), or it has more than 255 bytes.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let refuse = |why: &str| Err(InvalidName::new(why));
        if text.is_empty() {
            return refuse("a branch is needed, like main");
        }
        if text.len() > 255 {
            return refuse("a branch's name has at most 255 bytes");
        }
        if text.starts_with('-') {
            return refuse("a branch's name does not begin with a hyphen");
        }
        if text.chars().any(|c| c.is_control() || " ~^:?*[\\".contains(c)) {
            return refuse("a branch's name has no spaces, no control characters and none of ~ ^ : ? * [ \\");
        }
        if text.contains("..") || text.contains("@{") || text == "@" || text == "HEAD" {
            return refuse("a branch's name has neither .. nor @{ in it, and is neither @ nor HEAD");
        }
        if text.ends_with('.') {
            return refuse("a branch's name does not end with a dot");
        }
        let bad = |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock");
        if text.split('/').any(bad) {
            return refuse("no part of a branch's name is empty, begins with a dot or ends with .lock");
        }
        Ok(Self(text.to_owned()))
    }
}

impl ProjectName {
    /// # Errors
    /// When it is no single part of a project's path, has more than 100 characters, or ends in `.git` or `.atom`, which
    /// both providers keep for their own addresses.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let kept = [".git", ".atom"].iter().any(|end| text.to_ascii_lowercase().ends_with(end));
        if text.len() > 100 || kept || !is_part(text) {
            return Err(InvalidName::new(
                "a project's name has up to 100 letters, digits, dots, underscores and hyphens, begins with no hyphen \
                 and ends in neither .git nor .atom",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl NamespacePath {
    /// # Errors
    /// When one of its parts could be none of a project's path.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        if text.len() > 1024 || text.split('/').count() >= ProjectPath::MAX_PARTS || !text.split('/').all(is_part) {
            return Err(InvalidName::new("give the group, organization or user by its path, like acme or acme/tools"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// What may stand between two slashes of a project's path.
fn is_part(part: &str) -> bool {
    !part.is_empty()
        && part.len() <= 255
        && !matches!(part, "." | "..")
        && !part.starts_with('-')
        && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

impl ProjectPath {
    /// Parts of a path, at most: GitLab nests groups 20 deep.
    const MAX_PARTS: usize = 22;

    /// # Errors
    /// When it is not two parts or more of letters, digits, dots, underscores and hyphens.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let refuse = || Err(InvalidName::new("give the project by its path, like group/project or owner/repository"));
        let parts = text.split('/').count();
        if text.len() > 1024 || !(2..=Self::MAX_PARTS).contains(&parts) || !text.split('/').all(is_part) {
            return refuse();
        }
        Ok(Self(text.to_owned()))
    }

    /// Its parts, outermost first.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }
}

impl SourcePath {
    /// The root of the tree.
    #[must_use]
    pub fn root() -> Self {
        Self(".".to_owned())
    }

    /// # Errors
    /// When it is absolute, leaves the tree, is not normalised (`a//b`, `a/./b`, a slash at the end), or has control
    /// characters or a backslash.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        if text == "." {
            return Ok(Self::root());
        }
        if text.len() > 512 {
            return Err(InvalidName::new("a path has at most 512 bytes"));
        }
        let bad = |part: &str| matches!(part, "" | "." | "..") || part.starts_with('-');
        if text.chars().any(|c| super::text::unprintable(c) || c == '\\') || text.split('/').any(bad) {
            return Err(InvalidName::new(
                "give the folder relative to the project's root, like services/shop: without .., a slash at either \
                 end, or a part that is empty or begins with a hyphen",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn git_decides_what_a_branch_is() {
        for good in
            ["main", "feature/ä", "fix/#12", "release/1.0+rc", "a/b/c/d", "feature/x;rm", "a@b", "%2e%2e", "$(id)"]
        {
            assert_eq!(BranchName::parse(good).map(String::from), Ok(good.to_owned()));
        }
        let long = "x".repeat(256);
        for bad in [
            "",
            "-x",
            "--upload-pack=touch x",
            "..",
            "a..b",
            "@{-1}",
            "a@{",
            "@",
            "HEAD",
            "x.lock",
            "x.lock/y",
            "a b",
            "a\nb",
            "a\0",
            "a\u{7f}",
            "a\u{85}b",
            "/a",
            "a/",
            "a//b",
            ".a",
            "a/.b",
            "a.",
            "a~1",
            "a^",
            "a:b",
            "a?",
            "a*",
            "a[",
            "a\\b",
            long.as_str(),
        ] {
            assert!(BranchName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_project_is_named_by_its_whole_path() {
        for good in ["acme/shop", "group/sub.group/shop_api-2", "a/b/c/d/e"] {
            assert!(ProjectPath::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "shop",
            "/shop",
            "acme/",
            "acme//shop",
            "acme/..",
            "../x",
            "acme/-x",
            "acme/a b",
            "a/b?c",
            "a/ä",
            "https://gitlab.com/a/b",
            "a/b\n",
        ] {
            assert!(ProjectPath::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_made_has_a_name_that_both_providers_take() {
        for good in ["shop", ".github", "shop.api_2"] {
            assert!(ProjectName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a/b", "-x", "..", "shop.git", "shop.Git", "x.atom", "a b", "ä", "x\n"] {
            assert!(ProjectName::parse(bad).is_err(), "{bad:?}");
        }
        assert!(NamespacePath::parse("acme").is_ok() && NamespacePath::parse("acme/tools").is_ok());
        for bad in ["", "/acme", "acme/", "../x", "acme?x", "a/../b"] {
            assert!(NamespacePath::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_commit_is_its_whole_hash() {
        let (short, long) = ("0123456789abcdef0123456789abcdef01234567", "ab".repeat(32));
        assert_eq!(CommitHash::parse(short).map(|c| c.short().to_owned()), Ok("01234567".to_owned()));
        assert!(CommitHash::parse(&long).is_ok());
        let upper = short.to_uppercase();
        for bad in ["", "01234567", &"0".repeat(40), &upper, &format!("{short}\n"), &"x".repeat(40)] {
            assert!(CommitHash::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_folder_stays_in_its_tree() {
        for good in [".", "services/shop", "a b/ä", ".github"] {
            assert!(SourcePath::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "/", "/etc", "..", "a/../../b", "a/..", "./a", "a/", "a//b", "a\\b", "-x", "a\0b", "a\u{202e}b"]
        {
            assert!(SourcePath::parse(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_comes_back_as_it_was(text in "\\PC{0,40}") {
            if let Ok(branch) = BranchName::parse(&text) {
                prop_assert_eq!(branch.as_str(), &text);
                prop_assert!(!text.starts_with('-') && !text.contains(".."));
            }
            if let Ok(path) = SourcePath::parse(&text) {
                prop_assert!(path.as_str() == "." || path.as_str().split('/').all(|part| part != ".."));
            }
        }
    }
}
