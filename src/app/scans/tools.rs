//! The seam to the room `scanner`: one tool at one target, from its start to what it found; and what several found, as one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::images::FromRegistries;
use super::targets::Aim;
use crate::app::pipelines::engine;
use crate::app::{App, Result};
use crate::builder::{BuilderConnection, Journal, Output};
use crate::scanner::report::{self, Found, Input, Key};
use crate::scanner::run::{ClusterConnection, EngineConnection, Host, Job, Mark, Said};
use crate::scanner::{Finding, ScanError, Tool};

/// Where a tool in an image sees the source.
const SOURCE_IN_CONTAINER: &str = "/kiops/source";

/// Findings of one tool at most: more is a tool that is set up wrongly.
const MOST: usize = 250_000;

/// What one run of a tool gave.
pub(super) struct Run {
    /// What it calls its version.
    pub(super) version: Option<String>,
    /// What it found, in its own order.
    pub(super) found: Vec<Found>,
    /// Why that may not be all there is.
    pub(super) incomplete: Option<String>,
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
    journal: &dyn Journal,
) -> std::result::Result<Run, ScanError> {
    let job = Job {
        tool,
        target: &aim.target,
        mark: place.mark,
        host: place.host,
        images: Some(place.images),
        report: place.report,
        join: aim.join.as_ref(),
    };
    app.scanners.run(&job, &Words { tool: &tool.name, journal }).await?;
    let (tool, path, source) = (tool.clone(), place.report.to_owned(), aim.target.source.clone());
    let key = place.key.clone();
    let read = tokio::task::spawn_blocking(move || read(&tool, &path, source.as_deref(), &key)).await;
    // What it reads is a stranger's.
    read.unwrap_or_else(|_| Err(ScanError::Unreadable("its report can't be read".to_owned())))
}

fn read(tool: &Tool, path: &Path, source: Option<&Path>, key: &Key) -> std::result::Result<Run, ScanError> {
    let seen_at = tool.image.as_ref().map(|_| SOURCE_IN_CONTAINER);
    let input = Input { tool, report: path, source, seen_at, key };
    let mut found = Vec::new();
    let read = report::read(&input, &mut |one| {
        found.push(one);
        found.len() <= MOST
    })?;
    if found.len() > MOST {
        return Err(ScanError::Unreadable(format!("its report has more than {MOST} findings")));
    }
    Ok(Run { version: read.version, found, incomplete: read.incomplete })
}

/// What several tools found, as one list.
pub(super) fn merge(found: Vec<Found>, key: &Key) -> Vec<Finding> {
    report::merge(found, key)
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
}

#[async_trait::async_trait]
impl Said for Words<'_> {
    async fn line(&self, text: &str) {
        self.journal.line(Output::Stdout, &format!("{}: {text}", self.tool)).await;
    }
}
