//! Content negotiation of GraphQL over HTTP (specification, "Accept" and "Content-Type").

use axum::http::{HeaderMap, header};

/// The two media types of a GraphQL answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Media {
    /// `application/graphql-response+json`: the status says whether anything was executed.
    GraphqlResponse,
    /// `application/json`: a well-formed request is answered 200.
    Json,
}

impl Media {
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
        }
    }

    /// What `Accept` prefers; plain JSON without one and for wildcards; `None` when neither is accepted.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        if !headers.contains_key(header::ACCEPT) {
            return Some(Self::Json);
        }
        let ranges = ranges(headers);
        let named = |media: &str| ranges.iter().filter(|(range, _)| range == media).map(|(_, q)| *q).next_back();
        let wild = named("application/*").or_else(|| named("*/*")).unwrap_or(0);
        let newer = named("application/graphql-response+json");
        let plain = named("application/json").unwrap_or(wild);
        // Clients that send wildcards expect plain JSON, unless they rule it out.
        let is_meant = newer.is_some() || plain == 0;
        match newer.unwrap_or(wild) {
            0 if plain == 0 => None,
            newer if is_meant && newer >= plain => Some(Self::GraphqlResponse),
            _ => Some(Self::Json),
        }
    }
}

/// Whether the connection is to become a WebSocket. Other upgrades are ignored (RFC 9110, section 7.8): some clients offer
/// HTTP/2 with each request.
pub(super) fn wants_websocket(headers: &HeaderMap) -> bool {
    let offers = headers.get_all(header::UPGRADE).iter().filter_map(|value| value.to_str().ok());
    offers.flat_map(|value| value.split(',')).any(|offer| offer.trim().eq_ignore_ascii_case("websocket"))
}

/// Whether a browser asks for a page.
pub(super) fn wants_page(headers: &HeaderMap) -> bool {
    ranges(headers).iter().any(|(range, quality)| range == "text/html" && *quality > 0)
}

/// Whether the body is `application/json` in UTF-8 and not compressed.
pub(super) fn is_plain_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let mut parts = value.split(';').map(str::trim);
    let is_json = parts.next().is_some_and(|media| media.eq_ignore_ascii_case("application/json"));
    let is_utf8 = parts.filter_map(|part| part.split_once('=')).all(|(name, value)| {
        !name.trim().eq_ignore_ascii_case("charset") || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
    });
    let is_identity = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    is_json && is_utf8 && is_identity
}

/// The media ranges of `Accept` in lower case with their quality in thousandths.
fn ranges(headers: &HeaderMap) -> Vec<(String, u16)> {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default().to_ascii_lowercase();
            let quality = parts
                .find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")))
                .map_or(1.0, |q| q.parse::<f32>().unwrap_or(0.0).clamp(0.0, 1.0));
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0 and 1000")]
            let thousandths = (quality * 1_000.0) as u16;
            (media, thousandths)
        })
        .collect()
}
