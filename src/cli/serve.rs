//! `kiops serve` and `kiops worker`

use crate::boot::{self, Part};
use crate::config::Config;
use crate::telemetry;

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// When it can't start.
pub async fn run(config: &Config, part: Part) -> anyhow::Result<()> {
    telemetry::init(&config.telemetry).map_err(|e| anyhow::anyhow!("telemetry.log: {e}"))?;
    boot::serve(config, part).await
}
