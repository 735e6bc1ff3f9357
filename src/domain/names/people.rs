//! What belongs to people: e-mail addresses, names to show, passwords.

use serde::{Deserialize, Serialize};

use super::InvalidName;
use super::text::unprintable;

/// An e-mail address as people sign in with it. Compared without regard to case: use [`Email::key`] to look one up.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Email(pub(super) String);

/// A name to show: 1 to 100 printable characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DisplayName(pub(super) String);

impl Email {
    /// Takes the shape that mail servers in use take, and `admin@localhost`: no quoted local parts, no comments, no
    /// address literals.
    ///
    /// # Errors
    /// When the text is not `local@host` by that shape, or has more than 254 characters (RFC 5321, 4.5.3.1.3).
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let bad = || Err(InvalidName::new("an e-mail address is like ada@example.com"));
        if text.len() > 254 {
            return Err(InvalidName::new("an e-mail address has at most 254 characters"));
        }
        let Some((local, host)) = text.rsplit_once('@') else { return bad() };
        let local_ok = !local.is_empty()
            && local.len() <= 64
            && local.split('.').all(|atom| !atom.is_empty())
            && local.bytes().all(|b| b.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&b));
        let host_label = |l: &str| {
            (1..=63).contains(&l.len())
                && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !l.starts_with('-')
                && !l.ends_with('-')
        };
        if !local_ok || !host.split('.').all(host_label) {
            return bad();
        }
        Ok(Self(text.to_owned()))
    }

    /// Lower case: what is unique and what is looked up.
    #[must_use]
    pub fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl DisplayName {
    /// # Errors
    /// When the text is blank, starts or ends with white space, has more than 100 characters or any that cannot be
    /// seen (control characters, direction overrides).
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        if text.trim().is_empty() {
            return Err(InvalidName::new("a name is needed"));
        }
        if text.len() > 400 || text.chars().count() > 100 {
            return Err(InvalidName::new("a name has at most 100 characters"));
        }
        if text.chars().any(unprintable) {
            return Err(InvalidName::new("a name has no control characters and none that change its direction"));
        }
        if text.trim().len() != text.len() {
            return Err(InvalidName::new("a name neither starts nor ends with a space"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// The rule for passwords, asked before anything is hashed: 8 to 1024 bytes, whatever they are.
///
/// # Errors
/// When the password is shorter or longer.
pub fn check_password(password: &str) -> Result<(), InvalidName> {
    match password.len() {
        0..8 => Err(InvalidName::new("a password has at least 8 characters")),
        8..=1024 => Ok(()),
        _ => Err(InvalidName::new("a password has at most 1024 bytes")),
    }
}
