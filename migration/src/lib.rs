//! Append-only migrations of the KIOPS database. Table names are strings: a migration must not change when an entity does.

pub use sea_orm_migration::MigratorTrait;
use sea_orm_migration::prelude::*;

mod m20261123_000001_first_tables;
mod m20261124_000002_git;
mod m20261124_000003_moving;
mod m20261126_000004_pipelines;
mod m20261126_000005_kubernetes;
mod m20261126_000006_request_windows;
mod m20261126_000007_scans;
mod m20261126_000008_findings;
mod m20261126_000009_declared;

/// Every migration in order.
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261123_000001_first_tables::Migration),
            Box::new(m20261124_000002_git::Migration),
            Box::new(m20261124_000003_moving::Migration),
            Box::new(m20261126_000004_pipelines::Migration),
            Box::new(m20261126_000005_kubernetes::Migration),
            Box::new(m20261126_000006_request_windows::Migration),
            Box::new(m20261126_000007_scans::Migration),
            Box::new(m20261126_000008_findings::Migration),
            Box::new(m20261126_000009_declared::Migration),
        ]
    }
}
