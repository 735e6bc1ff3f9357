//! Stored enums as the API says them.

use async_graphql::Enum;

/// What somebody may do in an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "entity::Role")]
pub enum Role {
    /// May change what others share.
    Admin,
    /// What the product calls a regular user.
    Member,
}

/// What a scan looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::domain::scan::ScanKind")]
pub enum ScanKind {
    /// Faults in source code.
    Sast,
    /// Known vulnerabilities of dependencies.
    Sca,
    /// Faults of a running service.
    Dast,
    /// Secrets in source code.
    Secret,
    /// Faults in infrastructure code.
    Iac,
    /// What an image is made of.
    Sbom,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::domain::scan::Severity")]
pub enum Severity {
    /// To be mended now.
    Critical,
    /// Harmful.
    High,
    /// Harmful under conditions.
    Medium,
    /// Of little harm.
    Low,
    /// Worth knowing.
    Info,
}

/// Where a finding stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::domain::scan::FindingState")]
pub enum FindingState {
    /// The newest scan that could have seen it saw it.
    Open,
    /// It did not see it any more.
    Fixed,
    /// Somebody said with a reason that it is nothing.
    Ignored,
}

/// Where a service comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "entity::SourceKind")]
pub enum SourceKind {
    /// A GitLab project.
    Gitlab,
    /// A GitHub repository.
    Github,
    /// Images of Docker Hub or other registries.
    DockerHub,
}

/// A Git provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::domain::git::Provider")]
pub enum GitProvider {
    /// gitlab.com or a GitLab of one's own.
    Gitlab,
    /// github.com or a GitHub Enterprise server.
    Github,
}

/// How a published port is reached on Kubernetes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "entity::ServiceExposure")]
pub enum ServiceExposure {
    /// A port of every node.
    NodePort,
    /// A load balancer of the cluster's provider.
    LoadBalancer,
}

/// Where a service stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "entity::ServiceStatus")]
pub enum ServiceStatus {
    /// Never built or deployed.
    Registered,
    /// A pipeline builds it.
    Building,
    /// The last build failed.
    BuildFailed,
    /// A deployment is at work.
    Deploying,
    /// The last deployment failed.
    DeployFailed,
    /// All of it is ready.
    Running,
    /// Some instances are not ready.
    Degraded,
    /// Stopped on purpose.
    Stopped,
    /// It is being taken down.
    Removing,
}

/// What a runtime is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "entity::RuntimeKind")]
pub enum RuntimeKind {
    /// A cluster.
    Kubernetes,
    /// An engine.
    Docker,
}

/// What the last check of a runtime found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "entity::RuntimeStatus")]
pub enum RuntimeStatus {
    /// It can be deployed to.
    Ready,
    /// It does not answer.
    Unreachable,
    /// It answers and refuses this server.
    Unauthorized,
    /// It was not checked yet.
    Unknown,
}

/// Why something can't be done now: the words of extensions.reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::app::Precondition")]
pub enum Precondition {
    /// No token of the Git provider is stored.
    GitNotConfigured,
    /// The Git provider does not take the stored token any more.
    GitTokenRejected,
    /// The stored token may not do this.
    GitScopeMissing,
    /// Nothing was built yet.
    NothingBuilt,
    /// The image is on the engine that built it and nowhere else.
    ImageRepositoryNeeded,
    /// A runtime must be registered first.
    NoRuntime,
    /// The runtime does not answer.
    RuntimeNotReady,
    /// Nothing was deployed yet.
    NothingDeployed,
    /// There is no revision to go back to.
    NoEarlierRevision,
    /// No tool is configured for what is to be scanned.
    ScannerNotConfigured,
    /// The security gate keeps it back.
    GateBlocked,
    /// Something else is at work on it.
    InProgress,
    /// This organization may not use the engine of the server's own machine.
    LocalEngineNotAllowed,
    /// It is stated in kiops.toml.
    Declared,
    /// The Kubernetes namespace is somebody else's.
    NamespaceNotOwned,
}
