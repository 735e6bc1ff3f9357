//! TLS to an engine with the PEM texts in memory: no file is written, and only the given authority is believed.

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bollard::{BollardRequest, ClientVersion, Docker};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use secrecy::ExposeSecret;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::{EngineError, Tls};

const CONNECT: Duration = Duration::from_secs(10);

/// Opens TLS connections to one engine.
pub(super) struct Dialer {
    name: String,
    port: u16,
    server: ServerName<'static>,
    config: Arc<ClientConfig>,
}

impl Dialer {
    pub fn new(host: &str, tls: &Tls) -> Result<Self, EngineError> {
        let address = host.trim_start_matches("tcp://").trim_end_matches('/');
        let parsed = url::Url::parse(&format!("https://{address}"))
            .map_err(|_| EngineError::Address("a Docker engine's address is tcp://host:port".to_owned()))?;
        let port = parsed.port().unwrap_or(2376);
        let name = parsed.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let server = ServerName::try_from(name.clone())
            .map_err(|_| EngineError::Address("the address holds no host name".to_owned()))?;
        Ok(Self { name, port, server, config: Arc::new(client_config(tls)?) })
    }

    pub async fn open(&self) -> io::Result<TlsStream> {
        let open = async {
            let tcp = TcpStream::connect((self.name.as_str(), self.port)).await?;
            tcp.set_nodelay(true)?;
            let session = ClientConnection::new(Arc::clone(&self.config), self.server.clone());
            let mut stream = TlsStream { tcp, tls: session.map_err(io::Error::other)? };
            std::future::poll_fn(|cx| stream.poll_handshake(cx)).await?;
            Ok(stream)
        };
        let late = || io::Error::new(io::ErrorKind::TimedOut, "no connection in time");
        tokio::time::timeout(CONNECT, open).await.map_err(|_| late())?
    }

    fn authority(&self) -> String {
        match self.name.contains(':') {
            true => format!("[{}]:{}", self.name, self.port),
            false => format!("{}:{}", self.name, self.port),
        }
    }
}

pub(super) fn connect(dialer: Arc<Dialer>, seconds: u64, version: &ClientVersion) -> Result<Docker, EngineError> {
    let address = format!("https://{}", dialer.authority());
    let transport = move |request: BollardRequest| {
        let dialer = Arc::clone(&dialer);
        async move {
            let stream = dialer.open().await?;
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            // The connection's task ends with the answer: nobody else holds the other end.
            tokio::spawn(connection.with_upgrades());
            let mut request = request;
            let authority = request.uri().authority().map(ToString::to_string).unwrap_or_default();
            if let Ok(value) = hyper::header::HeaderValue::from_str(&authority) {
                request.headers_mut().insert(hyper::header::HOST, value);
            }
            Ok(sender.send_request(request).await?)
        }
    };
    Ok(Docker::connect_with_custom_transport(transport, Some(address), seconds, version)?)
}

fn client_config(tls: &Tls) -> Result<ClientConfig, EngineError> {
    let bad = |what: &str| EngineError::Address(format!("the {what} is no PEM text that can be used"));
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(tls.ca.as_bytes()) {
        let authority = authority.map_err(|_| bad("authority's certificate"))?;
        roots.add(authority).map_err(|_| bad("authority's certificate"))?;
    }
    if roots.is_empty() {
        return Err(bad("authority's certificate"));
    }
    let chain: Vec<_> = CertificateDer::pem_slice_iter(tls.cert.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| bad("client certificate"))?;
    let key = PrivateKeyDer::from_pem_slice(tls.key.expose_secret().as_bytes()).map_err(|_| bad("client key"))?;
    ClientConfig::builder()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(|_| EngineError::Address("client certificate and client key do not belong together".to_owned()))
}

/// A TLS session over a TCP connection.
pub(super) struct TlsStream {
    tcp: TcpStream,
    tls: ClientConnection,
}

/// Lets rustls, which knows only blocking streams, try one read or write of the socket.
struct Socket<'a, 'b>(&'a mut TcpStream, &'a mut Context<'b>);

impl Read for Socket<'_, '_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(bytes);
        match Pin::new(&mut *self.0).poll_read(self.1, &mut buffer) {
            Poll::Ready(done) => done.map(|()| buffer.filled().len()),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Socket<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match Pin::new(&mut *self.0).poll_write(self.1, bytes) {
            Poll::Ready(done) => done,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TlsStream {
    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_send(cx))?;
            if !self.tls.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if ready!(self.poll_receive(cx))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Sends what the session wants sent.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Socket(&mut self.tcp, cx)) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes one piece from the socket into the session; 0 at its end.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match self.tls.read_tls(&mut Socket(&mut self.tcp, cx)) {
            Ok(count) => match self.tls.process_new_packets() {
                Ok(_) => Poll::Ready(Ok(count)),
                Err(error) => {
                    // The alert tells the other side why; whether it arrives does not matter any more.
                    let _ = self.poll_send(cx);
                    Poll::Ready(Err(io::Error::other(error)))
                }
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            match this.tls.reader().read(buffer.initialize_unfilled()) {
                Ok(count) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            // After an end of the socket the reader above answers with the session's end or an error.
            ready!(this.poll_receive(cx))?;
            if let Poll::Ready(Err(error)) = this.poll_send(cx) {
                return Poll::Ready(Err(error));
            }
        }
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        let count = this.tls.writer().write(bytes)?;
        if let Poll::Ready(Err(error)) = this.poll_send(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_send(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.tls.send_close_notify();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.tcp).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::engine::{Address, Engine, Line};
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use rustls::{ServerConfig, ServerConnection, StreamOwned};
    use secrecy::SecretString;

    type Authority = CertifiedIssuer<'static, KeyPair>;

    fn authority() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    fn signed(authority: &Authority) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        (params.signed_by(&key, authority).unwrap().pem(), key.serialize_pem())
    }

    /// Answers every request as an engine of API 1.41 answers the question for its version.
    fn serve(authority: &Authority) -> u16 {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (cert, key) = signed(authority);
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        let clients = rustls::server::WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
        let config = ServerConfig::builder()
            .with_client_cert_verifier(clients)
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap();
        let config = Arc::new(config);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for tcp in listener.incoming() {
                let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), tcp.unwrap());
                let mut request = Vec::new();
                let mut byte = [0];
                while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count == 1) {
                    request.push(byte[0]);
                }
                let filler = "x".repeat(100_000);
                let body = format!(r#"{{"ApiVersion":"1.41","Version":"20.10","KernelVersion":"{filler}"}}"#);
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                let _ = stream.write_all((head + &body).as_bytes());
                let _ = stream.flush();
            }
        });
        port
    }

    fn engine(port: u16, ca: &Authority, client: &Authority) -> Engine {
        let (cert, key) = signed(client);
        let tls = Tls { ca: ca.pem(), cert, key: SecretString::from(key) };
        Engine::connect(&Address { host: format!("tcp://localhost:{port}"), tls: Some(tls) }).unwrap()
    }

    #[tokio::test]
    async fn certificates_from_memory_are_used_and_checked() {
        let (ours, other) = (authority(), authority());
        let port = serve(&ours);
        let engine_of = |ca, client| engine(port, ca, client);
        let right = engine_of(&ours, &ours);
        let api = right.api().await.unwrap();
        assert_eq!(api.client_version().minor_version, 41);
        assert_eq!(api.version().await.unwrap().version.as_deref(), Some("20.10"));
        // Connections of our own are made in the same way.
        let line = right.get("/version").await.unwrap().line().await.unwrap();
        assert!(matches!(line, Some(Line::Text(text)) if text.starts_with(b"{\"ApiVersion\"")));
        let wrong_server = engine_of(&other, &ours).api().await.err().unwrap();
        assert!(matches!(wrong_server, EngineError::Unauthorized(_)), "{wrong_server}");
        let wrong_client = engine_of(&ours, &other).api().await.err().unwrap();
        assert!(matches!(wrong_client, EngineError::Unauthorized(_)), "{wrong_client}");
    }

    #[test]
    fn useless_texts_are_named() {
        let tls = Tls { ca: "x".into(), cert: String::new(), key: SecretString::from(String::new()) };
        let address = Address { host: "tcp://localhost:1".into(), tls: Some(tls) };
        let error = Engine::connect(&address).err().unwrap();
        assert!(error.to_string().contains("authority"), "{error}");
    }
}
