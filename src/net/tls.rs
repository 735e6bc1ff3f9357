//! TLS of outbound connections: ring, the system's certificate authorities, and those of `net.ca_file`.

use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use rustls::{ClientConfig, RootCertStore};

use super::error::NetError;
use super::policy::Policy;

/// The configuration that every outbound connection uses. Where the system has no certificate store (an image
/// built from scratch) Mozilla's list that is compiled in takes its place.
pub(super) fn client_config(policy: &Policy) -> Result<ClientConfig, NetError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    for authority in policy.authorities() {
        roots
            .add(authority.clone())
            .map_err(|error| NetError::Setup(format!("net.ca_file: a certificate cannot be used: {error}")))?;
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| NetError::Setup(format!("TLS cannot be set up: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// All authorities that are trusted, as PEM texts, for a program that has to be told. None where `net.ca_file` adds none:
/// the program knows the system's by itself.
#[must_use]
pub fn authorities_pem(policy: &Policy) -> Option<String> {
    if policy.authorities().is_empty() {
        return None;
    }
    let system = rustls_native_certs::load_native_certs().certs;
    let mut text = String::new();
    for certificate in system.iter().chain(policy.authorities()) {
        let encoded = base64::engine::general_purpose::STANDARD.encode(certificate);
        // Writing to a string can't fail.
        let _ = writeln!(text, "-----BEGIN CERTIFICATE-----");
        for line in encoded.as_bytes().chunks(64) {
            let _ = writeln!(text, "{}", String::from_utf8_lossy(line));
        }
        let _ = writeln!(text, "-----END CERTIFICATE-----");
    }
    Some(text)
}
