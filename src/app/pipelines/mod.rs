//! Pipelines: from a commit to an image and where that is deployed.

pub mod cancel;
pub mod definition;
pub mod engine;
pub mod image;
pub mod list;
mod machine;
pub(in crate::app) mod order;
pub(in crate::app) mod origin;
pub mod plan;
mod prune;
pub mod report;
pub mod run;
pub mod settings;
pub mod start;
pub mod sweep;
pub mod wake;

/// The kind of the job that a pipeline is. Subject: the pipeline. Lane: its branch. How many are at work at once is
/// limited.
pub const RUN: &str = "pipeline";
/// The kind of the job that goes on with a pipeline whose deployments came to something. Not limited: it has had its
/// place.
pub const RESUME: &str = "pipeline.resume";
/// The kind of the job that tells the Git provider how a commit fares. Subject and lane: `report:` and the pipeline.
pub const REPORT: &str = "pipeline.report";
