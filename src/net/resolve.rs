//! Name resolution with the filter inside: only addresses that passed it are ever connected to.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::{self, Why};
use super::policy::Policy;

/// How a host name becomes addresses: the operating system's way, or a test's.
pub(super) type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// The operating system's resolver.
pub(super) fn system() -> Lookup {
    Arc::new(|host| Box::pin(async move { look_up(&host).await }))
}

/// What the operating system resolves a name to. `localhost` in all its forms is loopback without asking anybody,
/// as RFC 6761 6.3 wants it.
pub(super) async fn look_up(host: &str) -> io::Result<Vec<IpAddr>> {
    if address::is_loopback_host(host) {
        return Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]);
    }
    let found = tokio::net::lookup_host((host, 0)).await?;
    Ok(found.map(|socket| socket.ip()).collect())
}

/// Resolves names for one client, without a filter for the operator's addresses.
#[derive(Clone)]
pub(super) struct Resolver {
    pub(super) lookup: Lookup,
    /// Filters when there is one.
    pub(super) policy: Option<Arc<Policy>>,
    /// The port asked for, where it is this server's own: a resolver is told the name alone.
    pub(super) own_port: Option<u16>,
}

impl Resolver {
    /// The addresses of `host` that passed the filter.
    pub(super) async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let found = (self.lookup)(host.to_owned()).await.map_err(|error| ResolveError::Lookup(error.to_string()))?;
        let Some(policy) = &self.policy else { return Ok(found) };
        let mut refused = None;
        let mut passed = Vec::new();
        for ip in found {
            let verdict = match self.own_port {
                Some(port) => address::check_socket(policy, host, SocketAddr::new(ip, port)),
                None => address::check_for_host(policy, host, ip),
            };
            match verdict {
                Ok(()) => passed.push(ip),
                Err(why) => {
                    tracing::debug!(host, %ip, %why, "an address that a name resolves to is refused");
                    refused = refused.or(Some(why));
                }
            }
        }
        match refused {
            Some(why) if passed.is_empty() => Err(ResolveError::Refused(why)),
            _ if passed.is_empty() => Err(ResolveError::Lookup("the name has no address".to_owned())),
            _ => Ok(passed),
        }
    }
}

/// Why a name gave no address.
#[derive(Debug, thiserror::Error)]
pub(super) enum ResolveError {
    #[error("the name cannot be resolved: {0}")]
    Lookup(String),
    #[error("{0}")]
    Refused(Why),
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let this = self.clone();
        Box::pin(async move {
            match this.addresses(name.as_str()).await {
                Ok(found) => Ok(Box::new(found.into_iter().map(|ip| SocketAddr::new(ip, 0))) as Addrs),
                Err(ResolveError::Refused(why)) => Err(Box::new(why) as Box<dyn std::error::Error + Send + Sync>),
                Err(error) => Err(Box::new(error) as Box<dyn std::error::Error + Send + Sync>),
            }
        })
    }
}
