//! Times in providers' answers.

use chrono::{DateTime, Utc};
use serde::{Deserialize as _, Deserializer};

/// A time as providers write it (RFC 3339); none where it is none. A commit's date is whatever its author wrote, and one
/// that is no date must not spoil the branch.
///
/// # Errors
/// When it is neither a text nor null.
pub(super) fn moment<'de, D: Deserializer<'de>>(from: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    Ok(text.and_then(|text| DateTime::parse_from_rfc3339(&text).ok()).map(|at| at.with_timezone(&Utc)))
}
