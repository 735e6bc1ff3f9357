//! What phases come to, where their work is traced.

use super::Step;
use crate::app::Result;

impl Step {
    /// A word of few.
    pub(super) fn word(step: &Result<Self>) -> &'static str {
        match step {
            Ok(Self::Next(_)) => "SUCCEEDED",
            Ok(Self::Failed(_)) | Err(_) => "FAILED",
            Ok(Self::Again(_)) => "AGAIN",
            Ok(Self::Canceled) => "CANCELED",
        }
    }
}

/// The same for a phase that no other one follows.
pub(super) fn word_of_last(done: &Result<()>) -> &'static str {
    if done.is_ok() { "SUCCEEDED" } else { "FAILED" }
}
