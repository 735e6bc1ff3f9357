//! Packages and advisories, spelled in one way.

/// A package as a package URL names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// `pkg:npm/lodash@4.17.15`, without qualifiers.
    pub purl: String,
    /// The same without the version.
    pub base: String,
    /// `@angular/core`, `org.example:thing`, `lodash`.
    pub name: String,
    /// The version; empty when it isn't known.
    pub version: String,
}

/// Advisories that stand for one vulnerability, the preferred first. What else there is (DSA, USN, RHSA, ALAS …) bundles
/// several, and says nothing about two being the same.
const ADVISORIES: [&str; 12] =
    ["CVE-", "GHSA-", "PYSEC-", "RUSTSEC-", "GO-", "MAL-", "OSV-", "EUVD-", "HSEC-", "RSEC-", "SNYK-", "TEMP-"];

/// What lock files and manifests are of which ecosystem, for reports that don't say it.
const MANIFESTS: [(&str, &str); 22] = [
    ("package-lock.json", "npm"),
    ("npm-shrinkwrap.json", "npm"),
    ("yarn.lock", "npm"),
    ("pnpm-lock.yaml", "npm"),
    ("bun.lock", "npm"),
    ("package.json", "npm"),
    ("requirements.txt", "pypi"),
    ("poetry.lock", "pypi"),
    ("uv.lock", "pypi"),
    ("Pipfile.lock", "pypi"),
    ("pdm.lock", "pypi"),
    ("pylock.toml", "pypi"),
    ("Cargo.lock", "cargo"),
    ("go.mod", "golang"),
    ("go.sum", "golang"),
    ("Gemfile.lock", "gem"),
    ("composer.lock", "composer"),
    ("pom.xml", "maven"),
    ("gradle.lockfile", "maven"),
    ("packages.lock.json", "nuget"),
    ("mix.lock", "hex"),
    ("pubspec.lock", "pub"),
];

impl Package {
    /// Reads a package URL.
    #[must_use]
    pub fn of_purl(purl: &str) -> Option<Self> {
        let rest = purl.trim().strip_prefix("pkg:")?.trim_start_matches('/');
        let rest = rest.split(['?', '#']).next()?.trim_end_matches('/');
        let (kind, path) = rest.split_once('/')?;
        // An `@` at the beginning of a part is a scope that should have been encoded.
        let last = path.rfind('/').map_or(0, |at| at + 1);
        let at = path[last..].rfind('@').filter(|at| *at > 0).map(|at| last + at);
        let (path, version) = at.map_or((path, ""), |at| (&path[..at], &path[at + 1..]));
        let parts: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(decoded).collect();
        let (name, space) = parts.split_last()?;
        Some(Self::of_parts(kind, &space.join("/"), name, &decoded(version)))
    }

    /// Of an ecosystem, a name as people write it, and a version.
    #[must_use]
    pub fn of_name(kind: &str, name: &str, version: &str) -> Self {
        let (space, name) = match kind {
            "maven" => name.split_once(':').unwrap_or(("", name)),
            _ => name.rsplit_once('/').unwrap_or(("", name)),
        };
        Self::of_parts(kind, space, name, version)
    }

    /// The ecosystem of a manifest, by its file's name; `generic` where it says nothing.
    #[must_use]
    pub fn ecosystem(manifest: &str) -> &'static str {
        let file = manifest.rsplit('/').next().unwrap_or(manifest);
        let known = MANIFESTS.iter().find(|(name, _)| *name == file).map(|(_, kind)| *kind);
        let requirements = file.starts_with("requirements") && file.ends_with(".txt");
        known.unwrap_or(if requirements { "pypi" } else { "generic" })
    }

    /// Whether it is a package of an operating system: those are in an image as a whole, and no manifest names them.
    #[must_use]
    pub fn is_of_system(&self) -> bool {
        ["pkg:deb/", "pkg:apk/", "pkg:rpm/", "pkg:alpm/"].iter().any(|kind| self.base.starts_with(kind))
    }

    fn of_parts(kind: &str, space: &str, name: &str, version: &str) -> Self {
        let kind = kind.to_ascii_lowercase();
        let (space, name) = match kind.as_str() {
            "pypi" => (space.to_owned(), name.to_ascii_lowercase().replace(['_', '.'], "-")),
            "github" | "bitbucket" | "composer" | "deb" | "apk" | "hex" => {
                (space.to_ascii_lowercase(), name.to_ascii_lowercase())
            }
            _ => (space.to_owned(), name.to_owned()),
        };
        let path: Vec<String> =
            space.split('/').filter(|s| !s.is_empty()).chain([name.as_str()]).map(encoded).collect();
        let base = format!("pkg:{kind}/{}", path.join("/"));
        let purl = if version.is_empty() { base.clone() } else { format!("{base}@{}", encoded(version)) };
        let shown = match (space.as_str(), kind.as_str()) {
            ("", _) | (_, "deb" | "apk" | "rpm" | "alpm") => name,
            (space, "maven") => format!("{space}:{name}"),
            (space, _) => format!("{space}/{name}"),
        };
        Self { purl, base, name: shown, version: version.to_owned() }
    }
}

/// An advisory in its own spelling: `CVE-2026-1`, `GHSA-abcd-…`.
#[must_use]
pub fn advisory(id: &str) -> String {
    let id = id.trim();
    let upper = id.to_ascii_uppercase();
    if upper.starts_with("CVE-") {
        return upper;
    }
    match upper.strip_prefix("GHSA-") {
        Some(_) => format!("GHSA-{}", id["GHSA-".len()..].to_ascii_lowercase()),
        None => id.to_owned(),
    }
}

/// Whether an id stands for one vulnerability.
#[must_use]
pub fn is_single(id: &str) -> bool {
    ADVISORIES.iter().any(|start| id.starts_with(start))
}

/// Which of several names is the advisory's: the least is.
#[must_use]
pub fn preference(id: &str) -> (usize, &str) {
    let place = ADVISORIES.iter().position(|start| id.starts_with(start)).unwrap_or(ADVISORIES.len());
    (place, id)
}

fn decoded(text: impl AsRef<str>) -> String {
    percent(text.as_ref())
}

/// Percent-decoded; what is no such sequence stays as it is, and what is no UTF-8 is replaced.
#[must_use]
pub fn percent(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 3).filter(|d| bytes[at] == b'%' && d.iter().all(u8::is_ascii_hexdigit));
        match digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn encoded(text: impl AsRef<str>) -> String {
    let mut out = String::new();
    for byte in text.as_ref().bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' | b':' | b'+' => out.push(byte.into()),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn package_urls_have_one_spelling() {
        for (given, purl, name, version) in [
            ("pkg:npm/lodash@4.17.15", "pkg:npm/lodash@4.17.15", "lodash", "4.17.15"),
            (
                "pkg:npm/%40angular/core@11.0.0?package-id=9",
                "pkg:npm/%40angular/core@11.0.0",
                "@angular/core",
                "11.0.0",
            ),
            ("pkg:npm/@angular/core@11.0.0", "pkg:npm/%40angular/core@11.0.0", "@angular/core", "11.0.0"),
            ("pkg:NPM/@angular/core", "pkg:npm/%40angular/core", "@angular/core", ""),
            ("pkg:pypi/Flask_SQLAlchemy@2.1#sub", "pkg:pypi/flask-sqlalchemy@2.1", "flask-sqlalchemy", "2.1"),
            ("pkg:maven/org.a/b@1?type=jar", "pkg:maven/org.a/b@1", "org.a:b", "1"),
            ("pkg:golang/github.com/a/b@v1.2.3", "pkg:golang/github.com/a/b@v1.2.3", "github.com/a/b", "v1.2.3"),
            (
                "pkg:deb/debian/openssl@3.0.1-1%2Bdeb12u1?arch=amd64",
                "pkg:deb/debian/openssl@3.0.1-1+deb12u1",
                "openssl",
                "3.0.1-1+deb12u1",
            ),
        ] {
            let package = Package::of_purl(given).unwrap();
            assert_eq!((package.purl.as_str(), package.name.as_str(), package.version.as_str()), (purl, name, version));
            assert_eq!(Package::of_purl(&package.purl).unwrap(), package);
        }
        for bad in ["", "pkg:", "pkg:npm", "pkg:npm/", "npm/lodash", "pkg:npm/@"] {
            assert!(Package::of_purl(bad).is_none_or(|p| !p.name.is_empty()), "{bad}");
        }
        assert_eq!(Package::of_name("npm", "@angular/core", "1").purl, "pkg:npm/%40angular/core@1");
        assert_eq!(Package::of_name("maven", "org.a:b", "1").purl, "pkg:maven/org.a/b@1");
        assert_eq!(Package::ecosystem("a/b/package-lock.json"), "npm");
        assert_eq!(Package::ecosystem("requirements-dev.txt"), "pypi");
        assert_eq!(Package::ecosystem("image"), "generic");
    }

    #[test]
    fn advisories_have_one_spelling_and_an_order() {
        assert_eq!(advisory(" cve-2026-1 "), "CVE-2026-1");
        assert_eq!(advisory("ghsa-ABCD-1234"), "GHSA-abcd-1234");
        let mut ids = ["RUSTSEC-2020-1", "GHSA-x", "CVE-2026-2", "CVE-2026-1", "zzz"];
        ids.sort_by_key(|id| (preference(id).0, (*id).to_owned()));
        assert_eq!(ids, ["CVE-2026-1", "CVE-2026-2", "GHSA-x", "RUSTSEC-2020-1", "zzz"]);
        assert!(is_single("GHSA-x") && !is_single("RHSA-2023:1") && !is_single("DSA-1"));
        assert_eq!(percent("a%20b%zz%e4%C3%A4%"), "a b%zz\u{fffd}\u{e4}%");
    }
}
