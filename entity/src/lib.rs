//! The tables of KIOPS, one file each, the enums that are stored in them, and the handle that reads and writes them.

pub mod db;
mod enums;

pub mod audit_event;
pub mod deployment;
pub mod environment;
pub mod finding;
pub mod git_creation;
pub mod git_settings;
pub mod job;
pub mod leftover;
pub mod log_line;
pub mod login_failure;
pub mod membership;
pub mod meta;
pub mod notes;
pub mod organization;
pub mod pipeline;
pub mod registry;
pub mod request_window;
pub mod runtime;
pub mod scan;
pub mod scan_document;
pub mod scan_finding;
pub mod secret;
pub mod security_gate;
pub mod service;
pub mod token;
pub mod user;
pub mod version;
pub mod webhook_delivery;

pub use db::{Db, DbError, WriteTx};
pub use enums::{
    DeployStrategy, DeploymentPhase, DeploymentTrigger, FindingState, GateMode, GitProvider, JobState, LeftoverState,
    LogStream, PipelineTrigger, Role, RunStatus, RuntimeKind, RuntimeStatus, ScanKind, ServiceExposure, ServiceStatus,
    Severity, SourceKind, TokenKind, WebhookOutcome,
};
