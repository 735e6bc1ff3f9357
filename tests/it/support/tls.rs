//! An engine behind TLS: what `dockerd --tlsverify` is, in front of the tests' own engine.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

/// Who signs certificates.
pub struct Authority {
    /// Its own certificate, PEM.
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its private key, PEM.
pub struct Identity {
    /// The certificate.
    pub cert: String,
    /// The key.
    pub key: String,
}

impl Authority {
    /// A new one.
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate for a name or an address.
    pub fn sign(&self, name: &str) -> Identity {
        let key = KeyPair::generate().unwrap();
        let cert = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        Identity { cert: cert.pem(), key: key.serialize_pem() }
    }
}

/// Ends TLS before an engine, and asks for a certificate of the client.
pub struct TlsProxy {
    /// `tcp://127.0.0.1:PORT`.
    pub host: String,
    terms: Arc<Mutex<Arc<ServerConfig>>>,
    runtime: Runtime,
}

impl TlsProxy {
    /// In front of the engine at `docker`: it shows a certificate that `own` signed, and lets in whom `clients` signed.
    pub fn start(docker: &str, own: &Authority, clients: &Authority) -> Self {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let host = format!("tcp://{}", listener.local_addr().unwrap());
        let terms = Arc::new(Mutex::new(terms(own, clients)));
        runtime.spawn(accept(listener, Arc::clone(&terms), docker.to_owned()));
        Self { host, terms, runtime }
    }

    /// The same address with other certificates, for connections from now on.
    pub fn change(&self, own: &Authority, clients: &Authority) {
        *self.terms.lock().unwrap() = terms(own, clients);
    }

    /// Nobody listens at its address any more.
    pub fn stop(self) {
        self.runtime.shutdown_timeout(Duration::from_secs(5));
    }
}

fn terms(own: &Authority, clients: &Authority) -> Arc<ServerConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(clients.pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    let identity = own.sign("127.0.0.1");
    let chain = vec![CertificateDer::from_pem_slice(identity.cert.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key);
    Arc::new(config.unwrap())
}

async fn accept(listener: TcpListener, terms: Arc<Mutex<Arc<ServerConfig>>>, docker: String) {
    while let Ok((tcp, _)) = listener.accept().await {
        let acceptor = TlsAcceptor::from(Arc::clone(&*terms.lock().unwrap()));
        let docker = docker.clone();
        tokio::spawn(async move {
            // A client that is not let in is told so by the handshake.
            if let Ok(mut client) = acceptor.accept(tcp).await {
                let mut engine = connect(&docker).await;
                // Either end may go away when it likes.
                let _ = copy_bidirectional(&mut client, &mut engine).await;
            }
        });
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn connect(docker: &str) -> Box<dyn Stream> {
    match docker.strip_prefix("unix://") {
        Some(path) => Box::new(UnixStream::connect(PathBuf::from(path)).await.unwrap()),
        None => Box::new(TcpStream::connect(docker.trim_start_matches("tcp://")).await.unwrap()),
    }
}
