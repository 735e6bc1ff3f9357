//! What is wrong with declarations by themselves, by the checks that mutations use.

use std::collections::BTreeMap;

use super::{Git, Organization, User};
use crate::app::Violations;
use crate::app::change::Change;
use crate::app::error::Violation;
use crate::app::git::{declare as git, settings};
use crate::app::identity::{declare as people, passwords};
use crate::app::registries::{self, SaveRegistry, declare as logins};
use crate::app::runtimes::{self, RegisterRuntime, declare as places};
use crate::domain::names::{DisplayName, Email, OrganizationSlug};
use crate::domain::secret::ExposeSecret as _;
use crate::git::GitProviders;

/// An organization whose declaration holds by itself. Each part comes with where it stands in the file.
pub(super) struct Checked {
    pub(super) at: String,
    pub(super) slug: String,
    pub(super) name: String,
    pub(super) users: Vec<(String, people::Stated)>,
    pub(super) runtimes: Vec<(String, places::Stated)>,
    pub(super) registries: Vec<(String, logins::Stated)>,
    pub(super) git: Vec<(String, git::Stated)>,
}

/// Everything that is wrong with declarations, as far as no database and no other server has to be asked: the key and what is
/// wrong with it. `gits` knows what providers' addresses look like; none leaves those out.
#[must_use]
pub fn faults(gits: Option<&dyn GitProviders>, declared: &[Organization]) -> Vec<Violation> {
    let mut v = Violations::default();
    check(&mut v, gits, declared);
    v.into_list()
}

/// Checks all, and gives what holds.
pub(super) fn check(v: &mut Violations, gits: Option<&dyn GitProviders>, declared: &[Organization]) -> Vec<Checked> {
    let mut slugs = Once::default();
    let mut persons = BTreeMap::new();
    let mut all = Vec::new();
    for (o, organization) in declared.iter().enumerate() {
        let at = format!("organizations.{o}");
        let slug = v.check(format!("{at}.slug"), OrganizationSlug::parse(&organization.slug));
        slugs.see(v, &format!("{at}.slug"), &organization.slug);
        v.check(format!("{at}.name"), DisplayName::parse(&organization.name));
        let checked = Checked {
            slug: slug.map_or_else(String::new, |slug| slug.as_str().to_owned()),
            name: organization.name.clone(),
            users: users(v, &at, &organization.users, &mut persons),
            runtimes: runtimes(v, &at, &organization.runtimes),
            registries: registries(v, &at, &organization.registries),
            git: gits.map(|gits| git(v, &at, &organization.git, gits)).unwrap_or_default(),
            at,
        };
        all.push(checked);
    }
    all
}

/// What there may be one of, and where it stands first.
#[derive(Default)]
struct Once(BTreeMap<String, String>);

impl Once {
    fn see(&mut self, v: &mut Violations, key: &str, what: &str) {
        if what.is_empty() {
            return;
        }
        match self.0.get(what) {
            Some(first) => v.add(key, format!("{what} stands at {first} already")),
            None => drop(self.0.insert(what.to_owned(), key.to_owned())),
        }
    }
}

/// An account is one, in however many organizations it stands.
type Persons<'a> = BTreeMap<String, (String, &'a User)>;

fn users<'a>(
    v: &mut Violations,
    at: &str,
    users: &'a [User],
    persons: &mut Persons<'a>,
) -> Vec<(String, people::Stated)> {
    let mut emails = Once::default();
    let mut all = Vec::new();
    for (i, user) in users.iter().enumerate() {
        let at = format!("{at}.users.{i}");
        let email = v.check(format!("{at}.email"), Email::parse(&user.email));
        let name = v.check(format!("{at}.name"), DisplayName::parse(&user.name));
        if let Some(password) = &user.password {
            passwords::check(v, &format!("{at}.password"), password);
        }
        let (Some(email), Some(name)) = (email, name) else { continue };
        emails.see(v, &format!("{at}.email"), &email.key());
        if let Some((first, other)) = persons.get(&email.key()) {
            one_person(v, &at, user, (first, other));
        }
        // Of two the one with a password is who others are compared with.
        if persons.get(&email.key()).is_none_or(|(_, other)| other.password.is_none()) {
            persons.insert(email.key(), (at.clone(), user));
        }
        let stated = people::Stated {
            email: email.key(),
            name: name.as_str().to_owned(),
            role: user.role,
            password: user.password.clone(),
        };
        all.push((at, stated));
    }
    all
}

fn one_person(v: &mut Violations, at: &str, user: &User, (first, other): (&str, &User)) {
    if user.name != other.name {
        v.add(format!("{at}.name"), format!("this is the account of {first}, which has another name there"));
    }
    if let (Some(password), Some(before)) = (&user.password, &other.password)
        && password.expose_secret() != before.expose_secret()
    {
        v.add(format!("{at}.password"), format!("this is the account of {first}, which has another password there"));
    }
}

fn runtimes(v: &mut Violations, at: &str, runtimes: &[RegisterRuntime]) -> Vec<(String, places::Stated)> {
    let mut names = Once::default();
    let mut all = Vec::new();
    for (i, input) in runtimes.iter().enumerate() {
        let at = format!("{at}.runtimes.{i}");
        names.see(v, &format!("{at}.name"), &input.name);
        let mut part = Violations::default();
        let connection = runtimes::read(&mut part, input);
        v.absorb(part, |field| key(&at, field));
        if let Some(connection) = connection {
            all.push((at, places::Stated::new(input, connection)));
        }
    }
    all
}

fn registries(v: &mut Violations, at: &str, registries: &[SaveRegistry]) -> Vec<(String, logins::Stated)> {
    let (mut hosts, mut prefixes) = (Once::default(), Vec::new());
    let mut all = Vec::new();
    for (i, input) in registries.iter().enumerate() {
        let at = format!("{at}.registries.{i}");
        let mut part = Violations::default();
        let host = registries::check_input(&mut part, input);
        v.absorb(part, |field| key(&at, field));
        if let Change::Set(_) = input.repository_prefix {
            prefixes.push(format!("{at}.repository_prefix"));
        }
        let Some(host) = host else { continue };
        hosts.see(v, &format!("{at}.host"), &host);
        all.push((at, logins::Stated::new(host, input)));
    }
    if let Some((first, others)) = prefixes.split_first() {
        for other in others {
            v.add(other, format!("at most one registry has a prefix, and {first} is one already"));
        }
    }
    all
}

fn git(v: &mut Violations, at: &str, git: &[Git], gits: &dyn GitProviders) -> Vec<(String, git::Stated)> {
    let mut providers = Once::default();
    let mut all = Vec::new();
    for (i, input) in git.iter().enumerate() {
        let at = format!("{at}.git.{i}");
        providers.see(v, &format!("{at}.provider"), input.provider.title());
        let mut part = Violations::default();
        let what = (input.provider, input.base_url.as_deref(), &input.token);
        let base_url = settings::check_input(&mut part, gits, what);
        v.absorb(part, |field| key(&at, field));
        if let Some(base_url) = base_url {
            all.push((at, git::Stated { provider: input.provider, base_url, token: input.token.clone() }));
        }
    }
    all
}

/// The key of the file for a field of an input: `input.docker.tlsCa` is `docker.tls_ca_file`.
fn key(at: &str, field: &str) -> String {
    let mut key = String::from(at);
    key.push('.');
    for c in field.strip_prefix("input.").unwrap_or(field).chars() {
        if c.is_ascii_uppercase() {
            key.push('_');
        }
        key.push(c.to_ascii_lowercase());
    }
    if key.ends_with(".kubeconfig") || key.contains(".docker.tls_") {
        key.push_str("_file");
    }
    key
}
