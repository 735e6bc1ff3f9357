//! A kube client from what a login holds, and how long it waits.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioExecutor;
use kube::client::retry::RetryPolicy;
use kube::client::{Body, ConfigExt as _};
use kube::config::AuthInfo;
use kube::{Client, Config};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::{ExposeSecret as _, SecretString};
use tower::retry::RetryLayer;
use tower::{BoxError, Service, ServiceBuilder};
use tower_http::timeout::TimeoutBody;

use super::connector::Connector;
use super::{ClusterError, InCluster};
use crate::domain::kubeconfig::{ClusterAccess, ClusterLogin};

/// How long an answer may take to begin, and each part of it; the parts of watches and followed logs come when they like,
/// and TCP's keepalive ends them when the other side is gone.
const ANSWER: Duration = Duration::from_secs(30);
/// The most that one answer may hold; of watches and followed logs, one line.
const MOST: usize = 64 * 1024 * 1024;

pub(super) fn client(access: &ClusterAccess, surroundings: Option<&InCluster>) -> Result<Client, ClusterError> {
    // A provider may be installed already; any other part of the program installs the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = match access {
        ClusterAccess::Login(login) => with_login(login)?,
        ClusterAccess::InCluster => in_cluster(surroundings.ok_or_else(|| {
            ClusterError::Access(
                "this server does not run in a Kubernetes pod, so there is no cluster around it".into(),
            )
        })?)?,
    };
    let set_up = |_| ClusterError::Access("the login's certificates or its token cannot be used".to_owned());
    let connector = Connector::new(config.rustls_client_config().map_err(set_up)?, config.tls_server_name.as_deref())?;
    let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(connector);
    let service = ServiceBuilder::new()
        .layer_fn(Patient)
        .layer(config.base_uri_layer())
        .layer(RetryLayer::new(RetryPolicy::default()))
        .option_layer(config.auth_layer().map_err(set_up)?)
        .map_err(BoxError::from)
        .service(http);
    Ok(Client::new(service, config.default_namespace))
}

/// [`Config::new`] takes nothing from the environment, unlike the other ways to make one.
fn config(server: &str, ca: Option<&str>) -> Result<Config, ClusterError> {
    let uri = server.parse().map_err(|_| ClusterError::Access("the server's address cannot be used".to_owned()))?;
    let mut config = Config::new(uri);
    if let Some(ca) = ca {
        let bad = || ClusterError::Access("the authority's certificate is no PEM text that can be used".to_owned());
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(ca.as_bytes()).collect();
        let found = found.map_err(|_| bad())?;
        if found.is_empty() {
            return Err(bad());
        }
        config.root_cert = Some(found.into_iter().map(|certificate| certificate.to_vec()).collect());
    }
    Ok(config)
}

fn with_login(login: &ClusterLogin) -> Result<Config, ClusterError> {
    let mut config = config(&login.server, login.ca.as_deref())?;
    config.tls_server_name.clone_from(&login.tls_server_name);
    if let Some(namespace) = &login.namespace {
        config.default_namespace.clone_from(namespace);
    }
    config.auth_info = AuthInfo { token: login.token.clone(), ..AuthInfo::default() };
    if let Some((certificate, key)) = &login.certificate {
        use base64::Engine as _;
        let base64 = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        config.auth_info.client_certificate_data = Some(base64(certificate));
        config.auth_info.client_key_data = Some(SecretString::from(base64(key.expose_secret())));
    }
    Ok(config)
}

fn in_cluster(around: &InCluster) -> Result<Config, ClusterError> {
    let file = |name: &str| {
        let path = around.folder.join(name);
        std::fs::read_to_string(&path)
            .map_err(|why| ClusterError::Access(format!("{} cannot be read: {why}", path.display())))
    };
    let host = if around.host.contains(':') { format!("[{}]", around.host) } else { around.host.clone() };
    let mut config = config(&format!("https://{host}:{}", around.port), Some(&file("ca.crt")?))?;
    file("token")?;
    if let Ok(namespace) = file("namespace") {
        config.default_namespace = namespace.trim().to_owned();
    }
    config.root_cert_file = Some(around.folder.join("ca.crt"));
    // kube reads it again every minute: Kubernetes renews it.
    let token_file = around.folder.join("token").to_string_lossy().into_owned();
    config.auth_info = AuthInfo { token_file: Some(token_file), ..AuthInfo::default() };
    Ok(config)
}

/// Waits for answers as long as their kind may take.
#[derive(Clone)]
struct Patient<S>(S);

type Answer = Response<BoxBody<bytes::Bytes, BoxError>>;

impl<S> Service<Request<Body>> for Patient<S>
where
    S: Service<Request<Body>, Response = Response<Incoming>, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = Answer;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let length = Length::of(request.uri().query().unwrap_or_default());
        let answer = self.0.call(request);
        Box::pin(async move {
            // A followed log begins with its first line, whenever the container prints it.
            let answer = if length == Length::Log {
                answer.await?
            } else {
                let late = |_| BoxError::from(format!("it took more than {} seconds to answer", ANSWER.as_secs()));
                tokio::time::timeout(ANSWER, answer).await.map_err(late)??
            };
            Ok(match length {
                Length::Bounded => answer.map(|body| TimeoutBody::new(ANSWER, Limited::new(body, MOST)).boxed()),
                Length::Watch | Length::Log => answer.map(|body| Lines { body, since_its_end: 0 }.boxed()),
            })
        })
    }
}

/// How long the answer to a request gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    /// It is one object, or a page of a list.
    Bounded,
    /// It ends when the other side likes: objects that change, a line each.
    Watch,
    /// Likewise: what a container prints.
    Log,
}

impl Length {
    fn of(query: &str) -> Self {
        let has = |name: &str| {
            query.split('&').any(|part| {
                part.split_once('=').is_some_and(|(key, value)| key == name && matches!(value, "true" | "1"))
            })
        };
        match (has("watch"), has("follow")) {
            (true, _) => Self::Watch,
            (false, true) => Self::Log,
            (false, false) => Self::Bounded,
        }
    }
}

/// A body without an end whose lines have one: whoever reads it keeps a line in memory until it is whole.
struct Lines<B> {
    body: B,
    /// Bytes since the last line end.
    since_its_end: usize,
}

impl<B> hyper::body::Body for Lines<B>
where
    B: hyper::body::Body<Data = bytes::Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = bytes::Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        let Some(frame) = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx)) else { return Poll::Ready(None) };
        let frame = frame.map_err(Into::into)?;
        if let Some(data) = frame.data_ref() {
            self.since_its_end = match data.iter().rposition(|byte| *byte == b'\n') {
                Some(end) => data.len() - end - 1,
                None => self.since_its_end + data.len(),
            };
            if self.since_its_end > MOST {
                return Poll::Ready(Some(Err(BoxError::from("it sends a line that does not end"))));
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use bytes::Bytes;
    use futures_util::{StreamExt as _, stream};
    use http_body_util::StreamBody;
    use hyper::body::Frame;

    use super::*;

    #[tokio::test]
    async fn a_line_without_an_end_is_not_kept() {
        let part = Bytes::from(vec![b'x'; 1 << 20]);
        let endless = stream::repeat(part).map(|part| Ok::<_, BoxError>(Frame::data(part)));
        let mut body = Lines { body: StreamBody::new(endless), since_its_end: 0 };
        let mut read = 0;
        let why = loop {
            match body.frame().await.unwrap() {
                Ok(frame) => read += frame.into_data().unwrap().len(),
                Err(why) => break why.to_string(),
            }
        };
        assert_eq!((why.as_str(), read), ("it sends a line that does not end", MOST));
        let lines = stream::repeat(Bytes::from(vec![b'\n'; 1 << 20])).take(200);
        let body =
            Lines { body: StreamBody::new(lines.map(|part| Ok::<_, BoxError>(Frame::data(part)))), since_its_end: 0 };
        assert_eq!(body.collect().await.unwrap().to_bytes().len(), 200 << 20, "many short ones are");
    }

    #[test]
    fn only_watches_and_followed_logs_are_without_an_end() {
        for (query, expected) in [
            ("", Length::Bounded),
            ("limit=500", Length::Bounded),
            ("watch=false", Length::Bounded),
            ("allowWatchBookmarks=true&watch=true", Length::Watch),
            ("tailLines=5&follow=true", Length::Log),
        ] {
            assert_eq!(Length::of(query), expected, "{query}");
        }
    }
}
