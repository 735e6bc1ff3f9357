//! Writing a tree. All paths were judged before, the folder is new and nobody else's, and links come last: nothing that
//! is written goes through one.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinHandle;

use super::SourceError;
use super::tree::{Entry, Kind};
use super::words::shown;

/// Pieces that wait to be written.
const WAITING: usize = 32;

/// What is written, in order.
enum Step {
    Folder(Vec<u8>),
    File { path: Vec<u8>, mode: u32 },
    Piece(Vec<u8>),
    Link { path: Vec<u8>, target: Vec<u8> },
}

/// A thread that writes below a folder. It stops when this is dropped.
pub(super) struct Writer {
    steps: Option<Sender<Step>>,
    thread: Option<JoinHandle<Result<(), SourceError>>>,
    given_up: Arc<AtomicBool>,
}

impl Writer {
    /// Below `folder`, which is there.
    pub(super) fn below(folder: &Path) -> Self {
        let (steps, waiting) = mpsc::channel(WAITING);
        let given_up = Arc::new(AtomicBool::new(false));
        let (folder, stop) = (folder.to_owned(), Arc::clone(&given_up));
        let thread = tokio::task::spawn_blocking(move || write_all(&folder, waiting, &stop));
        Self { steps: Some(steps), thread: Some(thread), given_up }
    }

    /// A folder; those that it is in were written before.
    pub(super) async fn folder(&mut self, path: &[u8]) -> Result<(), SourceError> {
        self.step(Step::Folder(path.to_vec())).await
    }

    /// Begins a file.
    pub(super) async fn file(&mut self, entry: &Entry) -> Result<(), SourceError> {
        let mode = if entry.kind == Kind::Program { 0o755 } else { 0o644 };
        self.step(Step::File { path: entry.path.clone(), mode }).await
    }

    /// Goes on with the last file.
    pub(super) async fn piece(&mut self, bytes: Vec<u8>) -> Result<(), SourceError> {
        self.step(Step::Piece(bytes)).await
    }

    /// A link; all files were written before.
    pub(super) async fn link(&mut self, path: &[u8], target: &[u8]) -> Result<(), SourceError> {
        self.step(Step::Link { path: path.to_vec(), target: target.to_vec() }).await
    }

    /// Waits until all is written.
    ///
    /// # Errors
    /// [`SourceError::Broken`] with what the disk says.
    pub(super) async fn end(mut self) -> Result<(), SourceError> {
        self.steps = None;
        self.outcome().await
    }

    async fn step(&mut self, step: Step) -> Result<(), SourceError> {
        if let Some(steps) = &self.steps
            && steps.send(step).await.is_ok()
        {
            return Ok(());
        }
        // It only stops to listen when something is wrong.
        self.outcome().await?;
        Err(SourceError::Broken("the source can't be written".to_owned()))
    }

    async fn outcome(&mut self) -> Result<(), SourceError> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        let ended = thread.await;
        ended.unwrap_or_else(|_| Err(SourceError::Broken("the source can't be written: its thread ended".to_owned())))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.given_up.store(true, Ordering::Relaxed);
    }
}

fn write_all(folder: &Path, mut steps: Receiver<Step>, stop: &AtomicBool) -> Result<(), SourceError> {
    let mut open: Option<(PathBuf, File)> = None;
    while let Some(step) = steps.blocking_recv() {
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        match step {
            Step::Folder(path) => {
                let at = place(folder, &path);
                fs::create_dir(&at).and_then(|()| mode(&at, 0o755)).map_err(|error| broken(&path, &error))?;
            }
            Step::File { path, mode } => {
                let at = place(folder, &path);
                let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&at);
                let file = file.and_then(|file| file.set_permissions(Permissions::from_mode(mode)).map(|()| file));
                open = Some((at, file.map_err(|error| broken(&path, &error))?));
            }
            Step::Piece(bytes) => {
                if let Some((at, file)) = &mut open {
                    file.write_all(&bytes).map_err(|error| broken(at.as_os_str().as_bytes(), &error))?;
                }
            }
            Step::Link { path, target } => {
                let target = std::ffi::OsStr::from_bytes(&target);
                symlink(target, place(folder, &path)).map_err(|error| broken(&path, &error))?;
            }
        }
    }
    Ok(())
}

fn place(folder: &Path, path: &[u8]) -> PathBuf {
    folder.join(std::ffi::OsStr::from_bytes(path))
}

fn mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
}

fn broken(path: &[u8], error: &io::Error) -> SourceError {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    SourceError::Broken(format!("the source's file {} can't be written: {error}", shown(name)))
}
