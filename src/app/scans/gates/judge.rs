//! What the gate of a service says of a deployment, from what scans have stored.

use entity::{GateMode, RunStatus, environment, finding, pipeline, scan, scan_finding, service};
use sea_orm::sea_query::{Alias, Expr, ExprTrait as _, Query};
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _, QueryTrait as _,
};

use super::in_force;
use crate::app::audit::By;
use crate::app::scans::list::{rank_of, severity_of};
use crate::app::scans::machine::tools_of;
use crate::app::scans::waivers;
use crate::app::{App, Error, Precondition, Result, Scope};
use crate::domain::scan::{ScanKind, SeverityCounts};
use crate::scanner::gate::{self, Counted, Looked, Mode, Outcome, Rule, Verdict, Way};

/// Longest reason of an override, in bytes.
const REASON: usize = 2048;
/// The most scans that are looked through for one that is whole.
const MOST_SCANS: u64 = 50;

/// What is to be deployed where.
pub struct Wish<'a> {
    /// The service.
    pub service: &'a service::Model,
    /// What it is made of.
    pub what: What<'a>,
    /// Where it goes: stored, or about to be.
    pub environment: &'a environment::Model,
    /// Whether it was there before.
    pub way: Way,
}

/// What a deployment is made of.
#[derive(Clone, Copy)]
pub enum What<'a> {
    /// What a pipeline built.
    Built(&'a pipeline::Model),
    /// Images of others, which run there already: they were looked at there, and are in a revision that was deployed.
    Runs,
    /// Images of others that nobody could look at yet.
    New,
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
        let evidence = evidence(db, scope, wish, rule.kind).await?;
        let looked = match (evidence.looked, wish.what) {
            (true, _) => Looked::Yes,
            // Nobody can look at what does not run, or is nowhere yet.
            (false, What::New) => Looked::NotYet,
            (false, _) if rule.kind == ScanKind::Dast => Looked::NotYet,
            (false, _) => Looked::No,
        };
        // What runs is not new.
        let old = rule.only_new && matches!(wish.what, What::Runs);
        let counts = match looked {
            Looked::Yes if !old => count(app, db, &evidence.scans, &rule).await?,
            _ => SeverityCounts::default(),
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
        scans.extend(evidence(tx, scope, wish, kind).await?.scans);
    }
    if scans.is_empty() {
        return Ok(());
    }
    let seen = Query::select()
        .column(scan_finding::Column::FindingId)
        .from(scan_finding::Entity)
        .and_where(scan_finding::Column::ScanId.is_in(scans))
        .to_owned();
    if app.db.is_postgres() {
        // In the order in which scans that are stored and written down hold them.
        let held = finding::Entity::find().select_only().column(finding::Column::Id);
        let held =
            held.filter(finding::Column::DeployedAt.is_null()).filter(finding::Column::Id.in_subquery(seen.clone()));
        held.order_by_asc(finding::Column::Id).lock_exclusive().into_tuple::<String>().all(tx).await?;
    }
    finding::Entity::update_many()
        .col_expr(finding::Column::DeployedAt, Expr::value(app.clock.now()))
        .filter(finding::Column::DeployedAt.is_null())
        .filter(finding::Column::Id.in_subquery(seen))
        .exec(tx)
        .await?;
    Ok(())
}

/// What scans say of what is to be deployed.
#[derive(Default)]
struct Evidence {
    /// The scans whose findings count.
    scans: Vec<String>,
    /// Whether a tool has succeeded in one of them.
    looked: bool,
}

/// The newest scan that speaks of what is to be deployed, and where a part of it is missing those before it, back to one
/// that is whole: what a tool saw is not gone because it failed later.
async fn evidence(db: &impl ConnectionTrait, scope: &Scope, wish: &Wish<'_>, kind: ScanKind) -> Result<Evidence> {
    let Some(about) = about(scope, wish, kind) else { return Ok(Evidence::default()) };
    let rows = scope
        .scans()
        .filter(scan::Column::ServiceId.eq(&wish.service.id))
        .filter(scan::Column::Kind.eq(entity::ScanKind::from(kind)))
        .filter(scan::Column::Status.is_in([RunStatus::Succeeded, RunStatus::Incomplete]))
        .filter(about)
        .order_by_desc(scan::Column::Id)
        .limit(MOST_SCANS)
        .all(db)
        .await?;
    let mut evidence = Evidence::default();
    for row in rows {
        if row.pruned {
            // Nobody knows any more what it saw, and it may have been what those after it did not.
            evidence.looked = false;
            break;
        }
        evidence.looked |= tools_of(&row)?.iter().any(|tool| tool.succeeded());
        evidence.scans.push(row.id);
        if row.status == RunStatus::Succeeded {
            break;
        }
    }
    Ok(evidence)
}

/// Which scans of a kind speak of what is to be deployed; none where none can.
fn about(scope: &Scope, wish: &Wish<'_>, kind: ScanKind) -> Option<Condition> {
    let all = Condition::all;
    Some(match (wish.what, kind) {
        // Of the same build, where it runs already.
        (What::Built(pipeline), ScanKind::Dast) => {
            let deployed = scope
                .deployments()
                .select_only()
                .column(entity::deployment::Column::Id)
                .filter(entity::deployment::Column::PipelineId.eq(&pipeline.id))
                .into_query();
            all().add(scan::Column::DeploymentId.in_subquery(deployed))
        }
        // The image of another pipeline may be another one, of the same commit too.
        (What::Built(pipeline), ScanKind::Sca | ScanKind::Sbom) => all().add(scan::Column::PipelineId.eq(&pipeline.id)),
        (What::Built(pipeline), ScanKind::Sast | ScanKind::Secret | ScanKind::Iac) => {
            let of_it = Condition::any().add(scan::Column::PipelineId.eq(&pipeline.id));
            match &pipeline.commit_sha {
                Some(commit) => of_it.add(scan::Column::CommitSha.eq(commit)),
                None => of_it,
            }
        }
        (What::Runs, ScanKind::Dast) => all().add(scan::Column::EnvironmentId.eq(&wish.environment.id)),
        (What::Runs, _) => all().add(scan::Column::EnvironmentId.is_null()),
        (What::New, _) => return None,
    })
}

/// How many findings of scans a rule does not let through, each as bad as the worst of these scans says. One that is fixed by
/// now in a later commit is in this one still; one that is ignored is not
/// counted as long as its waiver holds for how bad it is here.
async fn count(app: &App, db: &impl ConnectionTrait, scans: &[String], rule: &Rule) -> Result<SeverityCounts> {
    let seen = Alias::new("seen");
    let rank = || Expr::col((Alias::new("seen"), scan_finding::Column::Rank));
    let found = |column| Expr::col((finding::Entity, column));
    let each = Query::select()
        .column(scan_finding::Column::FindingId)
        .expr_as(Expr::col(scan_finding::Column::Rank).min(), scan_finding::Column::Rank)
        .from(scan_finding::Entity)
        .and_where(Expr::col(scan_finding::Column::ScanId).is_in(scans))
        .group_by_col(scan_finding::Column::FindingId)
        .to_owned();
    // One that is fixed by now keeps its waiver, for those that have it still.
    let ignored = waivers::holds(app.clock.now(), rank());
    let mut counted = Query::select();
    counted
        .expr_as(rank(), Alias::new("rank"))
        .expr_as(found(finding::Column::Id).count(), Alias::new("of_it"))
        .from_subquery(each, seen.clone())
        .inner_join(finding::Entity, found(finding::Column::Id).equals((seen, scan_finding::Column::FindingId)))
        .and_where(rank().lt(rank_of(rule.max_severity)))
        .cond_where(ignored.not())
        .add_group_by([rank()]);
    if rule.only_new {
        counted
            .and_where(found(finding::Column::FirstSeenAt).gt(rule.saved_at))
            .and_where(found(finding::Column::DeployedAt).is_null());
    }
    let mut counts = SeverityCounts::default();
    for row in db.query_all(&counted).await? {
        let (rank, of_it): (i32, i64) = (row.try_get("", "rank")?, row.try_get("", "of_it")?);
        counts.add_many(severity_of(rank), of_it.unsigned_abs());
    }
    Ok(counts)
}
