//! Loads what many fields of one request ask for in few statements. Made for each request, with the caller's scope:
//! loaders of a whole server would share their batches between people.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::Context;
use async_graphql::dataloader::{DataLoader, Loader};
use entity::{deployment, environment, finding, pipeline, registry, runtime, scan, service, webhook_delivery};

use super::errors::Result;
use crate::app::deployments::environments;
use crate::app::git;
use crate::app::identity::{Person, users};
use crate::app::scans::gates::{self, Gate, Rule};
use crate::app::{self, App, Error, Scope, lookup, pipelines, scans, webhooks};
use crate::domain::scan::{Severity, SeverityCounts};

/// As long as the fields of one level take to ask.
const GATHER: Duration = Duration::from_micros(200);

macro_rules! loaders {
    ($($(#[$doc:meta])* $field:ident, $one:ident: $name:ident($load:path) -> $value:ty;)*) => {
        $(struct $name {
            app: App,
            scope: Scope,
        }

        impl Loader<String> for $name {
            type Value = $value;
            type Error = Error;

            async fn load(&self, ids: &[String]) -> app::Result<HashMap<String, $value>> {
                $load(&self.app, &self.scope, ids).await
            }
        })*

        /// The loaders of one request.
        pub struct Loaders {
            $($field: DataLoader<$name>,)*
        }

        impl Loaders {
            /// Makes them for who asks.
            #[must_use]
            pub fn new(app: &App, scope: &Scope) -> Self {
                Self {
                    $($field: DataLoader::new($name { app: app.clone(), scope: scope.clone() }, tokio::spawn)
                        .delay(GATHER),)*
                }
            }

            $($(#[$doc])*
            ///
            /// # Errors
            /// INTERNAL when the database does not answer.
            pub async fn $one(&self, id: &str) -> Result<Option<$value>> {
                Ok(self.$field.load_one(id.to_owned()).await?)
            })*
        }
    };
}

loaders! {
    /// Somebody of the organization by user id; none for who does not belong to it.
    people, person: People(users::by_ids) -> Person;
    /// A registry login; none for another organization's.
    registries, registry: Registries(lookup::registries) -> Arc<registry::Model>;
    /// The services of a project of a Git provider, by its key.
    project_services, services_of_project: ProjectServices(git::services_by_project) -> Arc<Vec<Arc<service::Model>>>;
    /// A runtime; none for another organization's.
    runtimes, runtime: Runtimes(lookup::runtimes) -> Arc<runtime::Model>;
    /// A service; none for another organization's.
    services, service: Services(lookup::services) -> Arc<service::Model>;
    /// An environment; none for another organization's.
    environments, environment: Environments(lookup::environments) -> Arc<environment::Model>;
    /// By service: the environment that is meant where none is named, production or the only one there is.
    main_environments, main_environment: MainEnvironments(environments::main) -> Arc<environment::Model>;
    /// A pipeline; none for another organization's.
    pipelines, pipeline: Pipelines(lookup::pipelines) -> Arc<pipeline::Model>;
    /// What deploys a pipeline's image.
    pipeline_deployments, deployments_of_pipeline: PipelineDeployments(pipelines::list::deployments) -> Arc<Vec<deployment::Model>>;
    /// A webhook's delivery; none for another organization's.
    deliveries, delivery: Deliveries(webhooks::list::by_ids) -> Arc<webhook_delivery::Model>;
    /// A scan; none for another organization's.
    scans, scan: Scans(lookup::scans) -> Arc<scan::Model>;
    /// The scans of a pipeline.
    pipeline_scans, scans_of_pipeline: PipelineScans(scans::list::of_pipelines) -> Arc<Vec<Arc<scan::Model>>>;
    /// A finding; none for another organization's.
    findings, finding: Findings(scans::list::by_ids) -> Arc<finding::Model>;
    /// By service: the highest severity among its open findings.
    risks, risk: Risks(scans::counts::risks) -> Severity;
    /// By service: how many open findings of each severity it has.
    finding_counts, open_findings: FindingCounts(scans::counts::of_services) -> SeverityCounts;
    /// By service: the gate that holds for it.
    gates, gate: Gates(gates::of_services) -> Arc<Gate>;
    /// By service: the rules of its gate that keep a deployment back.
    block_rules, block_rules_of: BlockRules(gates::blocking) -> Arc<Vec<Rule>>;
    /// A deployment; none for another organization's.
    deployments, deployment: Deployments(lookup::deployments) -> Arc<deployment::Model>;
}

/// The loaders of this request.
///
/// # Errors
/// UNAUTHENTICATED when nobody is logged in: there is no scope to load from.
pub fn loaders<'a>(ctx: &Context<'a>) -> Result<&'a Loaders> {
    Ok(ctx.data::<Loaders>().map_err(|_| Error::unauthenticated())?)
}
