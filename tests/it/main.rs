//! Everything that is tested through the crate's front doors, in one binary.

mod building;
mod built;
mod concurrency;
mod contract;
mod delivery;
mod deploying;
mod docker_runtime;
mod doctor;
mod environments;
mod git;
mod gone;
mod graphiql;
mod identity;
mod isolation;
mod moving;
mod pipelines;
mod policy;
mod rooms;
mod run_status;
mod schema;
mod secrets;
mod services;
mod source;
mod support;
mod webhooks;
mod wizard;
