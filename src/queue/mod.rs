//! The durable queue: a table, claimed under leases with a fencing number.
//!
//! A job is enqueued in the transaction of the state change that wants it, and its row is deleted in the transaction
//! of the last one. Jobs of one lane run one after another, in the order in which they were enqueued.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use entity::{Db, JobState, job};
use sea_orm::sea_query::{Alias, Expr, ExprTrait, LockBehavior, LockType, Query};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, DbBackend, DbErr, EntityTrait, NotSet, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect, Set, Statement,
};

/// Work to be enqueued.
#[derive(Debug, Clone)]
pub struct NewJob<'a> {
    /// Whose it is.
    pub organization_id: &'a str,
    /// What is to be done: a worker knows the word.
    pub kind: &'a str,
    /// Jobs of one lane run one after another: the environment's id.
    pub lane: &'a str,
    /// The id of what it works on.
    pub subject: &'a str,
}

/// How many jobs of one kind may be at work at once, over all servers. Those that are parked count: their work goes on
/// elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct Limit<'a> {
    /// The kind.
    pub kind: &'a str,
    /// Of all organizations together.
    pub total: u64,
    /// Of one organization.
    pub per_organization: u64,
}

/// PostgreSQL's number of the lock under which places are counted and taken.
const PLACES: i64 = 0x6b69_6f70_7301;

/// A claimed job. Only its holder may change or end it; a later claim has a larger fence.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The row as claimed.
    pub job: job::Model,
}

/// How much there is of one kind of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog {
    /// The kind.
    pub kind: String,
    /// Jobs that wait, those whose time has not come among them.
    pub waiting: u64,
    /// Jobs that somebody works on, those that are parked among them.
    pub at_work: u64,
    /// When the oldest that waits was made.
    pub oldest: Option<DateTime<Utc>>,
}

/// All that there is in the queue.
///
/// # Errors
/// When the database refuses.
pub async fn backlog(db: &impl ConnectionTrait) -> Result<Vec<Backlog>, DbErr> {
    let rows: Vec<(String, JobState, i64, DateTime<Utc>)> = job::Entity::find()
        .select_only()
        .columns([job::Column::Kind, job::Column::State])
        .column_as(job::Column::Id.count(), "jobs")
        .column_as(job::Column::CreatedAt.min(), "oldest")
        .group_by(job::Column::Kind)
        .group_by(job::Column::State)
        .into_tuple()
        .all(db)
        .await?;
    let mut kinds: BTreeMap<String, Backlog> = BTreeMap::new();
    for (kind, state, count, oldest) in rows {
        let nothing = Backlog { kind: kind.clone(), waiting: 0, at_work: 0, oldest: None };
        let of = kinds.entry(kind).or_insert(nothing);
        let count = u64::try_from(count).unwrap_or_default();
        match state {
            JobState::Queued => (of.waiting, of.oldest) = (count, Some(oldest)),
            _ => of.at_work += count,
        }
    }
    Ok(kinds.into_values().collect())
}

/// Writes a job with its caller's transaction.
///
/// # Errors
/// When the database refuses.
pub async fn enqueue(tx: &impl ConnectionTrait, new: NewJob<'_>, now: DateTime<Utc>) -> Result<i64, DbErr> {
    let row = job::ActiveModel {
        id: NotSet,
        organization_id: Set(new.organization_id.to_owned()),
        kind: Set(new.kind.to_owned()),
        lane: Set(new.lane.to_owned()),
        subject: Set(new.subject.to_owned()),
        state: Set(JobState::Queued),
        attempts: Set(0),
        run_after: Set(now),
        lease_until: Set(None),
        fence: Set(0),
        worker: Set(None),
        created_at: Set(now),
        last_error: Set(None),
    }
    .insert(tx)
    .await?;
    Ok(row.id)
}

/// Claims the oldest job that may run: due, first in its lane while nobody is at work in that, within the limit, and free or with a lease that has run
/// out.
///
/// # Errors
/// When the database refuses.
pub async fn claim(
    db: &Db,
    worker: &str,
    now: DateTime<Utc>,
    lease: Duration,
    limit: Limit<'_>,
) -> Result<Option<Claim>, DbErr> {
    let tx = db.begin().await?;
    if db.is_postgres() {
        // Two that count at once would both take the last place.
        let lock =
            Statement::from_sql_and_values(DbBackend::Postgres, "SELECT pg_advisory_xact_lock($1)", [PLACES.into()]);
        tx.execute_raw(lock).await?;
    }
    let earlier = Alias::new("earlier");
    let mut first_in_lane = Query::select();
    first_in_lane
        .expr(Expr::val(1))
        .from_as(job::Entity, earlier.clone())
        .and_where(Expr::col((earlier.clone(), job::Column::Lane)).equals((job::Entity, job::Column::Lane)))
        .and_where(Expr::col((earlier, job::Column::Id)).lt(Expr::col((job::Entity, job::Column::Id))));
    // Whoever wrote an earlier job may have committed after a later one was claimed.
    let other = Alias::new("other");
    let column = |column: job::Column| Expr::col((other.clone(), column));
    let holds = column(job::Column::State)
        .eq(JobState::Parked)
        .or(column(job::Column::State).eq(JobState::Running).and(column(job::Column::LeaseUntil).gte(now)));
    let mut held_lane = Query::select();
    held_lane
        .expr(Expr::val(1))
        .from_as(job::Entity, other.clone())
        .and_where(column(job::Column::Lane).equals((job::Entity, job::Column::Lane)))
        .and_where(column(job::Column::Id).ne(Expr::col((job::Entity, job::Column::Id))))
        .and_where(holds);
    let free = job::Column::State
        .eq(JobState::Queued)
        .and(job::Column::RunAfter.lte(now))
        .or(job::Column::State.eq(JobState::Running).and(job::Column::LeaseUntil.lt(now)));
    let mut candidate = job::Entity::find()
        .filter(free)
        .filter(has_a_place(&tx, now, limit).await?)
        .filter(Expr::exists(first_in_lane.take()).not())
        .filter(Expr::exists(held_lane.take()).not())
        .order_by_asc(job::Column::Id)
        .limit(1);
    if db.is_postgres() {
        candidate = candidate.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
    }
    let Some(found) = candidate.one(&tx).await? else {
        return Ok(None);
    };
    let mut row: job::ActiveModel = found.clone().into();
    row.state = Set(JobState::Running);
    row.attempts = Set(found.attempts + 1);
    row.fence = Set(found.fence + 1);
    row.worker = Set(Some(worker.to_owned()));
    row.lease_until = Set(Some(now + lease));
    let job = row.update(&tx).await?;
    tx.commit().await?;
    Ok(Some(Claim { job }))
}

/// What a job must be for there to be a place for it.
async fn has_a_place(tx: &impl ConnectionTrait, now: DateTime<Utc>, limit: Limit<'_>) -> Result<Condition, DbErr> {
    let at_work = job::Column::State
        .eq(JobState::Parked)
        .or(job::Column::State.eq(JobState::Running).and(job::Column::LeaseUntil.gte(now)));
    let places: Vec<(String, i64)> = job::Entity::find()
        .select_only()
        .column(job::Column::OrganizationId)
        .column_as(job::Column::Id.count(), "places")
        .filter(job::Column::Kind.eq(limit.kind))
        .filter(at_work)
        .group_by(job::Column::OrganizationId)
        .into_tuple()
        .all(tx)
        .await?;
    let taken: u64 = places.iter().map(|(_, n)| n.unsigned_abs()).sum();
    let other = job::Column::Kind.ne(limit.kind);
    if taken >= limit.total {
        return Ok(Condition::all().add(other));
    }
    let full = places.into_iter().filter(|(_, n)| n.unsigned_abs() >= limit.per_organization);
    let full: Vec<String> = full.map(|(organization, _)| organization).collect();
    match full.is_empty() {
        true => Ok(Condition::all()),
        false => Ok(Condition::any().add(other).add(job::Column::OrganizationId.is_not_in(full))),
    }
}

impl Claim {
    fn mine(&self) -> Condition {
        Condition::all().add(job::Column::Id.eq(self.job.id)).add(job::Column::Fence.eq(self.job.fence))
    }

    /// Says that the holder lives. False: the job belongs to another by now, stop at once.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn renew(&self, tx: &impl ConnectionTrait, until: DateTime<Utc>) -> Result<bool, DbErr> {
        let changed = job::Entity::update_many()
            .col_expr(job::Column::LeaseUntil, Expr::value(until))
            .filter(self.mine())
            .exec(tx)
            .await?;
        Ok(changed.rows_affected == 1)
    }

    /// Ends the job with its caller's transaction. False: it belongs to another by now, drop the transaction.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn complete(&self, tx: &impl ConnectionTrait) -> Result<bool, DbErr> {
        let changed = job::Entity::delete_many().filter(self.mine()).exec(tx).await?;
        Ok(changed.rows_affected == 1)
    }

    /// Sets the job aside with its caller's transaction: it holds its lane and its place until [`wake`]. False: it
    /// belongs to another by now, drop the transaction.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn park(&self, tx: &impl ConnectionTrait) -> Result<bool, DbErr> {
        let changed = job::Entity::update_many()
            .col_expr(job::Column::State, Expr::value(JobState::Parked))
            .col_expr(job::Column::LeaseUntil, Expr::value(Option::<DateTime<Utc>>::None))
            .col_expr(job::Column::Worker, Expr::value(Option::<String>::None))
            .filter(self.mine())
            .exec(tx)
            .await?;
        Ok(changed.rows_affected == 1)
    }

    /// Gives the job back, to be run from `at` on.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn release(&self, tx: &impl ConnectionTrait, at: DateTime<Utc>, why: &str) -> Result<(), DbErr> {
        job::Entity::update_many()
            .col_expr(job::Column::State, Expr::value(JobState::Queued))
            .col_expr(job::Column::RunAfter, Expr::value(at))
            .col_expr(job::Column::LeaseUntil, Expr::value(Option::<DateTime<Utc>>::None))
            .col_expr(job::Column::Worker, Expr::value(Option::<String>::None))
            .col_expr(job::Column::LastError, Expr::value(why))
            .filter(self.mine())
            .exec(tx)
            .await?;
        Ok(())
    }
}

/// Whether any job works on the subject or waits to.
///
/// # Errors
/// When the database refuses.
pub async fn is_busy(db: &impl ConnectionTrait, subject: &str) -> Result<bool, DbErr> {
    Ok(job::Entity::find().filter(job::Column::Subject.eq(subject)).count(db).await? > 0)
}

/// Whether somebody who lives works on the subject.
///
/// # Errors
/// When the database does not answer.
pub async fn is_at_work(db: &impl ConnectionTrait, subject: &str, now: DateTime<Utc>) -> Result<bool, DbErr> {
    let at_work = job::Entity::find()
        .filter(job::Column::Subject.eq(subject))
        .filter(job::Column::State.eq(JobState::Running))
        .filter(job::Column::LeaseUntil.gte(now));
    Ok(at_work.count(db).await? > 0)
}

/// Lets a subject's job that waits for its next try run at once.
///
/// # Errors
/// When the database refuses.
pub async fn hurry(tx: &impl ConnectionTrait, subject: &str, now: DateTime<Utc>) -> Result<(), DbErr> {
    job::Entity::update_many()
        .col_expr(job::Column::RunAfter, Expr::value(now))
        .filter(job::Column::Subject.eq(subject))
        .filter(job::Column::State.eq(JobState::Queued))
        .filter(job::Column::RunAfter.gt(now))
        .exec(tx)
        .await?;
    Ok(())
}

/// Lets a subject's parked job run on, as a job of this kind. False: none is parked.
///
/// # Errors
/// When the database refuses.
pub async fn wake(tx: &impl ConnectionTrait, subject: &str, kind: &str, now: DateTime<Utc>) -> Result<bool, DbErr> {
    let changed = job::Entity::update_many()
        .col_expr(job::Column::State, Expr::value(JobState::Queued))
        .col_expr(job::Column::Kind, Expr::value(kind))
        .col_expr(job::Column::RunAfter, Expr::value(now))
        .filter(job::Column::Subject.eq(subject))
        .filter(job::Column::State.eq(JobState::Parked))
        .exec(tx)
        .await?;
    Ok(changed.rows_affected > 0)
}

/// Takes a subject's jobs of one kind out of the queue that nobody has claimed, and says how many there were.
///
/// # Errors
/// When the database refuses.
pub async fn withdraw(tx: &impl ConnectionTrait, subject: &str, kind: &str) -> Result<u64, DbErr> {
    let gone = job::Entity::delete_many()
        .filter(job::Column::Subject.eq(subject))
        .filter(job::Column::Kind.eq(kind))
        .filter(job::Column::State.eq(JobState::Queued))
        .filter(job::Column::Attempts.eq(0))
        .exec(tx)
        .await?;
    Ok(gone.rows_affected)
}

/// Where a subject's job of one kind stands among those that wait: 1 is next. None when it does not wait.
///
/// # Errors
/// When the database does not answer.
pub async fn position(db: &impl ConnectionTrait, subject: &str, kind: &str) -> Result<Option<u64>, DbErr> {
    let waiting =
        || job::Entity::find().filter(job::Column::Kind.eq(kind)).filter(job::Column::State.eq(JobState::Queued));
    let Some(mine) = waiting().filter(job::Column::Subject.eq(subject)).one(db).await? else { return Ok(None) };
    let before = waiting().filter(job::Column::Id.lt(mine.id)).count(db).await?;
    Ok(Some(before + 1))
}

/// Why a subject's job was given back last; none when it was not, or there is none.
///
/// # Errors
/// When the database does not answer.
pub async fn last_error(db: &impl ConnectionTrait, subject: &str) -> Result<Option<String>, DbErr> {
    let found = job::Entity::find().filter(job::Column::Subject.eq(subject)).one(db).await?;
    Ok(found.and_then(|job| job.last_error))
}

/// Takes a subject's jobs out of the queue, whoever has them.
///
/// # Errors
/// When the database refuses.
pub async fn drop_jobs(tx: &impl ConnectionTrait, subject: &str) -> Result<(), DbErr> {
    job::Entity::delete_many().filter(job::Column::Subject.eq(subject)).exec(tx).await?;
    Ok(())
}

/// The lanes, among these, that hold a job.
///
/// # Errors
/// When the database refuses.
pub async fn busy_lanes(db: &impl ConnectionTrait, lanes: Vec<String>) -> Result<Vec<String>, DbErr> {
    job::Entity::find()
        .select_only()
        .column(job::Column::Lane)
        .distinct()
        .filter(job::Column::Lane.is_in(lanes))
        .into_tuple()
        .all(db)
        .await
}
