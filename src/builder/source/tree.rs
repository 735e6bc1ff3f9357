//! The listing of a tree, judged entry by entry before anything of it is written.

use super::words::{shown, size};
use super::{SourceError, SourceLimits};

/// Bytes of one name, as Linux has them.
const MAX_NAME: usize = 255;
/// Bytes of a whole path, so that folders can be put before it.
const MAX_PATH: usize = 2048;
/// Bytes of all paths together: they are kept in memory, more than once, until all is written.
const MAX_PATHS: u64 = 64 * 1024 * 1024;
/// Bytes of a link's target, as Linux has them.
const MAX_TARGET: u64 = 4095;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A file.
    File,
    /// A file that may be run.
    Program,
    /// A symbolic link.
    Link,
    /// A folder.
    Folder,
    /// Another repository's commit.
    Module,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// From the root of the tree that is built, with `/`.
    pub(super) path: Vec<u8>,
    pub(super) kind: Kind,
    /// Its object; a module's commit.
    pub(super) hash: String,
    /// Bytes; of files and links.
    pub(super) size: u64,
}

/// What is left of the limits. One for a tree with all its submodules.
#[derive(Debug)]
pub(super) struct Budget {
    limits: SourceLimits,
    bytes: u64,
    files: u64,
    folders: u64,
    paths: u64,
}

impl Budget {
    pub(super) fn new(limits: SourceLimits) -> Self {
        Self { limits, bytes: 0, files: 0, folders: 0, paths: 0 }
    }

    /// Files and links so far.
    pub(super) fn files(&self) -> u64 {
        self.files
    }

    /// Their bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn take(&mut self, entry: &Entry) -> Result<(), SourceError> {
        let most = self.limits.files;
        match entry.kind {
            // Folders count too: they can hold one another without a single file.
            Kind::Folder | Kind::Module => self.folders += 1,
            Kind::File | Kind::Program | Kind::Link => self.files += 1,
        }
        self.bytes = self.bytes.saturating_add(entry.size);
        self.paths = self.paths.saturating_add(entry.path.len() as u64);
        if self.paths > MAX_PATHS {
            let most = size(MAX_PATHS);
            return Err(SourceError::Refused(format!(
                "the paths of the source's files are longer than {most} together"
            )));
        }
        if self.files > most {
            return Err(SourceError::Refused(format!("the source has more than {most} files")));
        }
        if self.folders > most {
            return Err(SourceError::Refused(format!("the source has more than {most} folders")));
        }
        if self.bytes > self.limits.bytes {
            let most = size(self.limits.bytes);
            return Err(SourceError::Refused(format!("the files of the source are larger than {most} together")));
        }
        Ok(())
    }
}

/// Judges one record of `git ls-tree -r -t -l -z`, without the NUL at its end. `within` is the folder in which the tree
/// is mounted, with a slash at its end, or nothing.
///
/// # Errors
/// [`SourceError::Refused`], naming the entry.
pub(super) fn judge(record: &[u8], within: &[u8], budget: &mut Budget) -> Result<Entry, SourceError> {
    let odd = || SourceError::Refused("the source's tree is malformed".to_owned());
    let tab = record.iter().position(|byte| *byte == b'\t').ok_or_else(odd)?;
    let head = std::str::from_utf8(&record[..tab]).map_err(|_| odd())?;
    let path = [within, &record[tab + 1..]].concat();
    let mut words = head.split_ascii_whitespace();
    let (mode, _, hash, bytes) = match (words.next(), words.next(), words.next(), words.next()) {
        (Some(mode), Some(kind), Some(hash), Some(bytes)) => (mode, kind, hash, bytes),
        _ => return Err(odd()),
    };
    let refused = |why: &str| Err(SourceError::Refused(format!("the entry {} of the source {why}", shown(&path))));
    if let Some(why) = fault(&record[tab + 1..]) {
        return refused(why);
    }
    if path.len() > MAX_PATH {
        return refused("has too long a path");
    }
    let kind = match mode {
        "100644" | "100664" => Kind::File,
        "100755" => Kind::Program,
        "120000" => Kind::Link,
        "040000" => Kind::Folder,
        "160000" => Kind::Module,
        _ => return refused(&format!("is neither file, folder nor link: its mode is {mode}")),
    };
    let size = match kind {
        Kind::Folder | Kind::Module => 0,
        _ => match bytes.parse() {
            Ok(size) => size,
            Err(_) => return refused("has no content"),
        },
    };
    if kind == Kind::Link && (size == 0 || size > MAX_TARGET) {
        return refused("is a link with no or too long a target");
    }
    let entry = Entry { hash: hash.to_owned(), kind, size, path };
    budget.take(&entry)?;
    Ok(entry)
}

/// What speaks against a path, if anything does.
fn fault(path: &[u8]) -> Option<&'static str> {
    for name in path.split(|byte| *byte == b'/') {
        if name.is_empty() || name == b"." || name == b".." {
            return Some("has a path that leads elsewhere");
        }
        if name.len() > MAX_NAME {
            return Some("has too long a name");
        }
        if name.iter().any(u8::is_ascii_control) {
            return Some("has a control character in its name");
        }
        if is_dot_git(name) {
            return Some("has the name of a repository's own folder");
        }
    }
    None
}

/// What some file system takes for `.git`, as Git itself has it: any case, dots and spaces behind it or a stream of NTFS,
/// the short name `git~1`, characters that HFS+ does not see.
fn is_dot_git(name: &[u8]) -> bool {
    let text = String::from_utf8_lossy(name);
    let seen = text.chars().filter(
        |c| !matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}'),
    );
    let plain = seen.collect::<String>().to_ascii_lowercase();
    let plain = plain.split(':').next().unwrap_or_default().trim_end_matches(['.', ' ']);
    plain == ".git" || plain == "git~1"
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const HASH: &str = "0123456789012345678901234567890123456789";

    fn budget(bytes: u64, files: u64) -> Budget {
        Budget::new(SourceLimits { bytes, files, time: Duration::from_secs(1) })
    }

    fn of(mode: &str, bytes: &str, path: &[u8]) -> Result<Entry, SourceError> {
        let record = [format!("{mode} blob {HASH} {bytes:>7}\t").as_bytes(), path].concat();
        judge(&record, b"", &mut budget(1000, 10))
    }

    #[test]
    fn what_is_harmless_is_let_through() {
        for path in [
            "a",
            "a b/ä",
            ".gitignore",
            ".gitmodules",
            ".github/x",
            "..a",
            "a..",
            "-x",
            "a\\b",
            "git~2",
            ".gitx",
            "con",
            ".git-blame",
            "a:b",
        ] {
            assert!(of("100644", "5", path.as_bytes()).is_ok(), "{path}");
        }
        assert!(of("100644", "5", b"latin\xe4").is_ok());
        assert_eq!(of("100755", "5", b"a").map(|e| (e.kind, e.size)), Ok((Kind::Program, 5)));
        assert_eq!(of("160000", "-", b"a").map(|e| e.kind), Ok(Kind::Module));
    }

    #[test]
    fn what_is_hostile_is_refused_by_name() {
        let long = [b"x".repeat(256), b"a/".repeat(1500)];
        let names: [&[u8]; 25] = [
            b"",
            b".",
            b"..",
            b"../x",
            b"a/../b",
            b"a/./b",
            b"/etc/passwd",
            b"a//b",
            b"a/",
            b".git",
            b".GIT/config",
            b"a/.Git/hooks/x",
            b"git~1",
            b"GIT~1/x",
            b".git.",
            b".git ",
            b".git . .",
            b".git::$INDEX_ALLOCATION",
            ".g\u{200c}it".as_bytes(),
            "\u{feff}.git".as_bytes(),
            b"a\nb",
            b"a\x1bb",
            b"a\x7f",
            &long[0],
            &long[1],
        ];
        for name in names {
            let error = of("100644", "5", name).expect_err("it is refused");
            assert!(matches!(&error, SourceError::Refused(m) if !m.contains(['\n', '\x1b'])), "{name:?}: {error}");
        }
        for mode in ["100000", "010644", "060000", "020000", "140000", "000000", "x"] {
            assert!(matches!(of(mode, "5", b"a"), Err(SourceError::Refused(_))), "{mode}");
        }
        for bytes in ["-", "BAD", "0", "4096", "99999999999999999999999"] {
            assert!(of("120000", bytes, b"a").is_err(), "{bytes}");
        }
    }

    #[test]
    fn the_budget_is_one_for_all() {
        let mut left = budget(10, 2);
        let mut add = |mode: &str, bytes: &str| {
            judge(format!("{mode} x {HASH} {bytes}\ta").as_bytes(), b"sub/", &mut left).map(|entry| entry.path)
        };
        assert_eq!(add("100644", "5"), Ok(b"sub/a".to_vec()));
        assert!(add("100644", "6").expect_err("too many bytes").to_string().contains("larger than 10 bytes"));
        assert!(add("100644", "0").expect_err("too many files").to_string().contains("more than 2 files"));
        let mut left = budget(u64::MAX, 2);
        for expected in [true, true, false] {
            let record = format!("040000 tree {HASH} -\ta");
            assert_eq!(judge(record.as_bytes(), b"", &mut left).is_ok(), expected);
        }
        let within = [b"x".repeat(255), b"/".to_vec()].concat().repeat(7);
        let record = format!("100644 blob {HASH} 0\ta");
        let mut left = budget(9, u64::MAX);
        let refused = (0..40_000).find_map(|_| judge(record.as_bytes(), &within, &mut left).err());
        assert!(refused.is_some_and(|error| error.to_string().contains("longer than 64 MiB")));
        let mut left = budget(u64::MAX - 1, 9);
        let huge = format!("100644 blob {HASH} {}\ta", u64::MAX);
        assert!(judge(huge.as_bytes(), b"", &mut left).is_err());
    }

    proptest! {
        #[test]
        fn no_record_makes_a_path_that_leads_out(record in prop::collection::vec(any::<u8>(), 0..60), path in "[./a\\n]{0,12}") {
            let _ = judge(&record, b"", &mut budget(1000, 10));
            if let Ok(entry) = of("100644", "1", path.as_bytes()) {
                let parts = entry.path.split(|b| *b == b'/').map(<[u8]>::to_vec).collect::<Vec<_>>();
                prop_assert!(parts.iter().all(|part| !part.is_empty() && part != b"." && part != b".."));
            }
        }
    }
}
