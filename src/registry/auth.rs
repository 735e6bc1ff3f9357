//! Logging in to a registry as it asks: RFC 7235 challenges, HTTP Basic, and the token exchange of
//! <https://distribution.github.io/distribution/spec/auth/token/>.

use reqwest::header::{AUTHORIZATION, HeaderValue, LOCATION};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use url::Url;

use super::RegistryError;
use super::client::Asker;
use crate::domain::secret::{RegistryLogin, SecretString};
use crate::net::{Incoming, Redirects, Request, Response, Trust};

/// How often a registry may send us on to where a layer is.
const MAX_HOPS: usize = 5;
/// Bytes that whoever sends us on may say.
const MOST_ON_THE_WAY: usize = 64 * 1024;

/// What a 401 asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// User name and password with each request.
    Basic,
    /// A token from `realm`.
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

/// One registry during one call: where it is, who asks, and the authorization it has granted so far.
pub(super) struct Session<'a> {
    pub(super) asker: &'a Asker,
    /// `https://host`, or where the operator says Docker Hub's registry is.
    pub(super) base: Url,
    pub(super) trust: Trust,
    pub(super) login: Option<&'a RegistryLogin>,
    /// What the login is for, in messages: `ghcr.io/acme/app`, or the host.
    pub(super) subject: String,
    /// Where Docker Hub's tokens come from, when this is Docker Hub.
    pub(super) hub_auth: Option<Url>,
    /// Asked for when the challenge names no scope: `repository:acme/app:pull`.
    pub(super) scope: Option<String>,
    pub(super) authorization: Option<HeaderValue>,
}

impl Session<'_> {
    /// Sends a request, answering a challenge once.
    pub(super) async fn send(&mut self, request: Request) -> Result<Response, RegistryError> {
        let answer = self.asker.send(self.authorized(request.clone()), &self.subject).await?;
        if answer.status != StatusCode::UNAUTHORIZED || self.authorization.is_some() {
            return Ok(answer);
        }
        match challenge(&answer) {
            Some(Challenge::Basic) => {
                let Some(login) = self.login else { return Ok(answer) };
                self.authorization = basic(login, &self.subject)?;
            }
            Some(Challenge::Bearer { realm, service, scope }) => {
                self.authorization = Some(self.exchange(&realm, service, scope).await?);
            }
            None if self.login.is_some() => return Err(self.unreachable("asks for a login in a way that is not known")),
            None => return Ok(answer),
        }
        self.asker.send(self.authorized(request), &self.subject).await
    }

    /// Opens what may be large, of so many bytes at most. Registries send us on to stores of other hosts for it: those get no
    /// authorization, and pass the filter as what an answer names.
    pub(super) async fn open(&mut self, url: Url, most: u64) -> Result<Incoming, RegistryError> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let asked = |url: Url, trust: Trust| {
            Request::get(url, trust).redirects(Redirects::Manual).max_body(most.max(MOST_ON_THE_WAY))
        };
        let answer = self.asker.open(self.authorized(asked(url.clone(), self.trust)), &self.subject).await?;
        let mut answer = match answer.status {
            // Tokens are good for minutes, and layers take longer. What is asked without one says where there is another.
            StatusCode::UNAUTHORIZED => {
                self.authorization = None;
                self.send(Request::new(Method::HEAD, url.clone(), self.trust).redirects(Redirects::Manual)).await?;
                self.asker.open(self.authorized(asked(url.clone(), self.trust)), &self.subject).await?
            }
            _ => answer,
        };
        for _ in 0..MAX_HOPS {
            if !answer.status.is_redirection() {
                return Ok(answer);
            }
            let next = answer.headers.get(LOCATION).and_then(|value| value.to_str().ok());
            let next = next.and_then(|next| answer.url.join(next).ok());
            let next = next.ok_or_else(|| self.unreachable("sends us on to no address"))?;
            if next.scheme() != "https" && !(next.scheme() == "http" && self.asker.is_plain(&next)) {
                return Err(RegistryError::Refused(format!(
                    "{}: the registry has layers fetched unencrypted from {}; net.plain_http does not list that address",
                    self.subject,
                    crate::net::origin_of(&next),
                )));
            }
            answer = match next.origin() == url.origin() {
                true => self.asker.open(self.authorized(asked(next, self.trust)), &self.subject).await?,
                false => self.asker.open(asked(next, Trust::User), &self.subject).await?,
            };
        }
        Err(self.unreachable("sends us on again and again"))
    }

    fn authorized(&self, request: Request) -> Request {
        match &self.authorization {
            Some(value) => request.header(AUTHORIZATION, value.clone()),
            None => request,
        }
    }

    /// Trades the login, or nothing, for a token.
    async fn exchange(
        &self,
        realm: &str,
        service: Option<String>,
        scope: Option<String>,
    ) -> Result<HeaderValue, RegistryError> {
        let (mut url, trust) = self.realm(realm)?;
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = service.filter(|text| text.len() <= 256) {
                query.append_pair("service", &service);
            }
            if let Some(scope) = scope.filter(|text| text.len() <= 1024).or_else(|| self.scope.clone()) {
                query.append_pair("scope", &scope);
            }
            if let Some(login) = self.login {
                query.append_pair("account", &login.username);
            }
        }
        let mut request = Request::get(url, trust);
        if let Some(value) = self.login.map(|login| basic(login, &self.subject)).transpose()?.flatten() {
            request = request.header(AUTHORIZATION, value);
        }
        let answer = self.asker.send(request, &self.subject).await?;
        match answer.status {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST if self.login.is_some() => {
                return Err(refused(&self.subject));
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(needs_login(&self.subject)),
            status => return Err(self.unreachable(&format!("gives no token (HTTP {})", status.as_u16()))),
        }
        token_of(&answer)
            .and_then(|token| bearer(&token))
            .ok_or_else(|| self.unreachable("gives something other than a token"))
    }

    /// Where to get the token. Docker Hub's comes from the operator's addresses alone; another registry's realm is
    /// an address that an answer gave, so it passes the filter unless it is the registry's own, and never in the clear beyond
    /// `net.plain_http`.
    fn realm(&self, realm: &str) -> Result<(Url, Trust), RegistryError> {
        let parsed = Url::parse(realm).ok();
        if let Some(auth) = &self.hub_auth {
            let known = |url: &Url| url.origin() == auth.origin() || url.origin() == self.base.origin();
            let url = parsed.filter(known).unwrap_or_else(|| below(auth, "token"));
            return Ok((url, Trust::Operator));
        }
        let url = parsed.ok_or_else(|| self.unreachable("names no address to get a token from"))?;
        let trust = if url.origin() == self.base.origin() { self.trust } else { Trust::User };
        if url.scheme() == "https" || (url.scheme() == "http" && self.asker.is_plain(&url)) {
            return Ok((url, trust));
        }
        Err(RegistryError::Refused(format!(
            "{}: the registry wants its login sent unencrypted to {}; net.plain_http does not list that address",
            self.subject,
            crate::net::origin_of(&url),
        )))
    }

    pub(super) fn unreachable(&self, what: &str) -> RegistryError {
        RegistryError::Unreachable(format!("{}: the registry {what}", self.subject))
    }

    /// What an error status of the registry itself means.
    pub(super) fn error_for(&self, status: StatusCode, what: &str) -> RegistryError {
        match (status, self.login) {
            (StatusCode::NOT_FOUND, _) => RegistryError::NotFound(format!("{}: no such {what}", self.subject)),
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, None) => needs_login(&self.subject),
            (StatusCode::UNAUTHORIZED, Some(_)) if !self.has_token() => refused(&self.subject),
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, Some(_)) => {
                RegistryError::NotFound(format!("{}: no such {what}, or the login may not see it", self.subject))
            }
            (status, _) => self.unreachable(&format!("answers with an error (HTTP {})", status.as_u16())),
        }
    }

    fn has_token(&self) -> bool {
        self.authorization.as_ref().is_some_and(|value| value.as_bytes().starts_with(b"Bearer "))
    }
}

pub(super) fn refused(subject: &str) -> RegistryError {
    RegistryError::Unauthorized(format!("{subject}: the registry refuses the login"))
}

pub(super) fn needs_login(subject: &str) -> RegistryError {
    RegistryError::Unauthorized(format!("{subject}: it does not exist, or a login is needed to see it"))
}

/// A path below an address whose own path is kept.
pub(super) fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url.set_query(None);
    url.set_fragment(None);
    url
}

/// The Basic header of a login; an error when the user name cannot be carried by it.
pub(super) fn basic(login: &RegistryLogin, subject: &str) -> Result<Option<HeaderValue>, RegistryError> {
    let placeholder = Request::get(Url::parse("http://localhost/").map_err(|_| refused(subject))?, Trust::User);
    let request = placeholder
        .basic(&login.username, &login.token)
        .map_err(|error| RegistryError::Unauthorized(format!("{subject}: {error}")))?;
    Ok(request.header_value(&AUTHORIZATION))
}

fn bearer(token: &SecretString) -> Option<HeaderValue> {
    let placeholder = Request::get(Url::parse("http://localhost/").ok()?, Trust::User);
    placeholder.bearer(token).ok()?.header_value(&AUTHORIZATION)
}

/// `token`, or `access_token` as OAuth 2 calls it.
pub(super) fn token_of(answer: &Response) -> Option<SecretString> {
    let value: Value = answer.json().ok()?;
    let token = ["token", "access_token"].iter().find_map(|key| value.get(key)?.as_str())?;
    let sane = !token.is_empty() && token.len() <= 16_384 && token.bytes().all(|b| b.is_ascii_graphic());
    sane.then(|| SecretString::from(token))
}

/// The first challenge that can be answered; Bearer before Basic, since its tokens are short-lived.
pub(super) fn challenge(answer: &Response) -> Option<Challenge> {
    let all: Vec<Challenge> = answer
        .headers
        .get_all(reqwest::header::WWW_AUTHENTICATE)
        .iter()
        .filter_map(|value| parse_challenge(value.to_str().ok()?))
        .collect();
    all.iter().find(|c| matches!(c, Challenge::Bearer { .. })).or_else(|| all.first()).cloned()
}

fn parse_challenge(text: &str) -> Option<Challenge> {
    let (scheme, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let (mut realm, mut service, mut scope) = (None, None, None);
    for (key, value) in parameters(rest) {
        match key.as_str() {
            "realm" => realm = Some(value),
            "service" => service = Some(value),
            "scope" => scope = Some(value),
            _ => {}
        }
    }
    Some(Challenge::Bearer { realm: realm?, service, scope })
}

/// `key="value"` pairs separated by commas; commas and escaped quotes within quotes belong to the value.
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start_matches([' ', ',']);
    while let Some((key, after)) = rest.split_once('=') {
        let mut value = String::new();
        let after = after.trim_start();
        let end = if let Some(quoted) = after.strip_prefix('"') {
            let mut escaped = false;
            let mut end = quoted.len();
            for (at, c) in quoted.char_indices() {
                match c {
                    _ if escaped => {
                        value.push(c);
                        escaped = false;
                    }
                    '\\' => escaped = true,
                    '"' => {
                        end = at + 1;
                        break;
                    }
                    _ => value.push(c),
                }
            }
            1 + end
        } else {
            let end = after.find([',', ' ']).unwrap_or(after.len());
            value.push_str(&after[..end]);
            end
        };
        pairs.push((key.trim().to_ascii_lowercase(), value));
        rest = after[end.min(after.len())..].trim_start_matches([' ', ',']);
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_whatever_their_form() {
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| {
            let owned = |text: Option<&str>| text.map(str::to_owned);
            Some(Challenge::Bearer { realm: realm.to_owned(), service: owned(service), scope: owned(scope) })
        };
        let cases = [
            (
                r#"Bearer realm="https://a/token",service="r",scope="repository:x:pull,push""#,
                bearer("https://a/token", Some("r"), Some("repository:x:pull,push")),
            ),
            (r#"bearer Scope="s" , REALM="https://a""#, bearer("https://a", None, Some("s"))),
            (r#"Bearer realm="a\"b""#, bearer("a\"b", None, None)),
            ("Bearer realm=https://a,service=r", bearer("https://a", Some("r"), None)),
            (r#"Bearer realm="unfinished"#, bearer("unfinished", None, None)),
            ("Bearer", None),
            ("Bearer service=\"x\"", None),
            ("Basic realm=\"x\"", Some(Challenge::Basic)),
            ("basic", Some(Challenge::Basic)),
            ("Negotiate", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_challenge(text), expected, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_challenge_makes_it_panic(text in "\\PC{0,80}", tail in "[\"\\\\=, a]{0,40}") {
            let _ = parse_challenge(&text);
            let _ = parse_challenge(&format!("Bearer realm={tail}"));
        }
    }
}
