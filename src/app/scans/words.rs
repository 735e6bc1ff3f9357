//! Stored words as those of `domain`.

use crate::domain::scan::{ScanKind, Severity};

impl From<entity::ScanKind> for ScanKind {
    fn from(kind: entity::ScanKind) -> Self {
        match kind {
            entity::ScanKind::Sast => Self::Sast,
            entity::ScanKind::Sca => Self::Sca,
            entity::ScanKind::Dast => Self::Dast,
            entity::ScanKind::Secret => Self::Secret,
            entity::ScanKind::Iac => Self::Iac,
            entity::ScanKind::Sbom => Self::Sbom,
        }
    }
}

impl From<ScanKind> for entity::ScanKind {
    fn from(kind: ScanKind) -> Self {
        match kind {
            ScanKind::Sast => Self::Sast,
            ScanKind::Sca => Self::Sca,
            ScanKind::Dast => Self::Dast,
            ScanKind::Secret => Self::Secret,
            ScanKind::Iac => Self::Iac,
            ScanKind::Sbom => Self::Sbom,
        }
    }
}

impl From<entity::Severity> for Severity {
    fn from(severity: entity::Severity) -> Self {
        match severity {
            entity::Severity::Critical => Self::Critical,
            entity::Severity::High => Self::High,
            entity::Severity::Medium => Self::Medium,
            entity::Severity::Low => Self::Low,
            entity::Severity::Info => Self::Info,
        }
    }
}

impl From<Severity> for entity::Severity {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Critical => Self::Critical,
            Severity::High => Self::High,
            Severity::Medium => Self::Medium,
            Severity::Low => Self::Low,
            Severity::Info => Self::Info,
        }
    }
}
