//! Which IP addresses and host names may be talked to.
//!
//! Ranges are those of the IANA special-purpose registries
//! (<https://www.iana.org/assignments/iana-ipv4-special-registry>,
//! <https://www.iana.org/assignments/iana-ipv6-special-registry>) and the metadata addresses that clouds document.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What makes an address one that is not talked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// This machine.
    Loopback,
    /// A private, shared or local range (RFC 1918, RFC 6598, RFC 4193), or one for tests and documentation.
    Private,
    /// Only reachable on the link (169.254.0.0/16, `fe80::/10`).
    LinkLocal,
    /// A cloud's metadata or platform service.
    Metadata,
    /// Multicast or broadcast.
    Multicast,
    /// `0.0.0.0/8`, `::`.
    Unspecified,
    /// Not assigned to anybody, or a tunnel whose end cannot be told.
    Reserved,
    /// The port that this server itself listens on.
    OwnPort,
}

impl Why {
    /// Whether `net.allow` may let such an address through.
    #[must_use]
    pub fn can_be_allowed(self) -> bool {
        matches!(self, Self::Loopback | Self::Private)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "a loopback address",
            Self::Private => "in a private range",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "a cloud's metadata service",
            Self::Multicast => "a multicast address",
            Self::Unspecified => "the unspecified address",
            Self::Reserved => "in a reserved range",
            Self::OwnPort => "this server's own port",
        })
    }
}

impl std::error::Error for Why {}

/// Metadata and platform services outside the link-local ranges: Alibaba, Oracle, Azure.
pub const METADATA_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192), Ipv4Addr::new(168, 63, 129, 16)];

/// The same within the unique local range: AWS, Google, Scaleway.
pub const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),
];

/// Names that clouds resolve to their metadata service.
const METADATA_NAMES: [&str; 5] =
    ["metadata.google.internal", "metadata.goog", "metadata", "instance-data", "instance-data.ec2.internal"];

/// Checks a host name before it is resolved.
///
/// # Errors
/// When it is a cloud's name for its metadata service.
pub fn check_name(host: &str) -> Result<(), Why> {
    let name = plain_name(host);
    if METADATA_NAMES.contains(&name.as_str()) { Err(Why::Metadata) } else { Ok(()) }
}

/// Lower case, without the dot of a fully qualified name.
#[must_use]
pub fn plain_name(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

/// Why no runtime, neither an engine nor a cluster, is at an address; none where one may be. Private ranges and this
/// machine are theirs, unlike in [`kind`].
#[must_use]
pub fn never_a_runtime(ip: IpAddr) -> Option<Why> {
    kind(ip).filter(|why| matches!(why, Why::LinkLocal | Why::Metadata | Why::Multicast | Why::Reserved))
}

/// What speaks against an address; nothing against a public one.
#[must_use]
pub fn kind(ip: IpAddr) -> Option<Why> {
    match unwrapped(ip) {
        IpAddr::V4(ip) => kind_v4(ip),
        IpAddr::V6(ip) => kind_v6(ip),
    }
}

fn kind_v4(ip: Ipv4Addr) -> Option<Why> {
    if METADATA_V4.contains(&ip) {
        return Some(Why::Metadata);
    }
    match ip.octets() {
        [0, ..] => Some(Why::Unspecified),
        [127, ..] => Some(Why::Loopback),
        [169, 254, 169, 254] => Some(Why::Metadata),
        [169, 254, ..] => Some(Why::LinkLocal),
        [10, ..] | [192, 168, ..] => Some(Why::Private),
        [172, b, ..] if (16..32).contains(&b) => Some(Why::Private),
        [100, b, ..] if (64..128).contains(&b) => Some(Why::Private),
        [198, 18 | 19, ..] | [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Some(Why::Private),
        [192, 0, 0, _] | [192, 88, 99, _] => Some(Why::Reserved),
        [a, ..] if (224..240).contains(&a) => Some(Why::Multicast),
        [255, 255, 255, 255] => Some(Why::Multicast),
        [a, ..] if a >= 240 => Some(Why::Reserved),
        _ => None,
    }
}

fn kind_v6(ip: Ipv6Addr) -> Option<Why> {
    if METADATA_V6.contains(&ip) {
        return Some(Why::Metadata);
    }
    let s = ip.segments();
    match s {
        _ if ip.is_unspecified() => Some(Why::Unspecified),
        _ if ip.is_loopback() => Some(Why::Loopback),
        [a, ..] if a & 0xff00 == 0xff00 => Some(Why::Multicast),
        [a, ..] if a & 0xffc0 == 0xfe80 => Some(Why::LinkLocal),
        [a, ..] if a & 0xffc0 == 0xfec0 => Some(Why::Private),
        [a, ..] if a & 0xfe00 == 0xfc00 => Some(Why::Private),
        [0x2001, 0xdb8, ..] => Some(Why::Private),
        // Teredo and the other protocol assignments of 2001::/23.
        [0x2001, b, ..] if b < 0x200 => Some(Why::Reserved),
        // ISATAP (RFC 5214): the last 32 bits are an IPv4 address.
        [.., 0 | 0x200, 0x5efe, _, _] => kind_v4(v4_of(s[6], s[7])).or(Some(Why::Reserved)),
        // Global unicast is 2000::/3; nothing else is assigned.
        [a, ..] if a & 0xe000 != 0x2000 => Some(Why::Reserved),
        _ => None,
    }
}

/// The IPv4 address inside an IPv6 one, where it is mapped, compatible, NAT64 or 6to4
/// (RFC 4291 2.5.5, RFC 6052, RFC 3056): what the packets would reach.
#[must_use]
pub fn unwrapped(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    let inner = match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, a, b] | [0, 0, 0, 0, 0xffff, 0, a, b] | [0x64, 0xff9b, 0, 0, 0, 0, a, b] => {
            Some(v4_of(a, b))
        }
        [0, 0, 0, 0, 0, 0, a, b] if a != 0 => Some(v4_of(a, b)),
        [0x2002, a, b, ..] => Some(v4_of(a, b)),
        _ => None,
    };
    inner.map_or(ip, IpAddr::V4)
}

/// What an address counts as where callers are counted. Somebody with one IPv6 network has 2^64 addresses, so they
/// all count as its /64. An IPv4 address counts as itself, also [inside](unwrapped) an IPv6 one.
#[must_use]
pub fn network(ip: IpAddr) -> IpAddr {
    match unwrapped(ip) {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64))),
        ip => ip,
    }
}

fn v4_of(high: u16, low: u16) -> Ipv4Addr {
    let [a, b] = high.to_be_bytes();
    let [c, d] = low.to_be_bytes();
    Ipv4Addr::new(a, b, c, d)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_runtime_is_at_these() {
        for text in [
            "169.254.169.254",
            "100.100.100.200",
            "192.0.0.192",
            "168.63.129.16",
            "224.0.0.1",
            "255.255.255.255",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "2002:a9fe:a9fe::",
            "::169.254.169.254",
            "fe80::1",
            "fd00:ec2::254",
            "ff02::1",
        ] {
            assert!(text.parse().is_ok_and(|ip| never_a_runtime(ip).is_some()), "{text}");
        }
        for text in ["10.0.0.1", "192.168.1.1", "172.17.0.1", "127.0.0.1", "fd00::1", "8.8.8.8"] {
            assert!(text.parse().is_ok_and(|ip| never_a_runtime(ip).is_none()), "{text}");
        }
    }

    #[test]
    fn an_ipv6_network_counts_as_one() {
        let ip = |text: &str| text.parse::<IpAddr>();
        for (text, counts_as) in [
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::"),
            ("2001:db8:1:3::1", "2001:db8:1:3::"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("64:ff9b::192.0.2.7", "192.0.2.7"),
            ("192.0.2.7", "192.0.2.7"),
            ("::1", "::"),
        ] {
            assert_eq!(ip(text).map(network), ip(counts_as), "{text}");
        }
    }
}
