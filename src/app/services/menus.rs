//! The registration dialog, from one table: what there is, who sees it, and what it needs.

use entity::SourceKind;
use sea_orm::PaginatorTrait;

use crate::app::{Actor, App, Precondition, Result, git};
use crate::domain::git::{Provider, TokenRight};
use crate::domain::policy::{Action, Standing};

/// What a tile does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistrationAction {
    /// Store a GitLab token.
    GitlabSettings,
    /// Make accounts on GitLab.
    CreateGitlabAccounts,
    /// Store a GitHub token.
    GithubSettings,
    /// Register a project that is there.
    RegisterExistingProject,
    /// Make a project and register it.
    CreateNewProject,
    /// Register a service from images.
    RegisterDockerHubImage,
}

/// What must be there before a tile can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// A place to deploy to.
    Runtime,
    /// A token of this provider with these rights.
    Token(Provider, &'static [TokenRight]),
}

struct Entry {
    source: SourceKind,
    action: RegistrationAction,
    title: &'static str,
    description: &'static str,
    may: Action,
    needs: &'static [Need],
}

const ENTRIES: &[Entry] = &[
    Entry {
        source: SourceKind::Gitlab,
        action: RegistrationAction::GitlabSettings,
        title: Provider::Gitlab.settings_title(),
        description: "Store the organization's GitLab address and token, once for everybody.",
        may: Action::ChangeGitSettings,
        needs: &[],
    },
    Entry {
        source: SourceKind::Gitlab,
        action: RegistrationAction::CreateGitlabAccounts,
        title: "Create GitLab Accounts",
        description: "Make a GitLab account for each person of the organization who has none.",
        may: Action::CreateGitlabAccounts,
        needs: &[Need::Token(Provider::Gitlab, git::accounts::RIGHTS)],
    },
    Entry {
        source: SourceKind::Gitlab,
        action: RegistrationAction::RegisterExistingProject,
        title: "Register Existing Project",
        description: "Pick a GitLab project and a branch, and register them as a service.",
        may: Action::WorkOnServices,
        needs: &[Need::Token(Provider::Gitlab, git::register::RIGHTS)],
    },
    Entry {
        source: SourceKind::Gitlab,
        action: RegistrationAction::CreateNewProject,
        title: "Create New Project",
        description: "Make a GitLab project with a README, and register it as a service.",
        may: Action::WorkOnServices,
        needs: &[Need::Token(Provider::Gitlab, git::create::RIGHTS)],
    },
    Entry {
        source: SourceKind::Github,
        action: RegistrationAction::GithubSettings,
        title: Provider::Github.settings_title(),
        description: "Store the organization's GitHub token, once for everybody.",
        may: Action::ChangeGitSettings,
        needs: &[],
    },
    Entry {
        source: SourceKind::Github,
        action: RegistrationAction::RegisterExistingProject,
        title: "Register Existing Project",
        description: "Pick a GitHub repository and a branch, and register them as a service.",
        may: Action::WorkOnServices,
        needs: &[Need::Token(Provider::Github, git::register::RIGHTS)],
    },
    Entry {
        source: SourceKind::Github,
        action: RegistrationAction::CreateNewProject,
        title: "Create New Project",
        description: "Make a GitHub repository with a README, and register it as a service.",
        may: Action::WorkOnServices,
        needs: &[Need::Token(Provider::Github, git::create::RIGHTS)],
    },
    Entry {
        source: SourceKind::DockerHub,
        action: RegistrationAction::RegisterDockerHubImage,
        title: "Register Docker Hub Image",
        description: "Run one or more images of Docker Hub or another registry as a service.",
        may: Action::WorkOnServices,
        needs: &[Need::Runtime],
    },
];

/// The tiles of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Menu {
    /// Where services come from.
    pub source: SourceKind,
    /// In the order in which they are shown.
    pub items: Vec<MenuItem>,
}

/// A tile that the caller may use, now or once something is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MenuItem {
    /// What it does.
    pub action: RegistrationAction,
    /// Its words.
    pub title: &'static str,
    /// More words.
    pub description: &'static str,
    /// Members don't see it.
    pub admin_only: bool,
    /// What must be set up first and who can do it.
    pub missing: Option<(Precondition, String)>,
}

/// The menus of the caller, from what is stored. What they may not use is not listed.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn registration_menus(app: &App, actor: &Actor) -> Result<Vec<Menu>> {
    let has_runtime = actor.scope.runtimes().count(app.db.read()).await? > 0;
    let settings = git::settings::all(app, &actor.scope).await?;
    let missing = |need: Need| match need {
        Need::Runtime if has_runtime => Ok(None),
        Need::Runtime => Ok(Some((Precondition::NoRuntime, no_runtime(actor).to_owned()))),
        Need::Token(which, rights) => {
            let stored = settings.iter().find(|row| git::of_stored(row.provider) == which);
            git::obstacle(actor, which, stored, rights, app.clock.now())
        }
    };
    let mut menus: Vec<Menu> = Vec::new();
    for entry in ENTRIES.iter().filter(|e| actor.may(e.may)) {
        let first = entry.needs.iter().find_map(|need| missing(*need).transpose()).transpose()?;
        let item = MenuItem {
            action: entry.action,
            title: entry.title,
            description: entry.description,
            admin_only: entry.may.needs() == Standing::Admin,
            missing: first,
        };
        match menus.iter_mut().find(|m| m.source == entry.source) {
            Some(menu) => menu.items.push(item),
            None => menus.push(Menu { source: entry.source, items: vec![item] }),
        }
    }
    Ok(menus)
}

/// What to say where a runtime is needed and none is there.
#[must_use]
pub fn no_runtime(actor: &Actor) -> &'static str {
    if actor.may(Action::ChangeRuntimes) {
        "there is no runtime to deploy to: register one first"
    } else {
        "there is no runtime to deploy to: ask your admin to register one"
    }
}
