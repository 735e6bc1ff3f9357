//! GraphiQL, served whole from the binary. `web/graphiql/build.sh` makes its script and style anew.

use std::sync::LazyLock;

use axum::{
    extract::Path,
    http::{HeaderMap, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use sha2::{Digest, Sha256};

const PAGE: &str = include_str!("../../web/graphiql/index.html");
const SCRIPT: &[u8] = include_bytes!("../../web/graphiql/graphiql.js");
const STYLE: &[u8] = include_bytes!("../../web/graphiql/graphiql.css");

/// Scripts are ours alone. Styles may be inline because the editor sets them; nothing is fetched from elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// A hash of what is embedded, in the addresses of the files so that they can be cached for ever.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let digest = Sha256::new().chain_update(SCRIPT).chain_update(STYLE).finalize();
    hex::encode(&digest[..8])
});
static PAGE_WITH_VERSION: LazyLock<String> = LazyLock::new(|| PAGE.replace("{version}", &VERSION));

pub(super) fn graphiql() -> Response {
    ([(header::CONTENT_SECURITY_POLICY, POLICY)], Html(PAGE_WITH_VERSION.as_str())).into_response()
}

pub(super) async fn asset(Path(file): Path<String>, headers: HeaderMap) -> Response {
    let (content_type, content) = match file.as_str() {
        "graphiql.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "graphiql.css" => ("text/css; charset=utf-8", STYLE),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    let tag = format!("\"{}\"", *VERSION);
    let caching =
        [(header::CACHE_CONTROL, "public, max-age=31536000, immutable".to_owned()), (header::ETAG, tag.clone())];
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    (caching, [(header::CONTENT_TYPE, content_type)], content).into_response()
}
