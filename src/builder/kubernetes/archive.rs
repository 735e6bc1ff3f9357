//! The source as `tar` reads it: `context/` holds the files, `dockerfile/` the Dockerfile, which comes last. An archive that
//! broke off somewhere has none, and nothing can be built from it, though `tar` may have taken it for a whole one.

use std::io;

use tar::{EntryType, Header};
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::builder::buildkit::{Context, DOCKERFILE};
use crate::engine::messages::Stat;

/// An archive is made of blocks.
const BLOCK: usize = 512;
/// And is read so many bytes at a time.
const RECORD: u64 = 20 * BLOCK as u64;
/// How much of a file is held at once.
const PART: u64 = 64 * 1024;
/// The longest name or target of a link that a header holds.
const LONGEST: usize = 100;
/// BuildKit takes the rules for what stays out from here, if it is there, and from the context else: they have been
/// followed already.
const NO_RULES: &str = "# The rules of .dockerignore were followed before this was sent.\n";

/// Writes the archive; every entry gets `second` as its time.
///
/// # Errors
/// When a file changed since it was listed, or nobody takes the archive any more.
pub async fn write(
    context: &Context,
    dockerfile: &str,
    second: u64,
    to: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    let mut archive = Archive { to, second, written: 0 };
    archive.entry(EntryType::Directory, "context/", 0o755, 0).await?;
    for entry in context.entries() {
        let stat = &entry.stat;
        let path = format!("context/{}", stat.path);
        let mode = stat.mode & 0o777;
        if stat.mode & Stat::FOLDER == Stat::FOLDER {
            archive.entry(EntryType::Directory, &format!("{path}/"), mode, 0).await?;
        } else if stat.mode & Stat::LINK == Stat::LINK {
            archive.link(&path, &stat.link).await?;
        } else {
            let size = u64::try_from(stat.size).unwrap_or_default();
            archive.entry(EntryType::Regular, &path, mode, size).await?;
            let file = entry.open().await?.ok_or_else(changed)?;
            archive.content(file, size).await?;
        }
    }
    archive.entry(EntryType::Directory, "dockerfile/", 0o755, 0).await?;
    for (name, text) in [(format!("{DOCKERFILE}.dockerignore"), NO_RULES), (DOCKERFILE.to_owned(), dockerfile)] {
        let size = text.len() as u64;
        archive.entry(EntryType::Regular, &format!("dockerfile/{name}"), 0o644, size).await?;
        archive.content(text.as_bytes(), size).await?;
    }
    archive.end().await
}

struct Archive<'a, W> {
    to: &'a mut W,
    second: u64,
    written: u64,
}

impl<W: AsyncWrite + Unpin> Archive<'_, W> {
    async fn entry(&mut self, kind: EntryType, path: &str, mode: u32, size: u64) -> io::Result<()> {
        self.long(EntryType::GNULongName, path).await?;
        let mut header = self.header(kind, mode, size);
        put(&mut header.as_old_mut().name, path);
        self.seal(header).await
    }

    async fn link(&mut self, path: &str, target: &str) -> io::Result<()> {
        self.long(EntryType::GNULongLink, target).await?;
        self.long(EntryType::GNULongName, path).await?;
        let mut header = self.header(EntryType::Symlink, 0o777, 0);
        put(&mut header.as_old_mut().name, path);
        put(&mut header.as_old_mut().linkname, target);
        self.seal(header).await
    }

    /// A name that no header holds goes before it, as GNU does it.
    async fn long(&mut self, kind: EntryType, text: &str) -> io::Result<()> {
        if text.len() <= LONGEST {
            return Ok(());
        }
        let size = text.len() as u64 + 1;
        let mut header = self.header(kind, 0o644, size);
        put(&mut header.as_old_mut().name, "././@LongLink");
        self.seal(header).await?;
        self.content([text.as_bytes(), b"\0"].concat().as_slice(), size).await
    }

    fn header(&self, kind: EntryType, mode: u32, size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size);
        header.set_mtime(self.second);
        header.set_uid(0);
        header.set_gid(0);
        header
    }

    async fn seal(&mut self, mut header: Header) -> io::Result<()> {
        header.set_cksum();
        self.bytes(header.as_bytes()).await
    }

    async fn content(&mut self, mut file: impl tokio::io::AsyncRead + Unpin, size: u64) -> io::Result<()> {
        let mut left = size;
        let mut part = Vec::new();
        while left > 0 {
            part.clear();
            let count = (&mut file).take(left.min(PART)).read_to_end(&mut part).await?;
            if count == 0 {
                return Err(changed());
            }
            left -= count as u64;
            self.bytes(&part).await?;
        }
        self.zeros(BLOCK as u64).await
    }

    async fn end(mut self) -> io::Result<()> {
        self.bytes(&[0; 2 * BLOCK]).await?;
        self.zeros(RECORD).await?;
        self.to.flush().await
    }

    /// Fills up to a whole number of so many bytes.
    async fn zeros(&mut self, unit: u64) -> io::Result<()> {
        let missing = self.written.next_multiple_of(unit) - self.written;
        self.bytes(&vec![0; missing as usize]).await
    }

    async fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        self.to.write_all(bytes).await
    }
}

/// As much of it as there is room for.
fn put(field: &mut [u8], text: &str) {
    let length = text.len().min(field.len());
    field[..length].copy_from_slice(&text.as_bytes()[..length]);
}

fn changed() -> io::Error {
    io::Error::other("the source changed while it was sent")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::sync::Arc;

    use chrono::DateTime;

    use super::*;
    use crate::builder::buildkit::Wanted;

    async fn archive(root: &std::path::Path) -> (Context, Vec<u8>) {
        let wanted = Wanted {
            root: root.to_owned(),
            rules: Some("secret\n".to_owned()),
            at: DateTime::UNIX_EPOCH,
            max_bytes: 1 << 20,
            given_up: Arc::default(),
        };
        let context = Context::list(&wanted).unwrap();
        let mut bytes = Vec::new();
        write(&context, "FROM x\n", 1_790_000_000, &mut bytes).await.unwrap();
        (context, bytes)
    }

    #[tokio::test]
    async fn what_is_listed_is_what_tar_makes_of_it() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let long = "d".repeat(120);
        std::fs::create_dir_all(from.path().join(&long)).unwrap();
        std::fs::write(from.path().join(&long).join("f".repeat(90)), vec![7; 200_000]).unwrap();
        std::fs::write(from.path().join("run ü"), "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(from.path().join("run ü"), std::fs::Permissions::from_mode(0o700)).unwrap();
        std::fs::write(from.path().join("empty"), "").unwrap();
        std::fs::write(from.path().join("secret"), "x").unwrap();
        symlink("/etc/passwd", from.path().join("out")).unwrap();
        symlink("x".repeat(150), from.path().join("far")).unwrap();
        let (_, bytes) = archive(from.path()).await;
        assert_eq!(bytes.len() % RECORD as usize, 0);
        let mut found = tar::Archive::new(bytes.as_slice());
        found.set_preserve_mtime(true);
        found.unpack(to.path()).unwrap();
        let context = to.path().join("context");
        assert_eq!(std::fs::read(context.join(&long).join("f".repeat(90))).unwrap(), vec![7; 200_000]);
        let run = context.join("run ü").metadata().unwrap();
        assert_eq!(run.permissions().mode() & 0o777, 0o755);
        assert_eq!(run.modified().unwrap().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs(), 1_790_000_000);
        assert_eq!(std::fs::read_link(context.join("out")).unwrap().to_str(), Some("/etc/passwd"));
        assert_eq!(std::fs::read_link(context.join("far")).unwrap().to_str(), Some("x".repeat(150).as_str()));
        assert!(context.join("empty").is_file() && !context.join("secret").exists());
        assert_eq!(std::fs::read_to_string(to.path().join("dockerfile/Dockerfile")).unwrap(), "FROM x\n");
        assert!(to.path().join("dockerfile/Dockerfile.dockerignore").is_file());
        let names: Vec<_> = tar::Archive::new(bytes.as_slice())
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().into_owned())
            .collect();
        assert_eq!(names.last().unwrap().to_str(), Some("dockerfile/Dockerfile"));
    }

    #[tokio::test]
    async fn a_file_that_changed_is_said() {
        let from = tempfile::tempdir().unwrap();
        std::fs::write(from.path().join("a"), "long enough").unwrap();
        let (context, _) = archive(from.path()).await;
        std::fs::write(from.path().join("a"), "short").unwrap();
        let error = write(&context, "", 0, &mut Vec::new()).await.unwrap_err();
        assert!(error.to_string().contains("changed"), "{error}");
    }
}
