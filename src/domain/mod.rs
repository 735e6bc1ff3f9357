//! Pure types and rules: no I/O, no clock, no other room.

pub mod addresses;
pub mod clock;
pub mod compose;
pub mod emit;
pub mod git;
pub mod image;
pub mod kubeconfig;
pub mod names;
pub mod node;
pub mod paging;
pub mod policy;
pub mod printed;
pub mod quantity;
pub mod scan;
pub mod secret;
pub mod spec;
pub mod stage;
pub mod status;
pub mod webhook;
mod yaml;
