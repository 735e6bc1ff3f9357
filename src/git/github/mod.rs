//! GitHub, github.com and Enterprise servers alike, by its REST API: <https://docs.github.com/rest>.

mod branches;
mod create;
mod hooks;
mod namespaces;
mod paging;
mod projects;
mod search;
#[cfg(test)]
mod tests;
mod token;
mod wire;

use async_trait::async_trait;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::base::github_pages;
use super::call::{Answer, Api, Dialect, Memory, Reach, Shared};
use super::{
    Branch, CommitStatus, GitAccess, GitAccounts, GitError, GitHooks, GitProvider, HookState, ListRequest, Listed,
    Namespace, NewHook, NewProject, Project, ProjectRef, SourceAddress, TokenInfo,
};
use crate::domain::names::{BranchName, CommitHash, ProjectPath};
use crate::domain::secret::SecretString;
use crate::net::Trust;

/// GitHub with one organization's token. Nothing is kept here but the way to ask.
#[derive(Clone)]
pub struct Github {
    api: Api,
}

impl Github {
    /// A client below `access.base_url`, the API's own address: `https://api.github.com`, `https://host/api/v3`.
    ///
    /// # Errors
    /// [`GitError::Refused`] when that is no address, or the token holds what no header may.
    pub(super) fn new(shared: &Shared, access: &GitAccess, trust: Trust) -> Result<Self, GitError> {
        let mut headers = HeaderMap::new();
        // The second kind is for servers that stand in for GitHub and know JSON by no other name.
        headers.insert(ACCEPT, HeaderValue::from_static("application/vnd.github+json, application/json;q=0.9"));
        // https://docs.github.com/rest/about-the-rest-api/api-versions
        headers.insert(HeaderName::from_static("x-github-api-version"), HeaderValue::from_static("2022-11-28"));
        let unspent = Reach::Everything;
        let dialect = Dialect { token_header: AUTHORIZATION, token_prefix: "Bearer ", headers, unspent };
        Ok(Self { api: Api::new(shared, access, trust, dialect)? })
    }

    /// The same, which keeps one more secret out of what it quotes.
    fn hiding(&self, secret: &SecretString) -> Self {
        Self { api: self.api.hiding(secret) }
    }

    /// Reads what may not be there; none where GitHub says 404.
    async fn get_if_there(&self, url: Url, memory: Memory) -> Result<Option<Answer>, GitError> {
        match self.api.get(url, memory).await {
            Ok(answer) => Ok(Some(answer)),
            Err(GitError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether GitHub refused because tokens of an app's installation, which are nobody's, may not ask that; any other
    /// refusal says nothing of what the token is.
    fn is_installations(error: &GitError) -> bool {
        matches!(error, GitError::Forbidden(said) if said.contains("not accessible by integration"))
    }

    /// Whose token it is (<https://docs.github.com/rest/users/users#get-the-authenticated-user>).
    async fn owner(&self) -> Result<wire::Account, GitError> {
        self.api.json(&self.api.get(self.api.url(&["user"]), Memory::Recent).await?)
    }

    /// A repository as it is now (<https://docs.github.com/rest/repos/repos#get-a-repository>). GitHub answers an old
    /// path with a redirect for as long as nobody has taken it. Where somebody has, a known repository is still
    /// found by its id: `/repositories/{id}` is documented nowhere, but is where those redirects lead, and the
    /// answer must have the id.
    async fn repository(&self, project: &ProjectRef, memory: Memory) -> Result<Option<wire::Repository>, GitError> {
        let (path, id) = match project {
            ProjectRef::Path(path) => (path, None),
            ProjectRef::Known { external_id, path } => match external_id.parse::<u64>() {
                Ok(id) => (path, Some(id)),
                Err(_) => return Ok(None),
            },
        };
        if let Some(url) = self.repository_url(path) {
            let found = self.read_repository(url, memory).await?;
            if found.as_ref().is_some_and(|found| id.is_none_or(|id| found.id == id)) {
                return Ok(found);
            }
        }
        let Some(id) = id else { return Ok(None) };
        let found = self.read_repository(self.api.url(&["repositories", &id.to_string()]), memory).await?;
        Ok(found.filter(|found| found.id == id))
    }

    async fn read_repository(&self, url: Url, memory: Memory) -> Result<Option<wire::Repository>, GitError> {
        self.get_if_there(url, memory).await?.map(|answer| self.api.json(&answer)).transpose()
    }

    /// None for a path of more than two parts, which no repository has.
    fn repository_url(&self, path: &ProjectPath) -> Option<Url> {
        let parts: Vec<&str> = path.parts().collect();
        let [owner, name] = parts[..] else { return None };
        Some(self.api.url(&["repos", owner, name]))
    }
}

#[async_trait]
impl GitProvider for Github {
    async fn identify(&self) -> Result<TokenInfo, GitError> {
        self.api.within(token::identify(self)).await
    }

    async fn projects(&self, request: &ListRequest) -> Result<Listed<Project>, GitError> {
        self.api.within(projects::list(self, request)).await
    }

    async fn project(&self, project: &ProjectRef) -> Result<Option<Project>, GitError> {
        self.api.within(projects::one(self, project)).await
    }

    async fn branches(&self, project: &ProjectRef, request: &ListRequest) -> Result<Option<Listed<Branch>>, GitError> {
        self.api.within(branches::list(self, project, request)).await
    }

    async fn branch(&self, project: &ProjectRef, name: &BranchName) -> Result<Option<Branch>, GitError> {
        self.api.within(branches::one(self, project, name)).await
    }

    async fn namespaces(&self, request: &ListRequest) -> Result<Listed<Namespace>, GitError> {
        self.api.within(namespaces::list(self, request)).await
    }

    async fn create_project(&self, new: &NewProject) -> Result<Project, GitError> {
        self.api.within(create::project(self, new)).await
    }

    async fn first_branch(&self, project: &Project, branch: &BranchName) -> Result<(), GitError> {
        self.api.within(create::first_branch(self, project, branch)).await
    }

    /// None: people make their own accounts on GitHub.
    fn accounts(&self) -> Option<&dyn GitAccounts> {
        None
    }

    fn hooks(&self) -> &dyn GitHooks {
        self
    }

    /// <https://docs.github.com/authentication/keeping-your-account-and-data-secure/managing-your-personal-access-tokens#using-a-personal-access-token-on-the-command-line>:
    /// any user name goes with a token; this one is for tokens of every kind.
    fn source(&self, path: &ProjectPath) -> SourceAddress {
        SourceAddress {
            url: format!("{}/{path}.git", github_pages(self.api.base())),
            username: "x-access-token".to_owned(),
            trusted: self.api.is_trusted(),
        }
    }
}

#[async_trait]
impl GitHooks for Github {
    async fn save_hook(&self, project: &ProjectRef, hook: &NewHook) -> Result<HookState, GitError> {
        self.api.within(hooks::save(self, project, hook)).await
    }

    async fn remove_hook(&self, project: &ProjectRef, id: Option<&str>, url: &str) -> Result<(), GitError> {
        self.api.within(hooks::remove(self, project, id, url)).await
    }

    async fn report_status(
        &self,
        project: &ProjectRef,
        commit: &CommitHash,
        status: &CommitStatus,
    ) -> Result<(), GitError> {
        self.api.within(hooks::report(self, project, commit, status)).await
    }
}
