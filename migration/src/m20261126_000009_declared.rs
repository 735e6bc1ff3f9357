//! What kiops.toml states of an organization, beyond what had a column for it.

use sea_orm_migration::prelude::*;

/// Logins to registries can be stated in the file; and whether a person's password is, is another matter than whether the
/// person is.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (table, column) in [("registry", "declared"), ("membership", "declared_password")] {
            let mut column = ColumnDef::new(Alias::new(column)).boolean().not_null().default(false).to_owned();
            let mut add = Table::alter();
            manager.alter_table(add.table(Alias::new(table)).add_column(&mut column).take()).await?;
        }
        Ok(())
    }
}
