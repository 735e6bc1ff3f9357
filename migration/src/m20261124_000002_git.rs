//! Git providers: an organization's settings, projects being made, and where a service's source is.

use sea_orm_migration::prelude::*;

/// Git settings, projects being made, and the source of services.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(git_settings()).await?;
        manager.create_table(git_creation()).await?;
        // One column a statement: SQLite adds no more at once.
        for column in SERVICE_COLUMNS {
            let mut alter = Table::alter();
            alter.table(Alias::new("service")).add_column(ColumnDef::new(Alias::new(column)).string());
            manager.alter_table(alter).await?;
        }
        for (name, table, columns, unique) in INDEXES {
            let mut index = Index::create();
            index.name(name).table(Alias::new(table));
            for column in columns {
                index.col(Alias::new(*column));
            }
            if unique {
                index.unique();
            }
            manager.create_index(index).await?;
        }
        Ok(())
    }
}

const SERVICE_COLUMNS: [&str; 6] =
    ["git_base_url", "git_project_id", "git_project_path", "git_web_url", "git_branch", "git_context_path"];

/// Name, table, columns, and whether it holds each combination once.
const INDEXES: [(&str, &str, &[&str], bool); 4] = [
    ("git_settings_provider", "git_settings", &["organization_id", "provider"], true),
    ("git_settings_due", "git_settings", &["next_check_at"], false),
    ("git_creation_project", "git_creation", &["organization_id", "provider", "base_url", "path"], true),
    ("service_git_project", "service", &["organization_id", "git_project_id"], false),
];

fn git_settings() -> TableCreateStatement {
    Table::create()
        .table(Alias::new("git_settings"))
        .col(ColumnDef::new(Alias::new("id")).string().not_null().primary_key())
        .col(ColumnDef::new(Alias::new("organization_id")).string().not_null())
        .col(ColumnDef::new(Alias::new("provider")).string_len(32).not_null())
        .col(ColumnDef::new(Alias::new("base_url")).string().not_null())
        .col(ColumnDef::new(Alias::new("secret_id")).string().not_null())
        .col(ColumnDef::new(Alias::new("token_hint")).string().not_null())
        .col(ColumnDef::new(Alias::new("account")).string())
        .col(ColumnDef::new(Alias::new("scopes")).json_binary().not_null())
        .col(ColumnDef::new(Alias::new("missing")).json_binary().not_null())
        .col(ColumnDef::new(Alias::new("expires_at")).timestamp_with_time_zone())
        .col(ColumnDef::new(Alias::new("rejected")).boolean().not_null())
        .col(ColumnDef::new(Alias::new("status_message")).text())
        .col(ColumnDef::new(Alias::new("checked_at")).timestamp_with_time_zone().not_null())
        .col(ColumnDef::new(Alias::new("next_check_at")).timestamp_with_time_zone().not_null())
        .col(ColumnDef::new(Alias::new("saved_by")).string())
        .col(ColumnDef::new(Alias::new("declared")).boolean().not_null())
        .foreign_key(
            ForeignKey::create()
                .from(Alias::new("git_settings"), Alias::new("organization_id"))
                .to(Alias::new("organization"), Alias::new("id")),
        )
        .to_owned()
}

fn git_creation() -> TableCreateStatement {
    Table::create()
        .table(Alias::new("git_creation"))
        .col(ColumnDef::new(Alias::new("id")).string().not_null().primary_key())
        .col(ColumnDef::new(Alias::new("organization_id")).string().not_null())
        .col(ColumnDef::new(Alias::new("provider")).string_len(32).not_null())
        .col(ColumnDef::new(Alias::new("base_url")).string().not_null())
        .col(ColumnDef::new(Alias::new("path")).string().not_null())
        .col(ColumnDef::new(Alias::new("service_name")).string().not_null())
        .col(ColumnDef::new(Alias::new("branch")).string().not_null())
        .col(ColumnDef::new(Alias::new("private")).boolean().not_null())
        .col(ColumnDef::new(Alias::new("external_id")).string())
        .col(ColumnDef::new(Alias::new("project_path")).string())
        .col(ColumnDef::new(Alias::new("started_at")).timestamp_with_time_zone().not_null())
        .foreign_key(
            ForeignKey::create()
                .from(Alias::new("git_creation"), Alias::new("organization_id"))
                .to(Alias::new("organization"), Alias::new("id")),
        )
        .to_owned()
}
