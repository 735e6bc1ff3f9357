//! `kiops serve` and `kiops worker`

use crate::boot::{self, Part};
use crate::config::Config;
use crate::domain::clock::Ids as _;
use crate::telemetry::{self, Destination};

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// When it can't start.
pub async fn run(config: &Config, part: Part) -> anyhow::Result<()> {
    let url = config.telemetry.traces_url().map_err(|why| anyhow::anyhow!("telemetry.otlp_endpoint: {why}"))?;
    let destination = match url {
        Some(url) => Some(Destination { url, outbound: boot::outbound(config)?, instance: boot::RandomIds.id() }),
        None => None,
    };
    let traces = telemetry::init(&config.telemetry, destination).map_err(|e| anyhow::anyhow!("telemetry.log: {e}"))?;
    boot::serve(config, part, traces).await
}
