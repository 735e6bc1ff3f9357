//! The seam to the room `scanner`: one tool at one target, from its start to what it found; and what several found, as one.

use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::images::FromRegistries;
use super::targets::Aim;
use crate::app::pipelines::engine;
use crate::app::{App, Result};
use crate::builder::{BuilderConnection, Journal, Output};
use crate::scanner::report::bom::{self, Part};
use crate::scanner::report::{self, Found, Input, Key, Read};
use crate::scanner::run::{ClusterConnection, EngineConnection, Host, Job, Mark, Said};
use crate::scanner::{Finding, ScanError, Tool, words};

/// Where a tool in an image sees the source.
const SOURCE_IN_CONTAINER: &str = "/kiops/source";

/// Findings of one tool at most: more is a tool that is set up wrongly.
const MOST: usize = 250_000;
/// Bytes of memory that they may take. A hundred thousand of Semgrep take about 50 MB.
const MOST_BYTES: usize = 256 << 20;

/// Longest line of a tool that is quoted, in characters.
const LONGEST_LINE: usize = 200;

/// What one run of a tool gave.
pub(super) struct Run {
    /// What it calls its version.
    pub(super) version: Option<String>,
    /// What it found, in its own order.
    pub(super) found: Vec<Found>,
    /// Why that may not be all there is.
    pub(super) incomplete: Option<String>,
    /// What nobody knows of it.
    pub(super) untold: Option<String>,
}

/// How much more of a tool's findings there may be. Over all that it looks at: they are in memory until all tools of the scan
/// have come to their ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    findings: usize,
    bytes: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self { findings: MOST, bytes: MOST_BYTES }
    }
}

impl Room {
    /// Takes what a finding needs. False: there is not so much left.
    fn take(&mut self, found: &Found) -> bool {
        let (Some(findings), Some(bytes)) = (self.findings.checked_sub(1), self.bytes.checked_sub(found.bytes()))
        else {
            return false;
        };
        *self = Self { findings, bytes };
        true
    }
}

/// Whose a run is, and where its report goes.
pub(super) struct Place<'a> {
    pub(super) mark: &'a Mark,
    pub(super) host: Option<&'a Host>,
    pub(super) images: &'a FromRegistries<'a>,
    pub(super) report: &'a Path,
    pub(super) key: &'a Arc<Key>,
}

/// Runs a tool at one target and reads its report.
pub(super) async fn run(
    app: &App,
    (tool, aim): (&Tool, &Aim),
    place: &Place<'_>,
    (journal, room): (&dyn Journal, Room),
) -> std::result::Result<(Run, Room), ScanError> {
    let job = Job {
        tool,
        target: &aim.target,
        mark: place.mark,
        host: place.host,
        images: Some(place.images),
        report: place.report,
        join: aim.join.as_ref(),
    };
    let words = Words { tool: &tool.name, journal, nothing: OnceLock::new(), something: OnceLock::new() };
    app.scanners.run(&job, &words).await?;
    let (tool, path, source) = (tool.clone(), place.report.to_owned(), aim.target.source.clone());
    let key = place.key.clone();
    let read = tokio::task::spawn_blocking(move || read((&tool, &path), source.as_deref(), &key, room)).await;
    // What it reads is a stranger's.
    let read = read.unwrap_or_else(|_| Err(ScanError::Unreadable("its report can't be read".to_owned())));
    let (mut run, room) = read?;
    if run.found.is_empty() {
        if let Some(line) = words.nothing.get() {
            return Err(ScanError::LookedAtNothing(format!("it looked at nothing: it says {line:?}")));
        }
        run.untold = run.untold.filter(|_| words.something.get().is_none());
    }
    Ok((run, room))
}

fn read(
    (tool, path): (&Tool, &Path),
    source: Option<&Path>,
    key: &Key,
    mut room: Room,
) -> std::result::Result<(Run, Room), ScanError> {
    let seen_at = tool.image.as_ref().map(|_| SOURCE_IN_CONTAINER);
    let input = Input { tool, report: path, source, seen_at, key };
    let (mut found, mut fits) = (Vec::new(), true);
    let read = report::read(&input, &mut |one| {
        fits = room.take(&one);
        if fits {
            found.push(one);
        }
        fits
    })?;
    if !fits {
        let bytes = MOST_BYTES >> 20;
        return Err(ScanError::Unreadable(format!(
            "its reports have more than {MOST} findings, or {bytes} MiB of them"
        )));
    }
    let Read { version, incomplete, untold, .. } = read;
    Ok((Run { version, found, incomplete, untold }, room))
}

/// What several tools found, as one list.
pub(super) fn merge(found: Vec<Found>, key: &Key) -> Vec<Finding> {
    report::merge(found, key)
}

/// What was written of several images of a service, as one document in a file.
pub(super) fn join(service: &str, documents: &[Part], path: &Path) -> std::result::Result<(), ScanError> {
    let made = std::fs::File::create(path);
    let file = made.map_err(|error| ScanError::Failed(format!("the document of all images can't be made: {error}")))?;
    bom::join(service, documents, BufWriter::new(file))
}

/// What builds, for tools: it also runs those that are in an image; or why there is nothing.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub(in crate::app) async fn host_of(app: &App) -> Result<std::result::Result<Host, String>> {
    Ok(match engine::connection(app).await? {
        Ok(BuilderConnection::Engine(engine)) => {
            Ok(Host::Engine(EngineConnection { host: engine.host, tls: engine.tls }))
        }
        Ok(BuilderConnection::Cluster(cluster)) => {
            let place = cluster.place;
            Ok(Host::Cluster(Box::new(ClusterConnection {
                access: cluster.access,
                namespace: place.namespace,
                image: place.image,
                disk: place.disk,
                platform: place.platform,
            })))
        }
        Err(why) => Err(why),
    })
}

/// Stops and removes all that is at work for a scan where builds run and on this server, and the folder with its reports.
///
/// # Errors
/// What the engine or the cluster says.
pub(super) async fn clear(app: &App, scan_id: &str) -> std::result::Result<(), String> {
    remove_folder(app, scan_id).await;
    // Where no tool is in an image nothing of a scan is there, and it need not be either.
    let needed = app.settings.scanners.iter().any(|tool| tool.image.is_some());
    let host = match needed {
        true => host_of(app).await.map_err(|error| error.message)?.ok(),
        false => None,
    };
    app.scanners.clear(scan_id, host.as_ref()).await.map_err(|error| error.to_string())
}

/// What the names of scans' folders begin with.
pub(in crate::app) const FOLDER: &str = "scan-";

/// Where a scan has its reports, and its source where it is no pipeline's, while it is at work.
pub(super) fn folder(app: &App, scan_id: &str) -> PathBuf {
    app.settings.builds.work_dir.join(format!("{FOLDER}{scan_id}"))
}

/// Removes it, if it is there. What is left of it goes with the sources that nobody needs any more.
pub(super) async fn remove_folder(app: &App, scan_id: &str) {
    if let Err(error) = tokio::fs::remove_dir_all(folder(app, scan_id)).await
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(scan = scan_id, %error, "the folder of a scan is left");
    }
}

/// A tool's words in a run's log.
struct Words<'a> {
    tool: &'a str,
    journal: &'a dyn Journal,
    /// The line in which it says that it looked at nothing.
    nothing: OnceLock<String>,
    /// Set where it says that it looked at something.
    something: OnceLock<()>,
}

#[async_trait::async_trait]
impl Said for Words<'_> {
    async fn line(&self, text: &str) {
        // The first of its kind stays.
        let _heard = match words::looked_at(text) {
            Some(0) => self.nothing.set(text.trim().chars().take(LONGEST_LINE).collect()).is_ok(),
            Some(_) => self.something.set(()).is_ok(),
            None => false,
        };
        self.journal.line(Output::Stdout, &format!("{}: {text}", self.tool)).await;
    }
}
