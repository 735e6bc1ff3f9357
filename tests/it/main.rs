//! The one integration test binary.

mod docker_runtime;
mod support;
