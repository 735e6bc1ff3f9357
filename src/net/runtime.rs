//! Where a runtime's endpoint is: runtimes may be private, and this machine's own is a matter of its own.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use url::{Host, Url};

use super::address::{self, Why};
use super::error::{NetError, Refusal};
use super::resolve::look_up;
use crate::domain::addresses::kind;

/// Which machine an endpoint is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuntimePlace {
    /// This one: registering it makes root here, so `runtimes.local_engine` decides.
    Local,
    /// Another one.
    Remote,
}

/// Places a runtime's address. Private ranges are fine, link-local and metadata never; `0.0.0.0`, `::` and this
/// machine's own addresses on any interface count as local, since connecting to them arrives here. Asks the
/// operating system which addresses are its own; sends nothing.
///
/// # Errors
/// With the reason, for an address that no runtime may have.
pub fn check_runtime_ip(ip: IpAddr) -> Result<RuntimePlace, Why> {
    match kind(ip) {
        Some(Why::Loopback) => Ok(RuntimePlace::Local),
        Some(Why::Unspecified) if address::is_this_machine(ip) => Ok(RuntimePlace::Local),
        None | Some(Why::Private) if address::is_this_machine(ip) => Ok(RuntimePlace::Local),
        None | Some(Why::Private) => Ok(RuntimePlace::Remote),
        Some(why) => Err(why),
    }
}

/// Resolves a runtime's host once, for the connection to be made to an address given here. Local when any of its
/// addresses is. Waits at most `limit`.
///
/// # Errors
/// [`NetError::Refused`] when any address is one that no runtime may have; [`NetError::Unreachable`] when there is
/// none; [`NetError::Invalid`] when it is no host.
pub async fn resolve_runtime(
    host: &str,
    port: u16,
    limit: Duration,
) -> Result<(Vec<SocketAddr>, RuntimePlace), NetError> {
    let bad = || NetError::Invalid("that is not a host name".to_owned());
    let address = format!("{host}:{port}");
    let url = Url::parse(&format!("http://{address}/")).map_err(|_| bad())?;
    let found: Vec<IpAddr> = match url.host().ok_or_else(bad)? {
        Host::Ipv4(ip) => vec![IpAddr::V4(ip)],
        Host::Ipv6(ip) => vec![IpAddr::V6(ip)],
        Host::Domain(name) => {
            address::check_name(name).map_err(|why| NetError::Refused(Refusal { address: address.clone(), why }))?;
            let lookup = tokio::time::timeout(limit, look_up(name)).await;
            lookup.map_err(|_| NetError::Timeout { address: address.clone(), after: limit })?.map_err(|error| {
                NetError::Unreachable {
                    address: address.clone(),
                    reason: format!("the name cannot be resolved: {error}"),
                }
            })?
        }
    };
    let mut place = RuntimePlace::Remote;
    for ip in &found {
        let one = check_runtime_ip(*ip).map_err(|why| NetError::Refused(Refusal { address: address.clone(), why }))?;
        if one == RuntimePlace::Local {
            place = RuntimePlace::Local;
        }
    }
    Ok((found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect(), place))
}
