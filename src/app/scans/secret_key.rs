//! The key under which secrets that scanners find are hashed, so that they are recognised again and nobody can guess
//! them from what is stored.

use std::sync::Arc;

use entity::meta;
use sea_orm::sea_query::OnConflict;
use sea_orm::{EntityTrait as _, Set};
use secrecy::ExposeSecret as _;

use crate::app::secrets::seal;
use crate::app::{App, Error, Result};
use crate::domain::secret::SecretString;
use crate::scanner::report::Key;
use crate::vault::Sealed;

/// Where it is kept, sealed.
pub(in crate::app) const ROW: &str = "scan.secret_key";

/// The key of this installation: made when it is first needed, the same ever after.
///
/// # Errors
/// INTERNAL when it can't be kept or opened.
pub(super) async fn of(app: &App) -> Result<Arc<Key>> {
    if let Some(row) = meta::Entity::find_by_id(ROW).one(app.db.read()).await? {
        return open(app, &row.value);
    }
    let tx = app.db.begin().await?;
    let made = SecretString::from(hex::encode(app.ids.random()));
    let sealed = seal(app, &tx, (&made, ROW)).await?;
    meta::Entity::insert(meta::ActiveModel { key: Set(ROW.to_owned()), value: Set(sealed.to_string()) })
        // Another server may be first: its key is everybody's.
        .on_conflict(OnConflict::column(meta::Column::Key).do_nothing().to_owned())
        .exec_without_returning(&tx)
        .await?;
    tx.commit().await?;
    let row = meta::Entity::find_by_id(ROW).one(app.db.read_write()).await?;
    open(app, &row.ok_or_else(|| Error::internal("the key of found secrets is gone"))?.value)
}

fn open(app: &App, stored: &str) -> Result<Arc<Key>> {
    let unreadable = || Error::internal("the key of found secrets can't be read");
    let sealed: Sealed = stored.parse().map_err(|_| unreadable())?;
    let opened = app.vault.unseal(&sealed, ROW).map_err(Error::internal)?;
    let bytes = hex::decode(opened.expose_secret()).map_err(|_| unreadable())?;
    Ok(Arc::new(Key::new(bytes.try_into().map_err(|_| unreadable())?)))
}
