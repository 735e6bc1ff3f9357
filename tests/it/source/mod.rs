//! Sources, fetched from a real `git http-backend`.
#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

mod happy;
mod hostile;
mod modules;
mod secrecy;
mod servers;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use kiops::builder::source::{Fetched, GitSources, Origin, SourceError, SourceLimits, Sources as _};
use kiops::builder::{Journal, Output};
use kiops::domain::names::CommitHash;
use kiops::net::{Outbound, Policy, Timeouts};
use tempfile::TempDir;

use crate::support::git_server::{GitServer, Repositories};

/// What the server takes.
const TOKEN: &str = "glpat-0123456789-hunter2/+=";

/// A repository that most tests are content with.
const SHOP: &str = "shop/back/api";

/// Keeps lines.
#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

#[async_trait]
impl Journal for Lines {
    async fn line(&self, output: Output, text: &str) {
        assert_eq!(output, Output::System);
        self.0.lock().unwrap().push(text.to_owned());
    }
}

impl Lines {
    fn all(&self) -> String {
        self.0.lock().unwrap().join("\n")
    }
}

/// A server with the repository [`SHOP`], something that fetches from it, and where to.
struct House {
    server: GitServer,
    sources: GitSources,
    folder: TempDir,
    lines: Lines,
    limits: SourceLimits,
}

impl House {
    async fn new(test: &str) -> Option<Self> {
        let server = GitServer::start(test, TOKEN).await?;
        server.repositories.create(SHOP);
        let limits = SourceLimits { bytes: 50 << 20, files: 1_000, time: Duration::from_secs(60) };
        let folder = tempfile::tempdir().unwrap();
        Some(Self {
            server,
            sources: GitSources::new(outbound(&["127.0.0.0/8"])),
            folder,
            lines: Lines::default(),
            limits,
        })
    }

    fn repositories(&self) -> &Repositories {
        &self.server.repositories
    }

    fn origin(&self, path: &str) -> Origin {
        let url = self.server.address(path);
        Origin { url, username: "oauth2".to_owned(), token: TOKEN.into(), trusted: false }
    }

    fn place(&self) -> PathBuf {
        self.folder.path().join("work/tree")
    }

    async fn fetch(&self, commit: &str) -> Result<Fetched, SourceError> {
        self.fetch_from(&self.origin(SHOP), commit).await
    }

    async fn fetch_from(&self, origin: &Origin, commit: &str) -> Result<Fetched, SourceError> {
        let commit = CommitHash::parse(commit).unwrap();
        let outcome = self.sources.fetch(origin, &commit, &self.place(), self.limits, &self.lines).await;
        let beside: Vec<_> =
            self.place().parent().unwrap().read_dir().unwrap().flatten().map(|e| e.file_name()).collect();
        assert!(beside.iter().all(|name| name == "tree"), "{beside:?}");
        if let Err(error) = &outcome {
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
        assert!(!self.lines.all().contains("hunter2"), "{}", self.lines.all());
        outcome
    }

    /// Commits and fetches; gives what was written.
    async fn written(&self, commit: &str) -> BTreeMap<String, String> {
        self.fetch(commit).await.unwrap();
        tree(&self.place())
    }

    /// The sentence with which a commit is refused; nothing was written.
    async fn refusal(&self, commit: &str) -> String {
        match self.fetch(commit).await {
            Err(SourceError::Refused(message)) => {
                assert!(!self.place().exists());
                message
            }
            other => panic!("{other:?}"),
        }
    }
}

fn outbound(allow: &[&str]) -> Outbound {
    let allow: Vec<String> = allow.iter().map(|entry| (*entry).to_owned()).collect();
    let timeouts = Timeouts { connect: Duration::from_secs(2), request: Duration::from_secs(3) };
    Outbound::new(Policy::new(&allow, &[], None, timeouts).unwrap()).unwrap()
}

/// Everything below a folder: mode and content of files, targets of links.
fn tree(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    gather(folder, "", &mut found);
    found
}

fn gather(folder: &Path, within: &str, found: &mut BTreeMap<String, String>) {
    for entry in folder.read_dir().unwrap().flatten() {
        let name = format!("{within}{}", entry.file_name().to_string_lossy());
        let metadata = entry.path().symlink_metadata().unwrap();
        let mode = metadata.permissions().mode() & 0o7777;
        if metadata.is_symlink() {
            found.insert(name, format!("-> {}", entry.path().read_link().unwrap().display()));
        } else if metadata.is_dir() {
            found.insert(format!("{name}/"), format!("{mode:o}"));
            gather(&entry.path(), &format!("{name}/"), found);
        } else {
            let text = String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap()).into_owned();
            found.insert(name, format!("{mode:o} {text}"));
        }
    }
}
