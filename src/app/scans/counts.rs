//! How bad a service's open findings are.

use std::collections::HashMap;

use entity::{FindingState, finding, service};
use sea_orm::sea_query::{Expr, ExprTrait as _, Query, SelectStatement, SimpleExpr};
use sea_orm::{ColumnTrait as _, QueryFilter as _, QuerySelect as _};

use super::effect;
use super::list::severity_of;
use crate::app::{App, Result, Scope};
use crate::domain::scan::{Severity, SeverityCounts};

/// Of many services at once, how many open findings of each severity they have. Services without one are left out.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn of_services(app: &App, scope: &Scope, ids: &[String]) -> Result<HashMap<String, SeverityCounts>> {
    effect::up_to_date(app, scope).await?;
    let rows: Vec<(String, i32, i64)> = scope
        .findings()
        .select_only()
        .column(finding::Column::ServiceId)
        .column(finding::Column::Rank)
        .column_as(finding::Column::Id.count(), "findings")
        .filter(finding::Column::ServiceId.is_in(ids))
        .filter(finding::Column::State.eq(FindingState::Open))
        .group_by(finding::Column::ServiceId)
        .group_by(finding::Column::Rank)
        .into_tuple()
        .all(app.db.read())
        .await?;
    let mut found: HashMap<String, SeverityCounts> = HashMap::new();
    for (service, rank, count) in rows {
        found.entry(service).or_default().add_many(severity_of(rank), count.unsigned_abs());
    }
    Ok(found)
}

/// Of many services at once, the highest severity among their open findings.
///
/// # Errors
/// INTERNAL when the database does not answer.
pub async fn risks(app: &App, scope: &Scope, ids: &[String]) -> Result<HashMap<String, Severity>> {
    effect::up_to_date(app, scope).await?;
    // The first entry of an index for each, however many findings there are.
    let rows: Vec<(String, Option<i32>)> = scope
        .services()
        .select_only()
        .column(service::Column::Id)
        .expr_as(SimpleExpr::SubQuery(None, Box::new(worst_rank().into())), "worst")
        .filter(service::Column::Id.is_in(ids))
        .into_tuple()
        .all(app.db.read())
        .await?;
    Ok(rows.into_iter().filter_map(|(service, rank)| Some((service, severity_of(rank?)))).collect())
}

/// The rank of a service's worst open finding, for a statement about services.
pub(in crate::app) fn worst_rank() -> SelectStatement {
    Query::select()
        .expr(Expr::col((finding::Entity, finding::Column::Rank)).min())
        .from(finding::Entity)
        .and_where(
            Expr::col((finding::Entity, finding::Column::ServiceId)).equals((service::Entity, service::Column::Id)),
        )
        .and_where(
            Expr::col((finding::Entity, finding::Column::OrganizationId))
                .equals((service::Entity, service::Column::OrganizationId)),
        )
        .and_where(finding::Column::State.eq(FindingState::Open))
        .take()
}
