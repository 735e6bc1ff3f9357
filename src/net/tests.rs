#![expect(clippy::unwrap_used, reason = "tests")]

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use url::Url;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::address::{Why, check, check_name, is_loopback_host};
use super::resolve::Lookup;
use super::*;
use crate::domain::secret::SecretString;

fn policy(allow: &[&str]) -> Policy {
    let allow: Vec<String> = allow.iter().map(|s| (*s).to_owned()).collect();
    Policy::new(&allow, &[], None, Timeouts::default()).unwrap()
}

fn outbound(allow: &[&str]) -> Outbound {
    Outbound::new(policy(allow)).unwrap()
}

/// A client for which every name resolves to these addresses.
fn resolving_to(policy: Policy, ips: &[&str]) -> Outbound {
    let ips: Vec<IpAddr> = ips.iter().map(|ip| ip.parse().unwrap()).collect();
    let lookup: Lookup = Arc::new(move |_| {
        let ips = ips.clone();
        Box::pin(async move { Ok(ips) })
    });
    Outbound::with_lookup(policy, lookup).unwrap()
}

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

async fn why(client: &Outbound, address: &str) -> Why {
    match client.send(Request::get(url(address), Trust::User)).await {
        Err(NetError::Refused(refusal)) => refusal.why,
        other => panic!("{address}: {other:?}"),
    }
}

const LOOPBACK: [&str; 14] = [
    "127.0.0.1",
    "127.1",
    "127.255.0.9",
    "2130706433",
    "0177.0.0.1",
    "017700000001",
    "0x7f.1",
    "0x7f000001",
    "１２７.０.０.１",
    "①②⑦.0.0.1",
    "localhost",
    "localhost.",
    "[::1]",
    "[::ffff:127.0.0.1]",
];

const METADATA: [&str; 16] = [
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "0xa9.0xfe.0xa9.0xfe",
    "0251.0376.0251.0376",
    "025177524776",
    "[::ffff:169.254.169.254]",
    "[::169.254.169.254]",
    "[64:ff9b::169.254.169.254]",
    "[2002:a9fe:a9fe::]",
    "[fd00:ec2::254]",
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
    "metadata.google.internal",
    "METADATA.google.internal.",
];

const PRIVATE: [&str; 11] = [
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "198.18.0.1",
    "192.0.2.1",
    "[fc00::1]",
    "[fd12:3456::1]",
    "[fec0::1]",
    "[64:ff9b::10.0.0.1]",
];

#[tokio::test]
async fn every_spelling_of_a_closed_address_is_refused() {
    let client = outbound(&[]);
    for host in LOOPBACK {
        assert_eq!(why(&client, &format!("http://{host}:9/")).await, Why::Loopback, "{host}");
    }
    for host in METADATA {
        assert_eq!(why(&client, &format!("http://{host}/")).await, Why::Metadata, "{host}");
    }
    for host in PRIVATE {
        assert_eq!(why(&client, &format!("https://{host}/")).await, Why::Private, "{host}");
    }
    for host in ["0", "0.0.0.0", "0x0", "[::]", "[::ffff:0.0.0.0]"] {
        assert_eq!(why(&client, &format!("http://{host}/")).await, Why::Unspecified, "{host}");
    }
    for (host, expected) in [
        ("169.254.1.1", Why::LinkLocal),
        ("[fe80::1]", Why::LinkLocal),
        ("224.0.0.1", Why::Multicast),
        ("255.255.255.255", Why::Multicast),
        ("[ff02::1]", Why::Multicast),
        ("240.0.0.1", Why::Reserved),
        ("[2001:0:4136:e378::]", Why::Reserved),
        ("[64:ff9b:1::a9fe:a9fe]", Why::Reserved),
    ] {
        assert_eq!(why(&client, &format!("http://{host}/")).await, expected, "{host}");
    }
}

#[tokio::test]
async fn net_allow_never_opens_metadata_or_link_local() {
    let client = outbound(&["0.0.0.0/0", "::/0", "metadata.google.internal", "evil.example"]);
    for host in METADATA {
        assert_eq!(why(&client, &format!("http://{host}/")).await, Why::Metadata, "{host}");
    }
    for host in ["0.0.0.0", "[::]", "[fe80::1]", "169.254.1.1"] {
        assert!(!why(&client, &format!("http://{host}/")).await.can_be_allowed(), "{host}");
    }
    let rebound = resolving_to(policy(&["0.0.0.0/0", "evil.example"]), &["169.254.169.254"]);
    assert_eq!(why(&rebound, "http://evil.example/").await, Why::Metadata);
}

#[test]
fn net_allow_opens_blocks_addresses_and_names() {
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    assert_eq!(check(&policy(&["10.0.0.0/8"]), ip("10.1.2.3")), Ok(()));
    assert_eq!(check(&policy(&["10.0.0.0/8"]), ip("192.168.0.1")), Err(Why::Private));
    assert_eq!(check(&policy(&["127.0.0.1"]), ip("127.0.0.1")), Ok(()));
    assert_eq!(check(&policy(&["127.0.0.1"]), ip("::ffff:127.0.0.1")), Ok(()));
    assert_eq!(check(&policy(&["fd00::/8"]), ip("fd00::1")), Ok(()));
    assert_eq!(check(&policy(&[]), ip("1.1.1.1")), Ok(()));
    assert_eq!(check(&policy(&[]), ip("2606:4700::1111")), Ok(()));
    let named = policy(&["GitLab.lan"]);
    assert_eq!(address::check_for_host(&named, "gitlab.lan.", ip("10.0.0.1")), Ok(()));
    assert_eq!(address::check_for_host(&named, "xgitlab.lan", ip("10.0.0.1")), Err(Why::Private));
}

#[test]
fn a_policy_names_the_value_at_fault() {
    for bad in ["10.0.0.0/40", "http://x", "a b", "", "host:80"] {
        let error = Policy::new(&[bad.to_owned()], &[], None, Timeouts::default()).unwrap_err();
        assert!(error.starts_with("net.allow") && error.contains(bad), "{error}");
    }
    let error = Policy::new(&[], &["http://x".to_owned()], None, Timeouts::default()).unwrap_err();
    assert!(error.starts_with("net.plain_http"), "{error}");
    let error = Policy::new(&[], &[], Some("no pem"), Timeouts::default()).unwrap_err();
    assert!(error.starts_with("net.ca_file"), "{error}");
}

#[test]
fn plain_http_is_for_loopback_and_listed_hosts() {
    let plain = ["registry.lan:5000".to_owned(), "old.lan".to_owned()];
    let policy = Policy::new(&[], &plain, None, Timeouts::default()).unwrap();
    for host in ["registry.lan:5000", "REGISTRY.lan:5000", "old.lan", "old.lan:99", "127.0.0.1:5000", "localhost"] {
        assert!(policy.is_plain_http(host), "{host}");
    }
    for host in ["registry.lan", "registry.lan:5001", "ghcr.io", "127.0.0.1.example.com", ""] {
        assert!(!policy.is_plain_http(host), "{host}");
    }
    assert!(is_loopback_host("0x7f.1:5000") && !is_loopback_host("example.com"));
}

#[tokio::test]
async fn a_name_is_as_good_as_what_it_resolves_to() {
    let server = MockServer::start().await;
    Mock::given(method("GET")).respond_with(ResponseTemplate::new(200)).expect(1).mount(&server).await;
    let port = server.address().port();
    let address = format!("http://gitlab.example:{port}/");
    assert_eq!(why(&resolving_to(policy(&[]), &["127.0.0.1"]), &address).await, Why::Loopback);
    let error = resolving_to(policy(&[]), &["10.9.8.7"]).send(Request::get(url(&address), Trust::User)).await;
    let message = error.unwrap_err().to_string();
    assert!(message.contains("gitlab.example") && message.contains("net.allow"), "{message}");
    assert!(!message.contains("10.9.8.7"), "{message}");
    // The refused address among those of the name is left out, the other one is used.
    let mixed = resolving_to(policy(&["127.0.0.1"]), &["169.254.169.254", "127.0.0.1"]);
    assert_eq!(mixed.send(Request::get(url(&address), Trust::User)).await.unwrap().status, 200);
    assert_eq!(mixed.resolve("x.example", 1, Trust::User).await.unwrap(), ["127.0.0.1:1".parse().unwrap()]);
}

#[tokio::test]
async fn a_name_that_changes_its_address_leads_nowhere_else() {
    let server = MockServer::start().await;
    let once = ResponseTemplate::new(200).insert_header("connection", "close");
    Mock::given(method("GET")).respond_with(once).mount(&server).await;
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = asked.clone();
    // Let through when it is asked for the first time, and somewhere else ever after.
    let lookup: Lookup = Arc::new(move |_| {
        let first = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
        let ip: IpAddr = if first { "127.0.0.1" } else { "169.254.169.254" }.parse().unwrap();
        Box::pin(async move { Ok(vec![ip]) })
    });
    let client = Outbound::with_lookup(policy(&["127.0.0.1"]), lookup).unwrap();
    let address = format!("http://gitlab.example:{}/", server.address().port());
    let answer = client.send(Request::get(url(&address), Trust::User)).await.unwrap();
    assert_eq!((answer.status.as_u16(), asked.load(std::sync::atomic::Ordering::SeqCst)), (200, 1));
    // What is checked is what is connected to, each time anew.
    assert_eq!(why(&client, &address).await, Why::Metadata);
}

#[tokio::test]
async fn the_own_port_stays_closed_though_loopback_is_open() {
    let own = policy(&["127.0.0.0/8"]).with_own_port(Some(8080));
    let client = resolving_to(own, &["127.0.0.1"]);
    for host in ["127.0.0.1", "127.9.9.9", "name.example"] {
        assert_eq!(why(&client, &format!("http://{host}:8080/")).await, Why::OwnPort, "{host}");
    }
    assert!(client.resolve("name.example", 8080, Trust::User).await.is_err());
}

#[tokio::test]
async fn the_operators_addresses_pass_no_filter() {
    let server = MockServer::start().await;
    Mock::given(method("GET")).respond_with(ResponseTemplate::new(204)).mount(&server).await;
    let request = Request::get(url(&server.uri()), Trust::Operator);
    assert_eq!(outbound(&[]).send(request).await.unwrap().status, 204);
}

#[tokio::test]
async fn redirects_stay_within_the_origin() {
    let (server, other) = (MockServer::start().await, MockServer::start().await);
    let client = outbound(&["127.0.0.1"]);
    let to = |target: &str| ResponseTemplate::new(302).insert_header("location", target);
    Mock::given(path("/a")).respond_with(to("/b")).mount(&server).await;
    Mock::given(path("/b")).respond_with(ResponseTemplate::new(200)).mount(&server).await;
    Mock::given(path("/out")).respond_with(to(&other.uri())).mount(&server).await;
    Mock::given(path("/meta")).respond_with(to("http://169.254.169.254/latest")).mount(&server).await;
    Mock::given(path("/loop")).respond_with(to("/loop")).mount(&server).await;
    Mock::given(wiremock::matchers::any()).respond_with(ResponseTemplate::new(200)).expect(0).mount(&other).await;
    let ask = async |at: &str| {
        let token = SecretString::from("tok");
        let request = Request::get(url(&format!("{}{at}", server.uri())), Trust::User).bearer(&token).unwrap();
        client.send(request).await
    };
    let answer = ask("/a").await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.url.path()), (200, "/b"));
    for at in ["/out", "/meta", "/loop"] {
        assert!(matches!(ask(at).await, Err(NetError::Redirected { .. })), "{at}");
    }
    let manual = Request::get(url(&format!("{}/out", server.uri())), Trust::User).redirects(Redirects::Manual);
    assert_eq!(client.send(manual).await.unwrap().status, 302);
}

#[tokio::test]
async fn sizes_and_times_are_bounded() {
    let server = MockServer::start().await;
    let client = outbound(&["127.0.0.1"]);
    Mock::given(path("/big"))
        .respond_with(ResponseTemplate::new(200).set_body_bytes(vec![0; 5000]))
        .mount(&server)
        .await;
    let slow = ResponseTemplate::new(200).set_delay(Duration::from_secs(20));
    Mock::given(path("/slow")).respond_with(slow).mount(&server).await;
    let get = |at: &str| Request::get(url(&format!("{}{at}?secret=s3cret", server.uri())), Trust::User);
    assert!(matches!(client.send(get("/big").max_body(4999)).await, Err(NetError::TooLarge { limit: 4999, .. })));
    assert_eq!(client.send(get("/big").max_body(5000)).await.unwrap().body.len(), 5000);
    let error = client.send(get("/slow").timeout(Duration::from_millis(100))).await.unwrap_err();
    assert!(matches!(error, NetError::Timeout { .. }) && !error.to_string().contains("s3cret"), "{error}");
}

/// A body without a length, that never ends: the cap and the deadline hold while it is read.
#[tokio::test]
async fn an_endless_body_is_cut() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut request = [0; 1024];
                let _ = socket.read(&mut request).await;
                let _ = socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
                while socket.write_all(&[b'x'; 1000]).await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            });
        }
    });
    let client = outbound(&["127.0.0.1"]);
    let get = || Request::get(url(&address), Trust::User);
    assert!(matches!(client.send(get().max_body(20_000)).await, Err(NetError::TooLarge { .. })));
    let limit = Duration::from_millis(200);
    assert!(matches!(client.send(get().timeout(limit)).await, Err(NetError::Timeout { .. })));
    server.abort();
}

#[tokio::test]
async fn messages_hold_no_path_query_or_login() {
    let client = outbound(&[]);
    for address in ["http://user:hunter2@127.0.0.1/", "http://127.0.0.1/hunter2?x=hunter2", "ftp://hunter2/"] {
        let message = client.send(Request::get(url(address), Trust::User)).await.unwrap_err().to_string();
        assert!(!message.contains("hunter2"), "{message}");
    }
    let closed = outbound(&["127.0.0.1"]).send(Request::get(url("http://127.0.0.1:1/hunter2"), Trust::User)).await;
    let message = closed.unwrap_err().to_string();
    assert!(message.starts_with("http://127.0.0.1:1 cannot be reached") && !message.contains("hunter2"), "{message}");
    let request = Request::get(url("http://x/"), Trust::User).bearer(&SecretString::from("hunter2")).unwrap();
    assert!(!format!("{request:?}").contains("hunter2"));
}

#[tokio::test]
async fn runtimes_may_be_private_but_not_here_unnoticed() {
    let place = |text: &str| check_runtime_ip(text.parse().unwrap());
    for here in ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::"] {
        assert_eq!(place(here), Ok(RuntimePlace::Local), "{here}");
    }
    for there in ["192.0.2.7", "198.51.100.9", "1.1.1.1", "fd12:9999::77"] {
        assert_eq!(place(there), Ok(RuntimePlace::Remote), "{there}");
    }
    for never in ["169.254.169.254", "fd00:ec2::254", "fe80::1", "100.100.100.200", "224.0.0.1"] {
        assert!(place(never).is_err(), "{never}");
    }
    let limit = Duration::from_secs(5);
    assert_eq!(resolve_runtime("localhost.", 2375, limit).await.unwrap().1, RuntimePlace::Local);
    assert_eq!(resolve_runtime("0x7f.1", 2375, limit).await.unwrap().1, RuntimePlace::Local);
    assert!(resolve_runtime("metadata.google.internal", 80, limit).await.is_err());
}

#[test]
fn metadata_names_are_known_in_every_case() {
    for name in ["metadata.google.internal", "Metadata.Google.Internal.", "metadata.goog"] {
        assert_eq!(check_name(name), Err(Why::Metadata), "{name}");
    }
    assert_eq!(check_name("registry.example.com"), Ok(()));
}

/// Certificates are checked: only with its authority in `net.ca_file` is the server believed.
#[tokio::test]
async fn tls_trusts_the_configured_authority_alone() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let made = rcgen::generate_simple_self_signed(vec!["registry.example".to_owned()]).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            if let Ok(mut stream) = acceptor.accept(socket).await {
                let _ = stream.read(&mut [0; 1024]).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
                let _ = stream.shutdown().await;
            }
        }
    });
    let address = format!("https://registry.example:{port}/");
    let with = |pem: Option<&str>| {
        let allow = ["127.0.0.1".to_owned()];
        resolving_to(Policy::new(&allow, &[], pem, Timeouts::default()).unwrap(), &["127.0.0.1"])
    };
    let stranger = with(None).send(Request::get(url(&address), Trust::User)).await.unwrap_err();
    assert!(matches!(&stranger, NetError::Unreachable { reason, .. } if reason.contains("certificate")), "{stranger}");
    let known = with(Some(&made.cert.pem()));
    assert_eq!(known.send(Request::get(url(&address), Trust::User)).await.unwrap().body, "ok");
    let elsewhere = format!("https://other.example:{port}/");
    assert!(known.send(Request::get(url(&elsewhere), Trust::User)).await.is_err());
    server.abort();
}
