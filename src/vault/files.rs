//! Whose the files and folders are that root makes for the server: under systemd that is a user of its own, who could not
//! read what root made there by a command.

use std::fs::{DirBuilder, File, Metadata};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, fchown, lchown};
use std::path::Path;

/// The folder that a file is in.
#[must_use]
pub fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes a folder, and those that it is in, for its owner alone (0700), who is that of the folder that was there where root
/// makes them, as far as the system lets us.
///
/// # Errors
/// When the disk refuses.
pub fn make_folder(folder: &Path) -> std::io::Result<()> {
    let missing = folder.ancestors().take_while(|one| !one.as_os_str().is_empty() && !one.exists());
    let missing: Vec<&Path> = missing.collect();
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    if let Some(owner) = missing.last().and_then(|first| owner_to_be(folder_of(first))) {
        for made in missing {
            let _ = lchown(made, Some(owner.uid()), Some(owner.gid()));
        }
    }
    Ok(())
}

/// Gives a file that root has made to whoever has its folder, as far as the system lets us.
pub fn belong_to_owner_of(folder: &Path, file: &File) {
    if let Some(owner) = owner_to_be(folder) {
        let _ = fchown(file, Some(owner.uid()), Some(owner.gid()));
    }
}

/// Whose it is to be what root makes in a folder; nobody else can give things away.
fn owner_to_be(folder: &Path) -> Option<Metadata> {
    if rustix::process::geteuid().is_root() { folder.metadata().ok() } else { None }
}
