//! Pipelines, how a service is built, and the webhooks that start it.

use sea_orm_migration::prelude::*;

/// Pipelines with their stages, build settings and Auto CI of a service, stored deliveries, approvals.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let text = |name: &str| ColumnDef::new(Alias::new(name)).string().to_owned();
        let json = |name: &str| ColumnDef::new(Alias::new(name)).json_binary().to_owned();
        for (table, column) in [
            ("service", json("build")),
            ("service", json("auto_ci")),
            ("service", text("webhook_secret_id")),
            ("service", text("latest_pipeline_id")),
            ("service", ColumnDef::new(Alias::new("next_pipeline")).integer().not_null().default(1).to_owned()),
            ("deployment", text("pipeline_id")),
            ("deployment", json("approval")),
            (
                "deployment",
                ColumnDef::new(Alias::new("cancel_requested")).boolean().not_null().default(false).to_owned(),
            ),
        ] {
            let mut alter = Table::alter();
            alter.table(Alias::new(table)).add_column(column);
            manager.alter_table(alter).await?;
        }
        manager.create_table(pipeline()).await?;
        manager.create_table(delivery()).await?;
        for (name, table, columns, unique) in [
            ("pipeline_number", "pipeline", ["service_id", "number"], true),
            ("pipeline_key", "pipeline", ["service_id", "idempotency_key"], true),
            ("pipeline_organization", "pipeline", ["organization_id", "id"], false),
            ("pipeline_build", "pipeline", ["service_id", "build_key"], false),
            ("webhook_delivery_service", "webhook_delivery", ["service_id", "id"], false),
            ("webhook_delivery_pending", "webhook_delivery", ["outcome", "id"], false),
            ("deployment_pipeline", "deployment", ["pipeline_id", "id"], false),
        ] {
            let mut index = Index::create();
            index.name(name).table(Alias::new(table));
            for column in columns {
                index.col(Alias::new(column));
            }
            if unique {
                index.unique();
            }
            manager.create_index(index).await?;
        }
        Ok(())
    }
}

fn pipeline() -> TableCreateStatement {
    Table::create()
        .table(Alias::new("pipeline"))
        .col(ColumnDef::new(Alias::new("id")).string().not_null().primary_key())
        .col(ColumnDef::new(Alias::new("organization_id")).string().not_null())
        .col(ColumnDef::new(Alias::new("service_id")).string().not_null())
        .col(ColumnDef::new(Alias::new("number")).integer().not_null())
        .col(ColumnDef::new(Alias::new("trigger")).string_len(32).not_null())
        .col(ColumnDef::new(Alias::new("triggered_by")).string())
        .col(ColumnDef::new(Alias::new("ref_name")).string().not_null())
        .col(ColumnDef::new(Alias::new("lane")).string().not_null())
        .col(ColumnDef::new(Alias::new("commit_sha")).string())
        .col(ColumnDef::new(Alias::new("commit")).json_binary())
        .col(ColumnDef::new(Alias::new("status")).string_len(32).not_null())
        .col(ColumnDef::new(Alias::new("stages")).json_binary().not_null())
        .col(ColumnDef::new(Alias::new("settings")).json_binary().not_null())
        .col(ColumnDef::new(Alias::new("deploy_to")).string())
        .col(ColumnDef::new(Alias::new("idempotency_key")).string())
        .col(ColumnDef::new(Alias::new("retry_of")).string())
        .col(ColumnDef::new(Alias::new("source_tree")).string())
        .col(ColumnDef::new(Alias::new("build_key")).string())
        .col(ColumnDef::new(Alias::new("image")).string())
        .col(ColumnDef::new(Alias::new("image_digest")).string())
        .col(ColumnDef::new(Alias::new("image_id")).string())
        .col(ColumnDef::new(Alias::new("engine_id")).string())
        .col(ColumnDef::new(Alias::new("cancel_requested")).boolean().not_null())
        .col(ColumnDef::new(Alias::new("reported")).string_len(32))
        .col(ColumnDef::new(Alias::new("created_at")).timestamp_with_time_zone().not_null())
        .col(ColumnDef::new(Alias::new("started_at")).timestamp_with_time_zone())
        .col(ColumnDef::new(Alias::new("finished_at")).timestamp_with_time_zone())
        .foreign_key(
            ForeignKey::create()
                .from(Alias::new("pipeline"), Alias::new("organization_id"))
                .to(Alias::new("organization"), Alias::new("id")),
        )
        .foreign_key(
            ForeignKey::create()
                .from(Alias::new("pipeline"), Alias::new("service_id"))
                .to(Alias::new("service"), Alias::new("id")),
        )
        .to_owned()
}

/// Its `dedup` is the provider's id of the delivery, and none in rows of deliveries that were turned down or repeated.
fn delivery() -> TableCreateStatement {
    Table::create()
        .table(Alias::new("webhook_delivery"))
        .col(ColumnDef::new(Alias::new("id")).string().not_null().primary_key())
        .col(ColumnDef::new(Alias::new("organization_id")).string().not_null())
        .col(ColumnDef::new(Alias::new("service_id")).string().not_null())
        .col(ColumnDef::new(Alias::new("dedup")).string().unique_key())
        .col(ColumnDef::new(Alias::new("event")).string().not_null())
        .col(ColumnDef::new(Alias::new("received_at")).timestamp_with_time_zone().not_null())
        .col(ColumnDef::new(Alias::new("outcome")).string_len(32).not_null())
        .col(ColumnDef::new(Alias::new("reason")).text())
        .col(ColumnDef::new(Alias::new("pipeline_id")).string())
        .col(ColumnDef::new(Alias::new("replay_of")).string())
        .col(ColumnDef::new(Alias::new("payload")).binary())
        .foreign_key(
            ForeignKey::create()
                .from(Alias::new("webhook_delivery"), Alias::new("service_id"))
                .to(Alias::new("service"), Alias::new("id")),
        )
        .to_owned()
}
