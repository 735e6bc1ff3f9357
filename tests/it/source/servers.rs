//! Servers that do not answer as they should, and addresses that are not asked.

use std::sync::Arc;

use kiops::builder::source::{RefKind, SourceError, Sources as _};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::support::git_server::{Change, Fault};
use crate::support::tls::Authority;

/// Which error it is, and its words.
fn told<T: std::fmt::Debug>(outcome: Result<T, SourceError>) -> (&'static str, String) {
    let error = outcome.unwrap_err();
    let kind = match &error {
        SourceError::NotFound(_) => "not found",
        SourceError::Unauthorized(_) => "unauthorized",
        SourceError::Refused(_) => "refused",
        SourceError::TimedOut(_) => "timed out",
        SourceError::Unreachable(_) => "unreachable",
        SourceError::Broken(_) => "broken",
    };
    (kind, error.to_string())
}

#[tokio::test]
async fn each_odd_answer_has_its_error() {
    let Some(house) = House::new("each_odd_answer_has_its_error").await else { return };
    let commit = house.repositories().commit(SHOP, "main", &[Change::file("a", "1")]);
    let cases = [
        (Fault::Status(401), "unauthorized", "does not take the token"),
        (Fault::Status(403), "unauthorized", "does not let the token"),
        (Fault::Status(404), "not found", "no such project"),
        (Fault::Status(410), "not found", "no such project"),
        (Fault::Status(429), "unreachable", "429"),
        (Fault::Status(500), "unreachable", "500"),
        (Fault::Html, "unreachable", "other than Git"),
        (Fault::Redirect("https://other.example/a.git/info/refs".to_owned()), "refused", "redirects"),
        (Fault::Redirect("/a/sign_in".to_owned()), "refused", "redirects"),
        (Fault::Stall, "unreachable", "within 3 s"),
    ];
    for (fault, kind, words) in cases {
        let label = format!("{fault:?}");
        house.repositories().set_fault(Some(fault));
        for (found, message) in
            [told(house.fetch(&commit).await), told(house.sources.resolve(&house.origin(SHOP), "main").await)]
        {
            assert!(found == kind && message.contains(words), "{label}: {found}: {message}");
        }
    }
    for rubbish in ["", "0000", "PACK", "zzzz", "0008PACK", "<html>"] {
        house.repositories().set_fault(Some(Fault::Rubbish(rubbish.to_owned())));
        assert_eq!(told(house.fetch(&commit).await).0, "unreachable", "{rubbish}");
        let (kind, message) = told(house.sources.resolve(&house.origin(SHOP), "main").await);
        assert!(matches!(kind, "unreachable" | "not found"), "{rubbish}: {message}");
    }
    // More names than anybody has: each ends like the one that is asked for.
    let names = (0..20_000).map(|at| format!("{commit} refs/heads/{at:06}/refs/heads/main\n"));
    let lines: String = names.map(|line| format!("{:04x}{line}", line.len() + 4)).collect();
    house.repositories().set_fault(Some(Fault::Rubbish(lines + "0000")));
    let (kind, message) = told(house.sources.resolve(&house.origin(SHOP), "main").await);
    assert!(kind == "refused" && message.contains("KiB of names"), "{message}");
    house.repositories().set_fault(Some(Fault::StallLater));
    assert_eq!(told(house.sources.resolve(&house.origin(SHOP), "main").await).0, "unreachable");
    house.repositories().set_fault(None);
    let mut origin = house.origin(SHOP);
    origin.token = "another".into();
    assert_eq!(told(house.fetch_from(&origin, &commit).await).0, "unauthorized");
    assert_eq!(told(house.fetch_from(&house.origin("shop/none"), &commit).await).0, "not found");
    assert!(!house.place().exists());
    house.fetch(&commit).await.unwrap();
}

#[tokio::test]
async fn only_addresses_that_may_be_asked_are() {
    let Some(house) = House::new("only_addresses_that_may_be_asked").await else { return };
    let commit = house.repositories().commit(SHOP, "main", &[Change::file("a", "1")]);
    let port = house.server.url.rsplit_once(':').unwrap().1.to_owned();
    let strict = GitSources::new(outbound(&[]));
    let hash = CommitHash::parse(&commit).unwrap();
    for host in ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "localhost."]
    {
        let mut origin = house.origin(SHOP);
        origin.url = format!("http://{host}:{port}/{SHOP}.git");
        house.repositories().asked();
        let outcome = strict.fetch(&origin, &hash, &house.place(), house.limits, &house.lines).await;
        let (kind, message) = told(outcome);
        assert!(kind == "refused" && message.contains("net.allow"), "{host}: {message}");
        assert!(house.repositories().asked().is_empty(), "{host}");
    }
    for url in ["https://169.254.169.254/a.git", "https://metadata.google.internal/a.git", "https://10.0.0.1/a.git"] {
        let mut origin = house.origin(SHOP);
        origin.url = url.to_owned();
        assert_eq!(told(strict.resolve(&origin, "main").await).0, "refused", "{url}");
    }
    for url in ["ext::sh -c x", "file:///etc", "ssh://-oProxyCommand=x/y", "/etc", "http://u:p@127.0.0.1/a.git"] {
        let mut origin = house.origin(SHOP);
        origin.url = url.to_owned();
        assert_eq!(told(house.sources.resolve(&origin, "main").await).0, "refused", "{url}");
    }
    // The operator's own address passes no filter.
    let mut origin = house.origin(SHOP);
    origin.trusted = true;
    strict.fetch(&origin, &hash, &house.place(), house.limits, &house.lines).await.unwrap();
    // A name is looked up once, and git is told what came out.
    for host in ["localhost", "localhost.", "git.localhost"] {
        let mut origin = house.origin(SHOP);
        origin.url = format!("http://{host}:{port}/{SHOP}.git");
        house.fetch_from(&origin, &commit).await.unwrap();
    }
    // Nobody listens there.
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut origin = house.origin(SHOP);
    origin.url = format!("http://{closed}/{SHOP}.git");
    let (kind, message) = told(house.fetch_from(&origin, &commit).await);
    assert!(kind == "unreachable" && message.contains("refused"), "{message}");
}

#[tokio::test]
async fn a_redirect_within_the_server_is_followed() {
    let Some(house) = House::new("a_redirect_within_the_server").await else { return };
    let commit = house.repositories().commit(SHOP, "main", &[Change::file("a", "1")]);
    let target = format!("{}/info/refs?service=git-upload-pack", house.server.address(SHOP));
    let moved = axum::Router::new()
        .route(
            "/old.git/info/refs",
            axum::routing::get(move || async move {
                axum::response::Redirect::permanent("/shop/back/api.git/info/refs?service=git-upload-pack")
            }),
        )
        .route(
            "/away.git/info/refs",
            axum::routing::get(move || async move { axum::response::Redirect::permanent(&target) }),
        )
        .merge(crate::support::git_server::routes(Arc::clone(&house.server.repositories)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, moved).await });
    let mut origin = house.origin(SHOP);
    origin.url = format!("{url}/old.git");
    house.fetch_from(&origin, &commit).await.unwrap();
    // Another port is another server.
    origin.url = format!("{url}/away.git");
    assert_eq!(told(house.fetch_from(&origin, &commit).await).0, "refused");
}

#[tokio::test]
async fn tls_is_believed_if_the_operator_says_so() {
    let Some(house) = House::new("tls_is_believed").await else { return };
    let commit = house.repositories().commit(SHOP, "main", &[Change::file("a", "1")]);
    let authority = Authority::new();
    let identity = authority.sign("127.0.0.1");
    let chain = vec![CertificateDer::from_pem_slice(identity.cert.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/{SHOP}.git", listener.local_addr().unwrap());
    let behind = house.server.url.strip_prefix("http://").unwrap().to_owned();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (acceptor, behind) = (acceptor.clone(), behind.clone());
            tokio::spawn(async move {
                if let Ok(mut client) = acceptor.accept(client).await {
                    let mut server = TcpStream::connect(behind).await.unwrap();
                    // Either side may end first.
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    });
    let mut origin = house.origin(SHOP);
    origin.url = url;
    assert_eq!(told(house.fetch_from(&origin, &commit).await).0, "unreachable");
    let allow = ["127.0.0.0/8".to_owned()];
    let policy = Policy::new(&allow, &[], Some(&authority.pem), Timeouts::default()).unwrap();
    let sources = GitSources::new(Outbound::new(policy).unwrap());
    let resolved = sources.resolve(&origin, "main").await.unwrap();
    assert_eq!((resolved.commit.as_str(), resolved.kind), (commit.as_str(), RefKind::Branch));
    sources.fetch(&origin, &resolved.commit, &house.place(), house.limits, &house.lines).await.unwrap();
    assert_eq!(tree(&house.place())["a"], "644 1");
}
