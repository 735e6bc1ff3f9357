//! Deployments: preview, deploy, roll back, and the work that a queued one is.

pub mod approvals;
pub mod built;
pub mod cancel;
mod cluster;
pub mod control;
mod draft;
mod enqueue;
pub mod environments;
pub mod leftovers;
pub mod list;
pub mod live;
mod machine;
mod manifest;
pub mod moving;
pub mod perform;
pub mod plan;
pub mod remove;
pub mod request;
pub mod resolve;
pub mod save;
pub mod status;

/// The kinds of jobs that these use cases enqueue; the worker knows them by the same words.
pub mod jobs {
    /// Brings a queued deployment up. Subject: the deployment. Lane: its environment.
    pub const DEPLOYMENT: &str = "deployment";
    /// Stops an environment. Subject and lane: the environment.
    pub const STOP: &str = "environment.stop";
    /// Starts an environment anew. Subject and lane: the environment.
    pub const RESTART: &str = "environment.restart";
    /// Takes an environment down and removes it. Subject and lane: the environment.
    pub const REMOVE_ENVIRONMENT: &str = "environment.remove";
    /// Takes down what an environment left on a runtime. Subject and lane: the leftover.
    pub const TAKE_DOWN: &str = "leftover.take_down";
    /// Takes a service down and removes it. Subject and lane: the service.
    pub use crate::app::services::remove::REMOVE_JOB as REMOVE_SERVICE;
}

/// The environment that is meant where none is named.
pub const PRODUCTION: &str = "production";
