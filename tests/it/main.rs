//! Everything that is tested through the crate's front doors, in one binary.

mod contract;
mod deploying;
mod docker_runtime;
mod identity;
mod policy;
mod rooms;
mod schema;
mod services;
mod support;
