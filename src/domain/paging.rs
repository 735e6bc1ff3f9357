//! Pages of lists.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Bounds of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimits {
    /// Where the caller does not say.
    pub default: u32,
    /// At most.
    pub max: u32,
}

/// Where a page begins or ends: the sort key of a row. Opaque, and harmless when forged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(pub Vec<String>);

impl Cursor {
    /// As callers see it.
    #[must_use]
    pub fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.join("\0"))
    }

    /// None for what we did not make.
    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok().filter(|b| b.len() <= 1024)?;
        let text = String::from_utf8(bytes).ok()?;
        Some(Self(text.split('\0').map(str::to_owned).collect()))
    }
}

/// Which page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// How many.
    pub limit: u32,
    /// The last ones rather than the first ones.
    pub backwards: bool,
    /// After it, or before it where `backwards`.
    pub cursor: Option<Cursor>,
}

/// What is wrong with the arguments of a page.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PageError {
    /// The argument at fault.
    pub field: &'static str,
    /// For people.
    pub message: String,
}

impl PageRequest {
    /// Checks the arguments of a list.
    ///
    /// # Errors
    /// When a number is out of bounds, a cursor is none of ours, or both directions are asked for.
    pub fn new(
        first: Option<i32>,
        after: Option<&str>,
        last: Option<i32>,
        before: Option<&str>,
        limits: PageLimits,
    ) -> Result<Self, PageError> {
        let fault = |field, message: String| PageError { field, message };
        if (first.is_some() || after.is_some()) && (last.is_some() || before.is_some()) {
            return Err(fault("last", "ask for first and after, or for last and before".to_owned()));
        }
        let backwards = last.is_some() || before.is_some();
        let (count_field, cursor_field) = if backwards { ("last", "before") } else { ("first", "after") };
        let limit = match first.or(last) {
            None => limits.default,
            Some(n) => u32::try_from(n)
                .ok()
                .filter(|n| (1..=limits.max).contains(n))
                .ok_or_else(|| fault(count_field, format!("must be between 1 and {}", limits.max)))?,
        };
        let cursor = match after.or(before) {
            None => None,
            Some(text) => Some(
                Cursor::decode(text).ok_or_else(|| fault(cursor_field, "is no cursor of this list".to_owned()))?,
            ),
        };
        Ok(Self { limit, backwards, cursor })
    }
}
