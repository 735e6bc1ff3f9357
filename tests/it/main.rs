//! Everything that is tested through the crate's front doors, in one binary.

mod contract;
mod docker_runtime;
mod environments;
mod identity;
mod policy;
mod rooms;
mod support;
