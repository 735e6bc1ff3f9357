//! The adapter against a double of GitHub, recorded answers, and GitHub's own description of its API.
#![expect(clippy::unwrap_used, reason = "tests")]

mod contract;
mod creating;
#[path = "../../../../tests/it/support/github_double/mod.rs"]
mod github_double;
mod hooks;
mod lists;
mod looking;
mod openapi;
mod recorded;
mod rights;
mod trouble;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeZone as _, Utc};

use super::super::call::Shared;
use super::super::{GitAccess, GitProvider as _, Item, ListRequest, Listed, ProjectRef};
use super::Github;
use crate::domain::clock::Clock;
use crate::domain::git::Provider;
use crate::domain::names::{BranchName, ProjectPath};
use crate::domain::secret::SecretString;
use crate::net::{Outbound, Policy, Timeouts, Trust};
use github_double::GithubDouble;

const TOKEN: &str = "ghp_0123456789abcdefghijABCDEFGHIJ";
const NOW: i64 = 1_750_000_000;

/// A clock that is set.
#[derive(Default)]
struct Hands(AtomicI64);

impl Clock for Hands {
    fn now(&self) -> DateTime<Utc> {
        Utc.timestamp_opt(NOW + self.0.load(Ordering::SeqCst), 0).unwrap()
    }
}

struct Bench {
    double: GithubDouble,
    github: Github,
    clock: Arc<Hands>,
}

impl Bench {
    /// A GitHub where `ada` has a classic token that may do everything.
    async fn new() -> Self {
        Self::on(GithubDouble::start().await)
    }

    fn on(double: GithubDouble) -> Self {
        double.with(|state| state.classic(TOKEN, "ada", "repo, read:org"));
        let clock = Arc::new(Hands::default());
        let github = connect(&double.url(), TOKEN, &clock);
        Self { double, github, clock }
    }

    fn later(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

fn connect(base_url: &str, token: &str, clock: &Arc<Hands>) -> Github {
    of_organization(&shared(clock), base_url, token, "o1")
}

/// What the clients of a server have in common.
fn shared(clock: &Arc<Hands>) -> Shared {
    let policy = Policy::new(&["127.0.0.1".to_owned()], &[], None, Timeouts::default()).unwrap();
    Shared::new(Outbound::new(policy).unwrap(), clock.clone())
}

fn of_organization(shared: &Shared, base_url: &str, token: &str, organization: &str) -> Github {
    let access = GitAccess {
        provider: Provider::Github,
        base_url: base_url.to_owned(),
        token: SecretString::from(token),
        organization_id: organization.to_owned(),
        trusted: false,
    };
    Github::new(shared, &access, Trust::User).unwrap()
}

fn page(first: u32, after: Option<&str>, search: Option<&str>) -> ListRequest {
    ListRequest { first, after: after.map(str::to_owned), search: search.map(str::to_owned) }
}

fn path(text: &str) -> ProjectPath {
    ProjectPath::parse(text).unwrap()
}

fn at(text: &str) -> ProjectRef {
    ProjectRef::Path(path(text))
}

fn known(id: u64, text: &str) -> ProjectRef {
    ProjectRef::Known { external_id: id.to_string(), path: path(text) }
}

fn branch(text: &str) -> BranchName {
    BranchName::parse(text).unwrap()
}

fn last<T>(items: &[Item<T>]) -> Option<String> {
    items.last().map(|item| item.cursor.clone())
}

/// Every row of a list, page by page.
async fn all<T, F>(first: u32, search: Option<&str>, mut list: impl FnMut(ListRequest) -> F) -> Vec<T>
where
    F: Future<Output = Listed<T>>,
{
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let listed = list(page(first, after.as_deref(), search)).await;
        assert!(listed.items.len() <= first as usize);
        after = last(&listed.items).or(after);
        rows.extend(listed.items.into_iter().map(|item| item.value));
        if !listed.has_next {
            return rows;
        }
    }
}

async fn all_paths(github: &Github, first: u32, search: Option<&str>) -> Vec<String> {
    let projects = all(first, search, async |request| github.projects(&request).await.unwrap()).await;
    projects.iter().map(|project| project.path.as_str().to_owned()).collect()
}
