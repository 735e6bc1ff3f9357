//! What scans look for, and how bad what they find is: the words of the contract.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a scan looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
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

impl ScanKind {
    /// Every kind, in the contract's order.
    pub const ALL: [Self; 6] = [Self::Sast, Self::Sca, Self::Dast, Self::Secret, Self::Iac, Self::Sbom];

    /// The contract's word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Sast => "SAST",
            Self::Sca => "SCA",
            Self::Dast => "DAST",
            Self::Secret => "SECRET",
            Self::Iac => "IAC",
            Self::Sbom => "SBOM",
        }
    }

    /// The kind of a word of the contract.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

impl fmt::Display for ScanKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// How bad a finding is. A later one is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Of little harm.
    Low,
    /// Harmful under conditions.
    Medium,
    /// Harmful.
    High,
    /// To be mended now.
    Critical,
}

impl Severity {
    /// Every severity, the least first.
    pub const ALL: [Self; 5] = [Self::Info, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The contract's word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Info => "INFO",
            Self::Low => "LOW",
            Self::Medium => "MEDIUM",
            Self::High => "HIGH",
            Self::Critical => "CRITICAL",
        }
    }

    /// Of a CVSS score, 0 to 10, by the bands of CVSS 3.1 and 4.0 (none, low, medium, high, critical).
    #[must_use]
    pub fn of_score(score: f64) -> Self {
        match score {
            s if s >= 9.0 => Self::Critical,
            s if s >= 7.0 => Self::High,
            s if s >= 4.0 => Self::Medium,
            s if s > 0.0 => Self::Low,
            _ => Self::Info,
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Where a finding stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FindingState {
    /// The newest scan that could have seen it saw it.
    Open,
    /// It did not see it any more.
    Fixed,
    /// Somebody said with a reason that it is nothing.
    Ignored,
}

/// How many findings of each severity there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeverityCounts {
    /// CRITICAL.
    pub critical: u64,
    /// HIGH.
    pub high: u64,
    /// MEDIUM.
    pub medium: u64,
    /// LOW.
    pub low: u64,
    /// INFO.
    pub info: u64,
}

impl SeverityCounts {
    /// One more of a severity.
    pub const fn add(&mut self, severity: Severity) {
        self.add_many(severity, 1);
    }

    /// So many more of a severity.
    pub const fn add_many(&mut self, severity: Severity, more: u64) {
        match severity {
            Severity::Critical => self.critical += more,
            Severity::High => self.high += more,
            Severity::Medium => self.medium += more,
            Severity::Low => self.low += more,
            Severity::Info => self.info += more,
        }
    }

    /// How many there are of a severity.
    #[must_use]
    pub const fn of(&self, severity: Severity) -> u64 {
        match severity {
            Severity::Critical => self.critical,
            Severity::High => self.high,
            Severity::Medium => self.medium,
            Severity::Low => self.low,
            Severity::Info => self.info,
        }
    }

    /// How many there are.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.critical + self.high + self.medium + self.low + self.info
    }
}
