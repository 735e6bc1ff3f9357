//! What may go from a project's files into a Dockerfile. The files are hostile; what does not fit is not used.

/// A version of one to three numbers, such as `3`, `3.13` or `v20.11.1`; without the `v`.
#[must_use]
pub fn version(text: &str) -> Option<String> {
    let text = text.trim();
    let text = text.strip_prefix('v').unwrap_or(text);
    let parts: Vec<&str> = text.split('.').collect();
    let is_number = |part: &&str| matches!(part.len(), 1..=4) && part.bytes().all(|b| b.is_ascii_digit());
    (parts.len() <= 3 && parts.iter().all(is_number)).then(|| text.to_owned())
}

/// Whether a text is one plain word: letters, digits and `._@/+:-`, and no option. It means nothing to a shell.
#[must_use]
pub fn is_word(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._@/+:-".contains(&b);
    matches!(text.len(), 1..=200) && text.bytes().all(plain) && !text.starts_with('-')
}

/// Whether a text is a path below a root, of plain words.
#[must_use]
pub fn is_path(text: &str) -> bool {
    let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.starts_with('-');
    is_word(text) && text.split('/').all(plain)
}

/// The word, if it is one.
#[must_use]
pub fn word(text: &str) -> Option<String> {
    is_word(text).then(|| text.to_owned())
}

/// The path, if it is one; a leading `./` and a trailing `/` are cut.
#[must_use]
pub fn path(text: &str) -> Option<String> {
    let text = text.trim();
    let text = text.strip_prefix("./").unwrap_or(text).trim_end_matches('/');
    is_path(text).then(|| text.to_owned())
}
