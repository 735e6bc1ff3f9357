//! Images of earlier builds that nothing can need any more are taken off the engine that built them.

use std::collections::HashSet;

use entity::{deployment, pipeline};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait as _, QueryFilter, QueryOrder as _, QuerySelect as _};

use super::{engine, image};
use crate::app::{App, Result};

/// How many are taken off after one run.
const BATCH: u64 = 20;

/// Takes off the images of a service beyond the newest `deploy.keep_revisions`, but for those of kept deployments. What
/// goes wrong here is tried again after the next run.
pub(super) async fn after(app: &App, run: &pipeline::Model) {
    if let Err(error) = surplus(app, run).await {
        tracing::warn!(service = %run.service_id, %error, "images of earlier builds could not be taken off");
    }
}

async fn surplus(app: &App, run: &pipeline::Model) -> Result<()> {
    let db = app.db.read();
    let old = pipeline::Entity::find()
        .filter(pipeline::Column::ServiceId.eq(&run.service_id))
        .filter(pipeline::Column::ImageId.is_not_null())
        .filter(pipeline::Column::FinishedAt.is_not_null())
        .order_by_desc(pipeline::Column::Number)
        .offset(u64::from(app.settings.keep_revisions))
        .limit(BATCH)
        .all(db)
        .await?;
    if old.is_empty() {
        return Ok(());
    }
    let kept: Vec<Option<String>> = deployment::Entity::find()
        .select_only()
        .column(deployment::Column::PipelineId)
        .filter(deployment::Column::ServiceId.eq(&run.service_id))
        .into_tuple()
        .all(db)
        .await?;
    let kept: HashSet<String> = kept.into_iter().flatten().collect();
    // Two runs of the same source and arguments share one image.
    let rows = pipeline::Entity::find()
        .filter(pipeline::Column::ServiceId.eq(&run.service_id))
        .filter(pipeline::Column::Image.is_not_null())
        .all(db)
        .await?;
    let surplus: HashSet<&String> = old.iter().map(|row| &row.id).filter(|id| !kept.contains(*id)).collect();
    let needed = rows.iter().filter(|row| row.image_id.is_some() && !surplus.contains(&row.id));
    let needed: HashSet<String> = needed.filter_map(|row| row.image.clone()).collect();
    let Ok(builder) = engine::builder(app).await? else { return Ok(()) };
    for row in old.iter().filter(|row| !kept.contains(&row.id)) {
        let Some(image) = image::of(row)? else { continue };
        let shared = row.image.as_ref().is_some_and(|name| needed.contains(name));
        if !shared && builder.forget(&image.repository, &image.tag).await.is_err() {
            return Ok(());
        }
        pipeline::Entity::update_many()
            .col_expr(pipeline::Column::ImageId, Expr::value(Option::<String>::None))
            .filter(pipeline::Column::Id.eq(&row.id))
            .exec(app.db.read_write())
            .await?;
    }
    Ok(())
}
