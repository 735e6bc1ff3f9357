//! Scans, what they found, and gates.

use sea_orm_migration::prelude::*;

/// Scans with their documents, findings with the scans that saw them, gates; what a gate said of a deployment.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["deployment", "pipeline"] {
            let mut gate = Table::alter();
            gate.table(Alias::new(table)).add_column(ColumnDef::new(Alias::new("gate")).json_binary());
            manager.alter_table(gate).await?;
        }
        for table in [scan(), scan_document(), finding(), scan_finding(), security_gate()] {
            manager.create_table(table).await?;
        }
        for (name, table, columns, unique) in [
            ("scan_service", "scan", &["service_id", "kind", "id"][..], false),
            ("scan_lane", "scan", &["service_id", "kind", "lane", "id"], false),
            ("scan_pipeline", "scan", &["pipeline_id", "kind"], false),
            ("finding_identity", "finding", &["service_id", "kind", "identity"], true),
            ("finding_listed", "finding", &["organization_id", "state", "rank", "-id"], false),
            ("finding_service", "finding", &["organization_id", "service_id", "state", "rank", "-id"], false),
            ("finding_waived", "finding", &["state", "ignored_until"], false),
            ("scan_finding_listed", "scan_finding", &["scan_id", "rank", "-finding_id"], false),
            ("scan_finding_finding", "scan_finding", &["finding_id", "scan_id"], true),
            ("security_gate_of", "security_gate", &["organization_id", "subject"], true),
        ] {
            let mut index = Index::create();
            index.name(name).table(Alias::new(table));
            for column in columns {
                match column.strip_prefix('-') {
                    // Lists begin with the worst, and of those with the newest.
                    Some(column) => index.col((Alias::new(column), IndexOrder::Desc)),
                    None => index.col(Alias::new(*column)),
                };
            }
            if unique {
                index.unique();
            }
            manager.create_index(index).await?;
        }
        Ok(())
    }
}

fn text(name: &str) -> ColumnDef {
    ColumnDef::new(Alias::new(name)).string().not_null().to_owned()
}

fn maybe(name: &str) -> ColumnDef {
    ColumnDef::new(Alias::new(name)).string().to_owned()
}

fn number(name: &str) -> ColumnDef {
    ColumnDef::new(Alias::new(name)).big_integer().not_null().to_owned()
}

fn json(name: &str) -> ColumnDef {
    ColumnDef::new(Alias::new(name)).json_binary().not_null().to_owned()
}

fn time(name: &str) -> ColumnDef {
    ColumnDef::new(Alias::new(name)).timestamp_with_time_zone().to_owned()
}

fn belongs(table: &str, column: &str, to: &str) -> ForeignKeyCreateStatement {
    ForeignKey::create().from(Alias::new(table), Alias::new(column)).to(Alias::new(to), Alias::new("id")).to_owned()
}

/// Its `lane` is what it is compared within: a branch, or an environment.
fn scan() -> TableCreateStatement {
    Table::create()
        .table(Alias::new("scan"))
        .col(text("id").primary_key())
        .col(text("organization_id"))
        .col(text("service_id"))
        .col(text("kind"))
        .col(text("lane"))
        .col(maybe("pipeline_id"))
        .col(maybe("environment_id"))
        .col(maybe("deployment_id"))
        .col(maybe("triggered_by"))
        .col(maybe("ref_name"))
        .col(maybe("commit_sha"))
        .col(ColumnDef::new(Alias::new("commit")).json_binary())
        .col(text("status"))
        .col(ColumnDef::new(Alias::new("message")).text())
        .col(json("tools"))
        .col(json("counts"))
        .col(number("new_findings"))
        .col(number("fixed_findings"))
        .col(ColumnDef::new(Alias::new("cancel_requested")).boolean().not_null())
        .col(ColumnDef::new(Alias::new("pruned")).boolean().not_null())
        .col(time("created_at").not_null())
        .col(time("started_at"))
        .col(time("finished_at"))
        .foreign_key(&mut belongs("scan", "organization_id", "organization"))
        .foreign_key(&mut belongs("scan", "service_id", "service"))
        .to_owned()
}

/// A document of a scan in parts of at most a mebibyte, compressed: an SBOM as its tool wrote it.
fn scan_document() -> TableCreateStatement {
    Table::create()
        .table(Alias::new("scan_document"))
        .col(text("scan_id"))
        .col(ColumnDef::new(Alias::new("part")).integer().not_null())
        .col(ColumnDef::new(Alias::new("bytes")).binary().not_null())
        .primary_key(Index::create().col(Alias::new("scan_id")).col(Alias::new("part")))
        .foreign_key(&mut belongs("scan_document", "scan_id", "scan"))
        .to_owned()
}

/// Its `rank` is its severity as a number, 0 for the worst, for lists that begin with it.
fn finding() -> TableCreateStatement {
    Table::create()
        .table(Alias::new("finding"))
        .col(text("id").primary_key())
        .col(text("organization_id"))
        .col(text("service_id"))
        .col(text("kind"))
        .col(text("identity"))
        .col(text("rule"))
        .col(json("aliases"))
        .col(ColumnDef::new(Alias::new("title")).text().not_null())
        .col(text("severity"))
        .col(ColumnDef::new(Alias::new("rank")).integer().not_null())
        .col(text("state"))
        .col(json("detected_by"))
        .col(ColumnDef::new(Alias::new("location")).text().not_null())
        .col(json("place"))
        .col(ColumnDef::new(Alias::new("description")).text())
        .col(maybe("fixed_version"))
        .col(ColumnDef::new(Alias::new("help_url")).text())
        .col(ColumnDef::new(Alias::new("on_default")).boolean().not_null())
        .col(text("lane"))
        .col(maybe("commit_sha"))
        .col(time("first_seen_at").not_null())
        .col(time("last_seen_at").not_null())
        .col(time("deployed_at"))
        .col(ColumnDef::new(Alias::new("ignored_reason")).text())
        .col(time("ignored_until"))
        .col(maybe("ignored_by"))
        .foreign_key(&mut belongs("finding", "organization_id", "organization"))
        .foreign_key(&mut belongs("finding", "service_id", "service"))
        .to_owned()
}

/// Which scan saw which finding, and where: the place may have moved since.
fn scan_finding() -> TableCreateStatement {
    Table::create()
        .table(Alias::new("scan_finding"))
        .col(text("scan_id"))
        .col(text("finding_id"))
        .col(ColumnDef::new(Alias::new("rank")).integer().not_null())
        .primary_key(Index::create().col(Alias::new("scan_id")).col(Alias::new("finding_id")))
        .foreign_key(&mut belongs("scan_finding", "scan_id", "scan"))
        .foreign_key(&mut belongs("scan_finding", "finding_id", "finding"))
        .to_owned()
}

/// Its `subject` is the service's id, or the organization's for the rules that services inherit.
fn security_gate() -> TableCreateStatement {
    Table::create()
        .table(Alias::new("security_gate"))
        .col(text("id").primary_key())
        .col(text("organization_id"))
        .col(text("subject"))
        .col(ColumnDef::new(Alias::new("enabled")).boolean().not_null())
        .col(text("mode"))
        .col(json("rules"))
        .col(time("updated_at").not_null())
        .foreign_key(&mut belongs("security_gate", "organization_id", "organization"))
        .to_owned()
}
