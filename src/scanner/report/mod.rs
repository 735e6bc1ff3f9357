//! Reading what tools write, and writing what was found.
//!
//! A report is read in two passes over its file, so that its size is not what it takes in memory: the first learns what
//! results refer to (rules, artifacts, packages), the second gives a finding at a time. What was given before a fault
//! is found must not be used: a report stands once [`read`] came back with `Ok`.

pub mod bom;
mod clip;
mod cyclonedx;
mod finding;
pub mod identity;
mod json;
pub mod merge;
mod package;
pub mod sarif;
mod secrets;
mod source;
mod text;
mod trivy;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;

use std::path::Path;

pub use self::identity::Key;
pub use self::merge::{Found, merge};
use super::{Format, ScanError, Tool};

/// A report and what is known of how it came about.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// The tool that wrote it. What its results count for is what the tool is for, whatever else the report says.
    pub tool: &'a Tool,
    /// The file. It is the tool's: nothing in it is believed.
    pub report: &'a Path,
    /// The source that was scanned, on this server; none when there was none, or it is gone.
    pub source: Option<&'a Path>,
    /// What `{source}` was filled in with, where the tool saw the source under another path than `source`.
    pub seen_at: Option<&'a str>,
    /// What identities are made with: it must stay the same, or every finding is a new one.
    pub key: &'a Key,
}

/// What a report says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Read {
    /// The tool's name for itself; several are joined with a comma.
    pub tool_name: String,
    /// Its version.
    pub version: Option<String>,
    /// How many rules ran, for tools that list every one and not only those that found something.
    pub rules_run: Option<u64>,
    /// How many packages were looked at, for reports that list them.
    pub components: Option<u64>,
    /// How many findings were given.
    pub findings: u64,
    /// How many the tool was told to say nothing of: suppressed in the source or by a configuration, or gone since its
    /// baseline.
    pub suppressed: u64,
    /// Why this may not be all there is: a run that did not succeed, an error on the way. What was found stands, but
    /// the tool has not succeeded: nothing that it does not report is fixed.
    pub incomplete: Option<String>,
    /// What of an empty report can't be known from it: whether anything was looked at.
    pub untold: Option<String>,
}

/// Reads a report, and gives each finding to `sink`, which answers false when it wants no more. Blocks.
///
/// # Errors
/// [`ScanError::Unreadable`] with the reason and where, when the file is no whole report of the format;
/// [`ScanError::Failed`] when the report says that the tool failed and has no results; [`ScanError::LookedAtNothing`]
/// when it says that no rule ran, or that there was nothing to look at.
pub fn read(input: &Input<'_>, sink: &mut dyn FnMut(Found) -> bool) -> Result<Read, ScanError> {
    match input.tool.format {
        Format::Sarif => sarif::read(input, sink),
        Format::Cyclonedx => cyclonedx::read(input, sink),
        Format::Trivy => trivy::read(input, sink),
    }
}
