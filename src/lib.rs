//! KIOPS: a self-hosted DevSecOps server behind one GraphQL API.
//!
//! ARCHITECTURE.md says what each room is for and which rooms it may use; `tests/it/rooms.rs` holds that table.

pub mod app;
pub mod boot;
pub mod builder;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod domain;
pub mod engine;
pub mod git;
pub mod graphql;
pub mod http;
pub mod measure;
pub mod net;
pub mod queue;
pub mod registry;
pub mod runtime;
pub mod scanner;
pub mod telemetry;
pub mod vault;
pub mod worker;
