//! What a process has taken so far, looked at again and again.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::left;
use crate::scanner::{ScanError, Tool};

/// How often the report is looked at; everything else each fifth time.
const OFTEN: Duration = Duration::from_millis(200);
const SELDOM: u32 = 5;
/// Files and folders that a run may make.
const MOST_ENTRIES: u64 = 500_000;
/// Bytes of the disk that are left alone.
const LEAST_FREE: u64 = 256 << 20;

/// What is watched.
#[derive(Debug, Clone)]
pub(super) struct Watched {
    /// The run's folder.
    pub(super) folder: PathBuf,
    /// The report in it.
    pub(super) report: PathBuf,
    /// Bytes that all of it may take of the disk.
    pub(super) most_scratch: u64,
}

/// Looks until the tool takes more than it may, and says of what.
pub(super) async fn watch(watched: Watched, tool: &Tool) -> ScanError {
    let mut round = 0_u32;
    loop {
        round = round.wrapping_add(1);
        tokio::time::sleep(OFTEN).await;
        let report = fs::symlink_metadata(&watched.report).map_or(0, |meta| meta.len());
        if report > tool.max_report_bytes {
            return too_large(tool);
        }
        if !round.is_multiple_of(SELDOM) {
            continue;
        }
        let place = watched.clone();
        // A look that can't be made is made the next time.
        let look = tokio::task::spawn_blocking(move || {
            let memory = left::memory(&[place.folder.as_os_str().as_bytes(), b"/"].concat());
            (memory, usage(&place.folder), is_full(&place.folder))
        });
        let Ok((memory, (bytes, entries), is_full)) = look.await else { continue };
        let name = &tool.name;
        if memory > tool.memory {
            let most = tool.memory >> 20;
            let text = format!("{name} took more than {most} MiB of memory (scan.tools.{name}.memory)");
            return ScanError::Failed(text);
        }
        if bytes > watched.most_scratch {
            let most = watched.most_scratch >> 20;
            return ScanError::Failed(format!("{name} wrote more than {most} MiB to its folder"));
        }
        if is_full {
            return ScanError::Failed(format!("{name} was stopped: the disk of this server is nearly full"));
        }
        if entries > MOST_ENTRIES {
            return ScanError::Failed(format!("{name} made more than {MOST_ENTRIES} files"));
        }
    }
}

/// Whether there is so little left of the disk that the server itself is in danger.
pub(super) fn is_full(folder: &Path) -> bool {
    rustix::fs::statvfs(folder).is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < LEAST_FREE)
}

/// A report that is too large.
pub(super) fn too_large(tool: &Tool) -> ScanError {
    let (name, most) = (&tool.name, tool.max_report_bytes);
    ScanError::Unreadable(format!(
        "the report of {name} is larger than {most} bytes (scan.tools.{name}.max_report_bytes)"
    ))
}

/// Bytes of the disk that a folder takes, and how much is in it. Ends early when that is more than a run may make.
fn usage(folder: &Path) -> (u64, u64) {
    let (mut bytes, mut entries) = (0, 0);
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        // What is gone by now takes nothing.
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            bytes += meta.blocks() * 512;
            entries += 1;
            if entries > MOST_ENTRIES {
                return (bytes, entries);
            }
            if meta.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    (bytes, entries)
}
