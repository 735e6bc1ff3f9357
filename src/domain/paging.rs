//! Pages of lists: what a caller asked for, checked, and the cursors that it comes back with.
//!
//! After the Relay cursor connections specification (<https://relay.dev/graphql/connections.htm>), narrowed as the
//! contract says: over the maximum is an error and never a silent cut, `first` with `last` is one too.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// How many rows a page of one list has when nobody says, and at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimits {
    /// When neither `first` nor `last` is given.
    pub default: u32,
    /// The most that may be asked for.
    pub max: u32,
}

/// From which end of the list a page is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// `first`, or nothing: from the list's beginning, or after a cursor.
    Forward,
    /// `last`: from the list's end, or before a cursor. Rows are still answered in the list's order.
    Backward,
}

/// A page as it was asked for, within the limits. Zero rows are a page too: of nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// The end that is cut from.
    pub direction: Direction,
    /// Rows at most.
    pub size: u32,
    /// Only rows behind this one.
    pub after: Option<Cursor>,
    /// Only rows in front of this one.
    pub before: Option<Cursor>,
}

/// Which argument is wrong and why, in words for the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct PagingError {
    /// `first`, `last`, `after` or `before`.
    pub field: &'static str,
    /// What to do instead.
    pub message: String,
}

/// A row's place in a list's order: the values of the columns that it is sorted by. Opaque outside, and never
/// trusted when it comes back: the scope of a query filters whatever a cursor says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(pub Vec<String>);

impl PageRequest {
    /// # Errors
    /// When a number is negative or over the maximum, `first` comes with `last`, or a cursor is none of ours.
    pub fn new(
        first: Option<i32>,
        after: Option<&str>,
        last: Option<i32>,
        before: Option<&str>,
        limits: PageLimits,
    ) -> Result<Self, PagingError> {
        let (direction, size) = match (first, last) {
            (Some(_), Some(_)) => {
                return Err(error("last", "give first or last, not both".to_owned()));
            }
            (Some(first), None) => (Direction::Forward, size("first", first, limits)?),
            (None, Some(last)) => (Direction::Backward, size("last", last, limits)?),
            (None, None) => (Direction::Forward, limits.default.min(limits.max)),
        };
        Ok(Self { direction, size, after: cursor("after", after)?, before: cursor("before", before)? })
    }
}

fn size(field: &'static str, asked: i32, limits: PageLimits) -> Result<u32, PagingError> {
    match u32::try_from(asked) {
        Ok(size) if size <= limits.max => Ok(size),
        Ok(_) => Err(error(field, format!("at most {} at a time", limits.max))),
        Err(_) => Err(error(field, "a page cannot have fewer than 0 entries".to_owned())),
    }
}

fn cursor(field: &'static str, text: Option<&str>) -> Result<Option<Cursor>, PagingError> {
    let bad = || error(field, "this is no cursor of this list: use one from pageInfo or edges".to_owned());
    text.map(|text| Cursor::decode(text).ok_or_else(bad)).transpose()
}

fn error(field: &'static str, message: String) -> PagingError {
    PagingError { field, message }
}

impl Cursor {
    /// The most characters that an encoded cursor may have.
    pub const MAX_ENCODED: usize = 1024;

    /// base64url of a JSON array of strings.
    #[must_use]
    pub fn encode(&self) -> String {
        let array = serde_json::Value::from(self.0.clone());
        URL_SAFE_NO_PAD.encode(array.to_string())
    }

    /// None when the text is not what [`Cursor::encode`] makes, or longer than 1 KB, or has NUL in it, which no
    /// database takes.
    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        if text.len() > Self::MAX_ENCODED {
            return None;
        }
        let json = URL_SAFE_NO_PAD.decode(text).ok()?;
        let values: Vec<String> = serde_json::from_slice(&json).ok()?;
        let usable = !values.is_empty() && values.iter().all(|value| !value.contains('\0'));
        usable.then_some(Self(values))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: PageLimits = PageLimits { default: 20, max: 100 };

    fn field(first: Option<i32>, after: Option<&str>, last: Option<i32>, before: Option<&str>) -> Option<&'static str> {
        PageRequest::new(first, after, last, before, LIMITS).err().map(|e| e.field)
    }

    #[test]
    fn names_the_argument_at_fault() {
        assert_eq!(field(Some(-1), None, None, None), Some("first"));
        assert_eq!(field(Some(101), None, None, None), Some("first"));
        assert_eq!(field(Some(i32::MAX), None, None, None), Some("first"));
        assert_eq!(field(None, None, Some(i32::MIN), None), Some("last"));
        assert_eq!(field(Some(1), None, Some(1), None), Some("last"));
        for garbage in ["", "x", "!!", "bnVsbA", "e30", "W10", "WzFd", "WyJcdTAwMDAiXQ", &"A".repeat(5000)] {
            assert_eq!(field(None, Some(garbage), None, None), Some("after"), "{garbage}");
            assert_eq!(field(None, None, None, Some(garbage)), Some("before"), "{garbage}");
        }
    }

    #[test]
    fn takes_what_is_within_the_limits() {
        let none = PageRequest::new(None, None, None, None, LIMITS);
        let page = |direction, size| Ok(PageRequest { direction, size, after: None, before: None });
        assert_eq!(none, page(Direction::Forward, 20));
        assert_eq!(PageRequest::new(Some(0), None, None, None, LIMITS), page(Direction::Forward, 0));
        assert_eq!(PageRequest::new(None, None, Some(100), None, LIMITS), page(Direction::Backward, 100));
    }

    proptest! {
        #[test]
        fn cursors_come_back(values in prop::collection::vec("[^\\x00]{0,20}", 1..4)) {
            let cursor = Cursor(values);
            prop_assert_eq!(Cursor::decode(&cursor.encode()), Some(cursor));
        }

        #[test]
        fn decoding_never_panics(text in any::<String>()) {
            let _ = Cursor::decode(&text);
        }
    }
}
