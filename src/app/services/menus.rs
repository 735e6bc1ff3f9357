//! The registration dialog, from one table: what there is, who sees it, and what it needs.

use entity::SourceKind;
use sea_orm::PaginatorTrait;

use crate::app::{Actor, App, Precondition, Result};
use crate::domain::policy::Action;

/// What a tile does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistrationAction {
    /// Register a service from images.
    RegisterDockerHubImage,
}

/// What must be there before a tile can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// A place to deploy to.
    Runtime,
}

struct Entry {
    source: SourceKind,
    action: RegistrationAction,
    title: &'static str,
    description: &'static str,
    may: Action,
    needs: &'static [Need],
}

const ENTRIES: &[Entry] = &[Entry {
    source: SourceKind::DockerHub,
    action: RegistrationAction::RegisterDockerHubImage,
    title: "Register Docker Hub Image",
    description: "Run one or more images of Docker Hub or another registry as a service.",
    may: Action::WorkOnServices,
    needs: &[Need::Runtime],
}];

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

/// The menus of the caller. What they may not use is not listed.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn registration_menus(app: &App, actor: &Actor) -> Result<Vec<Menu>> {
    let has_runtime = actor.scope.runtimes().count(app.db.read()).await? > 0;
    let mut menus: Vec<Menu> = Vec::new();
    for entry in ENTRIES.iter().filter(|e| actor.may(e.may)) {
        let missing = entry.needs.iter().find_map(|need| match need {
            Need::Runtime if has_runtime => None,
            Need::Runtime => Some((Precondition::NoRuntime, no_runtime(actor).to_owned())),
        });
        let item = MenuItem {
            action: entry.action,
            title: entry.title,
            description: entry.description,
            admin_only: entry.may.needs() == crate::domain::policy::Standing::Admin,
            missing,
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
