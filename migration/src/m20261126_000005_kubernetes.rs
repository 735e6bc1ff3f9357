//! Kubernetes clusters as runtimes.

use sea_orm_migration::prelude::*;

/// What a runtime that is a cluster has: classes, exposure, and what its login lacks.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let text = |name: &str| ColumnDef::new(Alias::new(name)).string().to_owned();
        for column in [
            text("ingress_class"),
            text("storage_class"),
            text("exposure"),
            ColumnDef::new(Alias::new("missing_permissions")).json_binary().to_owned(),
            ColumnDef::new(Alias::new("grant_manifest")).text().to_owned(),
        ] {
            let mut alter = Table::alter();
            alter.table(Alias::new("runtime")).add_column(column);
            manager.alter_table(alter).await?;
        }
        Ok(())
    }
}
