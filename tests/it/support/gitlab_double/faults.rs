//! What the server can be told to do wrong.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Response, StatusCode};
use futures_util::{StreamExt as _, stream};

/// A fault, and the requests that it is for.
#[derive(Debug, Clone)]
pub struct Fault {
    /// What the method and address contain: `GET /api/v4/user`.
    pub on: String,
    /// How often.
    pub times: usize,
    /// What happens.
    pub how: How,
}

impl Fault {
    /// Once, for the next request of these.
    pub fn once(on: &str, how: How) -> Self {
        Self { on: on.to_owned(), times: 1, how }
    }

    /// From now on.
    pub fn always(on: &str, how: How) -> Self {
        Self { on: on.to_owned(), times: usize::MAX, how }
    }

    pub(super) fn is_for(&self, method: &str, address: &str) -> bool {
        self.times > 0 && format!("{method} {address}").contains(&self.on)
    }
}

/// What happens instead of an answer.
#[derive(Debug, Clone)]
pub enum How {
    /// This status, these headers and this body. In the body, `{token}` becomes the token that was sent.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// Nothing, for a minute.
    Silence,
    /// Half of an answer, and the end of the connection.
    Half,
}

impl How {
    pub(super) async fn response(self, sent: &HeaderMap) -> Response<Body> {
        match self {
            Self::Answer(status, headers, body) => {
                let token = sent.get("private-token").and_then(|value| value.to_str().ok()).unwrap_or_default();
                let mut response = Response::builder().status(status);
                for (name, value) in headers {
                    response = response.header(name, value);
                }
                response.body(Body::from(body.replace("{token}", token))).expect("an answer")
            }
            Self::Silence => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                Response::builder().status(StatusCode::OK).body(Body::empty()).expect("an answer")
            }
            Self::Half => {
                let end = async {
                    // What was begun is on its way by now.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    Err(std::io::Error::other("told to break off"))
                };
                let start = stream::iter([Ok("[{\"id\": 1, \"na")]).chain(stream::once(end));
                let response = Response::builder().header("content-type", "application/json");
                response.header("content-length", "5000").body(Body::from_stream(start)).expect("an answer")
            }
        }
    }
}
