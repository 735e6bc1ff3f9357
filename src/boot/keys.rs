//! The secret key: made on the first start on an empty database, and required ever after.

use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use entity::{Db, meta, secret};
use sea_orm::{ActiveModelTrait as _, EntityTrait as _, Set, SqlErr};

use crate::config::Config;
use crate::vault::{Keys, Sealed, Vault, create_key_file};

/// A value that every server seals and opens at start, to know that its key is the database's.
const PROBE: &str = "vault.probe";
const PROBE_TEXT: &str = "this key opens the secrets of this database";

pub(super) async fn vault(config: &Config, db: &Db) -> anyhow::Result<Vault> {
    let path = &config.secrets.key_file;
    let probe = meta::Entity::find_by_id(PROBE).one(db.read()).await?;
    match (path.exists(), &probe) {
        (true, _) => {}
        (false, None) => drop(create_key_file(path)?),
        (false, Some(_)) => return Err(missing(path)),
    }
    let vault = Vault::open(Keys::from_files(path, &config.secrets.previous_key_files)?);
    match probe {
        Some(row) => check(&vault, &row.value).with_context(|| not_the_key(path))?,
        None => first(&vault, db).await?,
    }
    Ok(vault)
}

/// The key of a database that holds secrets; none while it holds none. Nothing is made.
pub(super) async fn existing(config: &Config, db: &Db) -> anyhow::Result<Option<Vault>> {
    let path = &config.secrets.key_file;
    let Some(probe) = meta::Entity::find_by_id(PROBE).one(db.read()).await? else { return Ok(None) };
    if !path.exists() {
        return Err(missing(path));
    }
    let vault = Vault::open(Keys::from_files(path, &config.secrets.previous_key_files)?);
    check(&vault, &probe.value).with_context(|| not_the_key(path))?;
    Ok(Some(vault))
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

fn check(vault: &Vault, stored: &str) -> anyhow::Result<()> {
    let (key_id, blob) = stored.split_once(':').context("the stored probe is unreadable")?;
    let sealed = Sealed { key_id: key_id.to_owned(), blob: STANDARD.decode(blob)? };
    vault.unseal(&sealed, PROBE)?;
    Ok(())
}

async fn first(vault: &Vault, db: &Db) -> anyhow::Result<()> {
    if secret::Entity::find().one(db.read()).await?.is_some() {
        bail!("this database holds secrets and no trace of their key: it is damaged");
    }
    let sealed = vault.seal(&PROBE_TEXT.into(), PROBE)?;
    let value = format!("{}:{}", sealed.key_id, STANDARD.encode(&sealed.blob));
    let row = meta::ActiveModel { key: Set(PROBE.to_owned()), value: Set(value) };
    let tx = db.begin().await?;
    match row.insert(&tx).await {
        Ok(_) => Ok(tx.commit().await?),
        // Another server was first: its key must be ours.
        Err(error) if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) => {
            drop(tx);
            let row = meta::Entity::find_by_id(PROBE).one(db.read()).await?;
            check(vault, &row.context("the probe is gone")?.value)
                .context("another server made another key: give every server the same secrets.key_file")
        }
        Err(error) => Err(error.into()),
    }
}
