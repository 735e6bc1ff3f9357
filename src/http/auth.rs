//! Where a request's token is, and whether a cookie may stand for one.

use axum::http::{HeaderMap, header};

use super::origin::{Origins, Site};
use crate::graphql::executor::SESSION_COOKIE;

/// Why a request's credentials are not even looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// `Authorization` is not `Bearer` with a token: 401.
    #[error("The Authorization header must be `Bearer` and a token.")]
    Malformed,
    /// A cookie alone, from another origin: 403.
    #[error("A request that is authenticated by cookie alone must come from the same origin.")]
    ForeignOrigin,
}

/// The token of a request: that of `Authorization: Bearer`, else of the session cookie, else none.
///
/// # Errors
/// A header that is no bearer token, and a cookie alone from a page of another origin.
pub fn credential(headers: &HeaderMap, origins: &Origins) -> Result<Option<String>, Denied> {
    if let Some(header) = headers.get(header::AUTHORIZATION) {
        return header.to_str().ok().and_then(bearer).map(Some).ok_or(Denied::Malformed);
    }
    let Some(token) = cookie(headers) else {
        return Ok(None);
    };
    match origins.site(headers) {
        Site::Same | Site::Unsaid => Ok(Some(token)),
        Site::Allowed | Site::Foreign => Err(Denied::ForeignOrigin),
    }
}

/// The token of `Bearer <token>`; the scheme's case does not matter (RFC 9110, 11.1).
pub(super) fn bearer(value: &str) -> Option<String> {
    let token = after_bearer(value)?;
    (!token.is_empty() && !token.contains(' ')).then(|| token.to_owned())
}

/// All that follows `Bearer`, whatever it is.
pub(super) fn after_bearer(value: &str) -> Option<&str> {
    let (scheme, rest) = value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| rest.trim())
}

fn cookie(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, value)| *name == SESSION_COOKIE && !value.is_empty())
        .map(|(_, value)| value.to_owned())
}
