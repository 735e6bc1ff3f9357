//! One client of a Docker engine, for runtime, builder and scanner.
//!
//! Nothing of a request or an answer is ever logged here, and errors hold only the engine's own words.

mod direct;
mod error;
mod lines;
mod session;
mod tls;

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::models::EventMessage;
use bollard::query_parameters::{EventsOptions, LogsOptions};
use bollard::{BollardRequest, ClientVersion, Docker};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use secrecy::SecretString;
use tokio::sync::OnceCell;

pub use bollard;
pub use direct::{Exchange, Line};
pub use error::EngineError;
pub use lines::{LineAssembler, LogLine, MAX_LINE, neutralise};
pub use session::{Answers, Call, Refusal, Session, messages, status};

/// How long the engine may take for the first answer.
const CONNECT: Duration = Duration::from_secs(10);
/// How long any request may take until its answer begins. Stopping a container takes ten seconds by itself.
const ANSWER: Duration = Duration::from_secs(120);
/// The newest API that we were tried with; the engine's own is used when it is older.
const NEWEST: ClientVersion = ClientVersion { major_version: 1, minor_version: 51 };

/// Where an engine is.
#[derive(Clone)]
pub struct Address {
    /// `unix:///path`, `tcp://host:port`.
    pub host: String,
    /// TLS with a client certificate, for `tcp` only.
    pub tls: Option<Tls>,
}

/// PEM texts.
#[derive(Clone)]
pub struct Tls {
    /// The authority that signed the engine's certificate; no other one is believed.
    pub ca: String,
    /// Our certificate with its chain.
    pub cert: String,
    /// Its private key.
    pub key: SecretString,
}

/// A client of one engine. Cheap to clone; clones share the negotiated version.
#[derive(Clone)]
pub struct Engine {
    /// None for a socket: the SDK refuses one that is not there, and an engine that is away may come back.
    remote: Option<Docker>,
    socket: String,
    /// TLS of our own connections; none without TLS.
    dialer: Option<std::sync::Arc<tls::Dialer>>,
    place: Place,
    negotiated: std::sync::Arc<OnceCell<Docker>>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Place {
    host: Option<String>,
    local: bool,
}

impl Engine {
    /// Makes a client; asks nothing yet.
    ///
    /// # Errors
    /// [`EngineError::Address`] when the address or the certificates are no use.
    pub fn connect(address: &Address) -> Result<Self, EngineError> {
        // A provider may be installed already; any other part of the program installs the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let place = place(&address.host)?;
        let seconds = ANSWER.as_secs();
        let dialer = match (&place.host, &address.tls) {
            (Some(_), Some(parts)) => Some(std::sync::Arc::new(tls::Dialer::new(&address.host, parts)?)),
            _ => None,
        };
        let remote = match (&place.host, &dialer) {
            (None, _) if address.tls.is_some() => {
                return Err(EngineError::Address("TLS is for tcp:// addresses, not for a socket".to_owned()));
            }
            (None, _) => None,
            (Some(_), None) => Some(Docker::connect_with_http(&address.host, seconds, &NEWEST)?),
            (Some(_), Some(dialer)) => Some(tls::connect(std::sync::Arc::clone(dialer), seconds, &NEWEST)?),
        };
        Ok(Self { remote, socket: address.host.clone(), dialer, place, negotiated: std::sync::Arc::default() })
    }

    /// The client, speaking a version that the engine understands.
    ///
    /// # Errors
    /// When the engine does not answer the question for its version.
    pub async fn api(&self) -> Result<&Docker, EngineError> {
        self.negotiated
            .get_or_try_init(|| async {
                let docker = match &self.remote {
                    Some(docker) => docker.clone(),
                    None => Docker::connect_with_unix(&self.socket, ANSWER.as_secs(), &NEWEST)?,
                };
                let docker = docker.with_request_modifier(url_safe_login);
                match tokio::time::timeout(CONNECT, docker.negotiate_version()).await {
                    Ok(answer) => answer.map_err(EngineError::from),
                    Err(_) => Err(EngineError::Unreachable("it took too long to answer".to_owned())),
                }
            })
            .await
    }

    /// Whether containers' own addresses can be reached from here: the engine is on this machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.place.local
    }

    /// The host under which published ports are reached.
    #[must_use]
    pub fn published_host(&self) -> &str {
        match &self.place.host {
            Some(host) => host,
            None => "localhost",
        }
    }

    /// What a container prints, raw, each frame with the engine's time before it.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn logs(
        &self,
        container: &str,
        options: LogsOptions,
    ) -> Result<BoxStream<'static, Result<LogOutput, EngineError>>, EngineError> {
        let stream = self.api().await?.logs(container, Some(options));
        Ok(stream.map(|frame| frame.map_err(EngineError::from)).boxed())
    }

    /// Events that match the filters, from now on, until the connection breaks.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn events(
        &self,
        filters: HashMap<String, Vec<String>>,
    ) -> Result<BoxStream<'static, Result<EventMessage, EngineError>>, EngineError> {
        let options = EventsOptions { filters: Some(filters), ..Default::default() };
        let stream = self.api().await?.events(Some(options));
        Ok(stream.map(|event| event.map_err(EngineError::from)).boxed())
    }
}

/// The engine decodes the login with the URL-safe alphabet; the SDK encodes it with the other one.
fn url_safe_login(mut request: BollardRequest) -> BollardRequest {
    for name in ["X-Registry-Auth", "X-Registry-Config"] {
        let Some(value) = request.headers().get(name) else { continue };
        let safe: Vec<u8> = value
            .as_bytes()
            .iter()
            .map(|byte| match byte {
                b'+' => b'-',
                b'/' => b'_',
                other => *other,
            })
            .collect();
        if let Ok(mut safe) = hyper::header::HeaderValue::from_bytes(&safe) {
            safe.set_sensitive(true);
            request.headers_mut().insert(name, safe);
        }
    }
    request
}

fn place(host: &str) -> Result<Place, EngineError> {
    let bad = |why: &str| Err(EngineError::Address(why.to_owned()));
    if let Some(path) = host.strip_prefix("unix://") {
        return match path.starts_with('/') {
            true => Ok(Place { host: None, local: true }),
            false => bad("a socket's address is unix:// and an absolute path"),
        };
    }
    if !host.starts_with("tcp://") {
        return bad("a Docker engine's address starts with unix:// or tcp://");
    }
    let Ok(parsed) = url::Url::parse(&host.replacen("tcp://", "http://", 1)) else {
        return bad("a Docker engine's address is tcp://host:port");
    };
    let plain = parsed.username().is_empty() && parsed.password().is_none() && parsed.path() == "/";
    match (parsed.host(), plain) {
        (Some(name), true) => {
            let local = match &name {
                url::Host::Ipv4(ip) => IpAddr::from(*ip).is_loopback(),
                url::Host::Ipv6(ip) => IpAddr::from(*ip).is_loopback(),
                url::Host::Domain(name) => *name == "localhost",
            };
            Ok(Place { host: Some(name.to_string()), local })
        }
        _ => bad("a Docker engine's address is tcp://host:port"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_apart() {
        let is_local = |host: &str| place(host).map(|p| p.local);
        assert_eq!(is_local("unix:///var/run/docker.sock"), Ok(true));
        assert_eq!(is_local("tcp://127.0.0.1:2375"), Ok(true));
        assert_eq!(is_local("tcp://[::1]:2375"), Ok(true));
        assert_eq!(is_local("tcp://10.0.0.7:2376"), Ok(false));
        for bad in ["", "docker.sock", "unix://relative", "http://x", "tcp://u:p@h:1", "tcp://h:1/path"] {
            assert!(matches!(place(bad), Err(EngineError::Address(_))), "{bad}");
        }
    }

    #[tokio::test]
    async fn an_engine_that_is_away_is_unreachable_and_says_where() {
        let address = Address { host: "unix:///nowhere/docker.sock".to_owned(), tls: None };
        let away = match Engine::connect(&address) {
            Ok(engine) => engine.api().await.err(),
            Err(error) => Some(error),
        };
        let Some(EngineError::Unreachable(why)) = away else { panic!("{away:?}") };
        assert!(why.contains("/nowhere/docker.sock"), "{why}");
    }
}
