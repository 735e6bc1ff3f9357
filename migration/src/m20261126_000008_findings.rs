//! In which order scans are compared, what has taken effect, what each of them saw, and how bad what was ignored was.

use sea_orm_migration::prelude::*;

/// Scans have an order that is not that of their ends; a waiver knows what it waived; what a scan saw is its own.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // What has ended before has taken effect.
        let turn = ColumnDef::new(Alias::new("turn")).big_integer().not_null().default(0).to_owned();
        let settled = ColumnDef::new(Alias::new("settled")).boolean().not_null().default(true).to_owned();
        let waived = ColumnDef::new(Alias::new("waived_rank")).integer().to_owned();
        let digest = ColumnDef::new(Alias::new("digest")).big_integer().to_owned();
        let by = ColumnDef::new(Alias::new("detected_by")).json_binary().not_null().default("[]").to_owned();
        for (table, mut column) in
            [("scan", turn), ("scan", settled), ("finding", waived), ("finding", digest), ("scan_finding", by)]
        {
            let mut add = Table::alter();
            manager.alter_table(add.table(Alias::new(table)).add_column(&mut column).take()).await?;
        }
        let db = manager.get_connection();
        for statement in [
            "UPDATE scan SET settled = FALSE WHERE finished_at IS NULL",
            "UPDATE scan SET turn = 2 * COALESCE((SELECT COALESCE(first.number, own.number) FROM pipeline AS own \
             LEFT JOIN pipeline AS first ON first.id = own.retry_of WHERE own.id = scan.pipeline_id), 0) \
             WHERE pipeline_id IS NOT NULL AND lane NOT LIKE 'environment/%'",
            "UPDATE scan SET turn = 1 + 2 * COALESCE((SELECT MAX(number) FROM pipeline \
             WHERE pipeline.service_id = scan.service_id AND pipeline.created_at <= scan.created_at), 0) \
             WHERE pipeline_id IS NULL AND lane LIKE 'branch/%'",
            "UPDATE finding SET waived_rank = rank WHERE ignored_reason IS NOT NULL",
            "UPDATE scan_finding SET detected_by = \
             (SELECT finding.detected_by FROM finding WHERE finding.id = scan_finding.finding_id)",
            // A row for each finding was in it, though few are ever ignored.
            "DROP INDEX finding_waived",
            "CREATE INDEX finding_waived_until ON finding (ignored_until) WHERE ignored_until IS NOT NULL",
            "CREATE INDEX scan_settled ON scan (organization_id, settled)",
        ] {
            db.execute_unprepared(statement).await?;
        }
        Ok(())
    }
}
