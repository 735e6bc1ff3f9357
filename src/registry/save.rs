//! An image as one file, by the OCI distribution specification: its manifest, its configuration and its layers, each of the
//! digest and the size that says so.
//!
//! The file is what `docker save` writes since Docker 25, and so both at once: an OCI image layout
//! (<https://github.com/opencontainers/image-spec/blob/main/image-layout.md>), and with `manifest.json` what came before.
//! Layers stay compressed, as the registry has them: whoever reads such files looks.

use reqwest::header::{ACCEPT, HeaderValue};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::archive::Archive;
use super::auth::{Session, below};
use super::oci::MANIFEST_TYPES;
use super::{RegistryError, Wanted};
use crate::domain::image::Digest;
use crate::net::Request;

/// Layers of an image at most: no engine takes more.
const MOST_LAYERS: usize = 512;
/// Bytes of one manifest at most (the specification has registries take 4 MiB).
const MOST_MANIFEST: u64 = 4 << 20;
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// What a manifest or an index says of something else.
#[derive(Debug, Clone, Deserialize)]
struct Descriptor {
    digest: String,
    size: u64,
    platform: Option<Platform>,
}

#[derive(Debug, Clone, Deserialize)]
struct Platform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    variant: Option<String>,
}

/// Either of the two.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u32,
    media_type: Option<String>,
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
}

/// Writes the image.
pub(super) async fn save(session: &mut Session<'_>, wanted: &Wanted<'_>) -> Result<(), RegistryError> {
    let (mut digest, mut bytes) = (wanted.digest.clone(), manifest(session, wanted, wanted.digest).await?);
    let mut found = read(session, &bytes)?;
    if let Some(all) = &found.manifests {
        digest = of_platform(session, all, wanted.platform)?;
        bytes = manifest(session, wanted, &digest).await?;
        found = read(session, &bytes)?;
    }
    let (Some(config), Some(layers)) = (found.config, found.layers) else {
        return Err(session.unreachable("answers something other than the manifest of an image"));
    };
    let parts: Vec<(Digest, u64)> = std::iter::once(&config)
        .chain(&layers)
        .map(|one| Ok((parse(session, one)?, one.size)))
        .collect::<Result<_, _>>()?;
    let total = parts.iter().fold(bytes.len() as u64, |sum, (_, size)| sum.saturating_add(*size));
    if total > wanted.most || parts.len() > MOST_LAYERS {
        let text = format!("{} is larger than {} MiB", session.subject, wanted.most >> 20);
        return Err(RegistryError::Unkept(text));
    }
    let kept = |failure: std::io::Error| RegistryError::Unkept(format!("{}: {failure}", wanted.digest));
    let mut archive = Archive::create(wanted.to).await.map_err(kept)?;
    let kind = found.media_type.as_deref().unwrap_or(OCI_MANIFEST);
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{ "mediaType": kind, "digest": digest.as_str(), "size": bytes.len() }],
    });
    let paths: Vec<String> = parts.iter().map(|(digest, _)| path(digest)).collect();
    let listed = json!([{ "Config": paths[0], "RepoTags": [], "Layers": paths[1..] }]);
    let texts = [
        ("oci-layout".to_owned(), json!({ "imageLayoutVersion": "1.0.0" }).to_string().into_bytes()),
        ("index.json".to_owned(), index.to_string().into_bytes()),
        ("manifest.json".to_owned(), listed.to_string().into_bytes()),
        (path(&digest), bytes),
    ];
    for folder in ["blobs/", "blobs/sha256/"] {
        archive.folder(folder).await.map_err(kept)?;
    }
    for (name, bytes) in &texts {
        archive.begin(name, bytes.len() as u64).await.map_err(kept)?;
        archive.write(bytes).await.map_err(kept)?;
        archive.end_file().await.map_err(kept)?;
    }
    for (at, (digest, size)) in parts.iter().enumerate() {
        // An empty layer may be there twice, and is in one file.
        if parts[..at].iter().all(|(before, _)| before != digest) {
            blob(session, wanted, (digest, *size), &mut archive).await?;
        }
    }
    archive.end().await.map_err(kept)
}

/// The bytes of a manifest, which have this digest.
async fn manifest(session: &mut Session<'_>, wanted: &Wanted<'_>, digest: &Digest) -> Result<Vec<u8>, RegistryError> {
    let url = below(&session.base, &format!("v2/{}/manifests/{digest}", wanted.repository.path()));
    let request = Request::new(Method::GET, url, session.trust)
        .header(ACCEPT, HeaderValue::from_static(MANIFEST_TYPES))
        .max_body(MOST_MANIFEST as usize);
    let answer = session.send(request).await?;
    if answer.status != StatusCode::OK {
        return Err(session.error_for(answer.status, "image"));
    }
    match sha256(&answer.body) == digest.as_str() {
        true => Ok(answer.body.to_vec()),
        false => Err(session.unreachable("answers a manifest of another digest than it was asked for")),
    }
}

fn read(session: &Session<'_>, bytes: &[u8]) -> Result<Manifest, RegistryError> {
    let manifest: Option<Manifest> = serde_json::from_slice(bytes).ok();
    manifest
        .filter(|manifest| manifest.schema_version == 2)
        .ok_or_else(|| session.unreachable("answers something other than an image manifest"))
}

/// The manifest of a platform; of an index with one platform alone, that. What goes with an image, like the account of its
/// build, is listed under a platform that is none.
fn of_platform(session: &Session<'_>, all: &[Descriptor], wanted: &str) -> Result<Digest, RegistryError> {
    let known: Vec<(&Descriptor, String)> = all
        .iter()
        .filter_map(|one| Some((one, one.platform.as_ref()?)))
        .filter(|(_, platform)| platform.os == "linux" && platform.architecture != "unknown")
        .map(|(one, platform)| {
            let variant = platform.variant.as_ref().map(|variant| format!("/{variant}")).unwrap_or_default();
            (one, format!("linux/{}{variant}", platform.architecture))
        })
        .collect();
    let is =
        |platform: &str| platform == wanted || platform.strip_prefix(wanted).is_some_and(|rest| rest.starts_with('/'));
    let found = match known.as_slice() {
        [(only, _)] => Some(*only),
        several => several.iter().find(|(_, platform)| is(platform)).map(|(one, _)| *one),
    };
    match found {
        Some(one) => parse(session, one),
        None => {
            let there: Vec<String> = known.into_iter().map(|(_, platform)| platform).collect();
            let there = if there.is_empty() { "none for linux".to_owned() } else { there.join(", ") };
            let text = format!("{}: the image is not for {wanted}; it is for: {there}", session.subject);
            Err(RegistryError::NotFound(text))
        }
    }
}

fn parse(session: &Session<'_>, one: &Descriptor) -> Result<Digest, RegistryError> {
    Digest::parse(&one.digest).map_err(|_| session.unreachable("names a part of the image by no digest that is known"))
}

/// Writes a blob into the archive as it comes.
async fn blob(
    session: &mut Session<'_>,
    wanted: &Wanted<'_>,
    (digest, size): (&Digest, u64),
    archive: &mut Archive,
) -> Result<(), RegistryError> {
    let url = below(&session.base, &format!("v2/{}/blobs/{digest}", wanted.repository.path()));
    let mut answer = session.open(url, size).await?;
    if answer.status != StatusCode::OK {
        return Err(session.error_for(answer.status, "layer of the image"));
    }
    let kept = |failure: std::io::Error| RegistryError::Unkept(format!("{digest}: {failure}"));
    archive.begin(&path(digest), size).await.map_err(kept)?;
    let (mut hash, mut taken) = (Sha256::new(), 0_u64);
    let wrong =
        |session: &Session<'_>| session.unreachable("answers something other than the layer that it was asked for");
    while let Some(part) = answer.chunk().await.map_err(|error| session.asker.error(error, &session.subject))? {
        taken += part.len() as u64;
        if taken > size {
            return Err(wrong(session));
        }
        hash.update(&part);
        archive.write(&part).await.map_err(kept)?;
    }
    if taken != size || format!("sha256:{}", hex::encode(hash.finalize())) != digest.as_str() {
        return Err(wrong(session));
    }
    archive.end_file().await.map_err(kept)
}

fn path(digest: &Digest) -> String {
    format!("blobs/{}", digest.as_str().replace(':', "/"))
}

fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}
