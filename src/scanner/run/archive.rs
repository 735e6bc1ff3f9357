//! What a tool in an image is given, and what it leaves, as tar.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};

use tar::{Builder, EntryType, Header};

/// Folders in folders.
const MAX_DEPTH: usize = 200;

/// Whose it all is: nobody's that an image is likely to have. Root, without its rights, can't change what is another's.
const NOBODY: u64 = 65_533;

/// What a container is given.
pub(super) struct Content {
    /// A folder, as `source/`.
    pub(super) source: Option<PathBuf>,
    /// A file, as `image.tar`.
    pub(super) image: Option<PathBuf>,
    /// Names and texts, in `files/`.
    pub(super) files: Vec<(String, String)>,
    /// The mode of folders. Who unpacks it without being root has to be able to write to them.
    pub(super) folders: u32,
    /// An empty file that comes last: where it is, all of the rest is.
    pub(super) last: Option<&'static str>,
}

/// Writes it: readable for everybody and writable for nobody but in `out/`, since a tool is whoever its image says and
/// has no right to read what is not its own.
///
/// # Errors
/// When something can't be read, changed meanwhile, or is neither file nor folder nor link.
pub(super) fn write(content: &Content, to: &mut impl Write) -> io::Result<()> {
    let mut tar = Builder::new(to);
    folder(&mut tar, Path::new("out"), 0o777)?;
    folder(&mut tar, Path::new("files"), content.folders)?;
    for (name, text) in &content.files {
        let mut header = header(EntryType::Regular, 0o444, text.len() as u64);
        tar.append_data(&mut header, Path::new("files").join(name), text.as_bytes())?;
    }
    if let Some(image) = &content.image {
        file(&mut tar, image, Path::new("image.tar"))?;
    }
    if let Some(source) = &content.source {
        folder(&mut tar, Path::new("source"), content.folders)?;
        tree(&mut tar, (source, content.folders), source, 0)?;
    }
    if let Some(last) = content.last {
        tar.append_data(&mut header(EntryType::Regular, 0o444, 0), last, io::empty())?;
    }
    tar.finish()
}

/// Reads the one file of an archive, at most one byte more of it than `most`.
///
/// # Errors
/// `InvalidData` when it is no archive with a regular file at its beginning; anything else is the disk's.
pub(super) fn read(from: impl Read, to: &Path, most: u64) -> io::Result<()> {
    let mut archive = tar::Archive::new(from);
    let Some(entry) = archive.entries().map_err(invalid)?.next() else { return Ok(()) };
    keep(entry.map_err(invalid)?, to, most)
}

/// The same of an archive that begins with the file `last` of what the tool was given. False: that one is not there, so that
/// the tool was not given all of it.
///
/// # Errors
/// As [`read`].
pub(super) fn read_after(last: &str, from: impl Read, (to, most): (&Path, u64)) -> io::Result<bool> {
    let mut archive = tar::Archive::new(from);
    let mut entries = archive.entries().map_err(invalid)?;
    let Some(first) = entries.next() else { return Ok(false) };
    if first.map_err(invalid)?.path_bytes().as_ref() != last.as_bytes() {
        return Ok(false);
    }
    if let Some(entry) = entries.next() {
        keep(entry.map_err(invalid)?, to, most)?;
    }
    Ok(true)
}

fn keep(entry: tar::Entry<'_, impl Read>, to: &Path, most: u64) -> io::Result<()> {
    if entry.header().entry_type() != EntryType::Regular {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let size = entry.size();
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    let written = io::copy(&mut entry.take(most.saturating_add(1)), &mut file)?;
    match written == size || written > most {
        true => Ok(()),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn invalid(_: io::Error) -> io::Error {
    io::ErrorKind::InvalidData.into()
}

fn tree(tar: &mut Builder<impl Write>, (root, folders): (&Path, u32), within: &Path, depth: usize) -> io::Result<()> {
    if depth > MAX_DEPTH {
        return Err(io::Error::other(format!("there are folders in more than {MAX_DEPTH} others")));
    }
    for entry in fs::read_dir(within)? {
        let path = entry?.path();
        let inside = path.strip_prefix(root).map_err(io::Error::other)?;
        let name = Path::new("source").join(inside);
        let kind = fs::symlink_metadata(&path)?.file_type();
        if kind.is_dir() {
            folder(tar, &name, folders)?;
            tree(tar, (root, folders), &path, depth + 1)?;
        } else if kind.is_symlink() {
            let target = fs::read_link(&path)?;
            // An engine takes no archive with a link out of it; for the tool it would lead nowhere.
            if stays(inside, &target) {
                tar.append_link(&mut header(EntryType::Symlink, 0o777, 0), name, target)?;
            }
        } else if kind.is_file() {
            file(tar, &path, &name)?;
        } else {
            return Err(io::Error::other(format!("{} is neither file nor folder nor link", inside.display())));
        }
    }
    Ok(())
}

fn folder(tar: &mut Builder<impl Write>, name: &Path, mode: u32) -> io::Result<()> {
    tar.append_data(&mut header(EntryType::Directory, mode, 0), name, io::empty())
}

fn file(tar: &mut Builder<impl Write>, path: &Path, name: &Path) -> io::Result<()> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file: File = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(changed());
    }
    let mode = if meta.mode() & 0o111 == 0 { 0o444 } else { 0o555 };
    let mut rest = file.take(meta.len());
    tar.append_data(&mut header(EntryType::Regular, mode, meta.len()), name, &mut rest)?;
    if rest.limit() == 0 { Ok(()) } else { Err(changed()) }
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(NOBODY);
    header.set_gid(NOBODY);
    // Some archives that tools make of what they find know no earlier year than 1980.
    header.set_mtime(1_000_000_000);
    header
}

/// Whether a link leads to somewhere in the tree, by its text.
fn stays(link: &Path, target: &Path) -> bool {
    let mut depth = link.components().count() - 1;
    for component in target.components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return false,
            },
            Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    true
}

fn changed() -> io::Error {
    io::Error::other("the source changed while it was sent")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_sent_as_links_and_only_within_the_source() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let source = from.path().join("source");
        fs::create_dir_all(source.join("a/b")).unwrap();
        fs::write(source.join("a/b").join("n".repeat(200)), "text").unwrap();
        fs::write(from.path().join("secret"), "x").unwrap();
        symlink("../a", source.join("a/up")).unwrap();
        symlink("../../secret", source.join("a/out")).unwrap();
        symlink("/etc/passwd", source.join("passwd")).unwrap();
        let files = vec![("plan.yaml".to_owned(), "a: b".to_owned())];
        let image = Some(from.path().join("secret"));
        let content = Content { source: Some(source.clone()), image, files, folders: 0o755, last: Some("whole") };
        let mut bytes = Vec::new();
        write(&content, &mut bytes).unwrap();
        tar::Archive::new(bytes.as_slice()).unpack(to.path()).unwrap();
        let is = |path: &str| fs::symlink_metadata(to.path().join(path)).is_ok();
        assert!(is(&format!("source/a/b/{}", "n".repeat(200))) && is("files/plan.yaml") && is("image.tar"));
        assert_eq!(fs::read_link(to.path().join("source/a/up")).unwrap(), Path::new("../a"));
        assert!(!is("source/a/out") && !is("source/passwd"));
        rustix::fs::mkfifoat(rustix::fs::CWD, source.join("pipe"), 0o600.into()).unwrap();
        assert!(write(&content, &mut Vec::new()).unwrap_err().to_string().contains("pipe"));
    }

    #[test]
    fn only_a_regular_file_is_taken() {
        let to = tempfile::tempdir().unwrap();
        let one = |kind, name: &str, text: &[u8]| {
            let mut tar = Builder::new(Vec::new());
            let mut header = header(kind, 0o644, text.len() as u64);
            match kind {
                EntryType::Symlink | EntryType::Link => tar.append_link(&mut header, name, "/etc/passwd").unwrap(),
                _ => tar.append_data(&mut header, name, text).unwrap(),
            }
            tar.into_inner().unwrap()
        };
        for kind in [EntryType::Symlink, EntryType::Link, EntryType::Char, EntryType::Fifo, EntryType::Directory] {
            let error = read(one(kind, "report.json", b"").as_slice(), &to.path().join("x"), 10).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{kind:?}");
        }
        assert!(read(&b"no archive at all"[..], &to.path().join("x"), 10).is_err());
        assert!(!to.path().join("x").exists());
        read(one(EntryType::Regular, "report.json", b"{}").as_slice(), &to.path().join("x"), 10).unwrap();
        assert_eq!(fs::read(to.path().join("x")).unwrap(), b"{}");
    }

    #[test]
    fn a_report_is_cut_one_byte_after_its_limit() {
        let to = tempfile::tempdir().unwrap();
        let mut tar = Builder::new(Vec::new());
        tar.append_data(&mut header(EntryType::Regular, 0o644, 16), "r", &b"0123456789abcdef"[..]).unwrap();
        let bytes = tar.into_inner().unwrap();
        for (most, kept) in [(10, 11), (15, 16), (16, 16), (100, 16)] {
            let path = to.path().join(most.to_string());
            read(bytes.as_slice(), &path, most).unwrap();
            assert_eq!(fs::metadata(path).unwrap().len(), kept);
        }
        assert!(read(&bytes[..520], &to.path().join("short"), 100).is_err());
    }

    #[test]
    fn a_report_comes_after_what_shows_that_all_was_there() {
        let to = tempfile::tempdir().unwrap();
        let archive = |names: &[&str]| {
            let mut tar = Builder::new(Vec::new());
            for name in names {
                tar.append_data(&mut header(EntryType::Regular, 0o644, 2), name, &b"{}"[..]).unwrap();
            }
            tar.into_inner().unwrap()
        };
        let read = |names: &[&str], to: &Path| read_after("whole", archive(names).as_slice(), (to, 10)).unwrap();
        let path = to.path().join("report");
        assert!(!read(&["report"], &path) && !read(&[], &path) && read(&["whole"], &path) && !path.exists());
        assert!(read(&["whole", "report"], &path));
        assert_eq!(fs::read(&path).unwrap(), b"{}");
    }

    #[test]
    fn links_out_are_known() {
        for (link, target, is_inside) in [
            ("a/b", "../c", true),
            ("a/b", "../../c", false),
            ("b", "..", false),
            ("b", "./c/../d", true),
            ("b", "/etc", false),
            ("a/b", "c/../../../d", false),
        ] {
            assert_eq!(stays(Path::new(link), Path::new(target)), is_inside, "{link} {target}");
        }
    }
}
