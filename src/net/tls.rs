//! TLS of outbound connections: ring, the system's certificate authorities, and those of `net.ca_file`.

use std::sync::Arc;

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
