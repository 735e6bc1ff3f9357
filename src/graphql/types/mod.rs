//! Objects and enums of the API: each wraps a record.

pub mod audit;
mod change;
pub mod compose;
pub mod container;
pub mod deployment;
pub mod enums;
pub mod environment;
pub mod finding;
pub mod gate;
pub mod git;
pub mod identity;
pub mod image;
pub mod menu;
pub mod node;
pub mod pipeline;
pub mod registry;
pub mod runtime;
pub mod scan;
pub mod server;
pub mod service;
pub mod webhook;
