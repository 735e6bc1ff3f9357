//! Git providers that keep state and can be told to fail.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use kiops::domain::clock::Clock as _;
use kiops::domain::git::{MissingRight, Provider, TokenRight};
use kiops::domain::names::{BranchName, CommitHash, ProjectPath};
use kiops::domain::secret::ExposeSecret as _;
use kiops::git::{
    Branch, Commit, CommitStatus, GitAccess, GitAccounts, GitError, GitHooks, GitProvider, GitProviders, HookState,
    Item, ListRequest, Listed, Namespace, NamespaceKind, NewAccount, NewHook, NewProject, Project, ProjectRef,
    SourceAddress, TokenInfo, Visibility,
};

use super::fakes::FakeClock;

/// A token that may do everything.
pub const GOOD_TOKEN: &str = "glpat-a-token-that-is-good";

/// Both providers, wherever they are said to be.
#[derive(Default)]
pub struct FakeGits {
    /// What there is, by provider.
    pub gitlab: Mutex<FakeGit>,
    /// What there is, by provider.
    pub github: Mutex<FakeGit>,
}

/// What one provider has.
pub struct FakeGit {
    /// The tokens that it takes.
    pub tokens: BTreeMap<String, TokenInfo>,
    /// Its projects, the oldest first.
    pub projects: Vec<FakeProject>,
    /// User names by e-mail address.
    pub accounts: BTreeMap<String, String>,
    /// While it is set every call fails with it.
    pub failure: Option<GitError>,
    /// Calls of a name that fail, with what, and whether they do their work all the same.
    pub failures: BTreeMap<&'static str, (GitError, Effect)>,
    /// Making an account for these addresses fails.
    pub refused_accounts: Vec<String>,
    /// The calls that were made, by name.
    pub calls: Vec<&'static str>,
    /// What happens while the first branch is named, once.
    pub hook: Option<Hook>,
    /// When projects are made.
    pub now: DateTime<Utc>,
    /// Its webhooks by id, and the ids of their projects.
    pub hooks: BTreeMap<String, (String, NewHook)>,
    /// It signs deliveries.
    pub signs: bool,
    /// What was said of commits, in order: the project's id, the commit, what.
    pub statuses: Vec<(String, CommitHash, CommitStatus)>,
    /// Where its repositories are: `https://git.example` unless a test serves them itself.
    pub repositories: String,
}

/// Something that happens meanwhile.
pub type Hook = Box<dyn Fn() -> futures_util::future::BoxFuture<'static, ()> + Send>;

/// Whether a call that fails did its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It did.
    Done,
    /// It did not.
    Nothing,
}

/// A project and its branches, the first of which is the default one.
#[derive(Debug, Clone)]
pub struct FakeProject {
    /// The project.
    pub project: Project,
    /// Its branches.
    pub branches: Vec<String>,
}

impl Default for FakeGit {
    fn default() -> Self {
        Self {
            tokens: BTreeMap::from([(GOOD_TOKEN.to_owned(), token(&[]))]),
            projects: Vec::new(),
            accounts: BTreeMap::new(),
            failure: None,
            failures: BTreeMap::new(),
            refused_accounts: Vec::new(),
            calls: Vec::new(),
            hook: None,
            now: FakeClock::default().now(),
            hooks: BTreeMap::new(),
            signs: true,
            statuses: Vec::new(),
            repositories: "https://git.example".to_owned(),
        }
    }
}

/// A token of the account `bot` that lacks these rights.
pub fn token(lacks: &[(&str, TokenRight)]) -> TokenInfo {
    TokenInfo {
        account: Some("bot".to_owned()),
        scopes: vec!["api".to_owned()],
        missing: lacks
            .iter()
            .map(|(scope, right)| MissingRight { scope: (*scope).to_owned(), right: *right })
            .collect(),
        expires_at: None,
    }
}

impl FakeGit {
    /// From now on there is such a project, with these branches.
    pub fn add(&mut self, path: &str, branches: &[&str]) -> String {
        let external_id = (1000 + self.projects.len()).to_string();
        let project = Project {
            external_id: external_id.clone(),
            path: ProjectPath::parse(path).unwrap(),
            name: path.rsplit('/').next().unwrap().to_owned(),
            description: None,
            web_url: format!("https://git.example/{path}"),
            default_branch: branches.first().map(|b| (*b).to_owned()),
            private: true,
            archived: false,
            created_at: Some(self.now),
            last_activity_at: Some(DateTime::<Utc>::UNIX_EPOCH),
        };
        let branches = branches.iter().map(|b| (*b).to_owned()).collect();
        self.projects.push(FakeProject { project, branches });
        external_id
    }

    /// A project moves.
    pub fn rename(&mut self, from: &str, to: &str) {
        let found = self.projects.iter_mut().find(|p| p.project.path.as_str() == from).unwrap();
        found.project.path = ProjectPath::parse(to).unwrap();
        found.project.web_url = format!("https://git.example/{to}");
    }

    fn find(&self, project: &ProjectRef) -> Option<&FakeProject> {
        self.projects.iter().find(|p| match project {
            ProjectRef::Path(path) => p.project.path == *path,
            ProjectRef::Known { external_id, .. } => p.project.external_id == *external_id,
        })
    }
}

impl FakeGits {
    /// What one provider has.
    pub fn of(&self, provider: Provider) -> std::sync::MutexGuard<'_, FakeGit> {
        match provider {
            Provider::Gitlab => self.gitlab.lock().unwrap(),
            Provider::Github => self.github.lock().unwrap(),
        }
    }
}

/// What the application is given.
pub struct Clients(pub Arc<FakeGits>);

struct Client {
    all: Arc<FakeGits>,
    provider: Provider,
    token: String,
}

impl GitProviders for Clients {
    fn base_url(&self, provider: Provider, typed: Option<&str>) -> Result<String, GitError> {
        match typed {
            None if provider == Provider::Github => Ok("https://api.github.com".to_owned()),
            Some(typed) if typed.starts_with("https://") => Ok(typed.trim_end_matches('/').to_owned()),
            _ => Err(GitError::Refused("give the address that its pages have".to_owned())),
        }
    }

    fn connect(&self, access: &GitAccess) -> Result<Arc<dyn GitProvider>, GitError> {
        Ok(Arc::new(Client {
            all: self.0.clone(),
            provider: access.provider,
            token: access.token.expose_secret().to_owned(),
        }))
    }
}

impl Client {
    /// Does a call's work, unless it is to fail before.
    fn call<T>(
        &self,
        name: &'static str,
        work: impl FnOnce(&mut FakeGit, &TokenInfo) -> Result<T, GitError>,
    ) -> Result<T, GitError> {
        let mut git = self.all.of(self.provider);
        git.calls.push(name);
        if let Some(failure) = &git.failure {
            return Err(failure.clone());
        }
        let refused = || GitError::Unauthorized(format!("{} does not take the token", self.provider));
        let info = git.tokens.get(&self.token).cloned().ok_or_else(refused)?;
        match git.failures.get(name).cloned() {
            Some((error, Effect::Nothing)) => Err(error),
            Some((error, Effect::Done)) => {
                work(&mut git, &info)?;
                Err(error)
            }
            None => work(&mut git, &info),
        }
    }
}

fn page<T>(all: Vec<T>, request: &ListRequest) -> Listed<T> {
    let from = request.after.as_ref().map_or(0, |after| after.parse::<usize>().unwrap_or(usize::MAX));
    let count = all.len();
    let size = request.first as usize;
    let items: Vec<_> = all.into_iter().enumerate().skip(from).take(size).collect();
    let has_next = from.saturating_add(items.len()) < count && !items.is_empty();
    let items = items.into_iter().map(|(i, value)| Item { cursor: (i + 1).to_string(), value }).collect();
    Listed { items, has_next }
}

fn branch(project: &FakeProject, name: &str) -> Branch {
    Branch {
        name: BranchName::parse(name).unwrap(),
        commit: Commit {
            sha: "7fd1a60b01f91b314f59955a4e4d4e80d8edf11d".to_owned(),
            message: None,
            author_name: None,
            committed_at: None,
            web_url: None,
        },
        is_default: project.project.default_branch.as_deref() == Some(name),
        protected: false,
    }
}

#[async_trait]
impl GitProvider for Client {
    async fn identify(&self) -> Result<TokenInfo, GitError> {
        self.call("identify", |_, info| Ok(info.clone()))
    }

    async fn projects(&self, request: &ListRequest) -> Result<Listed<Project>, GitError> {
        self.call("projects", |git, _| {
            let search = request.search.clone().unwrap_or_default();
            let found =
                git.projects.iter().rev().map(|p| p.project.clone()).filter(|p| p.path.as_str().contains(&search));
            Ok(page(found.collect(), request))
        })
    }

    async fn project(&self, project: &ProjectRef) -> Result<Option<Project>, GitError> {
        self.call("project", |git, _| Ok(git.find(project).map(|p| p.project.clone())))
    }

    async fn branches(&self, project: &ProjectRef, request: &ListRequest) -> Result<Option<Listed<Branch>>, GitError> {
        self.call("branches", |git, _| {
            let Some(found) = git.find(project) else { return Ok(None) };
            let search = request.search.clone().unwrap_or_default();
            let names = found.branches.iter().filter(|name| name.contains(&search));
            Ok(Some(page(names.map(|name| branch(found, name)).collect(), request)))
        })
    }

    async fn branch(&self, project: &ProjectRef, name: &BranchName) -> Result<Option<Branch>, GitError> {
        self.call("branch", |git, _| {
            let found = git.find(project);
            Ok(found.filter(|p| p.branches.iter().any(|b| b == name.as_str())).map(|p| branch(p, name.as_str())))
        })
    }

    async fn namespaces(&self, request: &ListRequest) -> Result<Listed<Namespace>, GitError> {
        self.call("namespaces", |_, _| {
            let namespace =
                |path: &str, kind| Namespace { path: path.to_owned(), name: path.to_owned(), kind, avatar_url: None };
            let all = vec![namespace("bot", NamespaceKind::User), namespace("acme", NamespaceKind::Group)];
            Ok(page(all, request))
        })
    }

    async fn create_project(&self, new: &NewProject) -> Result<Project, GitError> {
        self.call("create_project", |git, info| {
            let owner = new.namespace.clone().or_else(|| info.account.clone()).unwrap();
            if !["bot", "acme"].contains(&owner.as_str()) {
                return Err(GitError::NotFound(format!("there is no {owner}")));
            }
            let path = format!("{owner}/{}", new.name);
            if git.projects.iter().any(|p| p.project.path.as_str() == path) {
                return Err(GitError::Taken("Path has already been taken".to_owned()));
            }
            git.add(&path, &["trunk"]);
            let made = &mut git.projects.last_mut().unwrap().project;
            made.private = new.visibility == Visibility::Private;
            Ok(made.clone())
        })
    }

    async fn first_branch(&self, project: &Project, branch: &BranchName) -> Result<(), GitError> {
        let hook = self.all.of(self.provider).hook.take();
        if let Some(hook) = hook.map(|hook| hook()) {
            hook.await;
        }
        self.call("first_branch", |git, _| {
            let found = git.projects.iter_mut().find(|p| p.project.external_id == project.external_id).unwrap();
            found.branches = vec![branch.to_string()];
            found.project.default_branch = Some(branch.to_string());
            Ok(())
        })
    }

    fn accounts(&self) -> Option<&dyn GitAccounts> {
        (self.provider == Provider::Gitlab).then_some(self)
    }

    fn hooks(&self) -> &dyn GitHooks {
        self
    }

    fn source(&self, path: &ProjectPath) -> SourceAddress {
        let url = format!("{}/{path}.git", self.all.of(self.provider).repositories);
        SourceAddress { url, username: "oauth2".to_owned(), trusted: false }
    }
}

#[async_trait]
impl GitHooks for Client {
    async fn save_hook(&self, project: &ProjectRef, hook: &NewHook) -> Result<HookState, GitError> {
        self.call("save_hook", |git, _| {
            let id = git.find(project).map(|found| found.project.external_id.clone());
            let id = id.ok_or_else(|| GitError::NotFound("there is no such project".to_owned()))?;
            let known = hook.known_id.clone().filter(|known| git.hooks.contains_key(known));
            let at_url = git.hooks.iter().find(|(_, (of, other))| *of == id && other.url == hook.url);
            let kept = known.or_else(|| at_url.map(|(hook_id, _)| hook_id.clone()));
            git.hooks
                .retain(|hook_id, (of, other)| *of != id || other.url != hook.url || Some(hook_id) == kept.as_ref());
            let hook_id = kept.unwrap_or_else(|| (1 + git.calls.len()).to_string());
            git.hooks.insert(hook_id.clone(), (id, hook.clone()));
            Ok(HookState { id: hook_id, signing: git.signs })
        })
    }

    async fn remove_hook(&self, project: &ProjectRef, id: Option<&str>, url: &str) -> Result<(), GitError> {
        self.call("remove_hook", |git, _| {
            let Some(of) = git.find(project).map(|found| found.project.external_id.clone()) else { return Ok(()) };
            git.hooks
                .retain(|hook_id, (other, hook)| *other != of || (hook.url != url && Some(hook_id.as_str()) != id));
            Ok(())
        })
    }

    async fn report_status(
        &self,
        project: &ProjectRef,
        commit: &CommitHash,
        status: &CommitStatus,
    ) -> Result<(), GitError> {
        self.call("report_status", |git, _| {
            let id = git.find(project).map(|found| found.project.external_id.clone());
            let id = id.ok_or_else(|| GitError::NotFound("there is no such project".to_owned()))?;
            git.statuses.push((id, commit.clone(), status.clone()));
            Ok(())
        })
    }
}

#[async_trait]
impl GitAccounts for Client {
    async fn find_by_email(&self, email: &str) -> Result<Option<String>, GitError> {
        self.call("find_by_email", |git, _| Ok(git.accounts.get(email).cloned()))
    }

    async fn is_free(&self, username: &str) -> Result<bool, GitError> {
        self.call("is_free", |git, _| Ok(!git.accounts.values().any(|taken| taken == username)))
    }

    async fn create(&self, new: &NewAccount) -> Result<(), GitError> {
        self.call("create_account", |git, _| {
            if git.refused_accounts.contains(&new.email) {
                return Err(GitError::Invalid("Email is not allowed for sign-up".to_owned()));
            }
            if git.accounts.contains_key(&new.email) || git.accounts.values().any(|taken| *taken == new.username) {
                return Err(GitError::Taken("Username has already been taken".to_owned()));
            }
            git.accounts.insert(new.email.clone(), new.username.clone());
            Ok(())
        })
    }
}
