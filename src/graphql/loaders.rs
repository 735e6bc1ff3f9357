//! Loads what many fields of one request ask for in few statements. Made for each request, with the caller's scope:
//! loaders of a whole server would share their batches between people.

use std::sync::Arc;

use async_graphql::Context;
use entity::{deployment, environment, finding, pipeline, registry, runtime, scan, service, webhook_delivery};
use futures_util::FutureExt as _;

use super::batch::Batch;
use super::errors::Result;
use crate::app::deployments::environments;
use crate::app::git;
use crate::app::identity::{Person, users};
use crate::app::scans::gates::{self, Gate, Rule};
use crate::app::{App, Error, Scope, lookup, pipelines, scans, webhooks};
use crate::domain::scan::{Severity, SeverityCounts};

macro_rules! loaders {
    ($($(#[$doc:meta])* $field:ident, $one:ident: $load:path => $value:ty;)*) => {
        /// The loaders of one request.
        pub struct Loaders {
            of: Arc<(App, Scope)>,
            $($field: Batch<$value>,)*
        }

        impl Loaders {
            /// Makes them for who asks.
            #[must_use]
            pub fn new(app: &App, scope: &Scope) -> Self {
                Self { of: Arc::new((app.clone(), scope.clone())), $($field: Batch::default(),)* }
            }

            $($(#[$doc])*
            ///
            /// # Errors
            /// INTERNAL when the database does not answer.
            pub async fn $one(&self, id: &str) -> Result<Option<$value>> {
                let of = self.of.clone();
                let load = move |ids: Vec<String>| {
                    let of = of.clone();
                    async move { $load(&of.0, &of.1, &ids).await }.boxed()
                };
                Ok(self.$field.one(id, load).await?)
            })*
        }
    };
}

loaders! {
    /// Somebody of the organization by user id; none for who does not belong to it.
    people, person: users::by_ids => Person;
    /// A registry login; none for another organization's.
    registries, registry: lookup::registries => Arc<registry::Model>;
    /// The services of a project of a Git provider, by its key.
    project_services, services_of_project: git::services_by_project => Arc<Vec<Arc<service::Model>>>;
    /// A runtime; none for another organization's.
    runtimes, runtime: lookup::runtimes => Arc<runtime::Model>;
    /// A service; none for another organization's.
    services, service: lookup::services => Arc<service::Model>;
    /// An environment; none for another organization's.
    environments, environment: lookup::environments => Arc<environment::Model>;
    /// By service: the environment that is meant where none is named, production or the only one there is.
    main_environments, main_environment: environments::main => Arc<environments::Main>;
    /// A pipeline; none for another organization's.
    pipelines, pipeline: lookup::pipelines => Arc<pipeline::Model>;
    /// What deploys a pipeline's image.
    pipeline_deployments, deployments_of_pipeline: pipelines::list::deployments => Arc<Vec<Arc<deployment::Model>>>;
    /// A webhook's delivery; none for another organization's.
    deliveries, delivery: webhooks::list::by_ids => Arc<webhook_delivery::Model>;
    /// A scan; none for another organization's.
    scans, scan: lookup::scans => Arc<scan::Model>;
    /// The scans of a pipeline.
    pipeline_scans, scans_of_pipeline: scans::list::of_pipelines => Arc<Vec<Arc<scan::Model>>>;
    /// A finding; none for another organization's.
    findings, finding: scans::list::by_ids => Arc<finding::Model>;
    /// By service: the highest severity among its open findings.
    risks, risk: scans::counts::risks => Severity;
    /// By service: how many open findings of each severity it has.
    finding_counts, open_findings: scans::counts::of_services => SeverityCounts;
    /// By service: the gate that holds for it.
    gates, gate: gates::of_services => Arc<Gate>;
    /// By service: the rules of its gate that keep a deployment back.
    block_rules, block_rules_of: gates::blocking => Arc<Vec<Rule>>;
    /// A deployment; none for another organization's.
    deployments, deployment: lookup::deployments => Arc<deployment::Model>;
}

/// The loaders of this request.
///
/// # Errors
/// UNAUTHENTICATED when nobody is logged in: there is no scope to load from.
pub fn loaders<'a>(ctx: &Context<'a>) -> Result<&'a Loaders> {
    Ok(ctx.data::<Loaders>().map_err(|_| Error::unauthenticated())?)
}
