//! Enums that are stored, as the words of the API contract.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

/// What somebody may do in an organization.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, PartialOrd, Ord,
)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(32))")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Role {
    /// What the product calls a regular user.
    #[sea_orm(string_value = "MEMBER")]
    Member,
    /// May change what others share.
    #[sea_orm(string_value = "ADMIN")]
    Admin,
}

/// How a token was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(32))")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TokenKind {
    /// By login.
    #[sea_orm(string_value = "SESSION")]
    Session,
    /// By createApiToken.
    #[sea_orm(string_value = "API")]
    Api,
}

/// What a runtime is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(32))")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RuntimeKind {
    /// A cluster.
    #[sea_orm(string_value = "KUBERNETES")]
    Kubernetes,
    /// An engine.
    #[sea_orm(string_value = "DOCKER")]
    Docker,
}

/// How a published port is reached on Kubernetes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(32))")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ServiceExposure {
    /// A port of every node.
    #[sea_orm(string_value = "NODE_PORT")]
    NodePort,
    /// A load balancer of the cluster's provider.
    #[sea_orm(string_value = "LOAD_BALANCER")]
    LoadBalancer,
}

/// What the last check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(32))")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RuntimeStatus {
    /// It can be deployed to.
    #[sea_orm(string_value = "READY")]
    Ready,
    /// It does not answer.
    #[sea_orm(string_value = "UNREACHABLE")]
    Unreachable,
    /// It answers and refuses us.
    #[sea_orm(string_value = "UNAUTHORIZED")]
    Unauthorized,
    /// It was not checked yet.
    #[sea_orm(string_value = "UNKNOWN")]
    Unknown,
}

/// Where a service comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(32))")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SourceKind {
    /// A GitLab project.
    #[sea_orm(string_value = "GITLAB")]
    Gitlab,
    /// A GitHub repository.
    #[sea_orm(string_value = "GITHUB")]
    Github,
    /// Images of registries.
    #[sea_orm(string_value = "DOCKER_HUB")]
    DockerHub,
}

/// A Git provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(32))")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum GitProvider {
    /// gitlab.com or a GitLab of one's own.
    #[sea_orm(string_value = "GITLAB")]
    Gitlab,
    /// github.com or a GitHub Enterprise server.
    #[sea_orm(string_value = "GITHUB")]
    Github,
}

/// Where a service stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(32))")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ServiceStatus {
    /// Never built or deployed.
    #[sea_orm(string_value = "REGISTERED")]
    Registered,
    /// A pipeline builds it.
    #[sea_orm(string_value = "BUILDING")]
    Building,
    /// The last build failed.
    #[sea_orm(string_value = "BUILD_FAILED")]
    BuildFailed,
    /// A deployment is at work.
    #[sea_orm(string_value = "DEPLOYING")]
    Deploying,
    /// The last deployment failed.
    #[sea_orm(string_value = "DEPLOY_FAILED")]
    DeployFailed,
    /// All of it is ready.
    #[sea_orm(string_value = "RUNNING")]
    Running,
    /// Some instances are not ready.
    #[sea_orm(string_value = "DEGRADED")]
    Degraded,
    /// Stopped on purpose.
    #[sea_orm(string_value = "STOPPED")]
    Stopped,
    /// It is being taken down.
    #[sea_orm(string_value = "REMOVING")]
    Removing,
}

/// How a new revision takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(32))")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DeployStrategy {
    /// Beside the old one first.
    #[sea_orm(string_value = "ROLLING_UPDATE")]
    RollingUpdate,
    /// After the old one has stopped.
    #[sea_orm(string_value = "RECREATE")]
    Recreate,
}

/// What started a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(32))")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DeploymentTrigger {
    /// A person or script.
    #[sea_orm(string_value = "MANUAL")]
    Manual,
    /// A successful pipeline.
    #[sea_orm(string_value = "PIPELINE")]
    Pipeline,
    /// A rollback.
    #[sea_orm(string_value = "ROLLBACK")]
    Rollback,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(32))")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RunStatus {
    /// Waits for its turn.
    #[sea_orm(string_value = "QUEUED")]
    Queued,
    /// Is at work.
    #[sea_orm(string_value = "RUNNING")]
    Running,
    /// Waits for an admin.
    #[sea_orm(string_value = "WAITING_APPROVAL")]
    WaitingApproval,
    /// Ended well.
    #[sea_orm(string_value = "SUCCEEDED")]
    Succeeded,
    /// A tool failed, what the others found stands.
    #[sea_orm(string_value = "INCOMPLETE")]
    Incomplete,
    /// Ended badly.
    #[sea_orm(string_value = "FAILED")]
    Failed,
    /// Was stopped.
    #[sea_orm(string_value = "CANCELED")]
    Canceled,
    /// Had nothing to do.
    #[sea_orm(string_value = "SKIPPED")]
    Skipped,
}

/// How far the work of a deployment has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(32))")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DeploymentPhase {
    /// Nothing that runs was touched yet.
    #[sea_orm(string_value = "PREPARE")]
    Prepare,
    /// The revision is being brought up.
    #[sea_orm(string_value = "APPLY")]
    Apply,
    /// It serves; what it replaced is being removed.
    #[sea_orm(string_value = "FINISH")]
    Finish,
    /// It failed; what ran before is being brought back.
    #[sea_orm(string_value = "UNDO")]
    Undo,
    /// Nothing is left to do.
    #[sea_orm(string_value = "DONE")]
    Done,
}

/// Whether a worker has a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(32))")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum JobState {
    /// Nobody has it.
    #[sea_orm(string_value = "QUEUED")]
    Queued,
    /// A worker has it.
    #[sea_orm(string_value = "RUNNING")]
    Running,
    /// No worker has it, and its work goes on elsewhere: it holds its lane and its place until it is woken.
    #[sea_orm(string_value = "PARKED")]
    Parked,
}

/// What started a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(32))")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PipelineTrigger {
    /// A person.
    #[sea_orm(string_value = "MANUAL")]
    Manual,
    /// A push to a branch.
    #[sea_orm(string_value = "PUSH")]
    Push,
    /// New commits of a merge request.
    #[sea_orm(string_value = "MERGE_REQUEST")]
    MergeRequest,
    /// A pushed tag.
    #[sea_orm(string_value = "TAG")]
    Tag,
    /// A script, with an API token.
    #[sea_orm(string_value = "API")]
    Api,
}

/// What became of a webhook delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(32))")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum WebhookOutcome {
    /// It is stored, and not looked at yet.
    #[sea_orm(string_value = "PENDING")]
    Pending,
    /// It started a pipeline.
    #[sea_orm(string_value = "STARTED")]
    Started,
    /// It is of no concern.
    #[sea_orm(string_value = "IGNORED")]
    Ignored,
    /// It was turned down.
    #[sea_orm(string_value = "REJECTED")]
    Rejected,
    /// It had come before.
    #[sea_orm(string_value = "DUPLICATE")]
    Duplicate,
}

/// What is left of an environment on a runtime that it moved away from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(32))")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LeftoverState {
    /// It has to be taken down.
    #[sea_orm(string_value = "WAITING")]
    Waiting,
    /// It was taken down; its volumes are still there.
    #[sea_orm(string_value = "VOLUMES")]
    Volumes,
}

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(32))")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LogStream {
    /// Standard output.
    #[sea_orm(string_value = "STDOUT")]
    Stdout,
    /// Standard error.
    #[sea_orm(string_value = "STDERR")]
    Stderr,
    /// KIOPS itself.
    #[sea_orm(string_value = "SYSTEM")]
    System,
}

/// What a scan looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(32))")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ScanKind {
    /// Faults in source code.
    #[sea_orm(string_value = "SAST")]
    Sast,
    /// Known vulnerabilities of dependencies.
    #[sea_orm(string_value = "SCA")]
    Sca,
    /// Faults of a running service.
    #[sea_orm(string_value = "DAST")]
    Dast,
    /// Secrets in source code.
    #[sea_orm(string_value = "SECRET")]
    Secret,
    /// Faults in infrastructure code.
    #[sea_orm(string_value = "IAC")]
    Iac,
    /// What an image is made of.
    #[sea_orm(string_value = "SBOM")]
    Sbom,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(32))")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Severity {
    /// To be mended now.
    #[sea_orm(string_value = "CRITICAL")]
    Critical,
    /// Harmful.
    #[sea_orm(string_value = "HIGH")]
    High,
    /// Harmful under conditions.
    #[sea_orm(string_value = "MEDIUM")]
    Medium,
    /// Of little harm.
    #[sea_orm(string_value = "LOW")]
    Low,
    /// Worth knowing.
    #[sea_orm(string_value = "INFO")]
    Info,
}

/// Where a finding stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(32))")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FindingState {
    /// The newest scan that could have seen it saw it.
    #[sea_orm(string_value = "OPEN")]
    Open,
    /// It did not see it any more.
    #[sea_orm(string_value = "FIXED")]
    Fixed,
    /// Somebody said with a reason that it is nothing.
    #[sea_orm(string_value = "IGNORED")]
    Ignored,
    /// The first scan that saw it is still being stored: nobody is shown it.
    #[sea_orm(string_value = "PENDING")]
    Pending,
}

/// What a gate does with what it does not like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(32))")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum GateMode {
    /// Keeps it back.
    #[sea_orm(string_value = "BLOCK")]
    Block,
    /// Says so and lets it through.
    #[sea_orm(string_value = "WARN")]
    Warn,
}
