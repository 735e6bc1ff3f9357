//! What a commit says of itself.

use chrono::{DateTime, Utc};

/// Bytes of a message that are kept.
const MAX_MESSAGE: usize = 64 * 1024;
/// Characters of a name that are kept.
const MAX_NAME: usize = 200;

/// A commit's own words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) tree: String,
    pub(super) message: String,
    pub(super) author_name: String,
    pub(super) committed_at: Option<DateTime<Utc>>,
}

/// Reads a commit object, which whoever made it wrote as they liked: what can't be read is left empty. None when it does
/// not even name a tree.
pub(super) fn read(object: &[u8]) -> Option<Words> {
    let text = String::from_utf8_lossy(object);
    let (head, message) = text.split_once("\n\n").unwrap_or((&text, ""));
    // A line that begins with a space goes on with the one before it: a signature.
    let header = |name: &str| {
        let mut pairs = head.lines().filter_map(|line| line.split_once(' '));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    let tree = header("tree")?;
    if !matches!(tree.len(), 40 | 64) || !tree.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let name = header("author").map(|line| line.split('<').next().unwrap_or_default());
    Some(Words {
        tree: tree.to_owned(),
        message: bounded(message),
        author_name: one_line(name.unwrap_or_default()),
        committed_at: header("committer").and_then(time),
    })
}

/// `Ada Lovelace <ada@example.com> 1700000000 +0100`.
fn time(line: &str) -> Option<DateTime<Utc>> {
    let seconds = line.rsplit_once('>')?.1.split_whitespace().next()?;
    DateTime::from_timestamp(seconds.parse().ok()?, 0)
}

fn bounded(message: &str) -> String {
    // No database takes NUL for text.
    let text = message.trim_end_matches('\n').replace('\0', "\u{fffd}");
    text[..text.floor_char_boundary(MAX_MESSAGE)].to_owned()
}

fn one_line(name: &str) -> String {
    name.trim().chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(MAX_NAME).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_read() {
        let object = "tree 0123456789012345678901234567890123456789\nparent x\n\
                      author Ada Lovelace <ada@example.com> 1700000000 +0100\n\
                      committer Bob <b@example.com> 1700000001 -0230\ngpgsig -----BEGIN\n author evil\n -----END\n\n\
                      Add a thing\n\nauthor of it: me\n";
        let words = read(object.as_bytes()).expect("a commit");
        assert_eq!(words.author_name, "Ada Lovelace");
        assert_eq!(words.message, "Add a thing\n\nauthor of it: me");
        assert_eq!(words.committed_at.map(|at| at.timestamp()), Some(1_700_000_001));
    }

    #[test]
    fn odd_commits_are_bounded() {
        let tree = format!("tree {}\n", "a".repeat(40));
        let odd =
            [tree.as_bytes(), b"author \xe4\x1b[0m<\ncommitter x> 99999999999999999999 +0\n\na\0", &[0xff; 99_999]];
        let words = read(&odd.concat()).expect("a commit");
        assert_eq!((words.author_name.as_str(), words.committed_at), ("\u{fffd}\u{fffd}[0m", None));
        assert!(words.message.starts_with("a\u{fffd}") && words.message.len() <= MAX_MESSAGE);
        let bare = read(tree.as_bytes()).expect("a commit");
        assert_eq!((bare.message.as_str(), bare.author_name.as_str()), ("", ""));
        assert_eq!((read(b""), read(b"tree ../x\n\n")), (None, None));
    }
}
