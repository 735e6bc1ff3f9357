//! Addresses of engines: read in one spelling, and told apart into this machine's own, refused ones and the rest.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use entity::organization;
use sea_orm::EntityTrait as _;
use url::Host;

use crate::app::settings::LocalEngine;
use crate::app::{App, Error, Precondition, Result, Scope};
use crate::domain::addresses::{never_a_runtime, unwrapped};

/// Where Docker listens on this machine.
pub const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

/// An engine's address in its one spelling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A socket of this machine.
    Unix(String),
    /// A host and a port.
    Tcp(Host<String>, u16),
}

impl Endpoint {
    /// Reads `unix:///path` or `tcp://host[:port]`; without a port 2376 with TLS, else 2375.
    ///
    /// # Errors
    /// In words, when it is neither.
    pub fn parse(text: &str, tls: bool) -> std::result::Result<Self, String> {
        let form = || "an engine's address is unix:///var/run/docker.sock or tcp://host:2376".to_owned();
        if text.len() > 1024 || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(form());
        }
        if let Some(path) = text.strip_prefix("unix://") {
            let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
            if !path.starts_with('/') || parts.is_empty() || parts.contains(&"..") || path.contains(['?', '#', '%']) {
                return Err(form());
            }
            if tls {
                return Err("TLS is for tcp:// addresses".to_owned());
            }
            return Ok(Self::Unix(format!("/{}", parts.join("/"))));
        }
        let authority = text.strip_prefix("tcp://").ok_or_else(form)?;
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        if authority.contains(['/', '@', '?', '#', '\\', '%']) {
            return Err(form());
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let default = if tls { 2376 } else { 2375 };
        let port = match port {
            None => default,
            Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => {
                port.parse().ok().filter(|p| *p > 0).ok_or_else(form)?
            }
            Some(_) => return Err(form()),
        };
        // The URL standard's own reading: 127.1, 0x7f.1, 2130706433 and full-width digits are all 127.0.0.1.
        let host = match Host::parse(host).map_err(|_| form())? {
            Host::Domain(name) => Host::Domain(name.trim_end_matches('.').to_owned()),
            address => address,
        };
        if matches!(&host, Host::Domain(name) if name.is_empty()) {
            return Err(form());
        }
        Ok(Self::Tcp(host, port))
    }

    /// Every address that it means now.
    async fn addresses(&self) -> Result<Vec<IpAddr>> {
        match self {
            Self::Unix(_) => Ok(Vec::new()),
            Self::Tcp(Host::Ipv4(ip), _) => Ok(vec![IpAddr::V4(*ip)]),
            Self::Tcp(Host::Ipv6(ip), _) => Ok(vec![IpAddr::V6(*ip)]),
            Self::Tcp(Host::Domain(name), port) => {
                let found = tokio::net::lookup_host((name.as_str(), *port)).await;
                let found: Vec<IpAddr> = found.map(|a| a.map(|a| a.ip()).collect()).unwrap_or_default();
                if found.is_empty() {
                    return Err(Error::upstream(format!("the name {name} is not known")));
                }
                Ok(found)
            }
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{path}"),
            Self::Tcp(host, port) => write!(f, "tcp://{host}:{port}"),
        }
    }
}

/// Lets an endpoint through or not: metadata and link-local addresses never, this machine's own only for the
/// organizations that `runtimes.local_engine` names.
///
/// # Errors
/// BAD_USER_INPUT at `field`, UPSTREAM_ERROR for an unknown name, FAILED_PRECONDITION for this machine's own.
pub(super) async fn admit(app: &App, scope: &Scope, endpoint: &Endpoint, field: &str) -> Result<()> {
    let name = match endpoint {
        Endpoint::Tcp(Host::Domain(name), _) => name.as_str(),
        _ => "",
    };
    if name == "metadata" || name.ends_with("metadata.google.internal") {
        return Err(Error::bad_input(field, format!("{name} is a metadata address: no engine is there")));
    }
    let addresses = match name {
        // It means this machine whatever a resolver says.
        "localhost" => vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        name if name.ends_with(".localhost") => vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        _ => endpoint.addresses().await?,
    };
    if let Some(bad) = addresses.iter().find(|a| never_a_runtime(**a).is_some()) {
        return Err(Error::bad_input(
            field,
            format!("{bad} is a link-local, metadata or multicast address: no engine is there"),
        ));
    }
    let local = matches!(endpoint, Endpoint::Unix(_)) || addresses.into_iter().any(is_own);
    if local && !may_use_local(app, scope).await? {
        return Err(not_allowed());
    }
    Ok(())
}

/// Whether the organization may use this machine's own engine.
pub(super) async fn may_use_local(app: &App, scope: &Scope) -> Result<bool> {
    let slug = match &app.settings.local_engine {
        LocalEngine::Nobody => return Ok(false),
        _ => organization::Entity::find_by_id(&scope.organization_id)
            .one(app.db.read())
            .await?
            .map(|o| o.slug)
            .unwrap_or_default(),
    };
    Ok(match &app.settings.local_engine {
        LocalEngine::Bootstrap => slug == app.settings.bootstrap_organization,
        LocalEngine::Only(slugs) => slugs.contains(&slug),
        LocalEngine::Nobody => false,
    })
}

/// The refusal; it says who can change that.
pub(super) fn not_allowed() -> Error {
    Error::precondition(
        Precondition::LocalEngineNotAllowed,
        "this is the engine of the server's own machine, and this organization may not use it: whoever runs the \
         server can name the organization in runtimes.local_engine of kiops.toml",
    )
}

/// Whether a packet to the address stays on this machine: loopback, unspecified, or of one of its interfaces, which
/// is what a socket can be bound to.
fn is_own(ip: IpAddr) -> bool {
    let ip = unwrapped(ip);
    ip.is_loopback()
        || ip.is_unspecified()
        || matches!(ip, IpAddr::V4(v4) if v4.octets()[0] == 0)
        || UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> Option<String> {
        Endpoint::parse(text, false).ok().map(|e| e.to_string())
    }

    #[test]
    fn one_spelling() {
        for (text, expected) in [
            ("unix:///var/run/docker.sock", "unix:///var/run/docker.sock"),
            ("unix:////var//run/./docker.sock", "unix:///var/run/docker.sock"),
            ("tcp://Engine.Example:2376", "tcp://engine.example:2376"),
            ("tcp://engine.example./", "tcp://engine.example:2375"),
            ("tcp://engine.example:80", "tcp://engine.example:80"),
            ("tcp://127.1", "tcp://127.0.0.1:2375"),
            ("tcp://2130706433:1", "tcp://127.0.0.1:1"),
            ("tcp://0x7f.0.0.01", "tcp://127.0.0.1:2375"),
            ("tcp://１２７.0.0.1", "tcp://127.0.0.1:2375"),
            ("tcp://[::1]:2375", "tcp://[::1]:2375"),
            ("tcp://LOCALHOST.", "tcp://localhost:2375"),
        ] {
            assert_eq!(canonical(text).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(Endpoint::parse("tcp://h", true).map(|e| e.to_string()), Ok("tcp://h:2376".to_owned()));
    }

    #[test]
    fn no_engine() {
        for text in [
            "",
            "docker.sock",
            "/var/run/docker.sock",
            "unix://",
            "unix:///",
            "unix://var/run/docker.sock",
            "unix:///run/../x",
            "unix:///a%2fb",
            "npipe://x",
            "ssh://host",
            "http://host",
            "tcp://",
            "tcp://:2375",
            "tcp://u:p@host",
            "tcp://host/path",
            "tcp://host:0",
            "tcp://host:70000",
            "tcp://host:+1",
            "tcp://a b",
            "tcp://host?x",
            "tcp://host#x",
            "tcp://host\n",
        ] {
            assert_eq!(canonical(text), None, "{text}");
        }
    }

    #[test]
    fn this_machine() {
        for text in ["127.0.0.1", "127.9.9.9", "0.0.0.0", "0.1.2.3", "::1", "::", "::ffff:127.0.0.1", "64:ff9b::7f00:1"]
        {
            assert!(text.parse().is_ok_and(is_own), "{text}");
        }
        for text in ["192.0.2.1", "2001:db8::1"] {
            assert!(text.parse().is_ok_and(|ip| !is_own(ip)), "{text}");
        }
    }
}
