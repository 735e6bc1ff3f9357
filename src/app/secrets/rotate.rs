//! Sealing everything anew with the current key, while servers run: they read with the old and the new one meanwhile, and
//! seal with the new one from the moment that the database's mark of its key is sealed with it.

use entity::{meta, secret};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, ExprTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};

use super::{context, key};
use crate::app::scans::SECRET_KEY_ROW;
use crate::app::{App, Error, Result};
use crate::vault::Sealed;

/// Facts about the database that are sealed, under their own name.
const FACTS: [&str; 2] = [key::ROW, SECRET_KEY_ROW];

/// Rows that are sealed in one transaction: servers that write wait no longer than this takes.
const BATCH: u64 = 100;

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotated {
    /// The key that all is sealed with now.
    pub key_id: String,
    /// How many secrets were sealed anew.
    pub sealed: u64,
    /// Ids of those that none of the keys at hand opens, which were left as they are.
    pub unread: Vec<String>,
}

/// Seals every stored secret anew with the current key. What was sealed with it already is left alone, so that it can be
/// repeated after it was cut short.
///
/// # Errors
/// INTERNAL when there is no key, when the database's own mark can't be opened (nothing is changed then), or when the
/// database refuses; CONFLICT when another rotation began.
pub async fn rotate(app: &App) -> Result<Rotated> {
    let key_id = app.vault.current_key_id().ok_or_else(|| Error::internal("there is no secret key"))?;
    let mut done = Rotated { key_id, sealed: 0, unread: Vec::new() };
    turn_facts(app, &done.key_id).await?;
    // What was being sealed with the old key when the mark changed is there once that transaction has ended, before it:
    // one time through is all there is.
    let mut after = String::new();
    loop {
        let rows = secret::Entity::find()
            .filter(secret::Column::KeyId.ne(&done.key_id).and(secret::Column::Id.gt(&after)))
            .order_by_asc(secret::Column::Id)
            .limit(BATCH)
            .all(app.db.read())
            .await?;
        let Some(last) = rows.last() else { return Ok(done) };
        after.clone_from(&last.id);
        let tx = app.db.begin().await?;
        check_turn(&tx, &done.key_id).await?;
        for row in rows {
            let place = context(&row.organization_id, &row.id);
            let sealed = Sealed { key_id: row.key_id, blob: row.sealed };
            let Ok(value) = app.vault.unseal(&sealed, &place) else {
                done.unread.push(row.id);
                continue;
            };
            let anew = app.vault.seal_with(&done.key_id, &value, &place).map_err(Error::internal)?;
            let changed = secret::Entity::update_many()
                .col_expr(secret::Column::KeyId, anew.key_id.into())
                .col_expr(secret::Column::Sealed, anew.blob.into())
                .filter(secret::Column::Id.eq(row.id))
                .exec(&tx)
                .await?;
            // It may have been deleted meanwhile.
            done.sealed += changed.rows_affected;
        }
        tx.commit().await?;
    }
}

/// Whether the database's key is still that of this rotation: two at once, to two keys, would undo one another.
async fn check_turn(tx: &impl ConnectionTrait, key_id: &str) -> Result<()> {
    let row = meta::Entity::find_by_id(key::ROW).one(tx).await?;
    let mark: Option<Sealed> = row.map(|row| row.value.parse().map_err(Error::internal)).transpose()?;
    match mark {
        Some(mark) if mark.key_id != key_id => {
            Err(Error::conflict("secrets.key_file", format!("somebody else turns to the key {} now", mark.key_id)))
        }
        _ => Ok(()),
    }
}

/// The mark first, and with it whatever else is a fact about the database. On PostgreSQL this waits for whoever is sealing.
async fn turn_facts(app: &App, key_id: &str) -> Result<()> {
    let tx = app.db.begin().await?;
    for name in FACTS {
        let mut row = meta::Entity::find_by_id(name);
        if app.db.is_postgres() {
            row = row.lock_exclusive();
        }
        let Some(row) = row.one(&tx).await? else { continue };
        let sealed: Sealed = row.value.parse().map_err(Error::internal)?;
        if sealed.key_id == key_id {
            continue;
        }
        let value = app.vault.unseal(&sealed, name).map_err(Error::internal)?;
        let anew = app.vault.seal_with(key_id, &value, name).map_err(Error::internal)?;
        meta::Entity::update_many()
            .col_expr(meta::Column::Value, anew.to_string().into())
            .filter(meta::Column::Key.eq(name))
            .exec(&tx)
            .await?;
    }
    Ok(tx.commit().await?)
}
