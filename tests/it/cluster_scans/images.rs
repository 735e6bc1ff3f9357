//! Images read from a real registry, which asks for a login.

use std::io::{Read as _, Write as _};

use kiops::domain::image::{Digest, Repository};
use kiops::domain::secret::RegistryLogin;
use kiops::net::{Outbound, Policy, Timeouts};
use kiops::registry::{Registries as _, RegistryClient, RegistryError, RegistrySettings, Wanted};
use reqwest::header::{CONTENT_TYPE, LOCATION};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::support::registry::{Registry, TOKEN, USER};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Pushes as `docker push` does.
struct Pusher {
    http: reqwest::Client,
    base: String,
}

impl Pusher {
    async fn blob(&self, kind: &str, bytes: &[u8]) -> Value {
        let digest = digest_of(bytes);
        let begun = self.http.post(format!("{}/blobs/uploads/", self.base)).basic_auth(USER, Some(TOKEN)).send().await;
        let place = begun.unwrap().headers()[LOCATION].to_str().unwrap().to_owned();
        let place = format!("{place}&digest={digest}");
        let put = self.http.put(place).basic_auth(USER, Some(TOKEN)).body(bytes.to_vec()).send().await.unwrap();
        assert_eq!(put.status(), 201);
        json!({ "mediaType": kind, "digest": digest, "size": bytes.len() })
    }

    async fn manifest(&self, kind: &str, value: &Value) -> Value {
        let bytes = value.to_string().into_bytes();
        let digest = digest_of(&bytes);
        let put = self.http.put(format!("{}/manifests/{digest}", self.base)).header(CONTENT_TYPE, kind);
        let put = put.basic_auth(USER, Some(TOKEN)).body(bytes.clone()).send().await.unwrap();
        assert_eq!(put.status(), 201, "{}", put.text().await.unwrap());
        json!({ "mediaType": kind, "digest": digest, "size": bytes.len() })
    }

    /// An image of these layers.
    async fn image(&self, layers: &[&[u8]]) -> Value {
        let mut described = Vec::new();
        for layer in layers {
            described.push(self.blob(LAYER, layer).await);
        }
        let unpacked: Vec<String> = layers.iter().map(|layer| digest_of(&plain(layer))).collect();
        let rootfs = json!({ "type": "layers", "diff_ids": unpacked });
        let config = json!({ "architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs });
        let config = self.blob(CONFIG, config.to_string().as_bytes()).await;
        let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": described });
        self.manifest(MANIFEST, &manifest).await
    }
}

fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn layer(name: &str, bytes: usize) -> Vec<u8> {
    // What can't be made smaller.
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    let content: Vec<u8> = (0..bytes).map(|_| next()).collect();
    packed(name, &content)
}

fn plain(layer: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(layer).read_to_end(&mut bytes).unwrap();
    bytes
}

/// A layer with one file.
fn packed(name: &str, content: &[u8]) -> Vec<u8> {
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, name, content).unwrap();
    let mut inner = tar.into_inner().unwrap();
    inner.flush().unwrap();
    inner.finish().unwrap()
}

fn client() -> RegistryClient {
    let policy = Policy::new(&["127.0.0.1".to_owned()], &[], None, Timeouts::default()).unwrap();
    let clock = std::sync::Arc::new(|| chrono::DateTime::UNIX_EPOCH);
    RegistryClient::new(Outbound::new(policy).unwrap(), &RegistrySettings::default(), Vec::new(), clock).unwrap()
}

/// All files of an archive.
fn files(path: &Path) -> std::collections::BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(std::fs::File::open(path).unwrap());
    let all = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (entry.path().unwrap().display().to_string(), bytes)
    });
    all.collect()
}

#[tokio::test]
async fn an_image_is_read_with_a_login_and_is_what_was_pushed() {
    let Some(registry) = Registry::start("an_image_is_read_with_a_login_and_is_what_was_pushed") else { return };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::ClientBuilder::new().no_proxy().build().unwrap();
    let pusher = Pusher { http, base: format!("http://{}/v2/acme/shop", registry.address) };
    let layers = [layer("small", 10), layer("large", 3 << 20), layer("small", 10)];
    let parts: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
    let (wanted, other) = (pusher.image(&parts).await, pusher.image(&parts[..1]).await);
    let of = |image: &Value, os: &str, architecture: &str| {
        let mut image = image.clone();
        image["platform"] = json!({ "os": os, "architecture": architecture });
        image
    };
    let all = json!([of(&other, "linux", "arm64"), of(&other, "unknown", "unknown"), of(&wanted, "linux", "amd64"),]);
    let index = pusher.manifest(INDEX, &json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": all })).await;

    let repository = Repository::parse(&format!("{}/acme/shop", registry.address)).unwrap();
    let login = RegistryLogin { username: USER.to_owned(), token: TOKEN.into(), trusted: false };
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("image.tar");
    let save = async |digest: &Value, platform: &str, most: u64, login: Option<&RegistryLogin>| {
        let digest = Digest::parse(digest["digest"].as_str().unwrap()).unwrap();
        client().save(&Wanted { repository: &repository, digest: &digest, platform, to: &to, most }, login).await
    };

    save(&index, "linux/amd64", 1 << 30, Some(&login)).await.unwrap();
    let found = files(&to);
    let read = |name: &str| serde_json::from_slice::<Value>(&found[name]).unwrap();
    assert_eq!(read("oci-layout"), json!({ "imageLayoutVersion": "1.0.0" }));
    assert_eq!(read("index.json")["manifests"][0]["digest"], wanted["digest"]);
    let blob = |digest: &str| format!("blobs/{}", digest.replace(':', "/"));
    let listed = read("manifest.json");
    let expected: Vec<String> = layers.iter().map(|layer| blob(&digest_of(layer))).collect();
    assert_eq!(listed[0]["Layers"], json!(expected));
    for (name, layer) in expected.iter().zip(&layers) {
        assert!(found[name] == *layer, "{name}");
    }
    // Every blob is what its name says, and what the index and the manifest name is there.
    for (name, bytes) in found.iter().filter(|(name, _)| name.starts_with("blobs/") && !name.ends_with('/')) {
        assert_eq!(*name, blob(&digest_of(bytes)));
    }
    assert!(found.contains_key(listed[0]["Config"].as_str().unwrap()));
    assert!(found.contains_key(&blob(wanted["digest"].as_str().unwrap())));
    assert_eq!(found.len(), 3 + 2 + 1 + 1 + 2, "a layer that is there twice is one file");

    // Of an image for one platform that one is taken, whatever it is.
    save(&wanted, "linux/s390x", 1 << 30, Some(&login)).await.unwrap();
    let error = save(&index, "linux/s390x", 1 << 30, Some(&login)).await.unwrap_err();
    assert!(matches!(&error, RegistryError::NotFound(why) if why.contains("linux/arm64, linux/amd64")), "{error}");
    let error = save(&index, "linux/amd64", 1 << 20, Some(&login)).await.unwrap_err();
    assert!(matches!(&error, RegistryError::Unkept(why) if why.contains("larger than 1 MiB")), "{error}");
    for login in [None, Some(RegistryLogin { username: USER.to_owned(), token: "wrong".into(), trusted: false })] {
        let error = save(&index, "linux/amd64", 1 << 30, login.as_ref()).await.unwrap_err();
        assert!(matches!(&error, RegistryError::Unauthorized(why) if !why.contains("wrong")), "{error}");
    }
    let nothing = json!({ "digest": format!("sha256:{}", "0".repeat(64)) });
    let error = save(&nothing, "linux/amd64", 1 << 30, Some(&login)).await.unwrap_err();
    assert!(matches!(error, RegistryError::NotFound(_)), "{error}");
}

/// What a real tool makes of such a file: layers are compressed, and it is no engine's.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "where the programs are is said by the environment")]
async fn syft_reads_what_came_from_a_registry() {
    let test = "syft_reads_what_came_from_a_registry";
    let Some(registry) = Registry::start(test) else { return };
    let folder = std::env::var("KIOPS_TEST_SCANNERS").unwrap_or_default();
    let program = Path::new(&folder).join("syft");
    if !program.exists() {
        return crate::support::skip(test, "scanners");
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::ClientBuilder::new().no_proxy().build().unwrap();
    let pusher = Pusher { http, base: format!("http://{}/v2/acme/shop", registry.address) };
    let metadata = "Metadata-Version: 2.1\nName: jinja2\nVersion: 2.4.1\n";
    let package = packed("usr/lib/python3/dist-packages/jinja2-2.4.1.dist-info/METADATA", metadata.as_bytes());
    let release = packed("etc/os-release", b"ID=debian\nVERSION_ID=\"12\"\n");
    let image = pusher.image(&[&release, &package]).await;
    let mut place = Place::new(ends(0, &[]));
    let to = place.temp.path().join("image.tar");
    let wanted = Wanted {
        repository: &Repository::parse(&format!("{}/acme/shop", registry.address)).unwrap(),
        digest: &Digest::parse(image["digest"].as_str().unwrap()).unwrap(),
        platform: "linux/amd64",
        to: &to,
        most: 1 << 30,
    };
    let login = RegistryLogin { username: USER.to_owned(), token: TOKEN.into(), trusted: false };
    client().save(&wanted, Some(&login)).await.unwrap();
    for from in ["docker-archive", "oci-archive"] {
        let source = format!("{from}:{}", to.display());
        let words = [program.to_str().unwrap(), "scan", &source, "--quiet", "--output=cyclonedx-json={report}"];
        let tool = Tool {
            image: None,
            command: words.map(str::to_owned).to_vec(),
            format: Format::Cyclonedx,
            memory: 4 << 30,
            max_report_bytes: 64 << 20,
            ..probe()
        };
        place.target = Target::default();
        let (ran, lines) = place.run(&tool).await;
        ran.unwrap_or_else(|error| panic!("{from}: {error}\n{}", lines.text()));
        let report = std::fs::read_to_string(place.report()).unwrap();
        assert!(report.contains("pkg:pypi/jinja2@2.4.1"), "{from}: {report}");
    }
}
