//! The secret key: made on the first start on an empty database, and required ever after.

use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use entity::{Db, secret};
use sea_orm::EntityTrait as _;

use crate::app::secrets::Mark;
use crate::config::Config;
use crate::vault::{Key, Keys, Vault, create_key_file};

/// The vault of a server. Makes the key where nothing was sealed yet.
pub(super) async fn vault(config: &Config, db: &Db) -> anyhow::Result<Vault> {
    let path = &config.secrets.key_file;
    let mark = Mark::of(db).await?;
    match (path.exists(), &mark) {
        (true, _) => {}
        (false, None) => drop(create_key_file(path)?),
        (false, Some(_)) => return Err(missing(path)),
    }
    let vault = open(config)?;
    match mark {
        Some(mark) => mark.is_of(&vault).with_context(|| not_the_key(path))?,
        None => first(&vault, db).await?,
    }
    Ok(vault)
}

/// The key of a database that holds secrets; none while it holds none. Nothing is made.
pub(super) async fn existing(config: &Config, db: &Db) -> anyhow::Result<Option<Vault>> {
    let path = &config.secrets.key_file;
    let Some(mark) = Mark::of(db).await? else { return Ok(None) };
    if !path.exists() {
        return Err(missing(path));
    }
    let vault = open(config)?;
    mark.is_of(&vault).with_context(|| not_the_key(path))?;
    Ok(Some(vault))
}

/// The vault of whoever turns the key: a new one is made where there is none, if an earlier one is the database's.
pub(super) async fn turning(config: &Config, db: &Db) -> anyhow::Result<Vault> {
    let path = &config.secrets.key_file;
    let Some(mark) = Mark::of(db).await? else { bail!("nothing was sealed in this database yet") };
    if !path.exists() {
        let Some((first, others)) = config.secrets.previous_key_files.split_first() else { return Err(missing(path)) };
        let earlier = Vault::open(Keys::from_files(first, others)?);
        mark.is_of(&earlier).context("none of secrets.previous_key_files is the key of this database")?;
        drop(create_key_file(path)?);
    }
    let vault = open(config)?;
    mark.is_of(&vault).with_context(|| not_the_key(path))?;
    Ok(vault)
}

/// With the keys of the files, which are read once more when another is met.
fn open(config: &Config) -> anyhow::Result<Vault> {
    let (current, previous) = (config.secrets.key_file.clone(), config.secrets.previous_key_files.clone());
    let keys = Keys::from_files(&current, &previous)?;
    // Earlier keys were read at start, and their files may have been put away since.
    let anew = move || {
        let previous = previous.iter().filter_map(|path| Key::from_file(path).ok()).collect();
        Ok(Keys::new(Key::from_file(&current)?, previous))
    };
    Ok(Vault::open(keys).with_source(anew))
}

fn missing(path: &Path) -> anyhow::Error {
    anyhow!(
        "this database holds secrets, and its key is missing: put the key file back at {} (secrets.key_file)",
        path.display()
    )
}

fn not_the_key(path: &Path) -> String {
    format!("{} (secrets.key_file) is not the key of this database", path.display())
}

async fn first(vault: &Vault, db: &Db) -> anyhow::Result<()> {
    if secret::Entity::find().one(db.read()).await?.is_some() {
        bail!("this database holds secrets and no trace of their key: it is damaged");
    }
    let tx = db.begin().await?;
    match Mark::first(vault, &tx).await? {
        true => Ok(tx.commit().await?),
        // Another server was first: its key must be ours.
        false => {
            drop(tx);
            let mark = Mark::of(db).await?.context("the mark of the key is gone")?;
            mark.is_of(vault).context("another server made another key: give every server the same secrets.key_file")
        }
    }
}
