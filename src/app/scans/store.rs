//! Storing what a scan saw, in transactions that hold the database's writer for a moment each.
//!
//! Nothing of it is shown before the scan has ended: a finding that nobody knew is PENDING until then, and the list of a
//! scan is empty. What an earlier try has stored is met again by its identity.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;

use entity::{FindingState, finding, scan, scan_document, scan_finding, service};
use flate2::Compression;
use flate2::write::GzEncoder;
use sea_orm::sea_query::{Expr, ExprTrait as _, OnConflict, Query};
use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, QuerySelect as _, Set};

use super::list::rank_of;
use super::settle::{is_default, seen_by};
use crate::app::{App, Error, Result};
use crate::domain::scan::SeverityCounts;
use crate::queue::Claim;
use crate::scanner::{Finding, Place};

/// Findings of one transaction: their columns are fewer than SQLite's 32766 parameters, and they take tens of
/// milliseconds.
const BATCH: usize = 500;
/// Bytes of a part of a document.
const PART: usize = 1 << 20;
/// Longest texts, in characters, of columns that are short everywhere.
const RULE: usize = 300;

/// A scan that is being stored.
pub(super) struct Storing<'a> {
    pub(super) app: &'a App,
    pub(super) claim: &'a Claim,
    pub(super) scan: &'a scan::Model,
    pub(super) service: &'a service::Model,
    /// The tools that have a result.
    pub(super) succeeded: BTreeSet<String>,
}

/// What is known of a finding already.
struct Known {
    on_default: bool,
    detected_by: BTreeSet<String>,
}

impl Storing<'_> {
    /// Stores findings, and counts them. None: the job is another's.
    ///
    /// # Errors
    /// INTERNAL when the database refuses.
    pub(super) async fn findings(&self, mut found: Vec<Finding>) -> Result<Option<SeverityCounts>> {
        // In one order whoever stores: two that store the same at once wait for each other instead of for ever.
        found.sort_by(|one, other| one.identity.cmp(&other.identity));
        found.dedup_by(|one, other| one.identity == other.identity);
        let mut counts = SeverityCounts::default();
        let on_default = is_default(self.app, self.service, &self.scan.lane).await?;
        for batch in found.chunks(BATCH) {
            let tx = self.app.begin().await?;
            if !self.mine(&tx).await? {
                return Ok(None);
            }
            self.store(&tx, batch, on_default).await?;
            tx.commit().await?;
            batch.iter().for_each(|finding| counts.add(finding.severity));
        }
        Ok(Some(counts))
    }

    async fn mine(&self, tx: &impl ConnectionTrait) -> Result<bool> {
        Ok(self.claim.renew(tx, self.app.clock.now() + self.app.settings.job_lease).await?)
    }

    async fn store(&self, tx: &impl ConnectionTrait, batch: &[Finding], on_default: bool) -> Result<()> {
        let known = self.known(tx, batch).await?;
        let rows: Vec<finding::ActiveModel> =
            batch.iter().map(|found| self.row(found, known.get(&found.identity), on_default)).collect::<Result<_>>()?;
        use finding::Column as C;
        let again = OnConflict::columns([C::ServiceId, C::Kind, C::Identity])
            .update_columns([
                C::Rule,
                C::Aliases,
                C::Title,
                C::Severity,
                C::Rank,
                C::DetectedBy,
                C::Location,
                C::Place,
                C::Description,
                C::FixedVersion,
                C::HelpUrl,
                C::OnDefault,
                C::Lane,
                C::CommitSha,
                C::LastSeenAt,
            ])
            .to_owned();
        finding::Entity::insert_many(rows).on_conflict(again).exec_without_returning(tx).await?;
        let ids: Vec<(String, i32)> = self
            .of_batch(batch)
            .select_only()
            .column(finding::Column::Id)
            .column(finding::Column::Rank)
            .into_tuple()
            .all(tx)
            .await?;
        let seen = ids.into_iter().map(|(id, rank)| scan_finding::ActiveModel {
            scan_id: Set(self.scan.id.clone()),
            finding_id: Set(id),
            rank: Set(rank),
        });
        let again = OnConflict::columns([scan_finding::Column::ScanId, scan_finding::Column::FindingId])
            .update_column(scan_finding::Column::Rank)
            .to_owned();
        scan_finding::Entity::insert_many(seen).on_conflict(again).exec_without_returning(tx).await?;
        Ok(())
    }

    fn of_batch(&self, batch: &[Finding]) -> sea_orm::Select<finding::Entity> {
        finding::Entity::find()
            .filter(finding::Column::ServiceId.eq(&self.scan.service_id))
            .filter(finding::Column::Kind.eq(self.scan.kind))
            .filter(finding::Column::Identity.is_in(batch.iter().map(|found| &found.identity)))
    }

    async fn known(&self, tx: &impl ConnectionTrait, batch: &[Finding]) -> Result<BTreeMap<String, Known>> {
        let rows: Vec<(String, bool, serde_json::Value)> = self
            .of_batch(batch)
            .select_only()
            .column(finding::Column::Identity)
            .column(finding::Column::OnDefault)
            .column(finding::Column::DetectedBy)
            .into_tuple()
            .all(tx)
            .await?;
        let known = rows.into_iter().map(|(identity, on_default, detected_by)| {
            let detected_by = serde_json::from_value(detected_by).unwrap_or_default();
            (identity, Known { on_default, detected_by })
        });
        Ok(known.collect())
    }

    fn row(&self, found: &Finding, known: Option<&Known>, on_default: bool) -> Result<finding::ActiveModel> {
        let now = self.app.clock.now();
        // A tool that has no result this time has not said that it sees it no more.
        let silent = known.into_iter().flat_map(|known| known.detected_by.difference(&self.succeeded));
        let detected_by: BTreeSet<&String> = found.detected_by.iter().chain(silent).collect();
        let severity = entity::Severity::from(found.severity);
        Ok(finding::ActiveModel {
            id: Set(self.app.ids.id()),
            organization_id: Set(self.scan.organization_id.clone()),
            service_id: Set(self.scan.service_id.clone()),
            kind: Set(self.scan.kind),
            identity: Set(found.identity.clone()),
            rule: Set(plain(&found.rule).chars().take(RULE).collect()),
            aliases: Set(serde_json::to_value(&found.aliases)?),
            title: Set(plain(&found.title)),
            severity: Set(severity),
            rank: Set(rank_of(found.severity)),
            state: Set(FindingState::Pending),
            detected_by: Set(serde_json::to_value(detected_by)?),
            location: Set(plain(&location(&found.place))),
            place: Set(serde_json::to_value(&found.place)?),
            description: Set(found.description.as_deref().map(plain)),
            fixed_version: Set(found.fixed_version.as_deref().map(|v| plain(v).chars().take(RULE).collect())),
            help_url: Set(found.help_url.as_deref().map(plain)),
            on_default: Set(on_default || known.is_some_and(|known| known.on_default)),
            lane: Set(self.scan.lane.clone()),
            commit_sha: Set(self.scan.commit_sha.clone()),
            first_seen_at: Set(now),
            last_seen_at: Set(now),
            deployed_at: Set(None),
            ignored_reason: Set(None),
            ignored_until: Set(None),
            ignored_by: Set(None),
        })
    }

    /// Keeps a document as its tool wrote it, compressed. False: the job is another's.
    ///
    /// # Errors
    /// INTERNAL when it can't be read, or the database refuses.
    pub(super) async fn document(&self, path: &Path) -> Result<bool> {
        let path = path.to_owned();
        let parts = tokio::task::spawn_blocking(move || compressed(&path)).await.map_err(Error::internal)?;
        let parts = parts.map_err(|e| Error::internal(format!("the document of a scan can't be read: {e}")))?;
        scan_document::Entity::delete_many()
            .filter(scan_document::Column::ScanId.eq(&self.scan.id))
            .exec(self.app.db.read_write())
            .await?;
        for (n, bytes) in parts.into_iter().enumerate() {
            let tx = self.app.begin().await?;
            if !self.mine(&tx).await? {
                return Ok(false);
            }
            let row = scan_document::ActiveModel {
                scan_id: Set(self.scan.id.clone()),
                part: Set(i32::try_from(n).map_err(Error::internal)?),
                bytes: Set(bytes),
            };
            scan_document::Entity::insert(row).exec_without_returning(&tx).await?;
            tx.commit().await?;
        }
        Ok(true)
    }
}

/// Takes back what an earlier try of a scan has stored: it may see other things this time.
///
/// # Errors
/// INTERNAL when the database refuses.
pub(super) async fn take_back(app: &App, scan_id: &str) -> Result<()> {
    let tx = app.begin().await?;
    let pending: Vec<String> = finding::Entity::find()
        .select_only()
        .column(finding::Column::Id)
        .filter(finding::Column::State.eq(FindingState::Pending))
        .filter(finding::Column::Id.in_subquery(seen_by(scan_id)))
        .into_tuple()
        .all(&tx)
        .await?;
    scan_finding::Entity::delete_many().filter(scan_finding::Column::ScanId.eq(scan_id)).exec(&tx).await?;
    scan_document::Entity::delete_many().filter(scan_document::Column::ScanId.eq(scan_id)).exec(&tx).await?;
    for ids in pending.chunks(1000) {
        let others = Query::select()
            .expr(Expr::val(1))
            .from(scan_finding::Entity)
            .and_where(
                Expr::col((scan_finding::Entity, scan_finding::Column::FindingId))
                    .equals((finding::Entity, finding::Column::Id)),
            )
            .take();
        finding::Entity::delete_many()
            .filter(finding::Column::Id.is_in(ids))
            .filter(Expr::exists(others).not())
            .exec(&tx)
            .await?;
    }
    tx.commit().await?;
    Ok(())
}

/// `path:line`, `package@version` or an address.
fn location(place: &Place) -> String {
    match place {
        Place::Code { path, line: Some(line) } => format!("{path}:{line}"),
        Place::Code { path, line: None } => path.clone(),
        Place::Package { name, version, .. } if version.is_empty() => name.clone(),
        Place::Package { name, version, .. } => format!("{name}@{version}"),
        Place::Url { url, .. } => url.clone(),
        Place::Nowhere => String::new(),
    }
}

/// PostgreSQL takes no NUL in a text.
fn plain(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn compressed(path: &Path) -> std::io::Result<Vec<Vec<u8>>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    std::io::copy(&mut std::fs::File::open(path)?, &mut encoder)?;
    encoder.flush()?;
    Ok(encoder.finish()?.chunks(PART).map(<[u8]>::to_vec).collect())
}
