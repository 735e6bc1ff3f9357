//! What the server holds.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use axum::http::{HeaderMap, StatusCode};

use super::answers::{Answer, message, refusal};

/// A person, or the account of a project's or a group's token.
#[derive(Debug, Clone)]
pub struct Account {
    pub id: u64,
    pub username: String,
    pub name: String,
    pub email: String,
    /// Further addresses, and whether they are confirmed.
    pub emails: Vec<(String, bool)>,
    pub is_admin: bool,
    pub bot: bool,
    pub can_create_project: bool,
}

/// A group.
#[derive(Debug, Clone)]
pub struct Group {
    pub id: u64,
    /// Its full path.
    pub path: String,
    pub name: String,
    /// Accounts and their access levels: 10, 20, 30, 40, 50. They hold below it too.
    pub members: BTreeMap<u64, u8>,
    /// The least access level that may make projects; 100 for nobody.
    pub creation: u8,
}

/// A token.
#[derive(Debug, Clone)]
pub struct Token {
    pub value: String,
    pub account: u64,
    pub scopes: Vec<String>,
    pub expires_at: Option<String>,
    pub expired: bool,
    pub revoked: bool,
}

/// A project.
#[derive(Debug, Clone)]
pub struct Made {
    pub id: u64,
    pub path: String,
    pub name: String,
    pub description: Option<String>,
    pub visibility: String,
    pub archived: bool,
    pub default_branch: String,
    /// Branches, and whether they are protected.
    pub branches: BTreeMap<String, bool>,
    /// Members of this project alone.
    pub members: BTreeSet<u64>,
    /// Paths that it had.
    pub former: Vec<String>,
}

/// A project's webhook.
#[derive(Debug, Clone)]
pub struct Hook {
    pub id: u64,
    /// The project's id.
    pub project: u64,
    pub url: String,
    pub token: String,
    pub signing_token: String,
    pub push_events: bool,
    pub tag_push_events: bool,
    pub merge_requests_events: bool,
    pub enable_ssl_verification: bool,
    pub push_events_branch_filter: String,
    /// `executable`, `temporarily_disabled`, `disabled`.
    pub alert_status: &'static str,
}

/// What a server knows of signing tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Signing {
    /// It takes them.
    #[default]
    On,
    /// It knows of them and leaves them out.
    Off,
    /// It is from before there were any.
    Unknown,
}

/// The status of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub id: u64,
    /// The project's id.
    pub project: u64,
    pub sha: String,
    pub name: String,
    pub state: String,
    pub description: Option<String>,
    pub target_url: Option<String>,
}

/// How lists of branches are paged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BranchPages {
    /// By the names of branches, and by numbers; what is searched for is found all at once, on a page one of any size.
    #[default]
    Gitaly,
    /// By tokens that are Git's, searches too; numbered pages after the first hundred branches are empty:
    /// <https://gitlab.com/gitlab-org/gitlab/-/work_items/605032>.
    Refs,
    /// By numbers alone.
    Numbered,
}

/// All of it.
#[derive(Debug, Default)]
pub struct State {
    pub url: String,
    pub accounts: Vec<Account>,
    pub groups: Vec<Group>,
    pub projects: BTreeMap<u64, Made>,
    pub tokens: Vec<Token>,
    /// The server asks administrators' tokens for `admin_mode`.
    pub admin_mode: bool,
    /// A server from before GitLab 15.5.
    pub knows_no_self: bool,
    /// A server that gives new projects the branch that it likes.
    pub ignores_default_branch: bool,
    pub branch_pages: BranchPages,
    /// By id.
    pub hooks: BTreeMap<u64, Hook>,
    pub signing: Signing,
    /// The oldest first.
    pub statuses: Vec<Status>,
    /// When accounts asked whether a namespace exists.
    pub(super) exists_asked: Vec<(u64, Instant)>,
    next: u64,
}

impl State {
    pub(super) fn new(url: &str) -> Self {
        Self { url: url.to_owned(), next: 1, ..Self::default() }
    }

    pub(super) fn id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// A person with an address at example.com; the id.
    pub fn person(&mut self, username: &str) -> u64 {
        let id = self.id();
        self.accounts.push(Account {
            id,
            username: username.to_owned(),
            name: format!("{username} (name)"),
            email: format!("{username}@example.com"),
            emails: Vec::new(),
            is_admin: false,
            bot: false,
            can_create_project: true,
        });
        id
    }

    /// An account, to be changed.
    ///
    /// # Panics
    /// When there is none.
    pub fn account(&mut self, id: u64) -> &mut Account {
        self.accounts.iter_mut().find(|account| account.id == id).expect("an account")
    }

    /// A token of an account.
    pub fn token(&mut self, value: &str, account: u64, scopes: &[&str]) {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let value = value.to_owned();
        self.tokens.push(Token { value, account, scopes, expires_at: None, expired: false, revoked: false });
    }

    /// A group, in which a member has a level; the id.
    pub fn group(&mut self, path: &str, member: u64, level: u8) -> u64 {
        let id = self.id();
        let name = path.rsplit('/').next().unwrap_or(path).to_owned();
        let members = BTreeMap::from([(member, level)]);
        self.groups.push(Group { id, path: path.to_owned(), name, members, creation: 30 });
        id
    }

    /// A private project with one branch; the id. Its namespace's members see it.
    pub fn project(&mut self, path: &str, branch: &str) -> u64 {
        let id = self.id();
        let made = Made {
            id,
            path: path.to_owned(),
            name: path.rsplit('/').next().unwrap_or(path).to_owned(),
            description: None,
            visibility: "private".to_owned(),
            archived: false,
            default_branch: branch.to_owned(),
            branches: BTreeMap::from([(branch.to_owned(), true)]),
            members: BTreeSet::new(),
            former: Vec::new(),
        };
        self.projects.insert(id, made);
        id
    }

    /// Gives a project another path; the old one redirects.
    ///
    /// # Panics
    /// When there is no such project.
    pub fn transfer(&mut self, id: u64, path: &str) {
        let project = self.projects.get_mut(&id).expect("a project");
        let old = std::mem::replace(&mut project.path, path.to_owned());
        project.former.push(old);
    }

    /// Whose token was sent: <https://docs.gitlab.com/api/rest/authentication/>.
    pub(super) fn caller(&self, headers: &HeaderMap) -> Result<Token, Answer> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let sent = text("private-token").or_else(|| text("authorization")?.strip_prefix("Bearer "));
        let nobody = || message(StatusCode::UNAUTHORIZED, "401 Unauthorized");
        let token = self.tokens.iter().find(|token| Some(token.value.as_str()) == sent).ok_or_else(nobody)?;
        if token.revoked {
            let said = "Token was revoked. You have to re-authorize from the user.";
            return Err(refusal(StatusCode::UNAUTHORIZED, "invalid_token", said));
        }
        if token.expired {
            let said = "Token is expired. You can either do re-authorization or token refresh.";
            return Err(refusal(StatusCode::UNAUTHORIZED, "invalid_token", said));
        }
        Ok(token.clone())
    }

    pub(super) fn caller_account(&self, caller: &Token) -> Account {
        self.accounts.iter().find(|account| account.id == caller.account).cloned().expect("a token's account")
    }

    /// May do what administrators may.
    pub(super) fn is_administrator(&self, caller: &Token) -> bool {
        let armed = !self.admin_mode || caller.scopes.iter().any(|scope| scope == "admin_mode");
        armed && self.caller_account(caller).is_admin
    }

    /// The access level that an account has in a group: its own, or one from a group above.
    pub(super) fn level(&self, account: u64, path: &str) -> u8 {
        let holds = |group: &&Group| path == group.path || path.starts_with(&format!("{}/", group.path));
        self.groups.iter().filter(holds).filter_map(|group| group.members.get(&account)).copied().max().unwrap_or(0)
    }

    pub(super) fn is_member(&self, account: &Account, project: &Made) -> bool {
        let namespace = project.path.rsplit_once('/').map_or("", |(namespace, _)| namespace);
        namespace == account.username || project.members.contains(&account.id) || self.level(account.id, namespace) > 0
    }

    /// At least Maintainer of a project.
    pub(super) fn maintains(&self, caller: &Token, project: &Made) -> bool {
        let account = self.caller_account(caller);
        let namespace = project.path.rsplit_once('/').map_or("", |(namespace, _)| namespace);
        namespace == account.username
            || self.is_administrator(caller)
            || self.level(account.id, namespace) >= 40
            || project.members.contains(&account.id)
    }

    pub(super) fn may_read(&self, caller: &Token, project: &Made) -> bool {
        project.visibility != "private"
            || self.is_administrator(caller)
            || self.is_member(&self.caller_account(caller), project)
    }

    /// Whether a top-level path is a person's or a group's, whatever its case.
    pub(super) fn is_taken(&self, path: &str) -> bool {
        self.accounts.iter().any(|account| account.username.eq_ignore_ascii_case(path))
            || self.groups.iter().any(|group| group.path.eq_ignore_ascii_case(path))
    }
}
