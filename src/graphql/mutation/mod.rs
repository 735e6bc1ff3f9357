//! The mutation root: one file a noun.

mod account;
mod deployments;
mod environments;
mod gates;
mod git;
mod pipelines;
mod registries;
mod runtimes;
mod scans;
mod services;
mod users;
mod webhooks;

use async_graphql::MergedObject;

/// What can be changed.
#[derive(MergedObject, Default)]
pub struct Mutation(
    account::AccountMutation,
    users::UserMutation,
    git::GitMutation,
    registries::RegistryMutation,
    runtimes::RuntimeMutation,
    services::ServiceMutation,
    environments::EnvironmentMutation,
    pipelines::PipelineMutation,
    scans::ScanMutation,
    gates::GateMutation,
    webhooks::WebhookMutation,
    deployments::DeploymentMutation,
);
