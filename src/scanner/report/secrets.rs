//! Secrets that tools find: known by a keyed hash, shown as stars.

use secrecy::SecretString;

use crate::vault::Masker;

/// CWEs of faults that are a secret in the code: their messages and snippets quote it, whatever the tool is for.
const IN_CODE: [u32; 3] = [259, 321, 798];
/// Fewer bytes are no secret: hiding them would hide everything.
const SHORTEST: usize = 4;
/// From so many characters on the first four are shown.
const LONG: usize = 16;

/// Whether a fault of this CWE is a secret in the code.
#[must_use]
pub fn is_in_code(cwe: Option<u32>) -> bool {
    cwe.is_some_and(|cwe| IN_CODE.contains(&cwe))
}

/// The secret in what a tool shows of the place: all of it, or of a line like `key = "value"` the value. None where it
/// is masked already.
#[must_use]
pub fn value(shown: &str) -> Option<String> {
    let shown = shown.trim();
    if shown.contains("-----BEGIN ") {
        let joined: String = shown.split_whitespace().collect();
        return (!is_masked(&joined)).then_some(joined);
    }
    let found = match () {
        () if !shown.contains(char::is_whitespace) && !shown.contains(['"', '\'', '`']) => after_name(shown),
        () => quoted(shown).or_else(|| last_value(shown)).unwrap_or(shown),
    };
    let found = found.trim_matches(['"', '\'', '`', ',', ';']);
    (found.len() >= SHORTEST && !is_masked(found)).then(|| found.to_owned())
}

/// Whether a tool has masked it: stars or the word.
#[must_use]
pub fn is_masked(text: &str) -> bool {
    text.contains("REDACTED") || text.contains("***") || text.contains("xxxxxxxx")
}

/// What is shown of a secret: of a long one its beginning, which says what it is, like `AKIA****`.
#[must_use]
pub fn stars(secret: &str) -> String {
    let shown = if secret.chars().count() >= LONG { 4 } else { 0 };
    secret.chars().take(shown).chain("****".chars()).collect()
}

/// Hides secrets in texts.
pub struct Hide {
    values: Vec<String>,
    masker: Masker,
}

impl Hide {
    /// Hides these values and what looks like a secret.
    #[must_use]
    pub fn new(values: impl IntoIterator<Item = String>) -> Self {
        let mut values: Vec<String> = values.into_iter().filter(|value| value.len() >= SHORTEST).collect();
        values.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        values.dedup();
        let known: Vec<SecretString> = values.iter().cloned().map(Into::into).collect();
        Self { values, masker: Masker::new(&known) }
    }

    /// A text without them.
    #[must_use]
    pub fn hide(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for value in &self.values {
            if text.contains(value.as_str()) {
                text = text.replace(value.as_str(), &stars(value));
            }
        }
        self.masker.mask(&text)
    }
}

/// Of `name=value` or `name:value` the value; of anything else all of it. The `=` at the end of base64 is no such sign.
fn after_name(word: &str) -> &str {
    let Some(at) = word.find(['=', ':']) else { return word };
    let (name, value) = (&word[..at], word[at + 1..].trim_start_matches(['=', ':']));
    let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    let is_address = value.starts_with("//");
    if is_name && !is_address && name.len() < 64 && value.len() >= SHORTEST { value } else { word }
}

/// The longest text between quotes.
fn quoted(line: &str) -> Option<&str> {
    let mut best: Option<&str> = None;
    let mut rest = line;
    while let Some(start) = rest.find(['"', '\'', '`']) {
        let quote = rest[start..].chars().next()?;
        let after = &rest[start + 1..];
        let Some(end) = after.find(quote) else { break };
        let text = &after[..end];
        if text.len() >= SHORTEST && best.is_none_or(|best| text.len() > best.len()) {
            best = Some(text);
        }
        rest = &after[end + 1..];
    }
    best
}

/// What follows the first `=` or `: ` of a line.
fn last_value(line: &str) -> Option<&str> {
    let at = line.find('=').or_else(|| line.find(": "))?;
    line[at + 1..].split_whitespace().max_by_key(|word| word.len()).filter(|word| word.len() >= SHORTEST)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_value_is_found_in_what_is_shown() {
        for (shown, secret) in [
            ("AKIAQ3EGRIJ5VX2PTW4M", Some("AKIAQ3EGRIJ5VX2PTW4M")),
            ("AWS_ACCESS_KEY_ID=AKIAQ3EGRIJ5VX2PTW4M", Some("AKIAQ3EGRIJ5VX2PTW4M")),
            ("    password = \"hunter2-of-the-shop\"\n", Some("hunter2-of-the-shop")),
            ("password: hunter2-of-the-shop # old", Some("hunter2-of-the-shop")),
            ("export KEY=abcd1234 # a", Some("abcd1234")),
            ("dGVzdHNlY3JldA==", Some("dGVzdHNlY3JldA==")),
            ("postgres://u:secret@db/x", Some("postgres://u:secret@db/x")),
            ("REDACTED", None),
            ("token = \"****\"", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(value(shown).as_deref(), secret, "{shown}");
        }
        let key = "-----BEGIN PRIVATE KEY-----\nabc\ndef\n-----END PRIVATE KEY-----";
        assert_eq!(value(key), value(&key.replace('\n', "\r\n  ")));
        assert!(value(key).unwrap().contains("abcdef"));
    }

    #[test]
    fn what_is_shown_of_it_is_little() {
        assert_eq!(stars("AKIAQ3EGRIJ5VX2PTW4M"), "AKIA****");
        assert_eq!(stars("hunter2"), "****");
        let hide = Hide::new(["hunter2".to_owned()]);
        assert_eq!(hide.hide("password 'hunter2' is in hunter2.py"), "password '****' is in ****.py");
        assert!(!hide.hide("glpat-abcdefghij0123456789").contains("abcdefghij"));
    }
}
