//! Where a source is. The address passes the filter, is resolved once and is asked before `git` is given it.

use std::net::SocketAddr;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use url::Url;

use super::{Origin, SourceError};
use crate::domain::secret::ExposeSecret as _;
use crate::net::{NetError, Outbound, Policy, Request, Trust};

/// What a server of Git answers with: <https://git-scm.com/docs/http-protocol>.
const ADVERTISEMENT: &str = "application/x-git-upload-pack-advertisement";

/// The address of a project: https or allowed http, no login, query or fragment in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    url: Url,
}

impl Place {
    /// Checks the address of an origin.
    ///
    /// # Errors
    /// [`SourceError::Refused`] with what is wrong with it.
    pub(super) fn of(origin: &Origin, policy: &Policy) -> Result<Self, SourceError> {
        let refused = |why: &str| Err(SourceError::Refused(format!("the project's address {why}")));
        let url = match Url::parse(&origin.url) {
            Ok(url) if matches!(url.scheme(), "https" | "http") && url.has_host() => url,
            _ => return refused("begins with neither https:// nor http://"),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return refused("holds a login");
        }
        if url.query().is_some() || url.fragment().is_some() {
            return refused("has ? or # in it");
        }
        let mut url = url;
        // The name of a host may end with a dot; it is pinned without.
        let plain = url.domain().and_then(|name| name.strip_suffix('.')).map(str::to_owned);
        if let Some(plain) = plain
            && url.set_host(Some(&plain)).is_err()
        {
            return refused("has no host");
        }
        let place = Self { url };
        if place.is_plain_http() && !origin.trusted && !policy.is_plain_http(&place.host()) {
            return refused(&format!(
                "is one of http, over which a token does not travel; an operator can list {} in net.plain_http",
                place.host()
            ));
        }
        Ok(place)
    }

    /// The whole address.
    pub(super) fn as_str(&self) -> &str {
        self.url.as_str()
    }

    /// The host, with its port when that is an unusual one.
    pub(super) fn host(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        self.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// The host's name, when it is one and no address.
    pub(super) fn domain(&self) -> Option<&str> {
        self.url.domain()
    }

    pub(super) fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or_default()
    }

    /// `https://gitlab.example.com/`: all that the token is sent to.
    pub(super) fn server(&self) -> String {
        format!("{}://{}/", self.url.scheme(), self.host())
    }

    pub(super) fn is_plain_http(&self) -> bool {
        self.url.scheme() == "http"
    }

    /// Another project of the same server, as a submodule names it: a path that begins with `./` or `../`, which is
    /// relative to this project's address, or a whole address.
    ///
    /// # Errors
    /// Half a sentence that says why it is none.
    pub(super) fn neighbour(&self, text: &str) -> Result<Self, String> {
        let url = if text.starts_with("./") || text.starts_with("../") {
            self.relative(text).ok_or("its address leads out of its server")?
        } else {
            Url::parse(text).map_err(|_| "its address is none of https")?
        };
        if !matches!(url.scheme(), "https" | "http") || !url.has_host() {
            return Err("its address is none of https".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err("its address holds more than a path".to_owned());
        }
        if url.origin() != self.url.origin() {
            return Err(format!("it is on {}, not on {}", Self { url }.host(), self.host()));
        }
        Ok(Self { url })
    }

    fn relative(&self, text: &str) -> Option<Url> {
        let mut parts: Vec<&str> = self.url.path_segments()?.filter(|part| !part.is_empty()).collect();
        for part in text.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop()?;
                }
                part => parts.push(part),
            }
        }
        let mut url = self.url.clone();
        url.set_path("");
        // What is in the path already is percent-encoded, and stays what it is.
        url.set_path(&parts.join("/"));
        Some(url)
    }

    fn with_service(&self) -> Option<Url> {
        let mut url = self.url.clone();
        url.path_segments_mut().ok()?.pop_if_empty().push("info").push("refs");
        url.set_query(Some("service=git-upload-pack"));
        Some(url)
    }

    /// The place that an answer came from, after redirects within the server.
    fn answered_by(&self, answered: &Url) -> Option<Self> {
        let mut url = answered.clone();
        let path = url.path().strip_suffix("/info/refs")?.to_owned();
        url.set_path(&path);
        url.set_query(None);
        (url.origin() == self.url.origin()).then_some(Self { url })
    }
}

/// Who is trusted with the origin's address.
pub(super) fn trust(origin: &Origin) -> Trust {
    if origin.trusted { Trust::Operator } else { Trust::User }
}

/// The addresses of the place's host that passed the filter: `git` connects to these and looks up none.
///
/// # Errors
/// [`SourceError::Refused`] with the words of the filter; [`SourceError::Unreachable`] when there is none.
pub(super) async fn resolve(
    outbound: &Outbound,
    place: &Place,
    origin: &Origin,
) -> Result<Vec<SocketAddr>, SourceError> {
    let host = place.url.host_str().unwrap_or_default();
    outbound.resolve(host, place.port(), trust(origin)).await.map_err(from_net)
}

/// Asks the server for the project, as `git` would: whether it is there, whether it takes the token, and whether it
/// speaks Git at all is known from the answer's head. Gives the address that the project has after redirects within
/// its server.
///
/// # Errors
/// What the server's answer means.
pub(super) async fn ask(outbound: &Outbound, place: &Place, origin: &Origin) -> Result<Place, SourceError> {
    let refused = || SourceError::Refused("the project's address is none that can be asked".to_owned());
    let url = place.with_service().ok_or_else(refused)?;
    let mut request = Request::get(url, trust(origin))
        .header(HeaderName::from_static("git-protocol"), HeaderValue::from_static("version=2"))
        .header(ACCEPT, HeaderValue::from_static("*/*"))
        .max_body(usize::MAX);
    if !origin.token.expose_secret().is_empty() {
        request = request.basic(&origin.username, &origin.token).map_err(from_net)?;
    }
    let answer = outbound.open(request).await.map_err(from_net)?;
    let host = place.host();
    match answer.status.as_u16() {
        200 => {}
        401 => return Err(SourceError::Unauthorized(format!("{host} does not take the token"))),
        403 => return Err(SourceError::Unauthorized(format!("{host} does not let the token read this project"))),
        404 | 410 => {
            let why = format!("{host} has no such project, or none that the token may read");
            return Err(SourceError::NotFound(why));
        }
        status => return Err(SourceError::Unreachable(format!("{host} answered with status {status}"))),
    }
    let kind = answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !kind.trim().to_ascii_lowercase().starts_with(ADVERTISEMENT) {
        let why = format!("{host} answered with something other than Git: is that the address of a project?");
        return Err(SourceError::Unreachable(why));
    }
    let moved = || SourceError::Refused(format!("{host} redirects to an address that is none of a project"));
    place.answered_by(&answer.url).ok_or_else(moved)
}

fn from_net(error: NetError) -> SourceError {
    let message = error.to_string();
    match error {
        NetError::Refused(_) | NetError::Invalid(_) | NetError::Redirected { .. } => SourceError::Refused(message),
        NetError::Timeout { .. } | NetError::Unreachable { .. } | NetError::TooLarge { .. } => {
            SourceError::Unreachable(message)
        }
        NetError::Setup(_) => SourceError::Broken(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Timeouts;

    fn place(url: &str, trusted: bool) -> Result<Place, SourceError> {
        let plain = ["git.lan:8080".to_owned()];
        let policy = Policy::new(&[], &plain, None, Timeouts::default()).expect("a policy");
        let origin = Origin { url: url.to_owned(), username: "oauth2".to_owned(), token: "t".into(), trusted };
        Place::of(&origin, &policy)
    }

    #[test]
    fn only_plain_addresses_of_https_are_places() {
        for good in [
            "https://gitlab.example.com/shop/api.git",
            "http://git.lan:8080/a/b.git",
            "http://127.0.0.1:1/a.git",
            "https://[2001:db8::1]/a.git",
        ] {
            assert!(place(good, false).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("ext::sh -c touch% /tmp/x", "neither"),
            ("file:///etc", "neither"),
            ("ssh://-oProxyCommand=x/y", "neither"),
            ("git@example.com:a/b.git", "neither"),
            ("git://example.com/a.git", "neither"),
            ("/etc", "neither"),
            ("--upload-pack=x", "neither"),
            ("https://ada:secret@example.com/a.git", "login"),
            ("https://example.com/a.git?x=1", "?"),
            ("https://example.com/a.git#x", "#"),
            ("http://example.com/a.git", "net.plain_http"),
        ] {
            let message = place(bad, false).expect_err(bad).to_string();
            assert!(message.contains(why) && !message.contains("secret"), "{bad}: {message}");
        }
        assert!(place("http://example.com/a.git", true).is_ok());
        assert_eq!(place("https://example.com./a.git", false).expect("a place").server(), "https://example.com/");
    }

    #[test]
    fn submodules_are_found_on_the_same_server_alone() {
        let here = place("https://example.com/shop/back/api.git", false).expect("a place");
        for (text, there) in [
            ("../lib.git", "https://example.com/shop/back/lib.git"),
            ("./lib.git", "https://example.com/shop/back/api.git/lib.git"),
            ("../../front/ui.git", "https://example.com/shop/front/ui.git"),
            ("https://example.com:443/x/y.git", "https://example.com/x/y.git"),
            ("https://EXAMPLE.com/x/%C3%A4.git", "https://example.com/x/%C3%A4.git"),
        ] {
            assert_eq!(here.neighbour(text).as_ref().map(Place::as_str), Ok(there), "{text}");
        }
        for text in [
            "../../../../x.git",
            "http://example.com/x.git",
            "https://example.com:8443/x.git",
            "https://other.example/x.git",
            "https://example.com@other.example/x.git",
            "https://ada@example.com/x.git",
            "git@example.com:x/y.git",
            "ssh://example.com/x",
            "--upload-pack=touch /tmp/x",
            "ext::sh -c x",
            "file:///etc",
            "/etc",
            "x.git",
            "",
        ] {
            assert!(here.neighbour(text).is_err(), "{text}");
        }
    }
}
