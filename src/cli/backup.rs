//! `kiops backup` and `kiops restore`

use std::path::Path;

use crate::boot;
use crate::config::Config;

/// Copies the database.
///
/// # Errors
/// When it is none of SQLite or not there, when the file is there already, or when the disk refuses.
pub async fn backup(config: &Config, file: &Path) -> anyhow::Result<()> {
    let done = boot::backup(config, file).await?;
    println!("{} was copied to {}, {} bytes", done.database.display(), file.display(), done.bytes);
    println!(
        "What is sealed in it opens with {} (secrets.key_file), which is not in it: keep a copy of that in another place.",
        config.secrets.key_file.display()
    );
    Ok(())
}

/// Puts a copy back.
///
/// # Errors
/// When a server uses the database, when the file is no whole backup that this program and this key can read, or when the
/// disk refuses. Nothing was changed then.
pub async fn restore(config: &Config, file: &Path) -> anyhow::Result<()> {
    let done = boot::restore(config, file).await?;
    println!("{} was put back as {}", file.display(), done.database.display());
    if let Some(kept) = done.kept {
        println!("What was there is kept as {}", kept.display());
    }
    Ok(())
}
