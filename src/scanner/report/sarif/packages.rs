//! Packages in reports of SCA tools. SARIF has no place for them: each tool says it in its message, in words that it
//! documents.
//!
//! | tool | what it says |
//! | --- | --- |
//! | Trivy | `Package: lodash`, `Installed Version: 4.17.15`, `Fixed Version: 4.17.19`, a line each |
//! | OSV-Scanner | `Package 'lodash@4.17.15' is vulnerable to 'CVE-2020-8203' (also known as 'GHSA-p6mc-m468-83gw').` |
//! | Grype | `A high vulnerability in npm package: lodash, version 4.17.15 was found at: /package-lock.json`; the rule has the package URL, and is `CVE-2020-8203-lodash` |

use super::rules::Rule;
use crate::scanner::report::package::{Package, advisory, is_single};
use crate::scanner::report::text;

/// A vulnerable package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vulnerable {
    pub package: Package,
    pub advisory: String,
    pub aliases: Vec<String>,
    pub fixed: Option<String>,
}

/// What a result says of a package; none when it is in no words that are known.
pub fn of(rule_id: &str, rule: Option<&Rule>, message: &str, manifest: Option<&str>) -> Option<Vulnerable> {
    let kind = Package::ecosystem(manifest.unwrap_or_default());
    let purl = rule.and_then(|rule| rule.purl.as_deref()).and_then(Package::of_purl);
    let (package, fixed) = trivy(message, kind).or_else(|| osv(message, kind)).or_else(|| grype(message))?;
    let package = purl.unwrap_or(package);
    let suffix = format!("-{}", package.name);
    let id = advisory(rule_id.strip_suffix(suffix.as_str()).filter(|id| is_single(id)).unwrap_or(rule_id));
    let known = rule.map(|rule| rule.aliases.clone()).unwrap_or_default();
    let quoted = message.split('\'').skip(1).step_by(2).filter(|id| message.starts_with("Package '") && is_single(id));
    let aliases = known.iter().map(String::as_str).chain(quoted).map(advisory).filter(|alias| *alias != id);
    let aliases = aliases.take(16).collect();
    Some(Vulnerable { package, advisory: id, aliases, fixed })
}

fn trivy(message: &str, kind: &str) -> Option<(Package, Option<String>)> {
    let field = |name: &str| {
        let value = message.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        Some(text::line(value, text::NAME)).filter(|value| !value.is_empty())
    };
    let (name, version) = (field("Package")?, field("Installed Version")?);
    Some((Package::of_name(kind, &name, &version), field("Fixed Version")))
}

fn osv(message: &str, kind: &str) -> Option<(Package, Option<String>)> {
    let (package, _) = message.strip_prefix("Package '")?.split_once('\'')?;
    let (name, version) = package.rsplit_once('@').filter(|(name, _)| !name.is_empty())?;
    Some((Package::of_name(kind, name, version), None))
}

fn grype(message: &str) -> Option<(Package, Option<String>)> {
    let (_, rest) = message.split_once(" vulnerability in ")?;
    let (kind, rest) = rest.split_once(" package: ")?;
    let (name, rest) = rest.split_once(", version ")?;
    let (version, _) = rest.split_once(" was found")?;
    let kind = match kind {
        "python" => "pypi",
        "go-module" => "golang",
        "java-archive" => "maven",
        "rust-crate" => "cargo",
        kind => kind,
    };
    Some((Package::of_name(kind, name, version), None))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_three_tools_are_understood() {
        let trivy = "Package: lodash\nInstalled Version: 4.17.15\nVulnerability CVE-2020-8203\nSeverity: HIGH\n\
            Fixed Version: 4.17.19\nLink: [CVE-2020-8203](https://avd.aquasec.com/nvd/cve-2020-8203)";
        let osv = "Package 'lodash@4.17.15' is vulnerable to 'CVE-2020-8203' (also known as 'GHSA-p6mc-m468-83gw').";
        let grype = "A high vulnerability in npm package: lodash, version 4.17.15 was found at: /package-lock.json";
        let lock = Some("package-lock.json");
        let trivy = of("CVE-2020-8203", None, trivy, lock).unwrap();
        assert_eq!(trivy.fixed.as_deref(), Some("4.17.19"));
        let osv = of("CVE-2020-8203", None, osv, lock).unwrap();
        assert_eq!(osv.aliases, ["GHSA-p6mc-m468-83gw"]);
        let grype = of("CVE-2020-8203-lodash", None, grype, None).unwrap();
        for found in [&trivy, &osv, &grype] {
            assert_eq!(found.package.purl, "pkg:npm/lodash@4.17.15");
            assert_eq!(found.advisory, "CVE-2020-8203");
        }
        let scoped = of("GHSA-x", None, "Package '@angular/core@11.0.0' is vulnerable to 'GHSA-x'.", lock).unwrap();
        assert_eq!(scoped.package.base, "pkg:npm/%40angular/core");
        assert_eq!(of("X", None, "some other words", lock), None);
    }
}
