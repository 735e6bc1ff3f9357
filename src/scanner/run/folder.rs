//! The folder of a run on this server: the home of a process, the saved image, the report as it arrives.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::left;
use crate::vault::make_folder;

/// How the folders are called. One that a crash left is known by its lock, which nobody holds.
const PREFIX: &str = "kiops-scan-";
const LOCK: &str = "lock";
/// What the report is called: every format is JSON, and some tools go by the name's end.
pub(super) const REPORT: &str = "report.json";

/// The folder; it is gone when this is dropped, and with it the processes that have their home there.
pub(super) struct RunFolder {
    path: PathBuf,
    /// Held as long as the folder is in use.
    _lock: File,
}

impl RunFolder {
    /// Makes one below `root`, for one run of a scan.
    ///
    /// # Errors
    /// When the folder can't be made.
    pub(super) fn make(root: &Path, scan_id: &str) -> io::Result<Self> {
        let prefix = of_scan(scan_id);
        let hidden = tempfile::Builder::new()
            .prefix(&format!(".{prefix}"))
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(root)?;
        let lock = OpenOptions::new().write(true).create_new(true).mode(0o600).open(hidden.path().join(LOCK))?;
        lock.try_lock().map_err(io::Error::from)?;
        // Only with its final name, which comes after the lock, is it one that a sweep looks at.
        let name = hidden.path().file_name().and_then(OsStr::to_str).unwrap_or_default();
        let path = root.join(name.trim_start_matches('.'));
        fs::rename(hidden.keep(), &path)?;
        let folder = Self { path, _lock: lock };
        for inner in [folder.home(), folder.temporary(), folder.out(), folder.files()] {
            DirBuilder::new().mode(0o700).create(inner)?;
        }
        Ok(folder)
    }

    /// All of it.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A name that no other run has.
    pub(super) fn name(&self) -> String {
        self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// HOME of a process.
    pub(super) fn home(&self) -> PathBuf {
        self.path.join("home")
    }

    /// TMPDIR of a process.
    pub(super) fn temporary(&self) -> PathBuf {
        self.path.join("home").join("tmp")
    }

    /// Where the report comes in.
    pub(super) fn out(&self) -> PathBuf {
        self.path.join("out")
    }

    /// The report.
    pub(super) fn report(&self) -> PathBuf {
        self.out().join(REPORT)
    }

    /// The tool's own files.
    pub(super) fn files(&self) -> PathBuf {
        self.path.join("files")
    }

    /// The saved image.
    pub(super) fn image(&self) -> PathBuf {
        self.path.join("image.tar")
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        gone(&self.path);
    }
}

/// Where runs have their folders, as the kernel names it.
///
/// # Errors
/// When it can't be made.
pub(super) fn root(root: &Path) -> io::Result<PathBuf> {
    make_folder(root)?;
    root.canonicalize()
}

/// Moves a file, which may be on another disk, and makes it the server's alone.
///
/// # Errors
/// When the disk refuses.
pub(super) fn take(from: &Path, to: &Path) -> io::Result<()> {
    fs::set_permissions(from, Permissions::from_mode(0o600))?;
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => fs::copy(from, to).map(|_| ()),
        moved => moved,
    }
}

/// Ends the processes of a scan, and removes its folders.
pub(super) fn clear(root: &Path, scan_id: &str) {
    let prefix = of_scan(scan_id);
    for path in folders(root, &prefix) {
        gone(&path);
    }
    // A folder may be gone already, and its processes not.
    left::kill(root.join(prefix).as_os_str().as_bytes());
}

/// Ends the processes and removes the folders below `root` that a server left which is no more.
pub(super) fn sweep(root: &Path) {
    for path in folders(root, PREFIX) {
        let Ok(lock) = OpenOptions::new().read(true).write(true).open(path.join(LOCK)) else { continue };
        if lock.try_lock().is_ok() {
            gone(&path);
        }
    }
}

fn folders(root: &Path, prefix: &str) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let ours: Vec<_> = entries.filter(|entry| entry.file_name().as_bytes().starts_with(prefix.as_bytes())).collect();
    ours.into_iter().map(|entry| entry.path())
}

fn gone(path: &Path) {
    left::kill(&[path.as_os_str().as_bytes(), b"/"].concat());
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(folder = %path.display(), %error, "a scan's folder can't be removed");
        }
        _ => {}
    }
}

/// How the names of a scan's folders begin. No id is the beginning of another one with this.
fn of_scan(scan_id: &str) -> String {
    let plain: String = scan_id.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    format!("{PREFIX}{plain}.")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_private_and_goes_away() {
        let temp = tempfile::tempdir().unwrap();
        let folder = RunFolder::make(temp.path(), "one").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(folder.path()), mode(&folder.home())), (0o700, 0o700));
        assert!(folder.name().starts_with("kiops-scan-one."));
        drop(folder);
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
    }

    #[test]
    fn each_scan_is_cleared_alone_and_a_sweep_removes_what_nobody_holds() {
        let temp = tempfile::tempdir().unwrap();
        let (one, other) =
            (RunFolder::make(temp.path(), "a-1").unwrap(), RunFolder::make(temp.path(), "a-11").unwrap());
        clear(temp.path(), "a-1");
        assert!(!one.path().exists() && other.path().exists());
        let left = temp.path().join("kiops-scan-x.abc");
        fs::create_dir(&left).unwrap();
        fs::write(left.join(LOCK), "").unwrap();
        fs::create_dir(temp.path().join("kiops-scan-strange")).unwrap();
        sweep(temp.path());
        assert!(other.path().exists() && !left.exists() && temp.path().join("kiops-scan-strange").exists());
    }

    #[test]
    fn an_id_is_no_path() {
        let temp = tempfile::tempdir().unwrap();
        let folder = RunFolder::make(temp.path(), "../../x").unwrap();
        assert_eq!(folder.path().parent(), Some(temp.path()));
    }
}
