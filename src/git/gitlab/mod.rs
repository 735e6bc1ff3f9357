//! GitLab, gitlab.com's and one's own: <https://docs.gitlab.com/api/rest/>.

mod accounts;
mod branches;
mod hooks;
mod namespaces;
mod paging;
mod projects;
#[cfg(test)]
mod tests;
mod token;
mod walk;
mod wire;

use async_trait::async_trait;
use reqwest::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::base::page;
use super::call::{Answer, Api, Dialect, Memory, Reach, Shared};
use super::{
    Branch, CommitStatus, GitAccess, GitAccounts, GitError, GitHooks, GitProvider, HookState, ListRequest, Listed,
    Namespace, NewAccount, NewHook, NewProject, Project, ProjectRef, SourceAddress, TokenInfo,
};
use crate::domain::names::{BranchName, CommitHash, ProjectPath};
use crate::domain::secret::SecretString;
use crate::net::Trust;

/// A GitLab server, below a path prefix or not.
///
/// What people read is listed by REST, whose pages go on after an item; where a token may make projects is asked of
/// GraphQL, the only one that knows.
#[derive(Clone)]
pub struct Gitlab {
    api: Api,
    /// What relative addresses of pictures are relative to.
    pages: Url,
}

impl Gitlab {
    /// A client with these settings; `trust` is whose address it is.
    ///
    /// # Errors
    /// [`GitError::Refused`] when the address is none, or the token can't be sent.
    pub(super) fn new(shared: &Shared, access: &GitAccess, trust: Trust) -> Result<Self, GitError> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        // Personal, project and group access tokens: https://docs.gitlab.com/api/rest/authentication/
        let token_header = HeaderName::from_static("private-token");
        let dialect = Dialect { token_header, token_prefix: "", headers, unspent: Reach::Endpoint };
        let pages = access.base_url.trim_end_matches('/');
        // REST is at /api/v4 and GraphQL at /api/graphql.
        let access = GitAccess { base_url: format!("{pages}/api"), ..access.clone() };
        let api = Api::new(shared, &access, trust, dialect)?;
        let pages = Url::parse(&format!("{pages}/")).map_err(|_| GitError::Refused("that is no address".to_owned()))?;
        Ok(Self { api, pages })
    }

    /// An address of REST. Every character of a segment that could mean something is encoded: GitLab takes `%2F` for
    /// the slash of a path (<https://docs.gitlab.com/api/rest/#namespaced-paths>), and a plus for a space.
    ///
    /// Segments are neither `.` nor `..`, which no encoding keeps from being resolved.
    fn at(&self, segments: &[&str]) -> Url {
        let mut url = self.api.url(&["v4"]);
        let path = segments.iter().fold(url.path().to_owned(), |path, segment| path + "/" + &encoded(segment));
        url.set_path(&path);
        url
    }

    /// The address of GraphQL: <https://docs.gitlab.com/api/graphql/>.
    fn graphql(&self) -> Url {
        self.api.url(&["graphql"])
    }

    /// The address of a picture, which may come without the server's own; none that a browser may not be sent to.
    fn picture(&self, at: &str) -> Option<String> {
        self.pages.join(at).ok().and_then(|url| page(url.as_str()))
    }

    /// The same, which keeps one more secret out of what it quotes.
    fn hiding(&self, secret: &SecretString) -> Self {
        Self { api: self.api.hiding(secret), pages: self.pages.clone() }
    }

    /// Reads what may be missing.
    async fn find(&self, url: Url, memory: Memory) -> Result<Option<Answer>, GitError> {
        match self.api.get(url, memory).await {
            Err(GitError::NotFound(_)) => Ok(None),
            other => other.map(Some),
        }
    }
}

/// Leaves what RFC 3986 (2.3) calls unreserved.
fn encoded(segment: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    segment.bytes().fold(String::new(), |text, byte| {
        if keep(byte) { text + char::from(byte).encode_utf8(&mut [0]) } else { text + &format!("%{byte:02X}") }
    })
}

/// GitLab says "has already been taken" of names, paths and addresses, with 400 or 409; of a user name that is a group's
/// it says that one "already exists with that username" (`username_exists_as_a_different_namespace`).
fn taken(error: GitError) -> GitError {
    let is_said =
        |said: &str| ["already been taken", "already exists with that username"].iter().any(|w| said.contains(w));
    match error {
        GitError::Invalid(said) if is_said(&said) => GitError::Taken(said),
        other => other,
    }
}

#[async_trait]
impl GitProvider for Gitlab {
    async fn identify(&self) -> Result<TokenInfo, GitError> {
        self.api.within(token::identify(self)).await
    }

    async fn projects(&self, request: &ListRequest) -> Result<Listed<Project>, GitError> {
        self.api.within(projects::list(self, request)).await
    }

    async fn project(&self, project: &ProjectRef) -> Result<Option<Project>, GitError> {
        self.api.within(projects::find(self, project, Memory::Revalidated)).await
    }

    async fn branches(&self, project: &ProjectRef, request: &ListRequest) -> Result<Option<Listed<Branch>>, GitError> {
        self.api.within(branches::list(self, project, request)).await
    }

    async fn branch(&self, project: &ProjectRef, name: &BranchName) -> Result<Option<Branch>, GitError> {
        self.api.within(branches::find(self, project, name.as_str(), Memory::Revalidated)).await
    }

    async fn namespaces(&self, request: &ListRequest) -> Result<Listed<Namespace>, GitError> {
        self.api.within(namespaces::list(self, request)).await
    }

    async fn create_project(&self, new: &NewProject) -> Result<Project, GitError> {
        self.api.within(projects::create(self, new)).await
    }

    async fn first_branch(&self, project: &Project, branch: &BranchName) -> Result<(), GitError> {
        self.api.within(projects::first_branch(self, project, branch)).await
    }

    fn accounts(&self) -> Option<&dyn GitAccounts> {
        Some(self)
    }

    fn hooks(&self) -> &dyn GitHooks {
        self
    }

    /// <https://docs.gitlab.com/user/profile/personal_access_tokens/#clone-repository-using-personal-access-token>: any
    /// user name goes with a token.
    fn source(&self, path: &ProjectPath) -> SourceAddress {
        SourceAddress {
            url: format!("{}{path}.git", self.pages),
            username: "oauth2".to_owned(),
            trusted: self.api.is_trusted(),
        }
    }
}

#[async_trait]
impl GitHooks for Gitlab {
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

#[async_trait]
impl GitAccounts for Gitlab {
    async fn find_by_email(&self, email: &str) -> Result<Option<String>, GitError> {
        self.api.within(accounts::find_by_email(self, email)).await
    }

    async fn is_free(&self, username: &str) -> Result<bool, GitError> {
        self.api.within(accounts::is_free(self, username)).await
    }

    async fn create(&self, new: &NewAccount) -> Result<(), GitError> {
        self.api.within(accounts::create(self, new)).await
    }
}
