//! What makes two findings the same.
//!
//! | what is found | its identity is made of |
//! | --- | --- |
//! | a fault in a file (SAST, IAC) | rule, path and the code of its first line without its gaps. Where no code is known: rule and path |
//! | the same, by several tools | the least CWE number that the rule names instead of the rule: tools name rules as they like. Only where a tool has a single rule of that CWE on that line; else its rules stay what they are, so that different faults do too |
//! | a vulnerable package (SCA) | package URL without version, advisory, manifest: it stays the same when an upgrade does not mend it. An advisory is its CVE if any tool knows one, else its GHSA, else the least other name |
//! | a secret | the secret's value. Where the report and the source don't have it: rule, path, line and columns |
//! | a fault of a running service (DAST) | rule, path of the address, names of its parameters, and the parameter at fault. Host, port and values are left out: environments move. Several tools: as above, where a parameter is named |
//!
//! Two places in a file with the same rule and the same code are told apart by their order, which [`super::merge`]
//! gives them: lines above move both and change nothing.
//!
//! All of it goes through HMAC-SHA-256 with a key of the installation: a plain hash of a short secret could be guessed,
//! and a line of code may have a secret in it.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

/// A hash.
pub type Digest = [u8; 32];

/// What identities are made with.
pub struct Key(Zeroizing<[u8; 32]>);

impl Key {
    /// A key of the installation; whoever has it can guess at short secrets.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The hash of a few texts, of which none can be taken for another.
    #[must_use]
    pub fn digest(&self, what: What, parts: &[&str]) -> Digest {
        let mut mac = Hmac::<Sha256>::new_from_slice(&*self.0).expect("HMAC takes keys of any length");
        mac.update(b"kiops/v1\0");
        mac.update(&[what as u8]);
        for part in parts {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part.as_bytes());
        }
        mac.finalize().into_bytes().into()
    }

    /// The hash of another one and a number.
    #[must_use]
    pub fn again(&self, of: &Digest, ordinal: (usize, usize)) -> Digest {
        self.digest(What::Again, &[&hex::encode(of), &ordinal.0.to_string(), &ordinal.1.to_string()])
    }
}

/// What a hash is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Rule, path, code.
    Rule = 1,
    /// CWE, path, code.
    Weakness = 2,
    /// Package, advisory, manifest.
    Advisory = 3,
    /// A secret's value.
    Secret = 4,
    /// Rule, path, line and columns of a secret that is not known.
    Redacted = 5,
    /// Rule, address, parameter.
    Address = 6,
    /// CWE, address, parameter.
    AddressWeakness = 7,
    /// Another one of the same.
    Again = 8,
}

/// Code with every gap one space: what formatting and indentation change is not what it does.
#[must_use]
pub fn normalised(code: &str) -> String {
    let mut out = String::with_capacity(code.len().min(512));
    for word in code.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

/// An address without host, port, values and fragment.
#[must_use]
pub fn address(url: &str) -> String {
    let Ok(url) = url::Url::parse(url) else {
        return url.split(['?', '#']).next().unwrap_or_default().to_owned();
    };
    let mut names: Vec<String> = url.query_pairs().map(|(name, _)| name.into_owned()).collect();
    names.sort_unstable();
    names.dedup();
    let path = match url.path() {
        "" => "/",
        path => path,
    };
    if names.is_empty() { path.to_owned() } else { format!("{path}?{}", names.join("&")) }
}

/// The least CWE number among texts like `CWE-79`, `CWE-79: Cross-site Scripting`, `external/cwe/cwe-079` or `cwe:79`.
pub fn weakness<'a>(texts: impl IntoIterator<Item = &'a str>) -> Option<u32> {
    texts.into_iter().filter_map(cwe).min()
}

/// The CWE number that a text names.
#[must_use]
pub fn cwe(text: &str) -> Option<u32> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower
        .rsplit_once("cwe-")
        .or_else(|| lower.rsplit_once("cwe:"))
        .map_or_else(|| lower.strip_prefix("cwe").unwrap_or_default(), |(_, digits)| digits);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok().filter(|number| (1..100_000).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_what_is_compared() {
        assert_eq!(normalised("  a\t=  b \n"), "a = b");
        assert_eq!(address("http://127.0.0.1:8080/a?b=1&a=2#x"), "/a?a&b");
        assert_eq!(address("https://shop.example"), "/");
        for (text, number) in [
            ("CWE-79", Some(79)),
            ("CWE-78: Improper Neutralization ('OS Command Injection')", Some(78)),
            ("external/cwe/cwe-079", Some(79)),
            ("cwe:22", Some(22)),
            ("CWE89", Some(89)),
            ("security", None),
            ("OWASP-A03:2021", None),
            ("CWE-", None),
            ("CWE-99999999999", None),
        ] {
            assert_eq!(cwe(text), number, "{text}");
        }
        assert_eq!(weakness(["external/cwe/cwe-088", "external/cwe/cwe-078", "correctness"]), Some(78));
    }

    #[test]
    fn no_part_is_taken_for_another() {
        let key = Key::new([7; 32]);
        let hash = |what, parts: &[&str]| key.digest(what, parts);
        assert_ne!(hash(What::Rule, &["ab", "c"]), hash(What::Rule, &["a", "bc"]));
        assert_ne!(hash(What::Rule, &["a", ""]), hash(What::Rule, &["a"]));
        assert_ne!(hash(What::Rule, &["a"]), hash(What::Weakness, &["a"]));
        assert_ne!(hash(What::Rule, &["a"]), Key::new([8; 32]).digest(What::Rule, &["a"]));
    }
}
