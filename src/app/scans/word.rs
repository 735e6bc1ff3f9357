//! On which findings of a service a scan has the word, and which of them are gone by it.
//!
//! The service's own branch speaks for all that it ever had; of what it never had, the branch that saw it last. Within a branch
//! the newest commit speaks: a scan of an older one, which somebody had done again, says what that commit has and nothing of
//! what the branch has by now. What is newest is asked for each tool by itself, since one that has no result has not looked.

use std::collections::BTreeSet;

use entity::{FindingState, RunStatus, environment, finding, scan, scan_finding, service};
use sea_orm::sea_query::{ExprTrait as _, Query, SelectStatement};
use sea_orm::{
    ColumnTrait as _, Condition, DatabaseConnection, EntityTrait as _, PaginatorTrait as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _,
};

use super::look::scope_of;
use super::machine;
use super::start::{BRANCH_LANE, ENVIRONMENT_LANE};
use crate::app::deployments::PRODUCTION;
use crate::app::{App, Result};

/// Newer scans that are asked which tools have looked since.
const MOST_NEWER: u64 = 100;

/// What a scan has the word on.
pub(super) struct Word {
    /// Whether its lane is the one that says what the service is like.
    pub(super) is_default: bool,
    /// The tools that have their whole result in it.
    pub(super) succeeded: BTreeSet<String>,
    /// The tools that have looked at a newer commit of the lane since.
    superseded: BTreeSet<String>,
    /// The tools that were declared when it began: whoever writes down what it means may have another kiops.toml by now.
    declared: BTreeSet<String>,
}

impl Word {
    /// That of a scan whose tools have come to their ends.
    ///
    /// # Errors
    /// INTERNAL when the database does not answer.
    pub(super) async fn of(app: &App, service: &service::Model, row: &scan::Model) -> Result<Self> {
        let db = app.db.read();
        let newer = newer(row).order_by_desc(scan::Column::Turn).order_by_desc(scan::Column::Id).limit(MOST_NEWER);
        let mut superseded = BTreeSet::new();
        for newer in newer.all(db).await? {
            superseded.extend(succeeded(&newer)?);
        }
        let declared = machine::tools_of(row)?.into_iter().map(|tool| tool.name);
        Ok(Self {
            is_default: is_default(db, service, &row.lane).await?,
            succeeded: succeeded(row)?,
            superseded,
            declared: declared.collect(),
        })
    }

    /// Whether all that report something have looked at a newer commit since.
    pub(super) fn is_old(&self, detected_by: &BTreeSet<String>) -> bool {
        !detected_by.is_empty() && detected_by.is_subset(&self.superseded)
    }

    /// Whether what these tools report of a finding is what holds of it by now. `on_default`: the service's own branch has
    /// had it.
    pub(super) fn counts(&self, on_default: bool, detected_by: &BTreeSet<String>) -> bool {
        (self.is_default || !on_default) && !self.is_old(detected_by)
    }

    /// The findings that it had to see and did not: of the service's own lane, what was ever seen there; of another, what was
    /// seen there last and never on the service's own. A tool that has no result has not looked, and what only such tools
    /// report stays; so does what a tool reports that has looked at a newer commit.
    ///
    /// # Errors
    /// INTERNAL when the database does not answer.
    pub(super) async fn gone(&self, db: &DatabaseConnection, row: &scan::Model) -> Result<Vec<String>> {
        let mut open = finding::Entity::find()
            .select_only()
            .column(finding::Column::Id)
            .column(finding::Column::DetectedBy)
            .filter(finding::Column::ServiceId.eq(&row.service_id))
            .filter(finding::Column::Kind.eq(row.kind))
            .filter(finding::Column::State.is_in([FindingState::Open, FindingState::Ignored]))
            .filter(finding::Column::Id.not_in_subquery(seen_by(&row.id)));
        let last_seen_here = finding::Column::Lane.eq(&row.lane);
        open = match self.is_default {
            // Also what was seen here before this was the service's own lane: nobody else would ever look for it.
            true => open.filter(finding::Column::OnDefault.eq(true).or(last_seen_here)),
            false => open.filter(finding::Column::OnDefault.eq(false)).filter(last_seen_here),
        };
        let rows: Vec<(String, serde_json::Value)> = open.into_tuple().all(db).await?;
        // Few tools make few different answers, of a hundred thousand findings too.
        let mut known: Vec<(serde_json::Value, bool)> = Vec::new();
        let is_gone = |by: &serde_json::Value| {
            let by = names(by);
            // Tools that are no longer declared will never look again: those that are have the word.
            let mut asked = by.intersection(&self.declared).peekable();
            let has_looked = |name: &String| self.succeeded.contains(name) && !self.superseded.contains(name);
            asked.peek().is_some() && asked.all(has_looked)
        };
        let mut gone = Vec::new();
        for (id, by) in rows {
            let is_gone = match known.iter().find(|(one, _)| *one == by) {
                Some((_, is_gone)) => *is_gone,
                None => {
                    let is_gone = is_gone(&by);
                    known.push((by, is_gone));
                    is_gone
                }
            };
            if is_gone {
                gone.push(id);
            }
        }
        Ok(gone)
    }
}

/// Whether a lane is that which says what a service is like: its branch; of what runs, production or the only environment
/// there is; of a service that is made of images, those.
///
/// # Errors
/// INTERNAL when the database does not answer.
async fn is_default(db: &DatabaseConnection, service: &service::Model, lane: &str) -> Result<bool> {
    let Some(name) = lane.strip_prefix(ENVIRONMENT_LANE) else {
        let own = service.git_branch.as_ref().map(|branch| format!("{BRANCH_LANE}{branch}"));
        return Ok(own.is_none_or(|own| own == lane));
    };
    let places = environment::Entity::find()
        .filter(environment::Column::ServiceId.eq(&service.id))
        .filter(environment::Column::Name.ne(name));
    Ok(name == PRODUCTION || places.count(db).await? == 0)
}

/// The scans of a scan's kind and lane that have a result.
pub(super) fn alike(row: &scan::Model) -> sea_orm::Select<scan::Entity> {
    scope_of(row)
        .scans()
        .filter(scan::Column::ServiceId.eq(&row.service_id))
        .filter(scan::Column::Kind.eq(row.kind))
        .filter(scan::Column::Lane.eq(&row.lane))
        .filter(scan::Column::Status.is_in([RunStatus::Succeeded, RunStatus::Incomplete]))
}

/// Those of them that have looked at another commit, which is newer.
fn newer(row: &scan::Model) -> sea_orm::Select<scan::Entity> {
    let later = Condition::all().add(scan::Column::Turn.eq(row.turn)).add(scan::Column::Id.gt(&row.id));
    let mut newer = alike(row).filter(Condition::any().add(scan::Column::Turn.gt(row.turn)).add(later));
    if let Some(commit) = &row.commit_sha {
        let another = Condition::any().add(scan::Column::CommitSha.is_null()).add(scan::Column::CommitSha.ne(commit));
        newer = newer.filter(another);
    }
    newer
}

/// The findings that a scan saw.
pub(super) fn seen_by(scan_id: &str) -> SelectStatement {
    Query::select()
        .column(scan_finding::Column::FindingId)
        .from(scan_finding::Entity)
        .and_where(scan_finding::Column::ScanId.eq(scan_id))
        .take()
}

/// Stored names of tools.
pub(super) fn names(stored: &serde_json::Value) -> BTreeSet<String> {
    stored.as_array().into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

fn succeeded(row: &scan::Model) -> Result<BTreeSet<String>> {
    Ok(machine::tools_of(row)?.into_iter().filter(machine::ToolState::succeeded).map(|tool| tool.name).collect())
}
