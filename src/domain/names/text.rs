//! What goes into a container: variables and paths.

use serde::{Deserialize, Serialize};

use super::InvalidName;

/// An environment variable's name: `[A-Za-z_][A-Za-z0-9_.-]*`, at most 255 characters, as Kubernetes takes it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EnvName(pub(super) String);

/// A readable variable's value: anything without NUL, at most 64 KiB. For secret ones use [`EnvText::check`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EnvText(pub(super) String);

/// Where a volume is mounted: absolute, normalised, and none of the places that are the system's own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MountPath(pub(super) String);

/// A path of an Ingress or of an HTTP health check: `/`, `/api`, `/api/v1/`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IngressPath(pub(super) String);

impl EnvName {
    /// # Errors
    /// When the text is not `[A-Za-z_][A-Za-z0-9_.-]*` or has more than 255 characters.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let Some(first) = text.bytes().next() else {
            return Err(InvalidName::new("a variable needs a name, like DATABASE_URL"));
        };
        if text.len() > 255 {
            return Err(InvalidName::new("a variable's name has at most 255 characters"));
        }
        let starts = first.is_ascii_alphabetic() || first == b'_';
        if !starts || !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b)) {
            return Err(InvalidName::new(
                "a variable's name is made of letters, digits, underscores, dots and hyphens, and starts with a \
                 letter or an underscore",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl EnvText {
    /// The most bytes that a value may have.
    pub const MAX_BYTES: usize = 64 * 1024;

    /// # Errors
    /// When the text holds NUL or more than 64 KiB.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        Self::check(text)?;
        Ok(Self(text.to_owned()))
    }

    /// The same rule for a value that must not be copied, because it is secret.
    ///
    /// # Errors
    /// When the text holds NUL or more than 64 KiB.
    pub fn check(text: &str) -> Result<(), InvalidName> {
        if text.len() > Self::MAX_BYTES {
            return Err(InvalidName::new("a variable's value has at most 65536 bytes"));
        }
        if text.contains('\0') {
            return Err(InvalidName::new("a variable's value cannot hold the NUL character"));
        }
        Ok(())
    }
}

impl MountPath {
    /// # Errors
    /// When the path is relative, not normalised (`..`, `.`, `//`, a slash at the end), has control characters or a
    /// colon (Docker separates with it), is `/` or lies in a place of the system or of an engine.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        if text.len() > 512 {
            return Err(InvalidName::new("a mount path has at most 512 bytes"));
        }
        if !text.starts_with('/') {
            return Err(InvalidName::new("a mount path is absolute, like /var/lib/mysql"));
        }
        if text == "/" {
            return Err(InvalidName::new("a volume cannot replace the whole file system: mount it below /"));
        }
        if text.chars().any(|c| unprintable(c) || c == ':') {
            return Err(InvalidName::new("a mount path has neither control characters nor colons"));
        }
        let Some(below) = text.strip_prefix('/') else { unreachable!("it starts with a slash") };
        if below.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(InvalidName::new(
                "a mount path has no . or .. parts, no double slashes and no slash at its end",
            ));
        }
        if let Some(place) = forbidden_place(text) {
            return Err(InvalidName::new(format!("nothing can be mounted at {place}: it is the system's own")));
        }
        Ok(Self(text.to_owned()))
    }
}

/// The system's place that a path is, lies in or would hide.
fn forbidden_place(path: &str) -> Option<&'static str> {
    const WITH_ALL_BELOW: [&str; 3] = ["/proc", "/sys", "/dev"];
    const SOCKETS: [&str; 6] = [
        "/var/run/docker.sock",
        "/run/docker.sock",
        "/run/containerd/containerd.sock",
        "/var/run/containerd/containerd.sock",
        "/run/podman/podman.sock",
        "/var/run/podman/podman.sock",
    ];
    let within = |path: &str, place: &str| path.strip_prefix(place).is_some_and(|r| r.is_empty() || r.starts_with('/'));
    WITH_ALL_BELOW
        .into_iter()
        .chain(SOCKETS)
        .find(|place| within(path, place))
        .or_else(|| ["/run", "/var/run"].into_iter().find(|place| path == *place))
}

impl IngressPath {
    /// # Errors
    /// When the path does not start with one slash, has `.` or `..` parts or double slashes, or anything but
    /// letters, digits and `-._~/`.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let bad = || {
            Err(InvalidName::new(
                "a path is like / or /api: it starts with one slash and is made of letters, digits and - . _ ~ /",
            ))
        };
        if text.len() > 512 {
            return Err(InvalidName::new("a path has at most 512 bytes"));
        }
        let Some(below) = text.strip_prefix('/') else { return bad() };
        if !below.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~/".contains(&b)) {
            return bad();
        }
        let below = below.strip_suffix('/').unwrap_or(below);
        let parts_ok = text == "/" || !below.split('/').any(|part| matches!(part, "" | "." | ".."));
        if !parts_ok {
            return Err(InvalidName::new("a path has no . or .. parts and no double slashes"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Control characters, and the invisible ones that turn a text's direction or join nothing.
pub(super) fn unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}
