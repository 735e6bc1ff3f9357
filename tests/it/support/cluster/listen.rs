//! The double's door: TLS on loopback, closed and opened again.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::http::Request;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::super::tls::Identity;
use super::answers::answer;
use super::request::Asked;
use super::store::Store;

/// What requests are answered from, and where they are written down.
type Behind<'a> = (&'a Arc<Mutex<Store>>, &'a Arc<Mutex<Vec<Asked>>>);

/// Listens at one address.
pub struct Listener {
    pub url: String,
    address: SocketAddr,
    tls: Arc<ServerConfig>,
    task: Option<JoinHandle<()>>,
}

impl Listener {
    /// At a free port.
    pub fn bind(runtime: &Handle, identity: &Identity, behind: Behind<'_>) -> Self {
        let chain = vec![CertificateDer::from_pem_slice(identity.cert.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut listener = Self { url: format!("https://{address}"), address, tls: Arc::new(config), task: None };
        listener.open(runtime, behind);
        listener
    }

    /// Takes connections.
    pub fn open(&mut self, runtime: &Handle, (store, asked): Behind<'_>) {
        if self.task.is_some() {
            return;
        }
        let _inside = runtime.enter();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(self.address).unwrap();
        let listener = socket.listen(128).unwrap();
        let acceptor = TlsAcceptor::from(Arc::clone(&self.tls));
        self.task = Some(runtime.spawn(accept(listener, acceptor, (Arc::clone(store), Arc::clone(asked)))));
    }

    /// Breaks all connections and takes no more.
    pub fn close(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            // The port is free once the task is gone.
            while !task.is_finished() {
                std::thread::yield_now();
            }
        }
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, behind: (Arc<Mutex<Store>>, Arc<Mutex<Vec<Asked>>>)) {
    // Connections end with the task.
    let mut connections = JoinSet::new();
    while let Ok((tcp, _)) = listener.accept().await {
        let (acceptor, (store, asked)) = (acceptor.clone(), behind.clone());
        connections.spawn(async move {
            let Ok(tls) = acceptor.accept(tcp).await else { return };
            let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                let (store, asked) = (Arc::clone(&store), Arc::clone(&asked));
                async move { Ok::<_, std::convert::Infallible>(answer(store, asked, request).await) }
            });
            // A client may go away when it likes.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(tls), service)
                .with_upgrades()
                .await;
        });
        while connections.try_join_next().is_some() {}
    }
}
