//! What a gate lets through: pure. It judges what is stored; nothing is scanned again for it.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use crate::domain::scan::{FindingState, ScanKind, Severity, SeverityCounts};

/// What is let through of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The kind that it is about.
    pub kind: ScanKind,
    /// The highest severity that is let through.
    pub max_severity: Severity,
    /// Whether findings count only where they are new: first seen after the rule was saved, and in no revision that was
    /// deployed before.
    pub only_new: bool,
    /// When it was saved.
    pub saved_at: DateTime<Utc>,
}

/// What becomes of a deployment that violates a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It is kept back.
    Block,
    /// It goes out, and the violations are listed.
    Warn,
}

/// What is about to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Going {
    /// A deployment by a pipeline or by hand.
    Out,
    /// A rollback: back to what was out before. Keeping it back would keep something broken in its place, so that it is
    /// warned of and let through.
    Back,
}

/// The gate of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// What becomes of violations.
    pub mode: Mode,
    /// What is let through; of a kind that isn't listed, everything.
    pub rules: Vec<Rule>,
}

/// A finding of what is about to be deployed, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Its kind.
    pub kind: ScanKind,
    /// How bad it is.
    pub severity: Severity,
    /// Where it stands.
    pub state: FindingState,
    /// When a scan saw it first.
    pub first_seen_at: DateTime<Utc>,
    /// When a revision that has it was deployed first, before the one that is judged.
    pub deployed_at: Option<DateTime<Utc>>,
    /// Of an ignored one: it opens again after this.
    pub ignored_until: Option<DateTime<Utc>>,
}

/// What else a verdict depends on.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// The time.
    pub now: DateTime<Utc>,
    /// What is about to be done.
    pub going: Going,
    /// Kinds of which at least one tool has succeeded on what is about to be deployed.
    pub scanned: &'a BTreeSet<ScanKind>,
}

/// What comes of it, but for an admin who overrides it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// No rule is violated.
    Passed,
    /// Rules are, and it goes out all the same.
    Warned,
    /// It is kept back.
    Blocked,
}

/// A rule that is violated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// How many findings violate it; 0 where the kind was not scanned.
    pub count: u64,
    /// In words.
    pub message: String,
}

/// What a gate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What comes of it.
    pub outcome: Outcome,
    /// Why, in the order of the rules.
    pub violations: Vec<Violation>,
}

impl Counted {
    /// Whether nobody answers for it: it is open, or was ignored until a time that has passed.
    #[must_use]
    pub fn is_open(&self, now: DateTime<Utc>) -> bool {
        match self.state {
            FindingState::Open => true,
            FindingState::Ignored => self.has_expired(now),
            FindingState::Fixed => false,
        }
    }

    fn has_expired(&self, now: DateTime<Utc>) -> bool {
        self.state == FindingState::Ignored && self.ignored_until.is_some_and(|until| until < now)
    }
}

impl Rule {
    /// Whether a finding violates it.
    #[must_use]
    pub fn is_violated_by(&self, finding: &Counted, now: DateTime<Utc>) -> bool {
        let is_new = finding.first_seen_at > self.saved_at && finding.deployed_at.is_none();
        finding.kind == self.kind
            && finding.severity > self.max_severity
            && finding.is_open(now)
            && (is_new || !self.only_new)
    }
}

impl Gate {
    /// Judges the findings of what is about to be deployed. A rule of a gate that blocks also wants a tool of its kind to
    /// have succeeded: where nothing was looked at, nothing found is no good news.
    #[must_use]
    pub fn judge(&self, findings: impl IntoIterator<Item = Counted>, at: Circumstances<'_>) -> Verdict {
        let mut tallies = vec![Tally::default(); self.rules.len()];
        for finding in findings {
            for (rule, tally) in self.rules.iter().zip(&mut tallies) {
                if rule.is_violated_by(&finding, at.now) {
                    tally.add(&finding, at.now);
                }
            }
        }
        let mut violations = Vec::new();
        for (rule, tally) in self.rules.iter().zip(&tallies) {
            if tally.count > 0 {
                violations.push(Violation { rule: *rule, count: tally.count, message: tally.message(rule) });
            } else if self.mode == Mode::Block && !at.scanned.contains(&rule.kind) {
                violations.push(Violation { rule: *rule, count: 0, message: unscanned(rule.kind) });
            }
        }
        let outcome = match (self.mode, at.going) {
            _ if violations.is_empty() => Outcome::Passed,
            (Mode::Block, Going::Out) => Outcome::Blocked,
            (Mode::Warn, _) | (_, Going::Back) => Outcome::Warned,
        };
        Verdict { outcome, violations }
    }
}

/// How many findings violate a rule.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    count: u64,
    severities: SeverityCounts,
    expired: u64,
}

impl Tally {
    fn add(&mut self, finding: &Counted, now: DateTime<Utc>) {
        self.count += 1;
        self.severities.add(finding.severity);
        self.expired += u64::from(finding.has_expired(now));
    }

    /// Like `3 SAST findings above MEDIUM that are new: 1 CRITICAL, 2 HIGH (1 was ignored until a time that has passed)`.
    fn message(&self, rule: &Rule) -> String {
        let findings = if self.count == 1 { "finding" } else { "findings" };
        let new = match (rule.only_new, self.count) {
            (false, _) => "",
            (true, 1) => " that is new",
            (true, _) => " that are new",
        };
        let severities = self.severities;
        let severities = [
            (severities.critical, Severity::Critical),
            (severities.high, Severity::High),
            (severities.medium, Severity::Medium),
            (severities.low, Severity::Low),
            (severities.info, Severity::Info),
        ];
        let severities = severities.into_iter().filter(|(count, _)| *count > 0);
        let severities: Vec<String> = severities.map(|(count, severity)| format!("{count} {severity}")).collect();
        let expired = match self.expired {
            0 => String::new(),
            1 => " (1 was ignored until a time that has passed)".to_owned(),
            expired => format!(" ({expired} were ignored until a time that has passed)"),
        };
        format!(
            "{} {} {findings} above {}{new}: {}{expired}",
            self.count,
            rule.kind,
            rule.max_severity,
            severities.join(", ")
        )
    }
}

fn unscanned(kind: ScanKind) -> String {
    format!("no {kind} tool has succeeded on what is to be deployed, and a gate that blocks needs one: see its scans")
}
