#![expect(clippy::unwrap_used, reason = "tests")]

mod accounts;
mod branches;
#[path = "../../../../tests/it/support/gitlab_double/mod.rs"]
mod double;
mod failures;
mod fixtures;
mod hooks;
mod namespaces;
mod projects;
mod remembered;
mod token;

use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, TimeZone as _, Utc};

use super::super::call::Shared;
use super::super::{GitAccess, GitError, GitProvider as _, ListRequest, Listed, ProjectRef};
use super::Gitlab;
use crate::domain::clock::Clock;
use crate::domain::git::Provider;
use crate::domain::names::{BranchName, ProjectPath};
use crate::domain::secret::SecretString;
use crate::net::{Outbound, Policy, Timeouts, Trust};
use double::GitlabDouble;

/// The token that tests use, unless they say otherwise.
const TOKEN: &str = "glpat-hunter2-hunter2";

struct Hands(Mutex<DateTime<Utc>>);

impl Clock for Hands {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }
}

impl Hands {
    fn wait(&self, time: TimeDelta) {
        *self.0.lock().unwrap() += time;
    }
}

struct Bench {
    double: GitlabDouble,
    gitlab: Gitlab,
    clock: Arc<Hands>,
    /// The token's account.
    me: u64,
}

impl Bench {
    /// A server below a path prefix, with ada and her token of all rights.
    async fn new() -> Self {
        let double = GitlabDouble::start("/tools/gitlab").await;
        let me = double.state().person("ada");
        double.state().token(TOKEN, me, &["api"]);
        let (gitlab, clock) = client(&double.url, TOKEN);
        Self { double, gitlab, clock, me }
    }

    /// A client of the same server with another token.
    fn with(&self, token: &str, account: u64, scopes: &[&str]) -> Gitlab {
        self.double.state().token(token, account, scopes);
        client(&self.double.url, token).0
    }

    /// What was asked since, as `GET /api/v4/user`.
    fn asked(&self) -> Vec<String> {
        self.double.asked().iter().map(|seen| format!("{} {}", seen.method, seen.address)).collect()
    }
}

fn client(url: &str, token: &str) -> (Gitlab, Arc<Hands>) {
    let outbound = Outbound::new(Policy::new(&["127.0.0.1".to_owned()], &[], None, Timeouts::default()).unwrap());
    let clock = Arc::new(Hands(Mutex::new(Utc.with_ymd_and_hms(2026, 1, 2, 3, 4, 5).unwrap())));
    let access = GitAccess {
        provider: Provider::Gitlab,
        base_url: url.to_owned(),
        token: SecretString::from(token),
        organization_id: "acme".to_owned(),
        trusted: false,
    };
    (Gitlab::new(&Shared::new(outbound.unwrap(), clock.clone()), &access, Trust::User).unwrap(), clock)
}

fn first(first: u32) -> ListRequest {
    ListRequest { first, after: None, search: None }
}

fn search(text: &str) -> ListRequest {
    ListRequest { first: 100, after: None, search: Some(text.to_owned()) }
}

fn path(text: &str) -> ProjectRef {
    ProjectRef::Path(ProjectPath::parse(text).unwrap())
}

fn known(id: u64, path: &str) -> ProjectRef {
    ProjectRef::Known { external_id: id.to_string(), path: ProjectPath::parse(path).unwrap() }
}

fn branch(name: &str) -> BranchName {
    BranchName::parse(name).unwrap()
}

/// The request for what comes after a page; none at the end of the list.
fn next<T>(request: &ListRequest, page: &Listed<T>) -> Option<ListRequest> {
    let after = page.items.last().filter(|_| page.has_next)?.cursor.clone();
    Some(ListRequest { after: Some(after), ..request.clone() })
}
