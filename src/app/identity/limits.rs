//! How many wrong passwords an account and an address have in a minute.

use chrono::{DateTime, TimeDelta, Utc};
use entity::login_failure;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, NotSet, QueryFilter, QueryOrder, QuerySelect, Set,
};
use sha2::{Digest as _, Sha256};

use crate::app::{App, Error, Result};
use crate::domain::addresses::network;

/// What failures are counted for; hashed, so that the table tells nothing.
pub(super) struct Subjects(Vec<String>);

impl Subjects {
    /// The account, whether there is one or not, and the address.
    pub(super) fn new(email: &str, address: Option<&str>) -> Self {
        let mut subjects = vec![digest("account", email)];
        subjects.extend(address.map(|a| digest("address", &counts_as(a))));
        Self(subjects)
    }
}

fn digest(kind: &str, text: &str) -> String {
    hex::encode(Sha256::digest(format!("{kind}:{text}")))
}

fn counts_as(address: &str) -> String {
    address.parse().map_or_else(|_| address.to_owned(), |ip| network(ip).to_string())
}

fn minute() -> TimeDelta {
    TimeDelta::minutes(1)
}

/// Goes on only if neither has too many.
pub(super) async fn check(app: &App, subjects: &Subjects) -> Result<()> {
    let limit = u64::from(app.settings.login_attempts_per_minute.max(1));
    let mut retry_at: Option<DateTime<Utc>> = None;
    for subject in &subjects.0 {
        let oldest_that_counts = login_failure::Entity::find()
            .filter(login_failure::Column::Subject.eq(subject))
            .filter(login_failure::Column::At.gt(app.clock.now() - minute()))
            .order_by_desc(login_failure::Column::At)
            .offset(limit - 1)
            .limit(1)
            .one(app.db.read())
            .await?;
        retry_at = retry_at.max(oldest_that_counts.map(|row| row.at + minute()));
    }
    match retry_at {
        Some(at) => Err(Error::rate_limited("too many failed attempts: try again in a minute", at)),
        None => Ok(()),
    }
}

/// Counts a failure, and forgets those that no longer count.
pub(super) async fn record(app: &App, tx: &impl ConnectionTrait, subjects: &Subjects) -> Result<()> {
    let now = app.clock.now();
    login_failure::Entity::delete_many().filter(login_failure::Column::At.lte(now - minute())).exec(tx).await?;
    for subject in &subjects.0 {
        login_failure::ActiveModel { id: NotSet, subject: Set(subject.clone()), at: Set(now) }.insert(tx).await?;
    }
    Ok(())
}
