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
#[graphql(remote = "crate::app::settings::ScanKind")]
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
