//! Pipelines: from a commit to an image and where that is deployed.

pub mod definition;
pub mod image;
pub mod run;
pub mod wake;

/// The kind of the job that a pipeline is. Subject: the pipeline. Lane: its branch. How many are at work at once is
/// limited.
pub const RUN: &str = "pipeline";
/// The kind of the job that goes on with a pipeline whose deployments came to something. Not limited: it has had its
/// place.
pub const RESUME: &str = "pipeline.resume";
