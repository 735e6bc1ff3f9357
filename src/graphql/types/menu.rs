//! The registration dialog.

use async_graphql::{Enum, SimpleObject};

use super::enums::{Precondition, SourceKind};
use crate::app::services::menus;

/// What a tile of the registration dialog does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "menus::RegistrationAction")]
pub enum RegistrationAction {
    /// saveGitlabSettings
    GitlabSettings,
    /// createGitlabAccounts
    CreateGitlabAccounts,
    /// saveGithubSettings
    GithubSettings,
    /// registerGitProject
    RegisterExistingProject,
    /// createGitProject
    CreateNewProject,
    /// registerDockerHubService
    RegisterDockerHubImage,
}

/// One tile of the registration dialog. An item that the viewer may not use is not listed at all.
#[derive(SimpleObject)]
pub struct RegistrationMenuItem {
    /// What it does.
    action: RegistrationAction,
    /// Its words.
    title: String,
    /// More words.
    description: String,
    /// Members don't have it.
    admin_only: bool,
    /// False when something must be set up first; disabledReason then says what, and who can do it.
    enabled: bool,
    /// What must be set up first, and who can do it.
    disabled_reason: Option<String>,
    /// The same as a word for programs.
    reason: Option<Precondition>,
}

/// The tiles of one source.
#[derive(SimpleObject)]
pub struct RegistrationMenu {
    /// Where services come from.
    source: SourceKind,
    /// In the order in which they are shown.
    items: Vec<RegistrationMenuItem>,
}

impl From<menus::Menu> for RegistrationMenu {
    fn from(menu: menus::Menu) -> Self {
        Self { source: menu.source.into(), items: menu.items.into_iter().map(RegistrationMenuItem::from).collect() }
    }
}

impl From<menus::MenuItem> for RegistrationMenuItem {
    fn from(item: menus::MenuItem) -> Self {
        let (reason, message) = item.missing.unzip();
        Self {
            action: item.action.into(),
            title: item.title.to_owned(),
            description: item.description.to_owned(),
            admin_only: item.admin_only,
            enabled: reason.is_none(),
            disabled_reason: message,
            reason: reason.map(Precondition::from),
        }
    }
}
