//! The document of a scan: SARIF made of what is stored, or the SBOM that its tool wrote.

use std::collections::HashMap;
use std::io::Write as _;
use std::{io, mem};

use bytes::Bytes;
use entity::{finding, scan, scan_document, scan_finding};
use flate2::write::GzDecoder;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _};

use super::{list, machine, word};
use crate::app::{Actor, App, Error, Result};
use crate::domain::scan::ScanKind;
use crate::domain::status::RunStatus;
use crate::scanner::Finding;
use crate::scanner::report::sarif::Writer;

/// Findings that are read at once.
const BATCH: u64 = 500;

/// A document, as it is read.
pub struct Document {
    /// Its media type.
    pub media_type: &'static str,
    /// What it may be called as a file.
    pub name: String,
    /// It piece by piece.
    pub body: BoxStream<'static, io::Result<Bytes>>,
}

/// Whether a scan has a document: it has a result, and is not too old.
#[must_use]
pub fn is_there(row: &scan::Model) -> bool {
    machine::has_result(row) && !row.pruned
}

/// The document of a scan.
///
/// # Errors
/// NOT_FOUND for a scan that is not the caller's, or has none.
pub async fn open(app: &App, actor: &Actor, id: &str) -> Result<Document> {
    let row = list::one(app, actor, id).await?;
    if !is_there(&row) {
        return Err(Error::not_found("report"));
    }
    let kind = ScanKind::from(row.kind);
    let stem = format!("{}-{id}", kind.word().to_lowercase());
    if kind == ScanKind::Sbom && part(app, id, 0).await?.is_some() {
        let body = parts(app.clone(), id.to_owned()).boxed();
        return Ok(Document { media_type: "application/vnd.cyclonedx+json", name: format!("{stem}.cdx.json"), body });
    }
    let tools = machine::tools_of(&row)?
        .into_iter()
        .filter(|tool| matches!(tool.status, RunStatus::Succeeded | RunStatus::Incomplete))
        .map(|tool| (tool.name, tool.version))
        .collect();
    let body = sarif(app.clone(), row, tools).boxed();
    Ok(Document { media_type: "application/sarif+json", name: format!("{stem}.sarif"), body })
}

/// A part of what a tool wrote.
async fn part(app: &App, id: &str, n: i32) -> Result<Option<scan_document::Model>> {
    Ok(scan_document::Entity::find_by_id((id.to_owned(), n)).one(app.db.read()).await?)
}

fn parts(app: App, id: String) -> impl futures_util::Stream<Item = io::Result<Bytes>> {
    async_stream::try_stream! {
        let mut decoder = GzDecoder::new(Vec::new());
        for n in 0.. {
            let found = part(&app, &id, n).await.map_err(broken)?;
            still_there(&app, &id).await?;
            let Some(found) = found else { break };
            decoder.write_all(&found.bytes)?;
            yield Bytes::from(mem::take(decoder.get_mut()));
        }
        let rest = decoder.finish()?;
        yield Bytes::from(rest);
    }
}

/// What is stored of what a scan saw, for each of its tools what that reports.
fn sarif(
    app: App,
    row: scan::Model,
    tools: Vec<(String, Option<String>)>,
) -> impl futures_util::Stream<Item = io::Result<Bytes>> {
    async_stream::try_stream! {
        let mut writer = Writer::new(Vec::new())?;
        for (n, (name, version)) in tools.iter().enumerate() {
            writer.run(name, version.as_deref())?;
            let mut behind = String::new();
            loop {
                let rows = batch(&app, &row, &behind).await.map_err(broken)?;
                still_there(&app, &row.id).await?;
                let Some((last, _)) = rows.last() else { break };
                behind.clone_from(&last.finding_id);
                for (seen, found) in &rows {
                    let finding = finding_of(seen, found).map_err(broken)?;
                    // What other tools report by now was this scan's all the same.
                    let others = n == 0 && !tools.iter().any(|(tool, _)| finding.detected_by.contains(tool));
                    if others || finding.detected_by.contains(name) {
                        writer.result(&finding)?;
                    }
                }
                yield Bytes::from(mem::take(writer.out()));
            }
        }
        let rest = writer.finish()?;
        yield Bytes::from(rest);
    }
}

/// What a scan saw behind this finding, in the order of their ids, and what is known of each.
async fn batch(app: &App, row: &scan::Model, behind: &str) -> Result<Vec<(scan_finding::Model, finding::Model)>> {
    let seen = scan_finding::Entity::find()
        .filter(scan_finding::Column::ScanId.eq(&row.id))
        .filter(scan_finding::Column::FindingId.gt(behind))
        .order_by_asc(scan_finding::Column::FindingId)
        .limit(BATCH)
        .all(app.db.read())
        .await?;
    let ids = seen.iter().map(|seen| &seen.finding_id);
    let rows = finding::Entity::find().filter(finding::Column::Id.is_in(ids)).all(app.db.read()).await?;
    let mut rows: HashMap<String, finding::Model> = rows.into_iter().map(|row| (row.id.clone(), row)).collect();
    let gone = || Error::internal("a finding of a scan is gone");
    seen.into_iter().map(|seen| rows.remove(&seen.finding_id).map(|row| (seen, row)).ok_or_else(gone)).collect()
}

/// Goes on only while a scan's document is there. It says that it is forgotten before anything of it is deleted: what was
/// read before this was whole, and what is read after it may not be, so that the document breaks off instead of ending early.
async fn still_there(app: &App, id: &str) -> io::Result<()> {
    let row = scan::Entity::find_by_id(id).one(app.db.read()).await;
    match row.map_err(|error| io::Error::other(error.to_string()))?.is_some_and(|row| is_there(&row)) {
        true => Ok(()),
        false => Err(io::Error::other("the scan was forgotten while its document was read")),
    }
}

/// A finding as a scan saw it, as whoever writes documents wants it.
fn finding_of(seen: &scan_finding::Model, row: &finding::Model) -> Result<Finding> {
    Ok(Finding {
        identity: row.identity.clone(),
        rule: row.rule.clone(),
        aliases: serde_json::from_value(row.aliases.clone())?,
        title: row.title.clone(),
        severity: list::severity_of(seen.rank),
        place: serde_json::from_value(row.place.clone())?,
        description: row.description.as_deref().map(Into::into),
        fixed_version: row.fixed_version.clone(),
        help_url: row.help_url.clone(),
        detected_by: word::names(&seen.detected_by),
    })
}

fn broken(error: Error) -> io::Error {
    io::Error::other(error.message)
}
