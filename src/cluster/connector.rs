//! How connections to an API server are opened: resolved, checked, then TLS.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tower::{BoxError, Service};

use super::ClusterError;
use crate::domain::addresses::{Why, check_name, never_a_runtime};

/// How long name, TCP and TLS may take together.
const CONNECT: Duration = Duration::from_secs(5);
/// How soon a silent connection is asked whether it is still there; a watch is silent for minutes.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Opens connections to one cluster. Looks at the address each time: what a name resolves to can change.
#[derive(Clone)]
pub(super) struct Connector(HttpsConnector<HttpConnector<Resolver>>);

type Opened = MaybeHttpsStream<TokioIo<TcpStream>>;

impl Connector {
    pub fn new(tls: ClientConfig, server_name: Option<&str>) -> Result<Self, ClusterError> {
        let mut http = HttpConnector::new_with_resolver(Resolver);
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_keepalive(Some(KEEPALIVE));
        http.set_keepalive_interval(Some(KEEPALIVE / 3));
        http.set_keepalive_retries(Some(3));
        let mut https = HttpsConnectorBuilder::new().with_tls_config(tls).https_only();
        if let Some(name) = server_name {
            let name = ServerName::try_from(name.to_owned());
            let name = name.map_err(|_| ClusterError::Access("tls-server-name is no host name".to_owned()))?;
            https = https.with_server_name_resolver(FixedServerNameResolver::new(name));
        }
        Ok(Self(https.enable_http1().wrap_connector(http)))
    }
}

impl Service<Uri> for Connector {
    type Response = Opened;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Opened, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        // No resolver is asked for what is an address already.
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        if let Err(refused) = host.parse().map_or(Ok(()), check) {
            return Box::pin(async { Err(refused.into()) });
        }
        let opened = self.0.call(uri);
        Box::pin(async {
            let late = |_| BoxError::from(format!("no connection within {} seconds", CONNECT.as_secs()));
            tokio::time::timeout(CONNECT, opened).await.map_err(late)?
        })
    }
}

/// An address that no cluster has.
#[derive(Debug, thiserror::Error)]
#[error("{ip} is {why}: no cluster is there")]
struct Refused {
    ip: IpAddr,
    why: Why,
}

fn check(ip: IpAddr) -> Result<(), Refused> {
    never_a_runtime(ip).map_or(Ok(()), |why| Err(Refused { ip, why }))
}

/// The operating system's resolver, without the addresses that no cluster has.
#[derive(Clone)]
struct Resolver;

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        Box::pin(async move {
            check_name(name.as_str()).map_err(|why| format!("{} is {why}: no cluster is there", name.as_str()))?;
            let found = tokio::net::lookup_host((name.as_str(), 0)).await;
            let found: Vec<_> =
                found.map_err(|why| format!("the name {} cannot be resolved: {why}", name.as_str()))?.collect();
            // One that is refused speaks against the name, whatever the others are.
            found.iter().try_for_each(|address| check(address.ip()))?;
            Ok(found.into_iter())
        })
    }
}
