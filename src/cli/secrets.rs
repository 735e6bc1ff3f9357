//! `kiops secrets`

use anyhow::bail;

use crate::app::secrets::rotate;
use crate::boot;
use crate::config::Config;

/// Ids that are named.
const NAMED: usize = 10;

/// Seals everything anew with the current key.
///
/// # Errors
/// When the keys are not the database's, or some secrets can't be opened with any of them.
pub async fn rotate(config: &Config) -> anyhow::Result<()> {
    let app = boot::app_that_turns_the_key(config).await?;
    let done = rotate::rotate(&app).await?;
    println!("sealed anew with the key {}: {} secrets", done.key_id, done.sealed);
    if !done.unread.is_empty() {
        let (count, named) = (done.unread.len(), done.unread[..done.unread.len().min(NAMED)].join(", "));
        bail!("{count} secrets are opened by none of the keys, and were left as they are: {named}");
    }
    println!(
        "Earlier keys are needed for nothing in this database any more, but for its older backups: take them out of \
         secrets.previous_key_files, and keep them for as long as you keep those."
    );
    Ok(())
}
