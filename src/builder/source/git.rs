//! Sources over `git`, which is told everything and believed little.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use tokio::sync::OnceCell;

use super::address::{self, Place};
use super::fetch::{Call, Staging};
use super::home::{self, Home, Trusted};
use super::process::{self, Git};
use super::words::{self, Asked};
use super::{Fetched, History, Origin, RefKind, Resolved, SourceError, SourceLimits, Sources, refs};
use crate::builder::Journal;
use crate::domain::names::{BranchName, CommitHash};
use crate::net::{Outbound, authorities_pem};

/// Bytes of what a server says its branches are.
const MAX_REFS: usize = 1024 * 1024;
/// Bytes of a file that is written beside what is fetched: configuration, the index of a pack.
const BESIDE: u64 = 16 * 1024 * 1024;

/// Fetches sources with the program `git`, 2.37 or later.
pub struct GitSources {
    outbound: Outbound,
    path: OsString,
    temp: PathBuf,
    authorities: Option<String>,
    examined: OnceCell<()>,
}

impl GitSources {
    /// Through the address filter of `outbound`, whose policy says too where plain http is allowed and whom to trust.
    /// Removes what a crash may have left in the system's temporary folder, where each call keeps the token while it
    /// goes on.
    #[must_use]
    pub fn new(outbound: Outbound) -> Self {
        let temp = std::env::temp_dir();
        home::sweep(&temp);
        let authorities = authorities_pem(outbound.policy());
        Self { outbound, path: process::search_path(), temp, authorities, examined: OnceCell::new() }
    }

    /// Checks the address, asks its server, and makes a home in which `git` knows all that it needs.
    async fn enter(&self, origin: &Origin) -> Result<(Place, Home), SourceError> {
        self.examined.get_or_try_init(|| process::examine(&self.path)).await?;
        if origin.username.contains(':') {
            return Err(SourceError::Refused("a user name that goes with a token holds no colon".to_owned()));
        }
        let place = Place::of(origin, self.outbound.policy())?;
        let addresses = address::resolve(&self.outbound, &place, origin).await?;
        let place = address::ask(&self.outbound, &place, origin).await?;
        let home = self.home(&place, origin, &addresses);
        Ok((place, home.map_err(|error| SourceError::Broken(format!("no folder can be made for git: {error}")))?))
    }

    fn home(&self, place: &Place, origin: &Origin, addresses: &[SocketAddr]) -> io::Result<Home> {
        Home::make(&self.temp, place, origin, &Trusted { addresses, authorities: self.authorities.as_deref() })
    }

    fn git<'a>(&'a self, place: &Place, home: &'a Home, file_bytes: u64) -> Git<'a> {
        let protocols = if place.is_plain_http() { "https:http" } else { "https" };
        Git { path: &self.path, home, protocols, file_bytes: file_bytes.saturating_add(BESIDE) }
    }

    async fn look_up(&self, origin: &Origin, name: &BranchName) -> Result<Resolved, SourceError> {
        let (place, home) = self.enter(origin).await?;
        let git = self.git(&place, &home, 0);
        let mut args = vec!["ls-remote".to_owned(), "--quiet".to_owned(), "--end-of-options".to_owned()];
        args.push(place.as_str().to_owned());
        args.extend(refs::full_names(name));
        let ended = git.run(&args, MAX_REFS).await?;
        if !ended.status.success() {
            let asked = Asked { host: &place.host(), origin, commit: None };
            return Err(words::meaning(&ended, &asked));
        }
        let found = refs::find(&String::from_utf8_lossy(&ended.stdout), name);
        found.ok_or_else(|| SourceError::NotFound(format!("there is no branch or tag {}", name.as_str())))
    }
}

#[async_trait]
impl Sources for GitSources {
    async fn examine(&self) -> Result<(), SourceError> {
        process::examine(&self.path).await
    }

    async fn resolve(&self, origin: &Origin, name: &str) -> Result<Resolved, SourceError> {
        if let Ok(commit) = CommitHash::parse(name) {
            return Ok(Resolved { commit, kind: RefKind::Commit });
        }
        let name = BranchName::parse(name).map_err(|error| SourceError::Refused(error.to_string()))?;
        let limit = self.outbound.policy().request_timeout();
        let late =
            |_| SourceError::Unreachable(format!("the server did not say its branches within {} s", limit.as_secs()));
        tokio::time::timeout(limit, self.look_up(origin, &name)).await.map_err(late)?
    }

    async fn fetch(
        &self,
        origin: &Origin,
        commit: &CommitHash,
        into: &Path,
        limits: SourceLimits,
        journal: &dyn Journal,
    ) -> Result<Fetched, SourceError> {
        self.get((origin, History::Without), commit, into, (limits, journal)).await
    }

    async fn fetch_with_history(
        &self,
        origin: &Origin,
        commit: &CommitHash,
        into: &Path,
        limits: SourceLimits,
        journal: &dyn Journal,
    ) -> Result<Fetched, SourceError> {
        self.get((origin, History::Whole), commit, into, (limits, journal)).await
    }
}

impl GitSources {
    async fn get(
        &self,
        (origin, history): (&Origin, History),
        commit: &CommitHash,
        into: &Path,
        (limits, journal): (SourceLimits, &dyn Journal),
    ) -> Result<Fetched, SourceError> {
        let staging = Staging::beside(into).await?;
        let work = async {
            let (place, home) = self.enter(origin).await?;
            let git = self.git(&place, &home, limits.bytes);
            let call = Call { outbound: &self.outbound, git, origin, history, staging: &staging, limits, journal };
            call.fetch(&place, commit).await
        };
        let late = |_| {
            SourceError::TimedOut(format!("the source could not be fetched within {} s", limits.time.as_secs_f32()))
        };
        let mut outcome = tokio::time::timeout(limits.time, work).await.map_err(late).flatten();
        if outcome.is_ok()
            && let Err(error) = staging.appear(into).await
        {
            outcome = Err(error);
        }
        staging.remove().await;
        outcome
    }
}
