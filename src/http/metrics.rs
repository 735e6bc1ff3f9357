//! `GET /metrics`: what was counted, for Prometheus.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing::get};
use futures_util::future::BoxFuture;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::auth::after_bearer;
use crate::domain::secret::{ExposeSecret as _, SecretString};

/// Gives the text.
pub type Text = Arc<dyn Fn() -> BoxFuture<'static, String> + Send + Sync>;

#[derive(Clone)]
struct Metrics {
    text: Text,
    /// A hash of the token that is asked for.
    token: Option<[u8; 32]>,
}

/// The route, to be given to [`super::router_with`]. Without a token everybody may read it.
pub fn routes(text: Text, token: Option<&SecretString>) -> Router {
    let token = token.map(|token| hash(token.expose_secret()));
    Router::new().route("/metrics", get(read)).with_state(Metrics { text, token })
}

async fn read(State(metrics): State<Metrics>, headers: HeaderMap) -> Response {
    if !is_let_in(metrics.token.as_ref(), &headers) {
        let challenge = [(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))];
        return (StatusCode::UNAUTHORIZED, challenge, "the token of telemetry.metrics_token is needed\n")
            .into_response();
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], (metrics.text)().await).into_response()
}

fn is_let_in(token: Option<&[u8; 32]>, headers: &HeaderMap) -> bool {
    let Some(token) = token else { return true };
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(after_bearer);
    given.is_some_and(|given| hash(given).ct_eq(token).into())
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt as _;

    use super::*;

    async fn ask(routes: Router, authorization: Option<&str>) -> StatusCode {
        let mut request = Request::get("/metrics");
        if let Some(value) = authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        routes.oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status()
    }

    #[tokio::test]
    async fn the_tokens_bearer_alone() {
        let routes = |token: Option<&str>| {
            let text: Text = Arc::new(|| Box::pin(std::future::ready("x 1\n".to_owned())));
            super::routes(text, token.map(SecretString::from).as_ref())
        };
        assert_eq!(ask(routes(None), None).await, StatusCode::OK);
        let guarded = || routes(Some("a token"));
        for wrong in [None, Some("Bearer "), Some("Bearer a toke"), Some("Bearer a token2"), Some("Basic a token")] {
            assert_eq!(ask(guarded(), wrong).await, StatusCode::UNAUTHORIZED, "{wrong:?}");
        }
        assert_eq!(ask(guarded(), Some("Bearer a token")).await, StatusCode::OK);
        assert_eq!(ask(guarded(), Some("bearer a token")).await, StatusCode::OK);
    }
}
