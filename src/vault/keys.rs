//! Keys and the files they are in.

use std::ffi::OsStr;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::TryRngCore as _;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::files::{belong_to_owner_of, folder_of, make_folder};

/// One key, wiped when it is dropped. Has no Debug on purpose.
pub struct Key {
    id: String,
    bytes: Zeroizing<[u8; 32]>,
}

/// The key that is sealed with, and earlier ones that are only read with.
#[derive(Default)]
pub struct Keys {
    current: Option<Arc<Key>>,
    previous: Vec<Arc<Key>>,
}

/// What is wrong with a key file. Never holds its content.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It could not be read or made.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Others than its owner may read it.
    #[error("{0} can be read by others than its owner: run chmod 600 on it")]
    Open(String),
    /// It holds no key.
    #[error("{0} does not hold 32 bytes in base64")]
    NoKey(String),
}

impl Key {
    /// A key of 32 bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        let bytes = Zeroizing::new(bytes);
        let hash = Sha256::new().chain_update(b"kiops secret key id v1\0").chain_update(*bytes).finalize();
        Self { id: hex::encode(&hash[..8]), bytes }
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// When it can't be read, others may read it, or it holds no key.
    pub fn from_file(path: &Path) -> Result<Self, KeyError> {
        let io = |source| KeyError::Io { path: path.display().to_string(), source };
        let file = File::open(path).map_err(io)?;
        if is_open(&file.metadata().map_err(io)?) {
            return Err(KeyError::Open(path.display().to_string()));
        }
        let bad = || KeyError::NoKey(path.display().to_string());
        let mut text = Zeroizing::new(Vec::with_capacity(256));
        file.take(256).read_to_end(&mut text).map_err(io)?;
        let bytes = Zeroizing::new(STANDARD.decode(text.trim_ascii()).map_err(|_| bad())?);
        Ok(Self::new(bytes.as_slice().try_into().map_err(|_| bad())?))
    }

    /// The first 8 bytes of a hash of the key, in hexadecimal.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }
}

impl Keys {
    /// The key to seal with, and those that are still read with.
    #[must_use]
    pub fn new(current: Key, previous: Vec<Key>) -> Self {
        Self { current: Some(Arc::new(current)), previous: previous.into_iter().map(Arc::new).collect() }
    }

    /// No keys at all.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Reads the key files that the configuration names.
    ///
    /// # Errors
    /// The first file that can't be used.
    pub fn from_files<P: AsRef<Path>>(current: &Path, previous: &[P]) -> Result<Self, KeyError> {
        let previous = previous.iter().map(|path| Key::from_file(path.as_ref())).collect::<Result<_, _>>()?;
        Ok(Self::new(Key::from_file(current)?, previous))
    }

    pub(super) fn current(&self) -> Option<&Arc<Key>> {
        self.current.as_ref()
    }

    pub(super) fn by_id(&self, id: &str) -> Option<&Arc<Key>> {
        self.all().find(|key| key.id == id)
    }

    /// These, and all of others that are not among them, to be read with.
    pub(super) fn and_read_with(mut self, others: &Self) -> Self {
        let more: Vec<Arc<Key>> = others.all().filter(|key| self.by_id(&key.id).is_none()).cloned().collect();
        self.previous.extend(more);
        self
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Key>> {
        self.current.iter().chain(&self.previous)
    }
}

/// Whether others may read it. What belongs to somebody else can be ours only by its group, which may then read it: so
/// does Kubernetes mount a Secret for who is not root.
fn is_open(file: &Metadata) -> bool {
    let is_ours = file.uid() == rustix::process::geteuid().as_raw();
    file.mode() & if is_ours { 0o077 } else { 0o037 } != 0
}

/// Renames a file to a name that nothing has yet.
fn give_name(file: &OsStr, path: &Path) -> std::io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    match renameat_with(CWD, file, CWD, path, RenameFlags::NOREPLACE) {
        // Some file systems know no such names; then there is none that could be meant.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) if !path.exists() => std::fs::rename(file, path),
        named => Ok(named?),
    }
}

/// Makes a key file with mode 0600 and writes it through to the disk. Makes its directory (0700) where needed.
///
/// # Errors
/// When the file is there already, or can't be written.
pub fn create_key_file(path: &Path) -> Result<Key, KeyError> {
    let io = |source| KeyError::Io { path: path.display().to_string(), source };
    let folder = folder_of(path);
    make_folder(folder).map_err(io)?;
    let mut bytes = Zeroizing::new([0; 32]);
    rand::rngs::OsRng.try_fill_bytes(bytes.as_mut_slice()).map_err(|e| io(std::io::Error::other(e)))?;
    let text = Zeroizing::new(STANDARD.encode(*bytes) + "\n");
    // It has its name when it is whole: an empty one would pass for a key that was lost. What is left of one whose making was
    // cut short is nobody's key.
    let mut part = path.as_os_str().to_owned();
    part.push(format!(".{:x}", rand::rngs::OsRng.try_next_u64().map_err(|e| io(std::io::Error::other(e)))?));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part).map_err(io)?;
    belong_to_owner_of(folder, &file);
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).and_then(|()| give_name(&part, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    written.map_err(io)?;
    File::open(folder).and_then(|directory| directory.sync_all()).map_err(io)?;
    Ok(Key::new(*bytes))
}
