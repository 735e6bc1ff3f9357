//! Where a scan and its tools stand, and every change of that: a step of the state machine in `domain`, or nothing is
//! written.

use chrono::{DateTime, Utc};
use entity::{RunStatus as Stored, scan};
use sea_orm::{ActiveEnum as _, Set};
use serde::{Deserialize, Serialize};

use crate::app::pipelines::start::CommitInfo;
use crate::app::{Error, Result};
use crate::domain::scan::SeverityCounts;
use crate::domain::status::RunStatus;
use crate::measure;

/// A tool of a scan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolState {
    /// Its name in kiops.toml.
    pub name: String,
    /// What its report says of it.
    pub version: Option<String>,
    /// Where it stands.
    pub status: RunStatus,
    /// Why.
    pub message: Option<String>,
}

impl ToolState {
    /// One that waits for its turn.
    #[must_use]
    pub fn waiting(name: &str) -> Self {
        Self { name: name.to_owned(), version: None, status: RunStatus::Queued, message: None }
    }

    /// Whether what it reported is all there is. Of one that is INCOMPLETE it stands, and nothing else is fixed.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.status == RunStatus::Succeeded
    }
}

/// The tools of a scan.
///
/// # Errors
/// INTERNAL when the row holds something else.
pub fn tools_of(row: &scan::Model) -> Result<Vec<ToolState>> {
    serde_json::from_value(row.tools.clone()).map_err(|e| Error::internal(format!("tools of scan {}: {e}", row.id)))
}

/// How many findings of each severity a scan saw.
///
/// # Errors
/// INTERNAL when the row holds something else.
pub fn counts_of(row: &scan::Model) -> Result<SeverityCounts> {
    serde_json::from_value(row.counts.clone()).map_err(|e| Error::internal(format!("counts of scan {}: {e}", row.id)))
}

/// What is known of the commit that a scan looked at.
///
/// # Errors
/// INTERNAL when the row holds something else.
pub fn commit_of(row: &scan::Model) -> Result<Option<CommitInfo>> {
    let known = row.commit.clone().map(serde_json::from_value::<CommitInfo>).transpose()?;
    Ok(known.or_else(|| row.commit_sha.clone().map(|sha| CommitInfo { sha, ..CommitInfo::default() })))
}

/// Whether a scan has come to an end in which it says something.
#[must_use]
pub fn has_result(row: &scan::Model) -> bool {
    matches!(row.status, Stored::Succeeded | Stored::Incomplete)
}

/// What came of a scan, by what came of its tools: SUCCEEDED when all of them have their whole result, FAILED when none has
/// any, and INCOMPLETE in between; and which have none, or a part, and why.
#[must_use]
pub fn verdict(tools: &[ToolState]) -> (RunStatus, Option<String>) {
    let faults: Vec<String> = tools
        .iter()
        .filter(|tool| !tool.succeeded())
        .map(|tool| format!("{}: {}", tool.name, tool.message.as_deref().unwrap_or("it has no result")))
        .collect();
    let has_any = tools.iter().any(|tool| matches!(tool.status, RunStatus::Succeeded | RunStatus::Incomplete));
    let status = match (has_any, faults.is_empty()) {
        (false, _) => RunStatus::Failed,
        (true, true) => RunStatus::Succeeded,
        (true, false) => RunStatus::Incomplete,
    };
    let message = match tools.is_empty() {
        true => Some("no tool looked at it".to_owned()),
        false => Some(faults.join("; ")).filter(|text| !text.is_empty()),
    };
    (status, message)
}

/// A row that is at work from now on, for its caller to write. To stay where it is, is no step and no fault.
///
/// # Errors
/// INTERNAL when it has ended.
pub(super) fn begin(row: &scan::Model, tools: &[ToolState], now: DateTime<Utc>) -> Result<scan::ActiveModel> {
    let mut change = step(row, RunStatus::Running)?;
    change.tools = Set(serde_json::to_value(tools)?);
    change.started_at = Set(row.started_at.or(Some(now)));
    Ok(change)
}

/// A row that has come to its end, for its caller to write. What of its tools has not ended, never will.
///
/// # Errors
/// INTERNAL when it can't end like this from where it is.
pub(super) fn end(
    row: &scan::Model,
    (ended, message): (RunStatus, Option<String>),
    now: DateTime<Utc>,
) -> Result<scan::ActiveModel> {
    let mut tools = tools_of(row)?;
    for tool in tools.iter_mut().filter(|tool| !tool.status.is_final()) {
        tool.status = if ended == RunStatus::Canceled { RunStatus::Canceled } else { RunStatus::Failed };
    }
    let mut change = step(row, ended)?;
    measure::ended("scan", Stored::from(ended).to_value());
    change.tools = Set(serde_json::to_value(tools)?);
    change.message = Set(message);
    change.finished_at = Set(Some(now));
    Ok(change)
}

fn step(row: &scan::Model, next: RunStatus) -> Result<scan::ActiveModel> {
    let mut change: scan::ActiveModel = row.clone().into();
    let current = RunStatus::from(row.status);
    if current != next {
        current.advance(next).map_err(|illegal| Error::internal(format!("scan {}: {illegal}", row.id)))?;
        change.status = Set(next.into());
    }
    Ok(change)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str, status: RunStatus) -> ToolState {
        let message = (status == RunStatus::Failed).then(|| "it crashed".to_owned());
        ToolState { name: name.to_owned(), version: None, status, message }
    }

    #[test]
    fn a_scan_is_as_good_as_its_tools() {
        use RunStatus::{Failed, Incomplete, Succeeded};
        for (tools, expected, message) in [
            (vec![], Failed, Some("no tool looked at it")),
            (vec![tool("a", Succeeded)], Succeeded, None),
            (vec![tool("a", Succeeded), tool("b", Succeeded)], Succeeded, None),
            (vec![tool("a", Succeeded), tool("b", Failed)], Incomplete, Some("b: it crashed")),
            (vec![tool("a", Incomplete), tool("b", Failed)], Incomplete, Some("a: it has no result; b: it crashed")),
            (vec![tool("a", Failed)], Failed, Some("a: it crashed")),
            (vec![tool("a", Failed), tool("b", Failed)], Failed, Some("a: it crashed; b: it crashed")),
        ] {
            assert_eq!(verdict(&tools), (expected, message.map(str::to_owned)), "{tools:?}");
        }
    }
}
