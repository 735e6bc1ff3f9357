//! What the gate of a service says of a deployment, from what scans have stored.

use entity::{FindingState, GateMode, RunStatus, environment, finding, pipeline, scan, scan_finding, service};
use sea_orm::sea_query::{Expr, Query};
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _, QueryTrait as _,
};

use super::in_force;
use crate::app::audit::By;
use crate::app::scans::list::{rank_of, severity_of};
use crate::app::{App, Error, Precondition, Result, Scope};
use crate::domain::scan::{ScanKind, SeverityCounts};
use crate::scanner::gate::{self, Counted, Looked, Mode, Outcome, Rule, Verdict, Way};

/// Longest reason of an override, in bytes.
const REASON: usize = 2048;

/// What is to be deployed where.
pub struct Wish<'a> {
    /// The service.
    pub service: &'a service::Model,
    /// The pipeline that built it; none for a service of images.
    pub pipeline: Option<&'a pipeline::Model>,
    /// Where it goes: stored, or about to be.
    pub environment: &'a environment::Model,
    /// Whether it was there before.
    pub way: Way,
}

/// What the gate says; none where there is none, or it is off.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn verdict(app: &App, db: &impl ConnectionTrait, scope: &Scope, wish: &Wish<'_>) -> Result<Option<Verdict>> {
    let Some(found) = in_force(db, scope, Some(&wish.service.id)).await?.filter(|gate| gate.enabled) else {
        return Ok(None);
    };
    let mut counted = Vec::with_capacity(found.rules.len());
    for rule in found.rules {
        let scan = evidence(db, scope, wish, rule.kind).await?;
        let looked = match &scan {
            Some(_) => Looked::Yes,
            None if rule.kind == ScanKind::Dast && wish.environment.current_deployment_id.is_none() => Looked::NotYet,
            None => Looked::No,
        };
        let counts = match scan {
            Some(scan) => count(app, db, &scan, &rule).await?,
            None => SeverityCounts::default(),
        };
        counted.push(Counted { rule, counts, looked });
    }
    let mode = match found.mode {
        GateMode::Block => Mode::Block,
        GateMode::Warn => Mode::Warn,
    };
    Ok(Some(gate::judge(mode, wish.way, counted)))
}

/// Goes on only if the gate does not keep it back, or an admin says why it goes on all the same.
///
/// # Errors
/// FAILED_PRECONDITION, GATE_BLOCKED, with what is against it; BAD_USER_INPUT for a reason that is none.
pub fn admit(by: &By, verdict: Option<Verdict>, reason: Option<&str>) -> Result<Option<Verdict>> {
    let reason = reason.map(str::trim);
    if reason.is_some_and(|reason| reason.is_empty() || reason.len() > REASON || reason.contains('\0')) {
        return Err(Error::bad_input("input.gateOverride", format!("say why, in at most {REASON} bytes")));
    }
    match (verdict, reason) {
        (Some(verdict), None) if verdict.outcome == Outcome::Blocked => Err(Error::precondition(
            Precondition::GateBlocked,
            format!(
                "the security gate keeps it back: {}. Mend or ignore what was found, or have an admin deploy it with a \
                 reason (gateOverride)",
                verdict.sentence()
            ),
        )),
        (Some(verdict), Some(reason)) if verdict.outcome == Outcome::Blocked => Ok(Some(Verdict {
            outcome: Outcome::Overridden,
            overridden_by: by.user_id.clone(),
            override_reason: Some(reason.to_owned()),
            ..verdict
        })),
        (verdict, _) => Ok(verdict),
    }
}

/// Notes with the transaction in which a revision begins to serve that what is known of it has been deployed: it is not
/// new any more.
///
/// # Errors
/// INTERNAL when the database refuses.
pub async fn mark_deployed(app: &App, tx: &impl ConnectionTrait, scope: &Scope, wish: &Wish<'_>) -> Result<()> {
    let mut scans = Vec::new();
    for kind in ScanKind::ALL {
        scans.extend(evidence(tx, scope, wish, kind).await?);
    }
    if scans.is_empty() {
        return Ok(());
    }
    let seen = Query::select()
        .column(scan_finding::Column::FindingId)
        .from(scan_finding::Entity)
        .and_where(scan_finding::Column::ScanId.is_in(scans))
        .to_owned();
    finding::Entity::update_many()
        .col_expr(finding::Column::DeployedAt, Expr::value(app.clock.now()))
        .filter(finding::Column::DeployedAt.is_null())
        .filter(finding::Column::Id.in_subquery(seen))
        .exec(tx)
        .await?;
    Ok(())
}

/// The scan whose result speaks of what is to be deployed: the newest of the pipeline or of its commit, and where no
/// pipeline builds the newest of all. DAST looks at what runs: at the same build elsewhere, else at the environment.
async fn evidence(db: &impl ConnectionTrait, scope: &Scope, wish: &Wish<'_>, kind: ScanKind) -> Result<Option<String>> {
    let results = || {
        scope
            .scans()
            .select_only()
            .column(scan::Column::Id)
            .filter(scan::Column::ServiceId.eq(&wish.service.id))
            .filter(scan::Column::Kind.eq(entity::ScanKind::from(kind)))
            .filter(scan::Column::Status.is_in([RunStatus::Succeeded, RunStatus::Incomplete]))
            .order_by_desc(scan::Column::Id)
    };
    if kind == ScanKind::Dast {
        if let Some(pipeline) = wish.pipeline {
            let deployed = scope
                .deployments()
                .select_only()
                .column(entity::deployment::Column::Id)
                .filter(entity::deployment::Column::PipelineId.eq(&pipeline.id))
                .into_query();
            let same = results().filter(scan::Column::DeploymentId.in_subquery(deployed));
            if let Some(found) = same.into_tuple().one(db).await? {
                return Ok(Some(found));
            }
        }
        let here = results().filter(scan::Column::EnvironmentId.eq(&wish.environment.id));
        return Ok(here.into_tuple().one(db).await?);
    }
    let Some(pipeline) = wish.pipeline else {
        return Ok(results().filter(scan::Column::EnvironmentId.is_null()).into_tuple().one(db).await?);
    };
    let mut of_it = Condition::any().add(scan::Column::PipelineId.eq(&pipeline.id));
    if let Some(commit) = &pipeline.commit_sha {
        of_it = of_it.add(scan::Column::CommitSha.eq(commit));
    }
    Ok(results().filter(of_it).into_tuple().one(db).await?)
}

/// How many findings of a scan a rule does not let through. One that is fixed by now in a later commit is in this one
/// still; one that is ignored is not counted until its time has passed.
async fn count(app: &App, db: &impl ConnectionTrait, scan: &str, rule: &Rule) -> Result<SeverityCounts> {
    let now = app.clock.now();
    let ignored = Condition::all()
        .add(finding::Column::State.eq(FindingState::Ignored))
        .add(Condition::any().add(finding::Column::IgnoredUntil.is_null()).add(finding::Column::IgnoredUntil.gt(now)));
    let mut counted = finding::Entity::find()
        .filter(
            finding::Column::Id.in_subquery(
                Query::select()
                    .column(scan_finding::Column::FindingId)
                    .from(scan_finding::Entity)
                    .and_where(scan_finding::Column::ScanId.eq(scan))
                    .to_owned(),
            ),
        )
        .filter(finding::Column::Rank.lt(rank_of(rule.max_severity)))
        .filter(ignored.not());
    if rule.only_new {
        counted = counted
            .filter(finding::Column::FirstSeenAt.gt(rule.saved_at))
            .filter(finding::Column::DeployedAt.is_null());
    }
    let ranks: Vec<(i32, i64)> = counted
        .select_only()
        .column(finding::Column::Rank)
        .column_as(finding::Column::Id.count(), "of_it")
        .group_by(finding::Column::Rank)
        .into_tuple()
        .all(db)
        .await?;
    let mut counts = SeverityCounts::default();
    for (rank, of_it) in ranks {
        counts.add_many(severity_of(rank), of_it.unsigned_abs());
    }
    Ok(counts)
}
