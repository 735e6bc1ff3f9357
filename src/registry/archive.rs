//! A tar file that is written as its parts come.

use std::io;
use std::path::Path;

use tokio::fs::File;
use tokio::io::{AsyncWriteExt as _, BufWriter};

/// An archive is made of blocks.
const BLOCK: u64 = 512;
/// Bytes that are written at once.
const BUFFER: usize = 256 * 1024;

/// The file.
pub(super) struct Archive {
    file: BufWriter<File>,
    written: u64,
}

impl Archive {
    /// A new one, in place of what is there.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) async fn create(to: &Path) -> io::Result<Self> {
        Ok(Self { file: BufWriter::with_capacity(BUFFER, File::create(to).await?), written: 0 })
    }

    /// A file of so many bytes begins, which [`Self::write`] and then [`Self::end_file`] follow.
    ///
    /// # Errors
    /// When the disk refuses, or the name is too long for a header.
    pub(super) async fn begin(&mut self, name: &str, size: u64) -> io::Result<()> {
        self.header((tar::EntryType::Regular, 0o644), name, size).await
    }

    /// A folder. Some tools unpack such archives, and make none that is not named.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub(super) async fn folder(&mut self, name: &str) -> io::Result<()> {
        self.header((tar::EntryType::Directory, 0o755), name, 0).await
    }

    async fn header(&mut self, (kind, mode): (tar::EntryType, u32), name: &str, size: u64) -> io::Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_path(name)?;
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(size);
        header.set_cksum();
        self.write(header.as_bytes()).await
    }

    /// Some of it.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        self.file.write_all(bytes).await
    }

    /// All of it was written.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) async fn end_file(&mut self) -> io::Result<()> {
        let missing = self.written.next_multiple_of(BLOCK) - self.written;
        self.write(&vec![0; missing as usize]).await
    }

    /// The archive's own end.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) async fn end(mut self) -> io::Result<()> {
        self.write(&[0; 2 * BLOCK as usize]).await?;
        self.file.flush().await
    }
}
