//! Tags, digests and logins by the OCI distribution specification
//! (<https://github.com/opencontainers/distribution-spec/blob/main/spec.md>).

use reqwest::header::{ACCEPT, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use url::Url;

use super::RegistryError;
use super::auth::{Session, below};
use crate::domain::image::{Digest, Repository, Tag};
use crate::net::{Request, Response};

/// Indexes first: the digest of a tag is that of all its platforms.
pub(super) const MANIFEST_TYPES: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json";

/// Pages of tags that are read, and tags that are kept.
const MAX_PAGES: usize = 100;
const MAX_TAGS: usize = 100_000;

/// What a tag means now.
pub(super) async fn resolve(
    session: &mut Session<'_>,
    repository: &Repository,
    tag: &Tag,
) -> Result<Digest, RegistryError> {
    let url = below(&session.base, &format!("v2/{}/manifests/{tag}", repository.path()));
    let ask = |method: Method| {
        Request::new(method, url.clone(), session.trust).header(ACCEPT, HeaderValue::from_static(MANIFEST_TYPES))
    };
    let (head, get) = (ask(Method::HEAD), ask(Method::GET));
    let answer = session.send(head).await?;
    match answer.status {
        StatusCode::OK => {
            if let Some(digest) = announced(&answer) {
                return Ok(digest);
            }
        }
        // These are what a registry that knows no HEAD says; anything else is an answer.
        StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED | StatusCode::BAD_REQUEST => {}
        status => return Err(session.error_for(status, "image or tag")),
    }
    let answer = session.send(get).await?;
    if answer.status != StatusCode::OK {
        return Err(session.error_for(answer.status, "image or tag"));
    }
    let manifest = answer.json::<Value>().ok().filter(|value| value.get("schemaVersion") == Some(&Value::from(2)));
    if manifest.is_none() {
        return Err(session.unreachable("answers something other than an image manifest"));
    }
    let digest = Digest::parse(&format!("sha256:{}", hex::encode(Sha256::digest(&answer.body))))
        .map_err(|error| session.unreachable(&error.to_string()))?;
    match announced(&answer) {
        Some(said) if said != digest => Err(session.unreachable("announces a digest that its manifest does not have")),
        _ => Ok(digest),
    }
}

fn announced(answer: &Response) -> Option<Digest> {
    Digest::parse(answer.header("docker-content-digest")?.trim()).ok()
}

/// All tag names there are, sorted, and whether that is all of them.
pub(super) async fn all_tags(session: &mut Session<'_>, repository: &Repository) -> Result<AllTags, RegistryError> {
    let mut url = below(&session.base, &format!("v2/{}/tags/list", repository.path()));
    url.set_query(Some("n=1000"));
    let mut names = Vec::new();
    let mut complete = false;
    for _ in 0..MAX_PAGES {
        let answer = session.send(Request::get(url.clone(), session.trust)).await?;
        if answer.status != StatusCode::OK {
            return Err(session.error_for(answer.status, "repository"));
        }
        let before = names.len();
        let rubbish = || session.unreachable("answers something other than a list of tags");
        let body: Value = answer.json().map_err(|_| rubbish())?;
        match body.get("tags") {
            Some(Value::Null) => {}
            Some(Value::Array(tags)) => {
                let valid = tags.iter().filter_map(|tag| Tag::parse(tag.as_str()?).ok());
                names.extend(valid.map(|tag| tag.to_string()));
            }
            _ => return Err(rubbish()),
        }
        match next_page(&answer, &url) {
            Some(next) if names.len() < MAX_TAGS && names.len() > before => url = next,
            Some(_) => break,
            None => {
                complete = true;
                break;
            }
        }
    }
    names.sort_unstable();
    names.dedup();
    Ok(AllTags { names, complete })
}

/// What a registry lists.
#[derive(Debug, Clone)]
pub(super) struct AllTags {
    pub(super) names: Vec<String>,
    pub(super) complete: bool,
}

/// The `next` link (RFC 8288), if it stays within the same list.
fn next_page(answer: &Response, current: &Url) -> Option<Url> {
    let link = answer.header("link")?;
    let next = link
        .split(',')
        .find(|part| part.split(';').skip(1).any(|p| matches!(p.trim(), "rel=\"next\"" | "rel=next")))?;
    let target = next.split_once('<')?.1.split_once('>')?.0;
    let next = current.join(target).ok()?;
    let same = next.origin() == current.origin() && next.path() == current.path() && next != *current;
    same.then_some(next)
}

/// Tries a login at the API's root, which needs one wherever any part does.
pub(super) async fn check_login(session: &mut Session<'_>) -> Result<(), RegistryError> {
    let answer = session.send(Request::get(below(&session.base, "v2/"), session.trust)).await?;
    match answer.status {
        StatusCode::OK => Ok(()),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(super::auth::refused(&session.subject)),
        StatusCode::NOT_FOUND => Err(session.unreachable("does not speak the OCI distribution API")),
        status => Err(session.error_for(status, "registry")),
    }
}
