//! `kiops migrate`

use crate::boot;
use crate::config::Config;

/// Brings the database up to date.
///
/// # Errors
/// When it does not answer or a migration fails.
pub async fn run(config: &Config) -> anyhow::Result<()> {
    boot::database(config).await?;
    println!("the database is up to date");
    Ok(())
}
