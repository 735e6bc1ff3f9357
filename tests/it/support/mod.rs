//! What tests stand on.

pub mod app;
pub mod fakes;
