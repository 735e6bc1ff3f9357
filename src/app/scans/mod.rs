//! Scans: what looks at a service, what it saw, and what becomes of that.

pub mod counts;
mod dast;
pub mod effect;
pub mod gates;
mod images;
pub mod list;
mod look;
pub mod machine;
pub mod pipeline;
pub mod place;
mod prune;
pub mod remove;
pub mod report;
pub mod run;
mod secret_key;
mod settle;
pub mod start;
pub mod state;
mod store;
mod targets;
mod tools;
mod waivers;
mod word;
mod words;

/// The kind of the job that a scan of its own is. Subject: the scan. Lane: what is looked for, and the scan's own lane.
pub const RUN: &str = "scan";

pub(in crate::app) use secret_key::ROW as SECRET_KEY_ROW;
pub(in crate::app) use tools::FOLDER;
