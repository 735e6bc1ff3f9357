//! Images as files, from registries that do as the specification lets them, and from those that don't.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use chrono::{TimeZone, Utc};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use wiremock::matchers::{header, header_exists, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::net::{Outbound, Policy, Timeouts};

const LAYER: &[u8] = b"not really a layer";
const CONFIG: &[u8] = b"{}";

fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

struct Bench {
    server: MockServer,
    manifest: Vec<u8>,
    folder: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let part = |bytes: &[u8]| json!({ "digest": digest_of(bytes), "size": bytes.len(), "mediaType": "x" });
        Self::of(&json!({ "schemaVersion": 2, "config": part(CONFIG), "layers": [part(LAYER)] })).await
    }

    /// A registry that has this manifest and the configuration.
    async fn of(manifest: &Value) -> Self {
        let (server, manifest) = (MockServer::start().await, manifest.to_string().into_bytes());
        let bench = Self { server, manifest, folder: tempfile::tempdir().unwrap() };
        let at = format!("/v2/team/app/manifests/{}", digest_of(&bench.manifest));
        let answer = ResponseTemplate::new(200).set_body_bytes(bench.manifest.clone());
        Mock::given(path(at)).respond_with(answer).mount(&bench.server).await;
        bench.blob(CONFIG, ResponseTemplate::new(200).set_body_bytes(CONFIG)).await;
        bench
    }

    async fn blob(&self, bytes: &[u8], answer: ResponseTemplate) {
        let at = format!("/v2/team/app/blobs/{}", digest_of(bytes));
        Mock::given(path(at)).and(method("GET")).respond_with(answer).mount(&self.server).await;
    }

    async fn save(&self, login: Option<&RegistryLogin>) -> Result<(), RegistryError> {
        let outbound = Outbound::new(Policy::new(&["127.0.0.1".to_owned()], &[], None, Timeouts::default()).unwrap());
        let clock: Clock = Arc::new(|| Utc.timestamp_opt(1_750_000_000, 0).unwrap());
        let client = RegistryClient::new(outbound.unwrap(), &RegistrySettings::default(), Vec::new(), clock).unwrap();
        let wanted = Wanted {
            repository: &Repository::parse(&format!("{}/team/app", self.server.address())).unwrap(),
            digest: &Digest::parse(&digest_of(&self.manifest)).unwrap(),
            platform: "linux/amd64",
            to: &self.folder.path().join("image.tar"),
            most: 1 << 20,
        };
        client.save(&wanted, login).await
    }

    fn has(&self, bytes: &[u8]) -> bool {
        let saved = std::fs::read(self.folder.path().join("image.tar")).unwrap();
        saved.windows(bytes.len()).any(|part| part == bytes)
    }
}

fn login() -> RegistryLogin {
    RegistryLogin { username: "ada".to_owned(), token: "dckr_pat_hunter2".into(), trusted: false }
}

#[tokio::test]
async fn a_layer_elsewhere_is_fetched_without_the_login() {
    let (bench, store) = (Bench::new().await, MockServer::start().await);
    let at = format!("{}/store/of-layers?signed=1", store.uri());
    bench.blob(LAYER, ResponseTemplate::new(307).insert_header("Location", at)).await;
    Mock::given(header_exists("Authorization")).respond_with(ResponseTemplate::new(400)).mount(&store).await;
    let answer = ResponseTemplate::new(200).set_body_bytes(LAYER);
    Mock::given(path("/store/of-layers")).respond_with(answer).mount(&store).await;
    // Whatever is asked wants a login.
    let challenge = ResponseTemplate::new(401).insert_header("WWW-Authenticate", "Basic realm=\"x\"");
    let asks = |request: &wiremock::Request| !request.headers.contains_key("Authorization");
    Mock::given(asks).respond_with(challenge).with_priority(1).mount(&bench.server).await;
    bench.save(Some(&login())).await.unwrap();
    assert!(bench.has(LAYER));
    assert_eq!(store.received_requests().await.unwrap().len(), 1);
}

#[tokio::test]
async fn where_the_login_must_not_go_the_layer_is_not_fetched() {
    for (to, why) in [
        ("http://169.254.169.254/latest", "169.254.169.254"),
        ("http://store.example.com/layer", "net.plain_http"),
        ("https://user:secret@127.0.0.1/", "without a login"),
    ] {
        let bench = Bench::new().await;
        bench.blob(LAYER, ResponseTemplate::new(302).insert_header("Location", to)).await;
        let error = bench.save(None).await.unwrap_err();
        assert!(matches!(&error, RegistryError::Refused(text) if text.contains(why)), "{to}: {error:?}");
    }
    let bench = Bench::new().await;
    let here = format!("/v2/team/app/blobs/{}", digest_of(LAYER));
    bench.blob(LAYER, ResponseTemplate::new(302).insert_header("Location", here)).await;
    let error = bench.save(None).await.unwrap_err();
    assert!(matches!(&error, RegistryError::Unreachable(text) if text.contains("again and again")), "{error:?}");
}

#[tokio::test]
async fn a_token_that_runs_out_is_renewed() {
    let bench = Bench::new().await;
    let realm = format!("{}/token", bench.server.uri());
    for (number, token) in ["first", "second"].iter().enumerate() {
        let answer = ResponseTemplate::new(200).set_body_json(json!({ "token": token }));
        let mock = Mock::given(path("/token")).respond_with(answer).with_priority(number as u8 + 1);
        mock.up_to_n_times(1).mount(&bench.server).await;
    }
    let challenge = format!("Bearer realm=\"{realm}\",service=\"r\"");
    let refusal = ResponseTemplate::new(401).insert_header("WWW-Authenticate", challenge);
    // The layer takes the second token alone.
    let at = format!("/v2/team/app/blobs/{}", digest_of(LAYER));
    let found = ResponseTemplate::new(200).set_body_bytes(LAYER);
    Mock::given(path(at.clone()))
        .and(header("Authorization", "Bearer second"))
        .respond_with(found)
        .with_priority(3)
        .mount(&bench.server)
        .await;
    Mock::given(path(at)).respond_with(refusal.clone()).with_priority(4).mount(&bench.server).await;
    let asks = |request: &wiremock::Request| {
        !request.headers.contains_key("Authorization") && request.url.path().starts_with("/v2/")
    };
    Mock::given(asks).respond_with(refusal).with_priority(4).mount(&bench.server).await;
    bench.save(Some(&login())).await.unwrap();
    assert!(bench.has(LAYER));
}

#[tokio::test]
async fn what_is_not_what_the_manifest_says_is_not_taken() {
    for body in [b"not really a lay".as_slice(), b"not really a layex", b"not really a layer, and more of it"] {
        let bench = Bench::new().await;
        bench.blob(LAYER, ResponseTemplate::new(200).set_body_bytes(body)).await;
        let error = bench.save(None).await.unwrap_err();
        assert!(matches!(&error, RegistryError::Unreachable(text) if text.contains("layer")), "{error:?}");
    }
    let part = |digest: &str, size: u64| json!({ "digest": digest, "size": size });
    let config = part(&digest_of(CONFIG), 2);
    for (manifest, is_unkept) in [
        (json!({ "schemaVersion": 1 }), false),
        (json!({ "schemaVersion": 2, "layers": [] }), false),
        (json!({ "schemaVersion": 2, "config": config, "layers": [part("../../etc/passwd", 1)] }), false),
        (json!({ "schemaVersion": 2, "config": config, "layers": [part(&digest_of(LAYER), u64::MAX)] }), true),
        (json!({ "schemaVersion": 2, "config": config, "layers": vec![config.clone(); 600] }), true),
        (json!([1, 2]), false),
    ] {
        let bench = Bench::of(&manifest).await;
        let error = bench.save(None).await.unwrap_err();
        assert_eq!(matches!(error, RegistryError::Unkept(_)), is_unkept, "{manifest}: {error:?}");
        assert!(matches!(error, RegistryError::Unkept(_) | RegistryError::Unreachable(_)), "{error:?}");
    }
    // A registry that answers another manifest than it was asked for.
    let mut bench = Bench::new().await;
    let at = format!("/v2/team/app/manifests/{}", digest_of(b"another"));
    let answer = ResponseTemplate::new(200).set_body_bytes(bench.manifest.clone());
    Mock::given(path(at)).respond_with(answer).mount(&bench.server).await;
    bench.manifest = b"another".to_vec();
    let error = bench.save(None).await.unwrap_err();
    assert!(matches!(&error, RegistryError::Unreachable(text) if text.contains("another digest")), "{error:?}");
}
