//! Which IP addresses and host names may be talked to, with what `net.allow` opens.

use std::net::{IpAddr, SocketAddr};

use super::policy::Policy;
use crate::domain::addresses::{kind, unwrapped};

pub use crate::domain::addresses::{Why, check_name, plain_name};

/// Checks an address that a user gave, after resolution.
///
/// # Errors
/// With the reason, when the address is of a kind that is refused and no block of `net.allow` covers it. Metadata,
/// link-local, multicast, unspecified and reserved addresses are refused whatever is allowed.
pub fn check(policy: &Policy, ip: IpAddr) -> Result<(), Why> {
    check_for_host(policy, "", ip)
}

/// As [`check`], for an address that `host` resolved to: `net.allow` may list the name instead.
///
/// # Errors
/// As [`check`].
pub fn check_for_host(policy: &Policy, host: &str, ip: IpAddr) -> Result<(), Why> {
    match kind(ip) {
        None => Ok(()),
        Some(why) if !why.can_be_allowed() => Err(why),
        Some(_) if policy.allows_ip(ip) || policy.allows_ip(unwrapped(ip)) || policy.allows_host(host) => Ok(()),
        Some(why) => Err(why),
    }
}

/// As [`check_for_host`], with the port: this server's own port on this machine is refused whatever is allowed.
/// Asks the operating system whether an address is this machine's, only when the port is its own.
///
/// # Errors
/// As [`check`].
pub fn check_socket(policy: &Policy, host: &str, socket: SocketAddr) -> Result<(), Why> {
    check_for_host(policy, host, socket.ip())?;
    if policy.own_port() == Some(socket.port()) && is_this_machine(socket.ip()) {
        return Err(Why::OwnPort);
    }
    Ok(())
}

/// Whether the host is this machine by its spelling: a loopback address or a `localhost` name (RFC 6761, 6.3).
#[must_use]
pub fn is_loopback_host(host: &str) -> bool {
    // The URL standard's parser knows the odd spellings: 127.1, decimal, octal, hexadecimal.
    let parsed = url::Url::parse(&format!("http://{host}/"));
    match parsed.as_ref().ok().and_then(url::Url::host) {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => kind(IpAddr::V6(ip)) == Some(Why::Loopback),
        Some(url::Host::Domain(name)) => {
            let name = plain_name(name);
            name == "localhost" || name.ends_with(".localhost")
        }
        None => false,
    }
}

/// Whether the operating system holds this address as its own: only then can a socket be bound to it.
#[must_use]
pub fn is_this_machine(ip: IpAddr) -> bool {
    let ip = unwrapped(ip);
    ip.is_loopback() || ip.is_unspecified() || std::net::UdpSocket::bind((ip, 0)).is_ok()
}
