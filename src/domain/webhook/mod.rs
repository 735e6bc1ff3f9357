//! Webhooks of Git providers: whether a delivery is real, what it says, and whether it starts a pipeline. Nothing of it
//! asks the provider anything, and no address that a delivery names is ever gone to.
//!
//! [`verify`] looks at the raw bytes of a body, before anything else reads them; [`read`] turns them into an [`Event`];
//! [`decide`] says what comes of it, in words where nothing does.

mod decide;
mod event;
mod github;
mod gitlab;
mod headers;
mod json;
mod pattern;
mod signature;
#[cfg(test)]
mod tests;

pub use decide::{Decision, Filter, Start, Trigger, decide};
pub use event::{Event, HeadCommit, InvalidPayload, MergeRequest, MergeRequestAction, Push, RefKind, Source, read};
pub use headers::Headers;
pub use pattern::BranchPattern;
pub use signature::{Proof, Rejected, Scheme, new_secret, verify};

/// Bytes of a body, at most: GitHub sends no more than 25 MB
/// (<https://docs.github.com/webhooks/webhook-events-and-payloads#payload-cap>).
pub const MAX_BODY_BYTES: usize = 25 * 1024 * 1024;
