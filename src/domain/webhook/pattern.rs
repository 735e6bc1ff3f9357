//! Which branches start a pipeline.

use std::fmt;

use crate::domain::names::{BranchName, InvalidName};

/// A branch's name, or many: `*` stands for any characters, slashes too, as in the names of GitLab's protected branches
/// (<https://docs.gitlab.com/user/project/repository/branches/protected/#use-wildcard-rules>). `release/*` is
/// `release/1.0` and `release/1.0/fix`, `*` is every branch. Letters of another size are others, as in Git.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BranchPattern(String);

impl BranchPattern {
    /// # Errors
    /// When no branch could have such a name, whatever stands for `*`.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        // Whatever is legal around an asterisk is so around a letter, and repeated asterisks are one.
        let mut stand_in = text.to_owned();
        while stand_in.contains("**") {
            stand_in = stand_in.replace("**", "*");
        }
        BranchName::parse(&stand_in.replace('*', "x"))
            .map_err(|error| InvalidName(format!("{error}; * stands for any characters")))?;
        Ok(Self(stand_in))
    }

    /// The text, with repeated asterisks as one.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a branch is meant.
    #[must_use]
    pub fn matches(&self, branch: &BranchName) -> bool {
        let mut parts = self.0.split('*');
        let (name, first) = (branch.as_str(), parts.next().unwrap_or_default());
        let Some(mut rest) = name.strip_prefix(first) else { return false };
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        for part in parts {
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last)
    }
}

impl fmt::Display for BranchPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asterisk_is_any_characters() {
        let cases = [
            ("main", "main", true),
            ("main", "main2", false),
            ("main", "Main", false),
            ("*", "main", true),
            ("*", "a/b/c", true),
            ("release/*", "release/1.0", true),
            ("release/*", "release/1.0/fix", true),
            ("release/*", "release", false),
            ("release/*", "prerelease/1", false),
            ("*-stable", "1-2-stable", true),
            ("*-stable", "stable", false),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("*b*", "abc", true),
            ("*ab*ab*", "ab", false),
            ("**/x", "a/x", true),
            ("feature/ä*", "feature/äö", true),
            ("fix/#*", "fix/#12", true),
        ];
        for (pattern, name, expected) in cases {
            let matches = BranchPattern::parse(pattern).map(|p| p.matches(&BranchName::parse(name).expect(name)));
            assert_eq!(matches, Ok(expected), "{pattern} {name}");
        }
    }

    #[test]
    fn what_no_branch_can_be_called_is_no_pattern() {
        for bad in ["", "-x", "--*", "a b", "a..*", "a//*", "*.lock", "/*", "*/", "a?", "[a]", "a\n", &"x".repeat(300)]
        {
            assert!(BranchPattern::parse(bad).is_err(), "{bad:?}");
        }
    }
}
