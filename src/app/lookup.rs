//! Rows of a scope by their ids, many at once: what loaders ask.

use std::collections::HashMap;
use std::sync::Arc;

use entity::{deployment, environment, pipeline, registry, runtime, scan, service};
use sea_orm::{ColumnTrait, QueryFilter};

use super::{App, Result, Scope};

macro_rules! by_ids {
    ($($(#[$doc:meta])* $name:ident: $entity:ident;)*) => {
        $($(#[$doc])*
        /// Ids of other organizations are not among the result.
        ///
        /// # Errors
        /// INTERNAL when the database does not answer.
        pub async fn $name(app: &App, scope: &Scope, ids: &[String]) -> Result<HashMap<String, Arc<$entity::Model>>> {
            let rows = scope
                .$name()
                .filter($entity::Column::Id.is_in(ids))
                .all(app.db.read())
                .await?;
            Ok(rows.into_iter().map(|row| (row.id.clone(), Arc::new(row))).collect())
        })*
    };
}

by_ids! {
    /// Registry logins.
    registries: registry;
    /// Places to deploy to.
    runtimes: runtime;
    /// Services.
    services: service;
    /// Environments.
    environments: environment;
    /// Pipelines.
    pipelines: pipeline;
    /// Deployments.
    deployments: deployment;
    /// Scans.
    scans: scan;
}
