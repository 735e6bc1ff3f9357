//! Moving environments from one runtime to another.

use sea_orm_migration::prelude::*;

/// Where an environment goes next, what it left behind, and which engine a runtime is.
#[derive(DeriveMigrationName)]
pub struct Migration;

/// Columns that hold an id, or none.
const COLUMNS: [(&str, &str); 3] =
    [("environment", "next_runtime_id"), ("deployment", "moved_from"), ("runtime", "engine_id")];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (table, column) in COLUMNS {
            let mut alter = Table::alter();
            alter.table(Alias::new(table)).add_column(ColumnDef::new(Alias::new(column)).string());
            manager.alter_table(alter).await?;
        }
        manager.create_table(leftover()).await?;
        let mut place = Index::create();
        place.name("leftover_place").table(Alias::new("leftover")).unique();
        place.col(Alias::new("environment_id")).col(Alias::new("runtime_id"));
        manager.create_index(place).await?;
        let mut runtime = Index::create();
        runtime.name("leftover_runtime").table(Alias::new("leftover")).col(Alias::new("runtime_id"));
        manager.create_index(runtime).await
    }
}

/// It has no foreign key to its environment, which it may outlive.
fn leftover() -> TableCreateStatement {
    Table::create()
        .table(Alias::new("leftover"))
        .col(ColumnDef::new(Alias::new("id")).string().not_null().primary_key())
        .col(ColumnDef::new(Alias::new("organization_id")).string().not_null())
        .col(ColumnDef::new(Alias::new("environment_id")).string().not_null())
        .col(ColumnDef::new(Alias::new("runtime_id")).string().not_null())
        .col(ColumnDef::new(Alias::new("target")).json_binary().not_null())
        .col(ColumnDef::new(Alias::new("state")).string_len(32).not_null())
        .col(ColumnDef::new(Alias::new("delete_volumes")).boolean().not_null())
        .col(ColumnDef::new(Alias::new("created_at")).timestamp_with_time_zone().not_null())
        .foreign_key(
            ForeignKey::create()
                .from(Alias::new("leftover"), Alias::new("organization_id"))
                .to(Alias::new("organization"), Alias::new("id")),
        )
        .foreign_key(
            ForeignKey::create()
                .from(Alias::new("leftover"), Alias::new("runtime_id"))
                .to(Alias::new("runtime"), Alias::new("id")),
        )
        .to_owned()
}
