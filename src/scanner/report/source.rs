//! Lines of the source that findings are in. The tree is hostile: no link in it is followed.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, open, openat};

/// Files that are remembered. Tools report a file's findings together.
const REMEMBERED: usize = 8;
/// Bytes of the largest file that is read.
const LARGEST: u64 = 4 * 1024 * 1024;

/// The folder of a source.
pub struct Source {
    root: OwnedFd,
    files: VecDeque<(String, Option<Text>)>,
}

struct Text {
    text: String,
    /// Where each line begins.
    starts: Vec<usize>,
}

impl Source {
    /// Opens the folder; none when it isn't there.
    #[must_use]
    pub fn open(root: &Path) -> Option<Self> {
        let root = open(root, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        Some(Self { root, files: VecDeque::new() })
    }

    /// A line of a file, from 1, without its end. None when there is no such line, or the file can't be reached without
    /// following a link.
    pub fn line(&mut self, path: &str, line: u32) -> Option<&str> {
        let at = self.remember(path);
        let text = self.files[at].1.as_ref()?;
        let index = usize::try_from(line).ok()?.checked_sub(1)?;
        let start = *text.starts.get(index)?;
        let end = text.starts.get(index + 1).copied().unwrap_or(text.text.len());
        text.text.get(start..end).map(|line| line.trim_end_matches(['\n', '\r']))
    }

    fn remember(&mut self, path: &str) -> usize {
        if let Some(at) = self.files.iter().position(|(known, _)| known == path) {
            return at;
        }
        if self.files.len() == REMEMBERED {
            self.files.pop_front();
        }
        let text = self.read(path);
        self.files.push_back((path.to_owned(), text));
        self.files.len() - 1
    }

    fn read(&self, path: &str) -> Option<Text> {
        let file = self.reach(path)?;
        let length = file.metadata().ok().filter(std::fs::Metadata::is_file)?.len();
        if length > LARGEST {
            return None;
        }
        let mut bytes = Vec::new();
        file.take(LARGEST).read_to_end(&mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Some(Text { text, starts })
    }

    /// Goes down folder by folder, so that none of them can be a link. A pipe is not waited for.
    fn reach(&self, path: &str) -> Option<File> {
        let mut names = path.split('/').peekable();
        let mut folder: Option<OwnedFd> = None;
        loop {
            let name = names.next().filter(|name| !matches!(*name, "" | "." | ".."))?;
            let is_last = names.peek().is_none();
            let kind = if is_last { OFlags::NONBLOCK } else { OFlags::DIRECTORY };
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | kind;
            let next = openat(folder.as_ref().unwrap_or(&self.root), name, flags, Mode::empty()).ok()?;
            if is_last {
                return Some(File::from(next));
            }
            folder = Some(next);
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_and_links_are_not_followed() {
        let tree = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "secret\n").unwrap();
        std::fs::create_dir_all(tree.path().join("a/b")).unwrap();
        std::fs::write(tree.path().join("a/b/c.txt"), "one\r\ntwo\n\u{e4}\n").unwrap();
        std::fs::write(tree.path().join("latin"), b"caf\xe9\n").unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), tree.path().join("link")).unwrap();
        std::os::unix::fs::symlink(outside.path(), tree.path().join("folder")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            tree.path().join("pipe"),
            rustix::fs::FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        )
        .unwrap();
        let mut source = Source::open(tree.path()).unwrap();
        assert_eq!(source.line("a/b/c.txt", 1), Some("one"));
        assert_eq!(source.line("a/b/c.txt", 3), Some("\u{e4}"));
        assert_eq!(source.line("latin", 1), Some("caf\u{fffd}"));
        for (path, line) in [
            ("a/b/c.txt", 0),
            ("a/b/c.txt", 9),
            ("link", 1),
            ("folder/secret", 1),
            ("../secret", 1),
            ("/etc/passwd", 1),
            ("a", 1),
            ("pipe", 1),
            ("", 1),
            ("a/b/nothing", 1),
        ] {
            assert_eq!(source.line(path, line), None, "{path}:{line}");
        }
    }
}
