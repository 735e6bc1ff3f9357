//! `kiops ready`

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, bail};
use url::Url;

use crate::boot;
use crate::config::Config;
use crate::net::{Request, Trust};

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(4);

/// Asks the server of this configuration, on this machine, whether it is ready.
///
/// # Errors
/// Why it is not; that nobody answers.
pub async fn run(config: &Config) -> anyhow::Result<()> {
    let address = reached_at(config.server.listen);
    let url = Url::parse(&format!("http://{address}/readyz")).context("server.listen")?;
    let answer = boot::outbound(config)?.send(Request::get(url, Trust::Operator).timeout(PATIENCE)).await?;
    let said = String::from_utf8_lossy(&answer.body);
    if !answer.status.is_success() {
        bail!("the server at {address} answers {}: {}", answer.status, said.trim());
    }
    println!("{}", said.trim());
    Ok(())
}

/// Who listens on all addresses is reached on the machine's own.
fn reached_at(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
