//! Which key the database's secrets are sealed with: a value in it that every server seals and opens at start, to know
//! that its key is the database's, and by which servers that run learn that the key was turned.

use entity::{Db, meta};
use sea_orm::sea_query::LockType;
use sea_orm::{ActiveModelTrait as _, ConnectionTrait, EntityTrait as _, QuerySelect as _, Set, SqlErr};

use crate::app::{App, Error, Result};
use crate::domain::secret::SecretString;
use crate::vault::{Sealed, Vault, VaultError};

/// The row.
pub(super) const ROW: &str = "vault.probe";
const TEXT: &str = "this key opens the secrets of this database";

/// What a database has of its key.
pub struct Mark(Sealed);

impl Mark {
    /// That of a database; none where nothing was sealed in it yet.
    ///
    /// # Errors
    /// When the database does not answer, or what it has is unreadable.
    pub async fn of(db: &Db) -> Result<Option<Self>> {
        let row = meta::Entity::find_by_id(ROW).one(db.read()).await?;
        row.map(|row| row.value.parse().map(Self).map_err(Error::internal)).transpose()
    }

    /// Whether a vault has the key.
    ///
    /// # Errors
    /// What the vault says.
    pub fn is_of(&self, vault: &Vault) -> std::result::Result<(), VaultError> {
        vault.unseal(&self.0, ROW).map(drop)
    }

    /// Writes the first one; false when another server was faster, after which the transaction is of no use.
    ///
    /// # Errors
    /// What the vault or the database says.
    pub async fn first(vault: &Vault, tx: &impl ConnectionTrait) -> Result<bool> {
        let sealed = vault.seal(&TEXT.into(), ROW).map_err(Error::internal)?;
        let row = meta::ActiveModel { key: Set(ROW.to_owned()), value: Set(sealed.to_string()) };
        match row.insert(tx).await {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// Seals a value with the key that the database has by now, whatever this server's files call the current one: another process
/// may have turned it, or is about to. Until the transaction ends nobody turns it.
///
/// # Errors
/// INTERNAL when this server has not got that key, and what the vault or the database says.
pub(in crate::app) async fn seal(
    app: &App,
    tx: &impl ConnectionTrait,
    (value, context): (&SecretString, &str),
) -> Result<Sealed> {
    let mut row = meta::Entity::find_by_id(ROW);
    if app.db.is_postgres() {
        row = row.lock(LockType::Share);
    }
    let Some(row) = row.one(tx).await? else { return app.vault.seal(value, context).map_err(Error::internal) };
    let mark: Sealed = row.value.parse().map_err(Error::internal)?;
    app.vault.seal_with(&mark.key_id, value, context).map_err(|error| match error {
        VaultError::UnknownKey(id) => Error::internal(format!(
            "the secret key was changed to {id}, which is in none of the key files of this server: nothing can be sealed"
        )),
        error => Error::internal(error),
    })
}
