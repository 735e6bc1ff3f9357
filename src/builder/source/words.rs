//! What `git` says when it fails, made into one of our errors. Its own words are quoted masked, in one line and cut.

use super::process::Ended;
use super::{Origin, SourceError};
use crate::domain::names::CommitHash;
use crate::engine::neutralise;
use crate::vault::Masker;

/// Characters of its own words that an error quotes.
const QUOTED: usize = 300;

/// What was asked of `git`, for the messages.
pub(super) struct Asked<'a> {
    /// Of whom.
    pub(super) host: &'a str,
    /// With what.
    pub(super) origin: &'a Origin,
    /// For which commit, if for one.
    pub(super) commit: Option<&'a CommitHash>,
}

/// What its end means.
pub(super) fn meaning(ended: &Ended, asked: &Asked<'_>) -> SourceError {
    let host = asked.host;
    let said = String::from_utf8_lossy(&ended.stderr);
    let lower = said.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if has(&["not our ref", "unadvertised object", "remote ref"])
        && let Some(commit) = asked.commit
    {
        let short = commit.short();
        return SourceError::NotFound(format!(
            "the commit {short} is no longer there: was it replaced by a forced push?"
        ));
    }
    if has(&["authentication failed", "could not read username", "error: 401", "error: 403", "access denied"]) {
        return SourceError::Unauthorized(format!("{host} does not let the token read this project"));
    }
    if has(&["error: 404", "error: 410"]) || (lower.contains("repository '") && lower.contains("' not found")) {
        return SourceError::NotFound(format!("{host} has no such project, or none that the token may read"));
    }
    if has(&["file too large", "died of signal 25", "file size limit"]) {
        return SourceError::Refused("the source is larger than what may be fetched".to_owned());
    }
    if has(&["out of memory", "malloc failed", "realloc failed", "mmap failed"]) {
        return SourceError::Refused("the source holds something that needs too much memory to unpack".to_owned());
    }
    if has(&["no space left on device", "disk quota exceeded"]) {
        return SourceError::Broken("there is no room left on the server's disk for the source".to_owned());
    }
    let quote = quoted(&said, asked.origin);
    if has(&["fsck error", "error: object ", "in packed object"]) {
        return SourceError::Refused(format!("the source holds a malformed object: {quote}"));
    }
    if has(&["error: 301", "error: 302", "error: 303", "error: 307", "error: 308", "redirect"]) {
        return SourceError::Refused(format!("{host} redirects to another address, which is not followed"));
    }
    if has(&["operation too slow", "timed out", "timeout"]) {
        return SourceError::Unreachable(format!("{host} did not go on sending the source"));
    }
    SourceError::Unreachable(format!("the source could not be had from {host}: {quote}"))
}

/// The last lines that say something. They are masked when nothing is left in them that could stand within a secret.
fn quoted(said: &str, origin: &Origin) -> String {
    let starts = ["fatal:", "error:", "remote:"];
    let lines = said.lines().map(|line| neutralise(line.trim()));
    let telling: Vec<String> = lines.filter(|line| starts.iter().any(|start| line.starts_with(start))).collect();
    let last = telling[telling.len().saturating_sub(3)..].join("; ");
    let text: String = Masker::new([&origin.token]).mask(&last).chars().take(QUOTED).collect();
    if text.is_empty() { "git gave no reason".to_owned() } else { text }
}

/// A name out of a source, as a message shows it.
pub(super) fn shown(name: &[u8]) -> String {
    let text = neutralise(&String::from_utf8_lossy(name)).replace('\t', "\u{fffd}");
    let mut short: String = text.chars().take(120).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("\"{short}\"")
}

/// `1.5 GiB`, `20 MiB`, `3 KiB`.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["bytes", "KiB", "MiB", "GiB"];
    let mut unit = 0;
    let mut scaled = bytes;
    while scaled >= 10 * 1024 && unit < 3 {
        scaled /= 1024;
        unit += 1;
    }
    format!("{scaled} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::*;

    fn of(stderr: &str) -> SourceError {
        let token = "hunter2-hunter2".into();
        let origin = Origin { url: String::new(), username: "oauth2".to_owned(), token, trusted: false };
        let ended = Ended { status: ExitStatus::from_raw(128 << 8), stdout: Vec::new(), stderr: stderr.into() };
        let commit = CommitHash::parse(&"a".repeat(40)).expect("a hash");
        meaning(&ended, &Asked { host: "example.com", origin: &origin, commit: Some(&commit) })
    }

    #[test]
    fn what_git_says_becomes_the_right_error() {
        let not_found = |error: &SourceError| matches!(error, SourceError::NotFound(_));
        assert!(not_found(&of("fatal: remote error: upload-pack: not our ref aaaa")));
        assert!(not_found(&of("fatal: repository 'https://example.com/a.git/' not found")));
        let refused = |error: &SourceError| matches!(error, SourceError::Refused(_));
        assert!(refused(&of("error: index-pack died of signal 25\nfatal: x")));
        assert!(refused(&of(
            "error: object 1: treeNotSorted: not properly sorted\nfatal: fsck error in packed object"
        )));
        let login = of("fatal: could not read Username for 'https://example.com': terminal prompts disabled");
        assert!(matches!(login, SourceError::Unauthorized(_)));
        assert!(matches!(of("fatal: early EOF"), SourceError::Unreachable(_)));
        assert!(matches!(of(""), SourceError::Unreachable(_)));
    }

    #[test]
    fn what_is_quoted_is_masked_neutral_and_short() {
        let message = of(&format!("remote: \x1b[31mhunter2-hunter2 {}\x07\nhint: x\n", "x".repeat(9_000))).to_string();
        assert!(message.contains("remote: *** xxx") && !message.contains('\x1b') && !message.contains('\x07'));
        assert!(!message.contains("hint") && message.len() < 500, "{message}");
    }

    #[test]
    fn names_and_sizes_are_for_people() {
        assert_eq!(shown(b"a\x1b]0;x\x07b\nc\xff"), "\"ab\u{fffd}c\u{fffd}\"");
        assert_eq!((size(5), size(20 * 1024), size(30 << 30)), ("5 bytes".into(), "20 KiB".into(), "30 GiB".into()));
    }
}
