//! SARIF 2.1.0, read and written.
//!
//! **Severity**: the first of these that says something.
//!
//! | said by | as |
//! | --- | --- |
//! | `security-severity` of the result, then of the rule (GitHub's convention: Semgrep, Trivy, Grype, OSV-Scanner, CodeQL) | a CVSS score |
//! | `severity` of the result, then of the rule; `issue_severity` of the result (Bandit) | the tool's word: it has five where a level has three |
//! | `level` of the result, then `defaultConfiguration.level` of its rule (Semgrep) | error HIGH, warning MEDIUM, note LOW, none INFO |
//! | nothing, a tool for secrets (Gitleaks) | HIGH: SARIF's default, warning, is meant for style |
//! | nothing | MEDIUM, since SARIF's default is warning |
//!
//! Checkov gives every fault the level error where it was run without its platform, which has its severities: HIGH.
//!
//! **Nothing looked at**: an empty list of results is good news only where something was looked at.
//!
//! | tool | what says that nothing was | what doesn't |
//! | --- | --- | --- |
//! | any | no run in the report, or a run without a list of results | an empty list |
//! | Semgrep, Opengrep, Gitleaks, CodeQL: list every rule that ran | no rules and no results | |
//! | Bandit: `metrics` has an entry for each file | only `_totals` | no rules: it lists those that found something |
//! | Checkov, OSV-Scanner, Trivy, Grype, Hadolint and what isn't known | | no rules: they list those that found something |
//!
//! How many files Semgrep and Gitleaks looked at their reports don't say, nor do those of others that list neither artifacts
//! nor metrics: [`Read::untold`] says so of an empty one. What Semgrep prints says it ([`crate::scanner::words`]); what tools
//! for secrets print is not listened to. A notification of a run counts as if it were printed.

mod first;
mod messages;
mod packages;
pub(super) mod places;
mod results;
mod rules;
pub(super) mod severity;
pub(super) mod wire;
pub mod write;

pub use self::write::Writer;
use super::{Found, Input, Read};
use crate::scanner::ScanError;

/// Reads a report.
pub(super) fn read(input: &Input<'_>, sink: &mut dyn FnMut(Found) -> bool) -> Result<Read, ScanError> {
    let known = first::read(input)?;
    results::read(input, &known, sink)
}
