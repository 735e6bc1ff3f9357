//! Requests a minute, counted over all servers.

use sea_orm_migration::prelude::*;

/// A window of a minute for each caller.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut table = Table::create();
        table
            .table(Alias::new("request_window"))
            .col(ColumnDef::new(Alias::new("subject")).string().not_null().primary_key())
            .col(ColumnDef::new(Alias::new("begun_at")).timestamp_with_time_zone().not_null())
            .col(ColumnDef::new(Alias::new("count")).integer().not_null());
        manager.create_table(table).await
    }
}
