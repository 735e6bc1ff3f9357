//! What the double keeps.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, SecondsFormat, TimeZone as _, Utc};

/// All of it.
#[derive(Debug, Default)]
pub struct State {
    pub tokens: HashMap<String, Token>,
    /// By login.
    pub users: BTreeMap<String, User>,
    /// By login.
    pub organizations: BTreeMap<String, Organization>,
    /// By id.
    pub repositories: BTreeMap<u64, Repository>,
    /// Paths in lower case that lead to a repository which has another now.
    pub moved: HashMap<String, u64>,
    /// Requests that are still answered in this hour; none for no limit.
    pub left: Option<u32>,
    /// Searches that are still answered in this minute; none for no limit.
    pub searches_left: Option<u32>,
    /// When both begin anew, in Unix seconds.
    pub reset: i64,
    /// How often a new repository is looked for before its README is there.
    pub slow_readme: u32,
    /// How often a renamed branch is looked for before it has its new name.
    pub slow_rename: u32,
    /// New repositories are not found by a search before [`State::index`].
    pub slow_index: bool,
    /// By id.
    pub hooks: BTreeMap<u64, Hook>,
    /// The oldest first.
    pub statuses: Vec<Status>,
    last_id: u64,
}

/// A repository's webhook.
#[derive(Debug, Clone)]
pub struct Hook {
    pub id: u64,
    /// The repository's id.
    pub repository: u64,
    pub active: bool,
    pub events: Vec<String>,
    pub url: String,
    pub secret: String,
    pub content_type: String,
    pub insecure_ssl: String,
}

/// The status of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub id: u64,
    /// The repository's id.
    pub repository: u64,
    pub sha: String,
    pub context: String,
    pub state: String,
    pub description: Option<String>,
    pub target_url: Option<String>,
}

/// A token.
#[derive(Debug, Clone)]
pub struct Token {
    /// Whose it is.
    pub login: String,
    pub kind: Kind,
    /// As the header says it: `2027-03-31 00:00:00 UTC`.
    pub expires: Option<String>,
}

/// What a token may do.
#[derive(Debug, Clone)]
pub enum Kind {
    /// Scopes, like `repo, read:org`.
    Classic(String),
    /// Permissions, like `contents=read`; to write is to read.
    FineGrained(BTreeSet<&'static str>),
}

#[derive(Debug, Clone, Default)]
pub struct User {
    pub id: u64,
    pub name: Option<String>,
    /// Organization, `admin` or `member`, `active` or `pending`.
    pub memberships: Vec<(String, &'static str, &'static str)>,
}

#[derive(Debug, Clone, Default)]
pub struct Organization {
    pub id: u64,
    pub name: Option<String>,
    /// Left out of answers where it is none.
    pub members_can_create: Option<bool>,
    /// What its base permission is: members may push unless it is "read".
    pub members_only_read: bool,
}

#[derive(Debug, Clone)]
pub struct Repository {
    pub id: u64,
    pub owner: String,
    pub name: String,
    pub description: Option<String>,
    pub private: bool,
    pub archived: bool,
    /// In Unix seconds.
    pub created: i64,
    pub default_branch: String,
    /// By name.
    pub branches: BTreeMap<String, Branch>,
    /// Logins of people of other places who were invited.
    pub collaborators: BTreeSet<String>,
    /// A search finds it.
    pub indexed: bool,
    /// Looks after which its README is there.
    pub readme_in: Option<u32>,
    /// Looks after which a branch has a new name: from, to.
    pub renaming: Option<(u32, String, String)>,
}

#[derive(Debug, Clone)]
pub struct Branch {
    pub sha: String,
    pub protected: bool,
}

impl Branch {
    /// One that nobody guards.
    pub fn new(seed: u64) -> Self {
        Self { sha: format!("{seed:040x}"), protected: false }
    }
}

impl Repository {
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    /// Time goes on by one look.
    pub fn looked_at(&mut self) {
        match self.readme_in {
            Some(0) => {
                self.branches.insert(self.default_branch.clone(), Branch::new(self.id));
                self.readme_in = None;
            }
            Some(left) => self.readme_in = Some(left - 1),
            None => {}
        }
        match self.renaming.take() {
            Some((0, from, to)) => self.rename(&from, &to),
            Some((left, from, to)) => self.renaming = Some((left - 1, from, to)),
            None => {}
        }
    }

    fn rename(&mut self, from: &str, to: &str) {
        if let Some(branch) = self.branches.remove(from) {
            self.branches.insert(to.to_owned(), branch);
        }
        if self.default_branch == from {
            self.default_branch = to.to_owned();
        }
    }
}

impl State {
    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// A person.
    pub fn user(&mut self, login: &str) -> &mut User {
        let id = self.next_id();
        self.users.entry(login.to_owned()).or_insert_with(|| User { id, ..User::default() })
    }

    /// An organization.
    pub fn organization(&mut self, login: &str) -> &mut Organization {
        let id = self.next_id();
        let new = || Organization { id, members_can_create: Some(true), ..Organization::default() };
        self.organizations.entry(login.to_owned()).or_insert_with(new)
    }

    /// `admin` or `member` of an organization, which is made where there is none.
    pub fn member(&mut self, login: &str, organization: &str, role: &'static str) {
        self.organization(organization);
        self.user(login).memberships.push((organization.to_owned(), role, "active"));
    }

    /// A classic token with scopes.
    pub fn classic(&mut self, token: &str, login: &str, scopes: &str) {
        self.user(login);
        let kind = Kind::Classic(scopes.to_owned());
        self.tokens.insert(token.to_owned(), Token { login: login.to_owned(), kind, expires: None });
    }

    /// A fine-grained token with permissions.
    pub fn fine_grained(&mut self, token: &str, login: &str, permissions: &[&'static str]) {
        self.user(login);
        let kind = Kind::FineGrained(permissions.iter().copied().collect());
        self.tokens.insert(token.to_owned(), Token { login: login.to_owned(), kind, expires: None });
    }

    /// A private repository with one branch, `main`; each is made a minute after the one before.
    pub fn repository(&mut self, path: &str) -> &mut Repository {
        let (owner, name) = path.split_once('/').expect("owner/name");
        let id = self.next_id();
        let created = 1_600_000_000 + 60 * i64::try_from(id).expect("a small number");
        let repository = Repository {
            id,
            owner: owner.to_owned(),
            name: name.to_owned(),
            description: None,
            private: true,
            archived: false,
            created,
            default_branch: "main".to_owned(),
            branches: BTreeMap::from([("main".to_owned(), Branch::new(id))]),
            collaborators: BTreeSet::new(),
            indexed: !self.slow_index,
            readme_in: None,
            renaming: None,
        };
        self.moved.remove(&path.to_lowercase());
        self.repositories.entry(id).or_insert(repository)
    }

    /// As [`State::repository`], with nothing to change about it.
    pub fn add(&mut self, path: &str) {
        self.repository(path);
    }

    /// The repository that has this path now.
    pub fn at(&mut self, path: &str) -> Option<&mut Repository> {
        self.repositories.values_mut().find(|r| r.full_name().eq_ignore_ascii_case(path))
    }

    /// Renames or transfers a repository; its old path leads to it until another takes it.
    pub fn move_to(&mut self, from: &str, to: &str) {
        let repository = self.at(from).expect("it is there");
        let (owner, name) = to.split_once('/').expect("owner/name");
        (repository.owner, repository.name) = (owner.to_owned(), name.to_owned());
        let id = repository.id;
        self.moved.insert(from.to_lowercase(), id);
        self.moved.remove(&to.to_lowercase());
    }

    /// Searches find everything that is there now.
    pub fn index(&mut self) {
        self.repositories.values_mut().for_each(|repository| repository.indexed = true);
    }

    /// `admin` or `push`; none for who has nothing to do with it.
    pub(super) fn part(&self, login: &str, repository: &Repository) -> Option<Part> {
        let is = |other: &str| other.eq_ignore_ascii_case(login);
        if is(&repository.owner) {
            return Some(Part::Owner);
        }
        let memberships = self.users.get(login).map_or(&[][..], |user| &user.memberships);
        let of = memberships
            .iter()
            .find(|(name, _, state)| name.eq_ignore_ascii_case(&repository.owner) && *state == "active");
        match of {
            Some((_, role, _)) => Some(Part::Member { admin: *role == "admin" }),
            None => repository.collaborators.iter().any(|other| is(other)).then_some(Part::Collaborator),
        }
    }
}

/// How somebody takes part in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Owner,
    Member { admin: bool },
    Collaborator,
}

impl Part {
    pub(super) fn affiliation(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Member { .. } => "organization_member",
            Self::Collaborator => "collaborator",
        }
    }

    pub(super) fn is_admin(self) -> bool {
        matches!(self, Self::Owner | Self::Member { admin: true })
    }
}

impl Token {
    /// Whether it may see private repositories.
    pub(super) fn sees_private(&self) -> bool {
        match &self.kind {
            Kind::Classic(scopes) => scopes.split(", ").any(|scope| scope == "repo"),
            Kind::FineGrained(_) => true,
        }
    }

    /// Whether it may: a scope of these, or this permission.
    pub(super) fn may(&self, scopes: &[&str], permission: &str) -> bool {
        match &self.kind {
            Kind::Classic(own) => own.split(", ").any(|scope| scopes.contains(&scope)),
            Kind::FineGrained(own) => {
                let write = permission.replace("=read", "=write");
                own.contains(permission) || own.contains(write.as_str())
            }
        }
    }
}

/// A time as GitHub writes it.
pub(super) fn stamp(seconds: i64) -> String {
    let time: DateTime<Utc> = Utc.timestamp_opt(seconds, 0).single().expect("a time");
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
