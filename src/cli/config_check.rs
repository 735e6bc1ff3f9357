//! `kiops config check`

use crate::config::Config;

/// Says that a configuration that was read is right: whoever read it found every fault there is. What would be better otherwise
/// is said on standard error.
///
/// # Errors
/// When standard output can't be written.
pub fn run(config: &Config) -> anyhow::Result<()> {
    for fault in config.places.faults(config.warnings.clone()).0 {
        eprintln!("warning: {fault}");
    }
    println!("the configuration is right");
    Ok(())
}
