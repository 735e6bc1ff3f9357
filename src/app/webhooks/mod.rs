//! Auto CI: the webhook of a service, and what comes of what its Git provider sends there.
//!
//! A delivery is proven and written down before it is answered ([`intake`]); what it means is found out afterwards, one
//! after the other, by whoever works ([`handle`]).

pub mod auto_ci;
mod doors;
pub mod handle;
pub(in crate::app) mod install;
pub mod intake;
pub mod list;
mod proof;
mod prune;
pub mod replay;
pub mod save;
mod traffic;
mod write;

pub use prune::of_service as prune;
pub use traffic::Traffic;
