//! The query root: one file a noun.

mod audit;
mod compose;
pub mod deployments;
mod gates;
mod git;
mod identity;
mod images;
mod menus;
mod pipelines;
mod registries;
mod runtimes;
mod scans;
mod server;
mod services;

use async_graphql::MergedObject;

/// What can be asked.
#[derive(MergedObject, Default)]
pub struct Query(
    identity::IdentityQuery,
    audit::AuditQuery,
    server::ServerQuery,
    menus::MenuQuery,
    git::GitQuery,
    images::ImageQuery,
    registries::RegistryQuery,
    runtimes::RuntimeQuery,
    services::ServiceQuery,
    compose::ComposeQuery,
    pipelines::PipelineQuery,
    scans::ScanQuery,
    gates::GateQuery,
    deployments::DeploymentQuery,
);
