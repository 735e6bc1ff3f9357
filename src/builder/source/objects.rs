//! Reading objects out of the fetched repository: as they are stored, without filters, in pieces.

use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{ChildStdin, ChildStdout};

use super::SourceError;
use super::process::{Git, Running, in_repository};
use super::tree::Entry;
use super::write::Writer;

/// Bytes that are read at a time.
const PIECE: usize = 64 * 1024;
/// Objects that are asked for at once. Their names fit into the smallest pipe, so that nobody waits for the other.
const GROUP: usize = 48;
/// How a file begins that stands for one of Git LFS: <https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md>.
const LFS: &[u8] = b"version https://git-lfs.github.com/spec/";
/// Bytes of one record of a listing.
const MAX_RECORD: u64 = 16 * 1024;

/// `git cat-file --batch`, which is asked for one object after the other.
pub(super) struct Objects {
    _running: Running,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Objects {
    /// Of the repository at `folder`.
    ///
    /// # Errors
    /// [`SourceError::Broken`].
    pub(super) fn of(git: &Git<'_>, folder: &Path) -> Result<Self, SourceError> {
        let args = [in_repository(folder), "cat-file".into(), "--batch".into()];
        let mut running = git.talk(&args, Stdio::piped())?;
        let (input, output) = (running.child.stdin.take(), running.child.stdout.take());
        let (Some(input), Some(output)) = (input, output) else { return Err(ended()) };
        Ok(Self { _running: running, input, output: BufReader::with_capacity(PIECE, output) })
    }

    /// A whole object of a kind.
    ///
    /// # Errors
    /// [`SourceError::NotFound`] when it is not there, [`SourceError::Refused`] when it is of another kind or has more
    /// than `most` bytes.
    pub(super) async fn whole(&mut self, kind: &str, hash: &str, most: u64) -> Result<Vec<u8>, SourceError> {
        self.ask([hash]).await?;
        let size = self.begin(kind, hash).await?;
        if size > most {
            return Err(SourceError::Refused(format!("the {kind} {} of the source is too large", short(hash))));
        }
        let mut bytes = vec![0; usize::try_from(size).map_err(|_| ended())?];
        self.output.read_exact(&mut bytes).await.map_err(|_| ended())?;
        self.close().await?;
        Ok(bytes)
    }

    /// Asks for objects; each is then begun and read in this order.
    ///
    /// # Errors
    /// [`SourceError::Broken`].
    async fn ask<'h>(&mut self, hashes: impl IntoIterator<Item = &'h str>) -> Result<(), SourceError> {
        let lines: String = hashes.into_iter().flat_map(|hash| [hash, "\n"]).collect();
        self.input.write_all(lines.as_bytes()).await.map_err(|_| ended())
    }

    /// Begins an object that was asked for, and gives its size.
    async fn begin(&mut self, kind: &str, hash: &str) -> Result<u64, SourceError> {
        let mut line = Vec::new();
        (&mut self.output).take(1024).read_until(b'\n', &mut line).await.map_err(|_| ended())?;
        let line = String::from_utf8_lossy(&line);
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words[..] {
            [_, found, size] if found == kind => size.parse().map_err(|_| ended()),
            [_, "missing"] => Err(SourceError::NotFound(format!("the {kind} {} is not in the source", short(hash)))),
            [_, found, _] => Err(SourceError::Refused(format!("{} is no {kind} but a {found}", short(hash)))),
            _ => Err(ended()),
        }
    }

    /// Reads past the end of an object.
    async fn close(&mut self) -> Result<(), SourceError> {
        self.output.read_u8().await.map(|_| ()).map_err(|_| ended())
    }

    /// Copies files, each of its listed size. Gives how many of them stand for a content that Git LFS keeps elsewhere.
    ///
    /// # Errors
    /// As [`Objects::whole`], and those of the writer.
    pub(super) async fn copy(&mut self, files: &[&Entry], writer: &mut Writer) -> Result<usize, SourceError> {
        let mut stand_ins = 0;
        for group in files.chunks(GROUP) {
            self.ask(group.iter().map(|entry| entry.hash.as_str())).await?;
            for entry in group {
                let mut left = self.begin("blob", &entry.hash).await?;
                if left != entry.size {
                    return Err(ended());
                }
                writer.file(entry).await?;
                let mut is_first = true;
                while left > 0 {
                    let count = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
                    let mut piece = vec![0; count];
                    self.output.read_exact(&mut piece).await.map_err(|_| ended())?;
                    left -= count as u64;
                    stand_ins += usize::from(is_first && left == 0 && piece.starts_with(LFS));
                    is_first = false;
                    writer.piece(piece).await?;
                }
                self.close().await?;
            }
        }
        Ok(stand_ins)
    }
}

/// The listing of a tree, record by record. It ends with what it is dropped with: nobody need read all of it.
pub(super) struct Listing {
    running: Running,
    output: BufReader<ChildStdout>,
}

impl Listing {
    /// Of the tree of a commit. Folders are records too: a tree can be endless without a single file in it.
    ///
    /// # Errors
    /// [`SourceError::Broken`].
    pub(super) fn of(git: &Git<'_>, folder: &Path, hash: &str) -> Result<Self, SourceError> {
        let mut args = vec![in_repository(folder), "ls-tree".into()];
        args.extend(["-r", "-t", "-l", "-z", "--full-tree", "--end-of-options", hash].map(Into::into));
        let mut running = git.talk(&args, Stdio::null())?;
        let output = running.child.stdout.take().ok_or_else(ended)?;
        Ok(Self { running, output: BufReader::with_capacity(PIECE, output) })
    }

    /// The next record, without its NUL; false at the end.
    ///
    /// # Errors
    /// [`SourceError::Refused`] for a record without end.
    pub(super) async fn next(&mut self, record: &mut Vec<u8>) -> Result<bool, SourceError> {
        record.clear();
        (&mut self.output).take(MAX_RECORD).read_until(0, record).await.map_err(|_| ended())?;
        if record.is_empty() {
            return Ok(false);
        }
        if record.pop() != Some(0) {
            return Err(SourceError::Refused("an entry of the source has too long a path".to_owned()));
        }
        Ok(true)
    }

    /// Sees that it came to its end.
    ///
    /// # Errors
    /// [`SourceError::Refused`] when `git` could not read the whole tree.
    pub(super) async fn end(self) -> Result<(), SourceError> {
        if self.running.end().await?.success() {
            return Ok(());
        }
        Err(SourceError::Refused("the source's tree is malformed: it can't be listed to its end".to_owned()))
    }
}

fn ended() -> SourceError {
    SourceError::Broken("git ended before it gave what was asked for".to_owned())
}

fn short(hash: &str) -> &str {
    hash.get(..8).unwrap_or(hash)
}
