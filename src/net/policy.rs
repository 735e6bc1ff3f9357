//! What the `[net]` section of the configuration says, checked.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use rustls_pki_types::{CertificateDer, pem::PemObject};

use super::address::{is_loopback_host, plain_name};

/// Which addresses may be talked to, whom to trust, and how long to wait.
#[derive(Debug, Clone)]
pub struct Policy {
    blocks: Vec<IpNet>,
    hosts: Vec<String>,
    plain_http: Vec<String>,
    authorities: Vec<CertificateDer<'static>>,
    connect_timeout: Duration,
    request_timeout: Duration,
    own_port: Option<u16>,
}

impl Policy {
    /// Checks the section's values. `allow` holds CIDR blocks, addresses or host names; `plain_http` hosts with an
    /// optional port; `ca_pem` certificate authorities to trust beside the system's.
    ///
    /// # Errors
    /// A sentence that names the key and the value at fault.
    pub fn new(
        allow: &[String],
        plain_http: &[String],
        ca_pem: Option<&str>,
        timeouts: Timeouts,
    ) -> Result<Self, String> {
        let mut policy = Self {
            blocks: Vec::new(),
            hosts: Vec::new(),
            plain_http: Vec::new(),
            authorities: Vec::new(),
            connect_timeout: timeouts.connect,
            request_timeout: timeouts.request,
            own_port: None,
        };
        for entry in allow {
            let entry = entry.trim();
            if let Ok(block) = entry.parse::<IpNet>() {
                policy.blocks.push(block.trunc());
            } else if let Ok(ip) = entry.parse::<IpAddr>() {
                policy.blocks.push(IpNet::from(ip));
            } else if is_host_name(entry) {
                policy.hosts.push(plain_name(entry));
            } else {
                return Err(format!("net.allow: {entry:?} is neither a CIDR block nor a host name"));
            }
        }
        for entry in plain_http {
            let Some(authority) = plain_authority(entry) else {
                return Err(format!("net.plain_http: {entry:?} is not a host with an optional port"));
            };
            policy.plain_http.push(authority);
        }
        if let Some(pem) = ca_pem.filter(|pem| !pem.trim().is_empty()) {
            policy.authorities = CertificateDer::pem_slice_iter(pem.as_bytes())
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| format!("net.ca_file: not a PEM file: {error}"))?;
            if policy.authorities.is_empty() {
                return Err("net.ca_file: there is no certificate in it".to_owned());
            }
        }
        if timeouts.connect.is_zero() || timeouts.request.is_zero() {
            return Err("net.connect_timeout and net.request_timeout must be more than nothing".to_owned());
        }
        Ok(policy)
    }

    /// With the port that this server listens on, which no user may make it talk to.
    #[must_use]
    pub fn with_own_port(mut self, port: Option<u16>) -> Self {
        self.own_port = port;
        self
    }

    /// Whether a block of `net.allow` holds the address.
    #[must_use]
    pub fn allows_ip(&self, ip: IpAddr) -> bool {
        self.blocks.iter().any(|block| block.contains(&ip))
    }

    /// Whether `net.allow` lists the host name, whatever it resolves to (metadata and link-local excepted).
    #[must_use]
    pub fn allows_host(&self, host: &str) -> bool {
        !host.is_empty() && self.hosts.contains(&plain_name(host))
    }

    /// Whether the host (`registry.lan:5000`, `127.0.0.1:5000`) is spoken to without TLS: loopback and what
    /// `net.plain_http` lists, where an entry without a port covers every port.
    #[must_use]
    pub fn is_plain_http(&self, authority: &str) -> bool {
        let Some(authority) = plain_authority(authority) else { return false };
        let (host, _) = split_port(&authority);
        is_loopback_host(host) || self.plain_http.iter().any(|entry| *entry == authority || entry == host)
    }

    /// The port this server listens on.
    #[must_use]
    pub fn own_port(&self) -> Option<u16> {
        self.own_port
    }

    /// Longest wait for a connection, name resolution included.
    #[must_use]
    pub fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// Longest wait for a whole answer, unless a request says otherwise.
    #[must_use]
    pub fn request_timeout(&self) -> Duration {
        self.request_timeout
    }

    pub(super) fn authorities(&self) -> &[CertificateDer<'static>] {
        &self.authorities
    }
}

/// How long to wait.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For a whole answer.
    pub request: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), request: Duration::from_secs(30) }
    }
}

fn plain_authority(text: &str) -> Option<String> {
    let text = text.trim();
    let (host, port) = split_port(text);
    let port_ok = port.is_none_or(|p| p.parse::<u16>().is_ok_and(|n| n > 0));
    let host_ok = is_host_name(host) || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    (port_ok && host_ok).then(|| match port {
        Some(port) => format!("{}:{port}", plain_name(host)),
        None => plain_name(host),
    })
}

fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

fn is_host_name(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    !name.is_empty()
        && name.len() <= 253
        && name.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
}
