//! Services: what they are made of, registering, changing and removing them.

pub mod actions;
pub mod brief;
pub mod changes;
pub(in crate::app) mod check;
pub mod definition;
pub mod export;
pub mod input;
pub mod list;
pub mod menus;
pub mod register;
pub mod remove;
pub mod spec;
#[cfg(test)]
mod tests;
pub mod update;

pub use check::resources as check_resources;
pub use definition::{ContainerDefinition, EnvEntry, NamedImage, Removal, containers_of, env_of, removal_of};
pub use list::{ServiceFilter, ServiceOrder, by_id, by_name, list};
pub use register::{RegisterImages, register_images};
pub use remove::{REMOVE_JOB, remove};
pub use spec::{spec_of, target_of};
pub use update::{UpdateService, update};
