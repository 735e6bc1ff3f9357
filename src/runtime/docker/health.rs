//! Waiting until a container is healthy.

use std::io::ErrorKind;
use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use bollard::models::{ContainerInspectResponse, HealthStatusEnum};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::DockerRuntime;
use super::apply::Run;
use super::spec::network_name;
use crate::domain::spec::ContainerSpec;
use crate::runtime::RuntimeError;

/// How often a waiting container is looked at.
const LOOK: Duration = Duration::from_millis(400);
/// How often one that has just started is asked: most programs answer within a second or two, and whoever deploys waits.
/// What it costs is no failure more than asking once in an interval.
const SOON: Duration = Duration::from_millis(100);
/// How long it has just started, if its interval is not shorter.
const NEW: Duration = Duration::from_secs(10);
/// How long a container without any check has to run.
const RUNS: Duration = Duration::from_secs(5);

/// How long it takes at most to see whether an address leads somewhere, on the engine's own machine.
const REACHES: Duration = Duration::from_secs(1);

/// Whom to ask.
enum Probe {
    Http(String, u16, String),
    Tcp(String, u16),
    /// The image's HEALTHCHECK, or running for a while.
    Engine,
}

impl DockerRuntime {
    /// Returns when the container is healthy, and a reason when it does not become so.
    pub(super) async fn wait_healthy(
        &self,
        run: &mut Run<'_>,
        container: &ContainerSpec,
        id: &str,
    ) -> Result<(), RuntimeError> {
        let began = Instant::now();
        let (mut failures, mut next_try, mut last) = (0, began, "no answer yet".to_owned());
        let mut next_failure = began;
        let mut restarts = None;
        loop {
            let state = self.inspect(id).await?;
            let running = state.state.as_ref().and_then(|s| s.running).unwrap_or_default();
            let count = state.restart_count.unwrap_or_default();
            if !running || *restarts.get_or_insert(count) != count {
                return Err(self.exited(run, container, id, &state).await);
            }
            match (self.probe(run, container, &state).await, &container.health) {
                (Probe::Engine, _) => match engine_health(&state) {
                    Some(HealthStatusEnum::HEALTHY) => return Ok(()),
                    Some(HealthStatusEnum::UNHEALTHY) => {
                        let why = "its HEALTHCHECK says unhealthy";
                        return Err(self.unhealthy(run, container, id, why).await);
                    }
                    Some(_) => last = "its HEALTHCHECK has not succeeded yet".to_owned(),
                    None if began.elapsed() >= RUNS => return Ok(()),
                    None => last = "it has not run long enough yet".to_owned(),
                },
                (probe, Some(check)) if Instant::now() >= next_try => {
                    match attempt(&probe, Duration::from_secs(check.timeout_seconds.max(1).into())).await {
                        Ok(()) => return Ok(()),
                        Err(why) => last = why,
                    }
                    let (now, interval) = (Instant::now(), Duration::from_secs(check.interval_seconds.max(1).into()));
                    let grace = began.elapsed() < Duration::from_secs(check.start_seconds.into());
                    if now >= next_failure && !grace {
                        failures += 1;
                        next_failure = now + interval;
                    }
                    if failures >= check.retries.max(1) {
                        return Err(self.unhealthy(run, container, id, &last).await);
                    }
                    let pause = match () {
                        () if began.elapsed() < interval.min(NEW) => SOON,
                        () if grace => interval.min(Duration::from_secs(1)),
                        () => next_failure - now,
                    };
                    next_try = now + pause;
                }
                _ => {}
            }
            if Instant::now() >= run.deadline {
                let text = format!("container {} was not healthy at the deadline: {last}", container.name);
                return Err(RuntimeError::TimedOut(run.mask(&text)));
            }
            sleep(if began.elapsed() < NEW { SOON } else { LOOK }).await;
        }
    }

    async fn probe(&self, run: &mut Run<'_>, container: &ContainerSpec, state: &ContainerInspectResponse) -> Probe {
        let (Some(check), Some(port)) = (&container.health, container.port) else { return Probe::Engine };
        let network = network_name(&run.rollout.spec.target);
        let address = own_address(state, &network);
        if self.engine.is_local() {
            if is_elsewhere(state, &network, address.map(|ip| (ip, port))).await {
                run.warn(format!(
                    "container {}: its network cannot be reached from where KIOPS runs, a container or another machine \
                     than the engine's; its HEALTHCHECK, or else that it runs, was taken for its health",
                    container.name
                ));
                return Probe::Engine;
            }
            return match (address, &check.path) {
                (Some(ip), Some(path)) => Probe::Http(ip.to_string(), port, path.clone()),
                // Before its address is known nothing answers; asking nobody is a failed attempt.
                (None, _) => Probe::Tcp(String::new(), port),
                (Some(ip), None) => Probe::Tcp(ip.to_string(), port),
            };
        }
        match (&check.path, published_port(state)) {
            (Some(path), Some(port)) => Probe::Http(self.engine.published_host().to_owned(), port, path.clone()),
            _ => {
                run.warn(format!(
                    "container {}: its port cannot be reached on this remote engine; its HEALTHCHECK, or else that \
                     it runs, was taken for its health",
                    container.name
                ));
                Probe::Engine
            }
        }
    }

    async fn unhealthy(&self, run: &Run<'_>, container: &ContainerSpec, id: &str, why: &str) -> RuntimeError {
        let lines = self.last_lines(run, id).await;
        RuntimeError::Failed(run.mask(&format!("container {} did not become healthy: {why}{lines}", container.name)))
    }

    async fn exited(
        &self,
        run: &Run<'_>,
        container: &ContainerSpec,
        id: &str,
        found: &ContainerInspectResponse,
    ) -> RuntimeError {
        let state = found.state.clone().unwrap_or_default();
        let code = state.exit_code.unwrap_or_default();
        let memory = match state.oom_killed {
            Some(true) => " (out of memory: its limit is too small for it)",
            _ => "",
        };
        let lines = self.last_lines(run, id).await;
        RuntimeError::Failed(run.mask(&format!("container {} exited with code {code}{memory}{lines}", container.name)))
    }
}

fn engine_health(state: &ContainerInspectResponse) -> Option<HealthStatusEnum> {
    let status = state.state.as_ref()?.health.as_ref()?.status?;
    (!matches!(status, HealthStatusEnum::NONE | HealthStatusEnum::EMPTY)).then_some(status)
}

/// Whether a container's own address leads nowhere, for instance because we are in a container ourselves, or the engine is in a
/// virtual machine: the bridge of its network is no interface of ours, and it is not even refused.
async fn is_elsewhere(state: &ContainerInspectResponse, network: &str, at: Option<(IpAddr, u16)>) -> bool {
    let networks = state.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
    let gateway = networks.and_then(|networks| networks.get(network)?.gateway.as_ref()?.parse::<IpAddr>().ok());
    let bound = gateway.map(|gateway| UdpSocket::bind((gateway, 0)));
    let is_ours = !matches!(bound, Some(Err(error)) if error.kind() == ErrorKind::AddrNotAvailable);
    let Some(at) = at.filter(|_| !is_ours) else { return false };
    match timeout(REACHES, TcpStream::connect(at)).await {
        Ok(answer) => answer.is_err_and(|error| error.kind() != ErrorKind::ConnectionRefused),
        Err(_) => true,
    }
}

fn own_address(state: &ContainerInspectResponse, network: &str) -> Option<IpAddr> {
    let networks = state.network_settings.as_ref()?.networks.as_ref()?;
    networks.get(network)?.ip_address.as_ref()?.parse().ok()
}

/// The host port that the engine gave to a running container.
pub(super) fn published_port(state: &ContainerInspectResponse) -> Option<u16> {
    let ports = state.network_settings.as_ref()?.ports.as_ref()?;
    ports.values().flatten().flatten().find_map(|binding| binding.host_port.as_ref()?.parse().ok())
}

async fn attempt(probe: &Probe, limit: Duration) -> Result<(), String> {
    let ask = async {
        match probe {
            Probe::Http(host, port, path) => http_status(host, *port, path).await.and_then(|status| match status {
                200..=399 => Ok(()),
                other => Err(format!("GET {path} answers {other}")),
            }),
            Probe::Tcp(host, port) => match TcpStream::connect((host.as_str(), *port)).await {
                Ok(_) => Ok(()),
                Err(error) => Err(format!("nothing listens on port {port}: {}", error.kind())),
            },
            Probe::Engine => Ok(()),
        }
    };
    timeout(limit, ask).await.unwrap_or_else(|_| Err(format!("no answer within {} s", limit.as_secs())))
}

/// Asks with a plain HTTP/1.1 request and reads no more than the status line.
async fn http_status(host: &str, port: u16, path: &str) -> Result<u16, String> {
    let failed = |error: std::io::Error| format!("GET {path} on port {port} fails: {}", error.kind());
    let mut stream = TcpStream::connect((host, port)).await.map_err(failed)?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: kiops-health\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.map_err(failed)?;
    let mut line = Vec::new();
    let mut reader = stream.take(256);
    while !line.contains(&b'\n') {
        if reader.read_buf(&mut line).await.map_err(failed)? == 0 {
            break;
        }
    }
    status_of(&line).ok_or_else(|| format!("port {port} answers something that is not HTTP"))
}

fn status_of(line: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(line.get(..12)?).ok()?;
    text.strip_prefix("HTTP/1.")?.get(2..)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_lines_are_read() {
        assert_eq!(status_of(b"HTTP/1.1 200 OK\r\n"), Some(200));
        assert_eq!(status_of(b"HTTP/1.0 503 x"), Some(503));
        assert_eq!(status_of(b"SSH-2.0-OpenSSH"), None);
        assert_eq!(status_of(b""), None);
    }
}
