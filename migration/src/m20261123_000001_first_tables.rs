//! The first tables.

use sea_orm_migration::prelude::*;

/// Organizations, people, runtimes, services, environments, deployments and the job queue.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in tables() {
            manager.create_table(table).await?;
        }
        for (name, table, columns, unique) in INDEXES {
            let mut index = Index::create();
            index.name(*name).table(Alias::new(*table));
            for column in *columns {
                index.col(Alias::new(*column));
            }
            if *unique {
                index.unique();
            }
            manager.create_index(index).await?;
        }
        Ok(())
    }
}

/// Name, table, columns, and whether it holds each combination once.
const INDEXES: &[(&str, &str, &[&str], bool)] = &[
    ("membership_organization_user", "membership", &["organization_id", "user_id"], true),
    ("membership_user", "membership", &["user_id"], false),
    ("token_user", "token", &["organization_id", "user_id"], false),
    ("login_failure_subject", "login_failure", &["subject", "at"], false),
    ("login_failure_at", "login_failure", &["at"], false),
    ("audit_event_organization", "audit_event", &["organization_id", "id"], false),
    ("registry_host", "registry", &["organization_id", "host"], true),
    ("runtime_name", "runtime", &["organization_id", "name"], true),
    ("service_name", "service", &["organization_id", "name"], true),
    ("service_created", "service", &["organization_id", "id"], false),
    ("service_changed", "service", &["organization_id", "changed_at"], false),
    ("service_runtime", "service", &["runtime_id"], false),
    ("environment_name", "environment", &["service_id", "name"], true),
    ("environment_runtime", "environment", &["runtime_id"], false),
    ("deployment_revision", "deployment", &["environment_id", "revision"], true),
    ("deployment_service", "deployment", &["service_id", "id"], false),
    ("deployment_organization", "deployment", &["organization_id", "id"], false),
    ("deployment_idempotency", "deployment", &["service_id", "idempotency_key"], true),
    ("log_line_run", "log_line", &["run_id", "seq"], true),
    ("job_lane", "job", &["lane", "id"], false),
    ("job_subject", "job", &["subject"], false),
];

fn tables() -> Vec<TableCreateStatement> {
    vec![
        Table::create()
            .table(Alias::new("organization"))
            .col(ColumnDef::new(Alias::new("id")).string().not_null().primary_key())
            .col(ColumnDef::new(Alias::new("slug")).string().not_null().unique_key())
            .col(ColumnDef::new(Alias::new("name")).string().not_null())
            .col(ColumnDef::new(Alias::new("created_at")).timestamp_with_time_zone().not_null())
            .to_owned(),
        Table::create()
            .table(Alias::new("user"))
            .col(ColumnDef::new(Alias::new("id")).string().not_null().primary_key())
            .col(ColumnDef::new(Alias::new("email")).string().not_null().unique_key())
            .col(ColumnDef::new(Alias::new("name")).string().not_null())
            .col(ColumnDef::new(Alias::new("password_hash")).string().not_null())
            .col(ColumnDef::new(Alias::new("created_at")).timestamp_with_time_zone().not_null())
            .to_owned(),
        Table::create()
            .table(Alias::new("membership"))
            .col(ColumnDef::new(Alias::new("id")).string().not_null().primary_key())
            .col(ColumnDef::new(Alias::new("organization_id")).string().not_null())
            .col(ColumnDef::new(Alias::new("user_id")).string().not_null())
            .col(ColumnDef::new(Alias::new("role")).string_len(32).not_null())
            .col(ColumnDef::new(Alias::new("declared")).boolean().not_null())
            .col(ColumnDef::new(Alias::new("created_at")).timestamp_with_time_zone().not_null())
            .col(ColumnDef::new(Alias::new("last_seen_at")).timestamp_with_time_zone())
            .foreign_key(
                ForeignKey::create()
                    .from(Alias::new("membership"), Alias::new("organization_id"))
                    .to(Alias::new("organization"), Alias::new("id")),
            )
            .foreign_key(
                ForeignKey::create()
                    .from(Alias::new("membership"), Alias::new("user_id"))
                    .to(Alias::new("user"), Alias::new("id")),
            )
            .to_owned(),
        Table::create()
            .table(Alias::new("token"))
            .col(ColumnDef::new(Alias::new("id")).string().not_null().primary_key())
            .col(ColumnDef::new(Alias::new("organization_id")).string().not_null())
            .col(ColumnDef::new(Alias::new("user_id")).string().not_null())
            .col(ColumnDef::new(Alias::new("kind")).string_len(32).not_null())
            .col(ColumnDef::new(Alias::new("name")).string().not_null())
            .col(ColumnDef::new(Alias::new("hash")).string().not_null().unique_key())
            .col(ColumnDef::new(Alias::new("role")).string_len(32).not_null())
            .col(ColumnDef::new(Alias::new("created_at")).timestamp_with_time_zone().not_null())
            .col(ColumnDef::new(Alias::new("expires_at")).timestamp_with_time_zone())
            .col(ColumnDef::new(Alias::new("last_used_at")).timestamp_with_time_zone())
            .foreign_key(
                ForeignKey::create()
                    .from(Alias::new("token"), Alias::new("organization_id"))
                    .to(Alias::new("organization"), Alias::new("id")),
            )
            .foreign_key(
                ForeignKey::create()
                    .from(Alias::new("token"), Alias::new("user_id"))
                    .to(Alias::new("user"), Alias::new("id")),
            )
            .to_owned(),
        Table::create()
            .table(Alias::new("login_failure"))
            .col(ColumnDef::new(Alias::new("id")).big_integer().not_null().primary_key().auto_increment())
            .col(ColumnDef::new(Alias::new("subject")).string().not_null())
            .col(ColumnDef::new(Alias::new("at")).timestamp_with_time_zone().not_null())
            .to_owned(),
        Table::create()
            .table(Alias::new("audit_event"))
            .col(ColumnDef::new(Alias::new("id")).string().not_null().primary_key())
            .col(ColumnDef::new(Alias::new("organization_id")).string().not_null())
            .col(ColumnDef::new(Alias::new("at")).timestamp_with_time_zone().not_null())
            .col(ColumnDef::new(Alias::new("actor_id")).string())
            .col(ColumnDef::new(Alias::new("action")).string().not_null())
            .col(ColumnDef::new(Alias::new("subject_kind")).string())
            .col(ColumnDef::new(Alias::new("subject_id")).string())
            .col(ColumnDef::new(Alias::new("subject_name")).string())
            .col(ColumnDef::new(Alias::new("detail")).json_binary().not_null())
            .col(ColumnDef::new(Alias::new("address")).string())
            .to_owned(),
        Table::create()
            .table(Alias::new("secret"))
            .col(ColumnDef::new(Alias::new("id")).string().not_null().primary_key())
            .col(ColumnDef::new(Alias::new("organization_id")).string().not_null())
            .col(ColumnDef::new(Alias::new("key_id")).string().not_null())
            .col(ColumnDef::new(Alias::new("sealed")).blob().not_null())
            .col(ColumnDef::new(Alias::new("created_at")).timestamp_with_time_zone().not_null())
            .foreign_key(
                ForeignKey::create()
                    .from(Alias::new("secret"), Alias::new("organization_id"))
                    .to(Alias::new("organization"), Alias::new("id")),
            )
            .to_owned(),
        Table::create()
            .table(Alias::new("registry"))
            .col(ColumnDef::new(Alias::new("id")).string().not_null().primary_key())
            .col(ColumnDef::new(Alias::new("organization_id")).string().not_null())
            .col(ColumnDef::new(Alias::new("host")).string().not_null())
            .col(ColumnDef::new(Alias::new("username")).string().not_null())
            .col(ColumnDef::new(Alias::new("secret_id")).string().not_null())
            .col(ColumnDef::new(Alias::new("repository_prefix")).string())
            .col(ColumnDef::new(Alias::new("checked_at")).timestamp_with_time_zone().not_null())
            .col(ColumnDef::new(Alias::new("status_message")).string())
            .foreign_key(
                ForeignKey::create()
                    .from(Alias::new("registry"), Alias::new("organization_id"))
                    .to(Alias::new("organization"), Alias::new("id")),
            )
            .to_owned(),
        Table::create()
            .table(Alias::new("runtime"))
            .col(ColumnDef::new(Alias::new("id")).string().not_null().primary_key())
            .col(ColumnDef::new(Alias::new("organization_id")).string().not_null())
            .col(ColumnDef::new(Alias::new("name")).string().not_null())
            .col(ColumnDef::new(Alias::new("kind")).string_len(32).not_null())
            .col(ColumnDef::new(Alias::new("endpoint")).string().not_null())
            .col(ColumnDef::new(Alias::new("tls_ca")).text())
            .col(ColumnDef::new(Alias::new("tls_cert")).text())
            .col(ColumnDef::new(Alias::new("secret_id")).string())
            .col(ColumnDef::new(Alias::new("status")).string_len(32).not_null())
            .col(ColumnDef::new(Alias::new("status_message")).text())
            .col(ColumnDef::new(Alias::new("version")).string())
            .col(ColumnDef::new(Alias::new("checked_at")).timestamp_with_time_zone())
            .col(ColumnDef::new(Alias::new("declared")).boolean().not_null())
            .col(ColumnDef::new(Alias::new("created_at")).timestamp_with_time_zone().not_null())
            .foreign_key(
                ForeignKey::create()
                    .from(Alias::new("runtime"), Alias::new("organization_id"))
                    .to(Alias::new("organization"), Alias::new("id")),
            )
            .to_owned(),
        Table::create()
            .table(Alias::new("service"))
            .col(ColumnDef::new(Alias::new("id")).string().not_null().primary_key())
            .col(ColumnDef::new(Alias::new("organization_id")).string().not_null())
            .col(ColumnDef::new(Alias::new("name")).string().not_null())
            .col(ColumnDef::new(Alias::new("source")).string_len(32).not_null())
            .col(ColumnDef::new(Alias::new("namespace")).string().not_null())
            .col(ColumnDef::new(Alias::new("runtime_id")).string())
            .col(ColumnDef::new(Alias::new("containers")).json_binary().not_null())
            .col(ColumnDef::new(Alias::new("registry_username")).string())
            .col(ColumnDef::new(Alias::new("registry_secret_id")).string())
            .col(ColumnDef::new(Alias::new("status")).string_len(32).not_null())
            .col(ColumnDef::new(Alias::new("status_message")).text())
            .col(ColumnDef::new(Alias::new("definition_version")).integer().not_null())
            .col(ColumnDef::new(Alias::new("changed_at")).timestamp_with_time_zone().not_null())
            .col(ColumnDef::new(Alias::new("removing")).boolean().not_null())
            .col(ColumnDef::new(Alias::new("removal")).json_binary())
            .col(ColumnDef::new(Alias::new("created_at")).timestamp_with_time_zone().not_null())
            .col(ColumnDef::new(Alias::new("created_by")).string())
            .foreign_key(
                ForeignKey::create()
                    .from(Alias::new("service"), Alias::new("organization_id"))
                    .to(Alias::new("organization"), Alias::new("id")),
            )
            .to_owned(),
        Table::create()
            .table(Alias::new("environment"))
            .col(ColumnDef::new(Alias::new("id")).string().not_null().primary_key())
            .col(ColumnDef::new(Alias::new("organization_id")).string().not_null())
            .col(ColumnDef::new(Alias::new("service_id")).string().not_null())
            .col(ColumnDef::new(Alias::new("name")).string().not_null())
            .col(ColumnDef::new(Alias::new("runtime_id")).string().not_null())
            .col(ColumnDef::new(Alias::new("namespace")).string().not_null())
            .col(ColumnDef::new(Alias::new("status")).string_len(32).not_null())
            .col(ColumnDef::new(Alias::new("status_message")).text())
            .col(ColumnDef::new(Alias::new("replicas")).integer().not_null())
            .col(ColumnDef::new(Alias::new("strategy")).string_len(32).not_null())
            .col(ColumnDef::new(Alias::new("domain")).string())
            .col(ColumnDef::new(Alias::new("env")).json_binary().not_null())
            .col(ColumnDef::new(Alias::new("resources")).json_binary().not_null())
            .col(ColumnDef::new(Alias::new("autoscaling")).json_binary())
            .col(ColumnDef::new(Alias::new("tls")).json_binary())
            .col(ColumnDef::new(Alias::new("auto_deploy")).boolean().not_null())
            .col(ColumnDef::new(Alias::new("require_approval")).boolean().not_null())
            .col(ColumnDef::new(Alias::new("settings_version")).integer().not_null())
            .col(ColumnDef::new(Alias::new("current_deployment_id")).string())
            .col(ColumnDef::new(Alias::new("latest_deployment_id")).string())
            .col(ColumnDef::new(Alias::new("next_revision")).integer().not_null())
            .col(ColumnDef::new(Alias::new("stopped")).boolean().not_null())
            .col(ColumnDef::new(Alias::new("host_ports")).json_binary().not_null())
            .col(ColumnDef::new(Alias::new("created_at")).timestamp_with_time_zone().not_null())
            .foreign_key(
                ForeignKey::create()
                    .from(Alias::new("environment"), Alias::new("organization_id"))
                    .to(Alias::new("organization"), Alias::new("id")),
            )
            .foreign_key(
                ForeignKey::create()
                    .from(Alias::new("environment"), Alias::new("service_id"))
                    .to(Alias::new("service"), Alias::new("id")),
            )
            .to_owned(),
        Table::create()
            .table(Alias::new("deployment"))
            .col(ColumnDef::new(Alias::new("id")).string().not_null().primary_key())
            .col(ColumnDef::new(Alias::new("organization_id")).string().not_null())
            .col(ColumnDef::new(Alias::new("service_id")).string().not_null())
            .col(ColumnDef::new(Alias::new("environment_id")).string().not_null())
            .col(ColumnDef::new(Alias::new("runtime_id")).string().not_null())
            .col(ColumnDef::new(Alias::new("revision")).integer().not_null())
            .col(ColumnDef::new(Alias::new("trigger")).string_len(32).not_null())
            .col(ColumnDef::new(Alias::new("triggered_by")).string())
            .col(ColumnDef::new(Alias::new("rollback_of")).string())
            .col(ColumnDef::new(Alias::new("status")).string_len(32).not_null())
            .col(ColumnDef::new(Alias::new("phase")).string_len(32).not_null())
            .col(ColumnDef::new(Alias::new("message")).text())
            .col(ColumnDef::new(Alias::new("spec")).json_binary().not_null())
            .col(ColumnDef::new(Alias::new("manifest")).text().not_null())
            .col(ColumnDef::new(Alias::new("warnings")).json_binary().not_null())
            .col(ColumnDef::new(Alias::new("tags")).json_binary().not_null())
            .col(ColumnDef::new(Alias::new("plan_hash")).string().not_null())
            .col(ColumnDef::new(Alias::new("definition_version")).integer().not_null())
            .col(ColumnDef::new(Alias::new("settings_version")).integer().not_null())
            .col(ColumnDef::new(Alias::new("idempotency_key")).string())
            .col(ColumnDef::new(Alias::new("created_at")).timestamp_with_time_zone().not_null())
            .col(ColumnDef::new(Alias::new("started_at")).timestamp_with_time_zone())
            .col(ColumnDef::new(Alias::new("finished_at")).timestamp_with_time_zone())
            .foreign_key(
                ForeignKey::create()
                    .from(Alias::new("deployment"), Alias::new("organization_id"))
                    .to(Alias::new("organization"), Alias::new("id")),
            )
            .foreign_key(
                ForeignKey::create()
                    .from(Alias::new("deployment"), Alias::new("service_id"))
                    .to(Alias::new("service"), Alias::new("id")),
            )
            .foreign_key(
                ForeignKey::create()
                    .from(Alias::new("deployment"), Alias::new("environment_id"))
                    .to(Alias::new("environment"), Alias::new("id")),
            )
            .to_owned(),
        Table::create()
            .table(Alias::new("log_line"))
            .col(ColumnDef::new(Alias::new("id")).big_integer().not_null().primary_key().auto_increment())
            .col(ColumnDef::new(Alias::new("run_id")).string().not_null())
            .col(ColumnDef::new(Alias::new("seq")).integer().not_null())
            .col(ColumnDef::new(Alias::new("at")).timestamp_with_time_zone().not_null())
            .col(ColumnDef::new(Alias::new("stage")).string().not_null())
            .col(ColumnDef::new(Alias::new("stream")).string_len(32).not_null())
            .col(ColumnDef::new(Alias::new("text")).text().not_null())
            .to_owned(),
        Table::create()
            .table(Alias::new("job"))
            .col(ColumnDef::new(Alias::new("id")).big_integer().not_null().primary_key().auto_increment())
            .col(ColumnDef::new(Alias::new("organization_id")).string().not_null())
            .col(ColumnDef::new(Alias::new("kind")).string().not_null())
            .col(ColumnDef::new(Alias::new("lane")).string().not_null())
            .col(ColumnDef::new(Alias::new("subject")).string().not_null())
            .col(ColumnDef::new(Alias::new("state")).string_len(32).not_null())
            .col(ColumnDef::new(Alias::new("attempts")).integer().not_null())
            .col(ColumnDef::new(Alias::new("run_after")).timestamp_with_time_zone().not_null())
            .col(ColumnDef::new(Alias::new("lease_until")).timestamp_with_time_zone())
            .col(ColumnDef::new(Alias::new("fence")).integer().not_null())
            .col(ColumnDef::new(Alias::new("worker")).string())
            .col(ColumnDef::new(Alias::new("created_at")).timestamp_with_time_zone().not_null())
            .col(ColumnDef::new(Alias::new("last_error")).text())
            .to_owned(),
        Table::create()
            .table(Alias::new("meta"))
            .col(ColumnDef::new(Alias::new("key")).string().not_null().primary_key())
            .col(ColumnDef::new(Alias::new("value")).text().not_null())
            .to_owned(),
    ]
}
