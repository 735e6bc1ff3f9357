//! What `git` finds as its home: a folder of its own with the whole configuration, the token in it, and nothing else.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::Origin;
use super::address::Place;
use crate::domain::secret::ExposeSecret as _;

/// How the folders are called. One that a crash left is known by its lock, which nobody holds.
const PREFIX: &str = "kiops-git-";
const LOCK: &str = "lock";
const CONFIG: &str = "config";
const AUTHORITIES: &str = "authorities.pem";

/// What every run of `git` is told. Hooks, helpers, filters, proxies and repository maintenance are off, redirects
/// are not followed, and what is received is checked: a malformed object is refused before it is stored.
const SETTINGS: &str = "\
[core]
	hooksPath = /dev/null
	attributesFile = /dev/null
	excludesFile = /dev/null
	askPass = \"\"
	fsmonitor = false
	bigFileThreshold = 16m
	packedGitWindowSize = 32m
	packedGitLimit = 256m
	deltaBaseCacheLimit = 64m
[credential]
	helper = \"\"
[protocol]
	version = 2
	allow = never
[protocol \"https\"]
	allow = always
[gc]
	auto = 0
[maintenance]
	auto = false
[pack]
	threads = 1
[fetch]
	unpackLimit = 1
	negotiationAlgorithm = noop
	recurseSubmodules = false
	writeCommitGraph = false
[transfer]
	fsckObjects = true
	bundleURI = false
[http]
	followRedirects = false
	sslVerify = true
	proxy = \"\"
	cookieFile = \"\"
	saveCookies = false
	delegation = none
	lowSpeedLimit = 1
	lowSpeedTime = 60
";

/// Faults that repositories of good people have, or that the listing of the tree judges and names itself.
const LET_THROUGH: [&str; 40] = [
    "badDate",
    "badEmail",
    "badFilemode",
    "badName",
    "badTagName",
    "badTimezone",
    "extraHeaderEntry",
    "fullPathname",
    "gitattributesBlob",
    "gitattributesLarge",
    "gitattributesLineLength",
    "gitattributesMissing",
    "gitattributesSymlink",
    "gitignoreSymlink",
    "gitmodulesBlob",
    "gitmodulesLarge",
    "gitmodulesMissing",
    "gitmodulesName",
    "gitmodulesParse",
    "gitmodulesPath",
    "gitmodulesSymlink",
    "gitmodulesUpdate",
    "gitmodulesUrl",
    "hasDot",
    "hasDotdot",
    "hasDotgit",
    "largePathname",
    "mailmapSymlink",
    "missingEmail",
    "missingNameBeforeEmail",
    "missingSpaceBeforeDate",
    "missingSpaceBeforeEmail",
    "missingTaggerEntry",
    "multipleAuthors",
    "nulInCommit",
    "nullSha1",
    "symlinkPointsToGitDir",
    "symlinkTargetLength",
    "zeroPaddedDate",
    "zeroPaddedFilemode",
];

/// The folder; it is gone when this is dropped.
pub(super) struct Home {
    folder: PathBuf,
    /// Held as long as the folder is in use.
    _lock: File,
}

impl Home {
    /// Makes one below `temp`, for one origin.
    ///
    /// # Errors
    /// When the folder can't be made or written to.
    pub(super) fn make(temp: &Path, place: &Place, origin: &Origin, with: &Trusted<'_>) -> io::Result<Self> {
        let hidden = tempfile::Builder::new()
            .prefix(&format!(".{PREFIX}"))
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(temp)?;
        let lock = private(&hidden.path().join(LOCK))?;
        lock.try_lock().map_err(io::Error::from)?;
        // Only with its final name, which comes after the lock, is it one that a sweep looks at.
        let name = hidden.path().file_name().and_then(OsStr::to_str).unwrap_or_default();
        let folder = temp.join(name.trim_start_matches('.'));
        fs::rename(hidden.keep(), &folder)?;
        let home = Self { folder, _lock: lock };
        let authorities = home.folder.join(AUTHORITIES);
        if let Some(pem) = with.authorities {
            private(&authorities)?.write_all(pem.as_bytes())?;
        }
        let text = config(place, origin, with.addresses, with.authorities.map(|_| authorities.as_path()));
        private(&home.config())?.write_all(text.as_bytes())?;
        Ok(home)
    }

    pub(super) fn path(&self) -> &Path {
        &self.folder
    }

    pub(super) fn config(&self) -> PathBuf {
        self.folder.join(CONFIG)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::error!(folder = %self.folder.display(), %error, "a folder with a token can't be removed");
        }
    }
}

/// What a [`Home`] is made with, beside the origin.
pub(super) struct Trusted<'a> {
    /// Where the host is.
    pub(super) addresses: &'a [SocketAddr],
    /// PEM texts.
    pub(super) authorities: Option<&'a str>,
}

/// Removes the folders below `temp` that a process left which is no more.
pub(super) fn sweep(temp: &Path) {
    let entries = fs::read_dir(temp).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX))) {
        let Ok(lock) = OpenOptions::new().read(true).write(true).open(entry.path().join(LOCK)) else { continue };
        if lock.try_lock().is_ok()
            && let Err(error) = fs::remove_dir_all(entry.path())
        {
            tracing::warn!(folder = %entry.path().display(), %error, "a folder that a crash left can't be removed");
        }
    }
}

fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn config(place: &Place, origin: &Origin, addresses: &[SocketAddr], authorities: Option<&Path>) -> Zeroizing<String> {
    let mut text = Zeroizing::new(SETTINGS.to_owned());
    // Writing to a string can't fail.
    if let Some(path) = authorities {
        let _ = writeln!(text, "\tsslCAInfo = {}", quoted(&path.display().to_string()));
    }
    if let Some(name) = place.domain() {
        let list: Vec<String> = addresses.iter().map(|address| spelled(address.ip())).collect();
        let pin = format!("{name}:{}:{}", place.port(), list.join(","));
        let _ = writeln!(text, "\tcurloptResolve = {}", quoted(&pin));
    }
    if !origin.token.expose_secret().is_empty() {
        let pair = Zeroizing::new(format!("{}:{}", origin.username, origin.token.expose_secret()));
        let encoded = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
        let _ = writeln!(text, "[http {}]", quoted(&place.server()));
        let _ = writeln!(text, "\textraHeader = \"Authorization: Basic {}\"", *encoded);
    }
    if place.is_plain_http() {
        text.push_str("[protocol \"http\"]\n\tallow = always\n");
    }
    text.push_str("[fetch \"fsck\"]\n");
    for fault in LET_THROUGH {
        let _ = writeln!(text, "\t{fault} = ignore");
    }
    text
}

/// As curl wants them: an IPv6 address in brackets.
fn spelled(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// A value for Git's configuration file: <https://git-scm.com/docs/git-config#_syntax>.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::net::{Policy, Timeouts};

    fn made(temp: &Path) -> Home {
        let origin = Origin {
            url: "https://example.com/a/b.git".to_owned(),
            username: "oauth2".to_owned(),
            token: "hunter2-hunter2".into(),
            trusted: false,
        };
        let place = Place::of(&origin, &Policy::new(&[], &[], None, Timeouts::default()).unwrap()).unwrap();
        let addresses = ["192.0.2.1:443".parse().unwrap(), "[2001:db8::1]:443".parse().unwrap()];
        Home::make(temp, &place, &origin, &Trusted { addresses: &addresses, authorities: Some("PEM") }).unwrap()
    }

    #[test]
    fn the_token_is_in_a_file_that_nobody_else_reads_and_that_goes_away() {
        let temp = tempfile::tempdir().unwrap();
        let home = made(temp.path());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(home.path()), mode(&home.config())), (0o700, 0o600));
        let text = fs::read_to_string(home.config()).unwrap();
        assert!(text.contains("\tcurloptResolve = \"example.com:443:192.0.2.1,[2001:db8::1]\"\n"), "{text}");
        assert!(
            text.contains("[http \"https://example.com/\"]\n\textraHeader = \"Authorization: Basic b2F1dG"),
            "{text}"
        );
        assert!(!text.contains("hunter2") && !text.contains("[protocol \"http\"]"), "{text}");
        drop(home);
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_sweep_removes_what_nobody_holds() {
        let temp = tempfile::tempdir().unwrap();
        let home = made(temp.path());
        let left = temp.path().join("kiops-git-left");
        fs::create_dir(&left).unwrap();
        fs::write(left.join(LOCK), "").unwrap();
        fs::write(left.join(CONFIG), "token").unwrap();
        fs::create_dir(temp.path().join("kiops-git-strange")).unwrap();
        sweep(temp.path());
        assert!(home.config().exists() && !left.exists() && temp.path().join("kiops-git-strange").exists());
    }
}
