//! Browsers' origins: which are our own, which are allowed, and what CORS answers them.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use url::{Origin, Url};

use super::HttpSettings;

/// The origins that may use the API from a browser.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    own: Option<Origin>,
    allowed: Vec<Origin>,
}

/// Where a request says that it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Site {
    /// No header says so: not a browser, or one that navigates.
    Unsaid,
    /// The server's own pages.
    Same,
    /// Another origin that the configuration allows.
    Allowed,
    /// Any other, `null` included.
    Foreign,
}

impl Origins {
    /// `public_url` is the server's own address, `allowed` the origins besides it. What is no address is left
    /// out; the configuration is checked where it is read.
    #[must_use]
    pub fn new(public_url: &str, allowed: &[String]) -> Self {
        let parse = |text: &str| Url::parse(text).ok().map(|url| url.origin()).filter(Origin::is_tuple);
        Self { own: parse(public_url), allowed: allowed.iter().filter_map(|text| parse(text)).collect() }
    }

    /// Judges by `Origin`, or where there is none by `Sec-Fetch-Site`. The origin is ours when it is that of
    /// `public_url`, or when its host and port are those of the Host header.
    pub(super) fn site(&self, headers: &HeaderMap) -> Site {
        let Some(origin) = headers.get(header::ORIGIN) else {
            return match headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
                None => Site::Unsaid,
                Some(b"same-origin" | b"none") => Site::Same,
                Some(_) => Site::Foreign,
            };
        };
        let Some(url) = origin.to_str().ok().and_then(|text| Url::parse(text).ok()) else {
            return Site::Foreign;
        };
        let origin = url.origin();
        if !origin.is_tuple() {
            return Site::Foreign;
        }
        if self.own.as_ref() == Some(&origin) || is_host(&url, headers) {
            Site::Same
        } else if self.allowed.contains(&origin) {
            Site::Allowed
        } else {
            Site::Foreign
        }
    }
}

fn is_host(origin: &Url, headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else {
        return false;
    };
    matches!(origin.scheme(), "http" | "https")
        && Url::parse(&format!("{}://{host}/", origin.scheme())).is_ok_and(|own| own.origin() == origin.origin())
}

/// Answers `OPTIONS`; the headers, if any, are added by [`cors`].
pub(super) async fn preflight() -> Response {
    (StatusCode::NO_CONTENT, [(header::ALLOW, "GET, POST, OPTIONS")]).into_response()
}

/// Adds the allow headers for our own and for allowed origins, never for others and never with credentials.
pub(super) async fn cors(State(settings): State<Arc<HttpSettings>>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let let_in = matches!(settings.origins.site(request.headers()), Site::Same | Site::Allowed);
    let is_preflight =
        request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    let Some(origin) = origin.filter(|_| let_in) else {
        return response;
    };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("x-request-id, retry-after, ratelimit, ratelimit-policy"),
    );
    if is_preflight {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static("accept, authorization, content-type, traceparent"),
        );
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    response
}
