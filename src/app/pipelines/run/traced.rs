//! What stages come to, where their work is traced.

use super::Step;
use crate::app::Result;

impl Step {
    /// A word of few; a stage that somebody ended has no step.
    pub(super) fn word(step: &Result<Option<Self>>) -> &'static str {
        match step {
            Ok(Some(Self::Passed(_))) => "SUCCEEDED",
            Ok(Some(Self::Incomplete(_))) => "INCOMPLETE",
            Ok(Some(Self::Failed(_))) | Err(_) => "FAILED",
            Ok(Some(Self::Canceled(_)) | None) => "CANCELED",
            Ok(Some(Self::Elsewhere)) => "WAITING",
            Ok(Some(Self::Lost)) => "LOST",
        }
    }
}
