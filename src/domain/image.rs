//! Image references by the grammar of the OCI distribution specification, normalised as Docker does it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The host that Docker Hub's images are named under.
pub const DOCKER_HUB: &str = "docker.io";

/// A repository: a registry's host and the path below it, without tag or digest.
///
/// `nginx` is `docker.io` + `library/nginx`; `registry.example.com:5000/team/app` keeps its host. The first
/// component is a host when it holds a dot or a colon or is `localhost`, as in Docker's own normalisation
/// (<https://github.com/distribution/reference/blob/main/normalize.go>).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Repository {
    host: String,
    path: String,
}

/// A tag: `[A-Za-z0-9_][A-Za-z0-9._-]{0,127}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tag(String);

/// A content digest, `sha256:` and 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

/// What is wrong with a name, in words for the person who typed it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidImage(pub String);

impl Repository {
    /// Reads `nginx`, `user/repo`, `ghcr.io/acme/app` or `registry.example.com:5000/team/app`.
    ///
    /// # Errors
    /// When the text has a tag or digest, or breaks the reference grammar (at most 255 characters, lower-case
    /// path components).
    pub fn parse(text: &str) -> Result<Self, InvalidImage> {
        let bad = |why: &str| Err(InvalidImage(why.to_owned()));
        if text.is_empty() {
            return bad("an image name is needed, like nginx or ghcr.io/acme/app");
        }
        if text.len() > 255 {
            return bad("an image name has at most 255 characters");
        }
        if text.contains('@') {
            return bad("give the image without a digest");
        }
        let (host, path) = match text.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest.to_owned()),
            _ if text.contains(':') => return bad("give the tag in its own field, not in the image name"),
            Some(_) => (DOCKER_HUB, text.to_owned()),
            None => (DOCKER_HUB, format!("library/{text}")),
        };
        let host = normalise_host(host);
        if !is_host(&host) {
            return bad("the registry is not a host name with an optional port");
        }
        let path = match path.as_str() {
            single if host == DOCKER_HUB && !single.contains('/') => format!("library/{single}"),
            _ => path,
        };
        if path.contains(':') {
            return bad("give the tag in its own field, not in the image name");
        }
        if !path.split('/').all(is_path_component) {
            return bad(
                "an image name is made of lower-case letters, digits and single separators (. _ __ -) between slashes",
            );
        }
        Ok(Self { host, path })
    }

    /// The registry's host with its port, `docker.io` for Docker Hub.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The path below the host: `library/nginx`, `team/app`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// As people write it: `nginx`, `bitnami/redis`, `ghcr.io/acme/app`.
    #[must_use]
    pub fn familiar(&self) -> String {
        let official = self.path.strip_prefix("library/").filter(|name| !name.contains('/'));
        // Without its host such a path would be read as another host's.
        let looks_like_host =
            self.path.split_once('/').is_some_and(|(first, _)| first.contains('.') || first == "localhost");
        match (self.host.as_str(), official) {
            (DOCKER_HUB, Some(official)) => official.to_owned(),
            (DOCKER_HUB, None) if !looks_like_host => self.path.clone(),
            _ => format!("{}/{}", self.host, self.path),
        }
    }
}

/// `index.docker.io` and `registry-1.docker.io` are Docker Hub under other names.
#[must_use]
pub fn normalise_host(host: &str) -> String {
    match host.to_ascii_lowercase().as_str() {
        "index.docker.io" | "registry-1.docker.io" | "hub.docker.com" => DOCKER_HUB.to_owned(),
        other => other.to_owned(),
    }
}

fn is_host(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (host, None),
    };
    let port_ok = port.is_none_or(|p| p.bytes().all(|b| b.is_ascii_digit()) && p.parse::<u16>().is_ok_and(|n| n > 0));
    let label = |l: &str| {
        !l.is_empty()
            && l.len() <= 63
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    port_ok && name.len() <= 253 && name.split('.').all(label)
}

fn is_path_component(component: &str) -> bool {
    let alnum = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    if !alnum(*first) || !alnum(*last) || !bytes.iter().all(|b| alnum(*b) || b"._-".contains(b)) {
        return false;
    }
    component
        .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        .all(|sep| matches!(sep, "" | "." | "_" | "__") || sep.bytes().all(|b| b == b'-'))
}

impl Tag {
    /// # Errors
    /// When the text is not `[A-Za-z0-9_][A-Za-z0-9._-]{0,127}`.
    pub fn parse(text: &str) -> Result<Self, InvalidImage> {
        let first = text.bytes().next();
        let ok = text.len() <= 128
            && first.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if ok {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidImage(
                "a tag has 1 to 128 letters, digits, dots, hyphens and underscores, and starts with none of . and -"
                    .to_owned(),
            ))
        }
    }

    /// The tag's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Digest {
    /// # Errors
    /// When the text is not `sha256:` and 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, InvalidImage> {
        let hex = text.strip_prefix("sha256:").unwrap_or_default();
        if hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidImage("a digest is sha256: and 64 hexadecimal digits".to_owned()))
        }
    }

    /// The digest's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.familiar())
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! text_conversions {
    ($($name:ident),*) => {$(
        impl TryFrom<String> for $name {
            type Error = InvalidImage;
            fn try_from(text: String) -> Result<Self, InvalidImage> {
                Self::parse(&text)
            }
        }
        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.to_string()
            }
        }
    )*};
}
text_conversions!(Repository, Tag, Digest);

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_normalised_as_docker_does_it() {
        for (text, host, path, familiar) in [
            ("nginx", "docker.io", "library/nginx", "nginx"),
            ("user/repo", "docker.io", "user/repo", "user/repo"),
            ("docker.io/nginx", "docker.io", "library/nginx", "nginx"),
            ("index.docker.io/library/nginx", "docker.io", "library/nginx", "nginx"),
            ("ghcr.io/acme/app", "ghcr.io", "acme/app", "ghcr.io/acme/app"),
            ("GHCR.io/acme/app", "ghcr.io", "acme/app", "ghcr.io/acme/app"),
            ("localhost/app", "localhost", "app", "localhost/app"),
            ("127.0.0.1:5000/a/b/c", "127.0.0.1:5000", "a/b/c", "127.0.0.1:5000/a/b/c"),
            ("a__b/c---d.e", "docker.io", "a__b/c---d.e", "a__b/c---d.e"),
            ("docker.io/a.b/c", "docker.io", "a.b/c", "docker.io/a.b/c"),
            ("docker.io/localhost/c", "docker.io", "localhost/c", "docker.io/localhost/c"),
            ("library/a/b", "docker.io", "library/a/b", "library/a/b"),
        ] {
            let repository = Repository::parse(text).unwrap();
            assert_eq!((repository.host(), repository.path()), (host, path), "{text}");
            assert_eq!(repository.familiar(), familiar, "{text}");
            assert_eq!(Repository::parse(familiar).unwrap(), repository, "{text}");
        }
    }

    #[test]
    fn hostile_names_are_refused() {
        let long = "a".repeat(256);
        for text in [
            "",
            " ",
            "nginx ",
            " nginx",
            "nginx\n",
            "nginx\0",
            "../x",
            "x/../y",
            "./x",
            "/x",
            "x/",
            "x//y",
            "-x",
            "x-",
            "x/-y",
            "x/$(id)",
            "x;id",
            "x`id`",
            "x|y",
            "x&y",
            "x>y",
            "x\"y",
            "x\\y",
            "x#y",
            "x?y",
            "x%0ay",
            "NGINX",
            "nginx:latest",
            "nginx@sha256:00",
            "ghcr.io/acme/app:v1",
            "http://ghcr.io/x",
            "user:pw@host.example/x",
            "a___b",
            "a..b",
            "a._b",
            "\u{202e}nginx",
            "ng\u{456}nx",
            "host.example:0/x",
            "host.example:99999/x",
            "host.example:/x",
            "-host.example/x",
            "host..example/x",
            "[::1]:5000/x",
            "host.example:5000",
            "host.example/",
            "x y.example/z",
            long.as_str(),
        ] {
            assert!(Repository::parse(text).is_err(), "{text:?}");
        }
        let longest = "t".repeat(128);
        for text in ["latest", "1.0", "_x", "V1.0-rc_1", longest.as_str()] {
            assert!(Tag::parse(text).is_ok(), "{text:?}");
        }
        let too_long = "t".repeat(129);
        for text in ["", "-x", ".x", "x:$(id)", "x y", "x\n", "x/y", "x@y", "ä", "x\0", too_long.as_str()] {
            assert!(Tag::parse(text).is_err(), "{text:?}");
        }
        let hex = "0".repeat(64);
        assert!(Digest::parse(&format!("sha256:{hex}")).is_ok());
        for text in
            ["", "sha256:", &hex, &format!("sha256:{hex}0"), &format!("sha512:{hex}"), &format!("sha256:{hex}\n")]
        {
            assert!(Digest::parse(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_the_same(text in "(docker\\.io/|[a-z0-9.-]{1,12}(:[0-9]{1,5})?/)?(library/|localhost/|[a-z]\\.[a-z]/)?[a-z0-9._/-]{1,12}") {
            if let Ok(repository) = Repository::parse(&text) {
                prop_assert_eq!(&Repository::parse(&repository.familiar()).unwrap(), &repository);
                let json = serde_json::to_string(&repository).unwrap();
                prop_assert_eq!(serde_json::from_str::<Repository>(&json).unwrap(), repository);
            }
        }

        #[test]
        fn what_passes_is_safe_in_an_address(text in "\\PC{0,40}") {
            if let Ok(repository) = Repository::parse(&text) {
                let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-/:".contains(&b);
                prop_assert!(repository.familiar().bytes().all(plain));
                prop_assert!(repository.path().split('/').all(|part| !part.is_empty() && part != "." && part != ".."));
            }
            if let Ok(tag) = Tag::parse(&text) {
                prop_assert!(!tag.as_str().contains(['/', ':', '@', ' ']) && !tag.as_str().starts_with('-'));
                let json = serde_json::to_string(&tag).unwrap();
                prop_assert_eq!(serde_json::from_str::<Tag>(&json).unwrap(), tag);
            }
        }
    }
}
