//! Storing what a scan saw, in transactions that hold the database's writer for a moment each.
//!
//! Nothing of it is shown before the scan has ended: a finding that nobody knew is PENDING until then, and the list of a
//! scan is empty. How bad the scan finds something, and which tools report it, is the scan's own (`scan_finding`) until
//! [`super::effect`] makes it the finding's. What an earlier try has stored is met again by its identity.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::path::Path;

use entity::{FindingState, finding, scan, scan_document, scan_finding, service};
use flate2::Compression;
use flate2::write::GzEncoder;
use sea_orm::sea_query::{Expr, ExprTrait as _, OnConflict, Query};
use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, QuerySelect as _, Set};

use super::effect::hold;
use super::list::rank_of;
use super::word::Word;
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
}

/// What is known of a finding already.
struct Known {
    id: String,
    on_default: bool,
    digest: Option<i64>,
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
        let word = Word::of(self.app, self.service, self.scan).await?;
        for batch in found.chunks(BATCH) {
            let tx = self.app.begin().await?;
            if !self.mine(&tx).await? {
                return Ok(None);
            }
            self.store(&tx, batch, &word).await?;
            tx.commit().await?;
            batch.iter().for_each(|finding| counts.add(finding.severity));
        }
        Ok(Some(counts))
    }

    async fn mine(&self, tx: &impl ConnectionTrait) -> Result<bool> {
        Ok(self.claim.renew(tx, self.app.clock.now() + self.app.settings.job_lease).await?)
    }

    async fn store(&self, tx: &impl ConnectionTrait, batch: &[Finding], word: &Word) -> Result<()> {
        let mut known = self.known(tx, batch.iter()).await?;
        hold(self.app, tx, known.values().map(|known| known.id.clone()).collect()).await?;
        let new: Vec<&Finding> = batch.iter().filter(|found| !known.contains_key(&found.identity)).collect();
        // What one branch sees changes nothing of what another one shows.
        let counts = |found: &&Finding| match known.get(&found.identity) {
            Some(known) => word.counts(known.on_default, &found.detected_by),
            None => true,
        };
        let (mut told, mut seen) = (Vec::new(), Vec::new());
        for found in batch.iter().filter(counts) {
            match known.get(&found.identity) {
                Some(known) if known.digest == Some(digest(found)) => seen.push(known.id.clone()),
                _ => told.push(found),
            }
        }
        if !told.is_empty() {
            self.tell(tx, &told).await?;
        }
        if !seen.is_empty() {
            finding::Entity::update_many()
                .col_expr(finding::Column::CommitSha, Expr::value(self.scan.commit_sha.clone()))
                .col_expr(finding::Column::LastSeenAt, Expr::value(self.app.clock.now()))
                .filter(finding::Column::Id.is_in(seen))
                .exec(tx)
                .await?;
        }
        if !new.is_empty() {
            known.extend(self.known(tx, new.into_iter()).await?);
        }
        let rows = batch.iter().map(|found| {
            let known = known.get(&found.identity);
            let known = known.ok_or_else(|| Error::internal("a finding that was stored is not there"))?;
            Ok(scan_finding::ActiveModel {
                scan_id: Set(self.scan.id.clone()),
                finding_id: Set(known.id.clone()),
                rank: Set(rank_of(found.severity)),
                detected_by: Set(serde_json::to_value(&found.detected_by)?),
            })
        });
        let rows: Vec<scan_finding::ActiveModel> = rows.collect::<Result<_>>()?;
        let again = OnConflict::columns([scan_finding::Column::ScanId, scan_finding::Column::FindingId])
            .update_columns([scan_finding::Column::Rank, scan_finding::Column::DetectedBy])
            .to_owned();
        scan_finding::Entity::insert_many(rows).on_conflict(again).exec_without_returning(tx).await?;
        Ok(())
    }

    /// Says what is to be said of findings: what they are, and where they were seen last. How bad they are, who reports them
    /// and where they stand is said once the scan has ended.
    async fn tell(&self, tx: &impl ConnectionTrait, told: &[&Finding]) -> Result<()> {
        use finding::Column as C;
        let again = OnConflict::columns([C::ServiceId, C::Kind, C::Identity])
            .update_columns([
                C::Rule,
                C::Aliases,
                C::Title,
                C::Location,
                C::Place,
                C::Description,
                C::FixedVersion,
                C::HelpUrl,
                C::CommitSha,
                C::LastSeenAt,
                C::Digest,
            ])
            .to_owned();
        let rows: Vec<finding::ActiveModel> = told.iter().map(|found| self.row(found)).collect::<Result<_>>()?;
        finding::Entity::insert_many(rows).on_conflict(again).exec_without_returning(tx).await?;
        Ok(())
    }

    /// What is known of these, by their identities.
    async fn known<'f>(
        &self,
        tx: &impl ConnectionTrait,
        found: impl Iterator<Item = &'f Finding>,
    ) -> Result<BTreeMap<String, Known>> {
        let rows: Vec<(String, String, bool, Option<i64>)> = finding::Entity::find()
            .select_only()
            .column(finding::Column::Identity)
            .column(finding::Column::Id)
            .column(finding::Column::OnDefault)
            .column(finding::Column::Digest)
            .filter(finding::Column::ServiceId.eq(&self.scan.service_id))
            .filter(finding::Column::Kind.eq(self.scan.kind))
            .filter(finding::Column::Identity.is_in(found.map(|found| &found.identity)))
            .into_tuple()
            .all(tx)
            .await?;
        let known =
            rows.into_iter().map(|(identity, id, on_default, digest)| (identity, Known { id, on_default, digest }));
        Ok(known.collect())
    }

    /// A finding as nobody knew it. Whether the service's own branch has it is said once the scan has ended.
    fn row(&self, found: &Finding) -> Result<finding::ActiveModel> {
        let now = self.app.clock.now();
        Ok(finding::ActiveModel {
            id: Set(self.app.ids.id()),
            organization_id: Set(self.scan.organization_id.clone()),
            service_id: Set(self.scan.service_id.clone()),
            kind: Set(self.scan.kind),
            identity: Set(found.identity.clone()),
            rule: Set(plain(&found.rule).chars().take(RULE).collect()),
            aliases: Set(serde_json::to_value(&found.aliases)?),
            title: Set(plain(&found.title)),
            severity: Set(found.severity.into()),
            rank: Set(rank_of(found.severity)),
            state: Set(FindingState::Pending),
            detected_by: Set(serde_json::to_value(&found.detected_by)?),
            location: Set(plain(&location(&found.place))),
            place: Set(serde_json::to_value(&found.place)?),
            description: Set(found.description.as_deref().map(plain)),
            fixed_version: Set(found.fixed_version.as_deref().map(|v| plain(v).chars().take(RULE).collect())),
            help_url: Set(found.help_url.as_deref().map(plain)),
            on_default: Set(false),
            lane: Set(self.scan.lane.clone()),
            commit_sha: Set(self.scan.commit_sha.clone()),
            first_seen_at: Set(now),
            last_seen_at: Set(now),
            digest: Set(Some(digest(found))),
            ..finding::ActiveModel::default()
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

/// Takes back what an earlier try of a scan has stored: it may see other things this time. In transactions that are short;
/// one that was killed in between goes on.
///
/// # Errors
/// INTERNAL when the database refuses.
pub(super) async fn take_back(app: &App, scan_id: &str) -> Result<()> {
    scan_document::Entity::delete_many()
        .filter(scan_document::Column::ScanId.eq(scan_id))
        .exec(app.db.read_write())
        .await?;
    loop {
        let seen: Vec<String> = scan_finding::Entity::find()
            .select_only()
            .column(scan_finding::Column::FindingId)
            .filter(scan_finding::Column::ScanId.eq(scan_id))
            .limit(BATCH as u64)
            .into_tuple()
            .all(app.db.read_write())
            .await?;
        if seen.is_empty() {
            return Ok(());
        }
        let others = Query::select()
            .expr(Expr::val(1))
            .from(scan_finding::Entity)
            .and_where(
                Expr::col((scan_finding::Entity, scan_finding::Column::FindingId))
                    .equals((finding::Entity, finding::Column::Id)),
            )
            .take();
        let tx = app.begin().await?;
        scan_finding::Entity::delete_many()
            .filter(scan_finding::Column::ScanId.eq(scan_id))
            .filter(scan_finding::Column::FindingId.is_in(&seen))
            .exec(&tx)
            .await?;
        finding::Entity::delete_many()
            .filter(finding::Column::Id.is_in(seen))
            .filter(finding::Column::State.eq(FindingState::Pending))
            .filter(Expr::exists(others).not())
            .exec(&tx)
            .await?;
        tx.commit().await?;
    }
}

/// Says whether what is told of a finding has changed. Another version of the program may come to another number: then it is
/// told again.
fn digest(found: &Finding) -> i64 {
    let Finding {
        identity: _,
        rule,
        aliases,
        title,
        severity: _,
        place,
        description,
        fixed_version,
        help_url,
        detected_by: _,
    } = found;
    let mut hasher = DefaultHasher::new();
    (rule, aliases, title, place, description, fixed_version, help_url).hash(&mut hasher);
    hasher.finish().cast_signed()
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
