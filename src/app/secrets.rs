//! Sealed rows. A row never changes: a new value is a new row, so that old revisions keep theirs.

use std::collections::BTreeMap;

use entity::secret;
use sea_orm::{ActiveModelTrait, ColumnTrait, ConnectionTrait, QueryFilter, Set};

use super::{App, Error, Result, Scope};
use crate::domain::secret::SecretString;
use crate::vault::Sealed;

fn context(organization_id: &str, id: &str) -> String {
    format!("secret:{organization_id}:{id}")
}

/// Seals a value into a new row and gives its id.
///
/// # Errors
/// INTERNAL when sealing or writing fails.
pub async fn store(app: &App, tx: &impl ConnectionTrait, scope: &Scope, value: &SecretString) -> Result<String> {
    let id = app.ids.id();
    let sealed = app.vault.seal(value, &context(&scope.organization_id, &id)).map_err(Error::internal)?;
    secret::ActiveModel {
        id: Set(id.clone()),
        organization_id: Set(scope.organization_id.clone()),
        key_id: Set(sealed.key_id),
        sealed: Set(sealed.blob),
        created_at: Set(app.clock.now()),
    }
    .insert(tx)
    .await?;
    Ok(id)
}

/// Opens one row.
///
/// # Errors
/// INTERNAL when it is missing or does not open: the log says which.
pub async fn open(app: &App, scope: &Scope, id: &str) -> Result<SecretString> {
    let mut opened = open_all(app, scope, vec![id.to_owned()]).await?;
    opened.remove(id).ok_or_else(|| Error::internal(format!("secret {id} is missing")))
}

/// Opens many rows, by id; ids of other organizations are not among the result.
///
/// # Errors
/// INTERNAL when one does not open: the log says which.
pub async fn open_all(app: &App, scope: &Scope, ids: Vec<String>) -> Result<BTreeMap<String, SecretString>> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows = scope.secrets().filter(secret::Column::Id.is_in(ids)).all(app.db.read()).await?;
    rows.into_iter()
        .map(|row| {
            let sealed = Sealed { key_id: row.key_id, blob: row.sealed };
            let value = app
                .vault
                .unseal(&sealed, &context(&row.organization_id, &row.id))
                .map_err(|e| Error::internal(format!("secret {}: {e}", row.id)))?;
            Ok((row.id, value))
        })
        .collect()
}
