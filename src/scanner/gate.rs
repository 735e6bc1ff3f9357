//! What a gate lets through: pure. The findings that its rules count were counted before.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::scan::{ScanKind, Severity, SeverityCounts};

/// A rule, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// What was looked for.
    pub kind: ScanKind,
    /// The worst that is let through.
    pub max_severity: Severity,
    /// Whether only what was first seen after [`Rule::saved_at`], and is in no revision that was deployed, is counted.
    pub only_new: bool,
    /// When the rule was saved.
    pub saved_at: DateTime<Utc>,
}

/// What a gate does with what it does not like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Keeps it back.
    Block,
    /// Says so and lets it through.
    Warn,
}

/// Which way a deployment goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To something that was not there before.
    Forward,
    /// Back to a revision that was: in trouble that must go, whatever is known of it by now.
    Back,
}

/// Whether anybody looked at what is to be deployed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Looked {
    /// At least one tool of the kind came to a result.
    Yes,
    /// Nobody could have: what is to be looked at while it runs, or images of others, and it does not run there yet.
    NotYet,
    /// None did.
    No,
}

/// A rule with what it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// The rule.
    pub rule: Rule,
    /// Findings that it does not let through.
    pub counts: SeverityCounts,
    /// Whether there is a result at all.
    pub looked: Looked,
}

/// What a gate said. A later one is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Outcome {
    /// Nothing is against it.
    Passed,
    /// Something is, and it goes on.
    Warned,
    /// It was blocked, and an admin let it go on.
    Overridden,
    /// It does not go on.
    Blocked,
}

/// A rule that was broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// By how many findings; 0 when there is no result to count in.
    pub count: u64,
    /// For people.
    pub message: String,
}

/// What a gate said of a deployment, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// In a word.
    pub outcome: Outcome,
    /// The rules that were broken.
    pub violations: Vec<Violation>,
    /// Who let it go on.
    pub overridden_by: Option<String>,
    /// Why.
    pub override_reason: Option<String>,
}

impl Verdict {
    /// The violations in one sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let messages: Vec<&str> = self.violations.iter().map(|violation| violation.message.as_str()).collect();
        messages.join("; ")
    }
}

/// What a gate of this mode says.
#[must_use]
pub fn judge(mode: Mode, way: Way, counted: Vec<Counted>) -> Verdict {
    let mut blocks = false;
    let mut violations = Vec::new();
    for one in counted {
        let Some(message) = message(&one) else { continue };
        blocks |= one.looked != Looked::NotYet;
        violations.push(Violation { count: one.counts.total(), rule: one.rule, message });
    }
    let outcome = match (violations.is_empty(), mode, way) {
        (true, ..) => Outcome::Passed,
        (false, Mode::Block, Way::Forward) if blocks => Outcome::Blocked,
        (false, ..) => Outcome::Warned,
    };
    Verdict { outcome, violations, overridden_by: None, override_reason: None }
}

/// What is against it; none where the rule is kept.
fn message(one: &Counted) -> Option<String> {
    let Rule { kind, max_severity, only_new, .. } = &one.rule;
    match one.looked {
        Looked::No => Some(format!("there is no result of {kind}: none of its tools has looked at this with success")),
        Looked::NotYet => Some(format!("there is no result of {kind} yet: it is looked at once it runs")),
        Looked::Yes if one.counts.total() == 0 => None,
        Looked::Yes => {
            let new = if *only_new { "new " } else { "" };
            let plural = if one.counts.total() == 1 { "finding" } else { "findings" };
            let each = each(&one.counts);
            Some(format!("{} {new}{kind} {plural} above {max_severity}: {each}", one.counts.total()))
        }
    }
}

/// Like `1 CRITICAL, 2 HIGH`.
fn each(counts: &SeverityCounts) -> String {
    let there = Severity::ALL.into_iter().rev().map(|severity| (counts.of(severity), severity));
    let there = there.filter(|(count, _)| *count > 0).map(|(count, severity)| format!("{count} {severity}"));
    there.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(only_new: bool, count: u64, looked: Looked) -> Counted {
        let rule =
            Rule { kind: ScanKind::Sast, max_severity: Severity::Medium, only_new, saved_at: DateTime::UNIX_EPOCH };
        Counted { rule, counts: SeverityCounts { high: count, ..SeverityCounts::default() }, looked }
    }

    #[test]
    fn each_mode_and_way() {
        let bad = || vec![counted(false, 2, Looked::Yes)];
        let none = || vec![counted(false, 0, Looked::No)];
        let early = || vec![counted(false, 0, Looked::NotYet)];
        for (mode, way, counted, expected) in [
            (Mode::Block, Way::Forward, Vec::new(), Outcome::Passed),
            (Mode::Block, Way::Forward, vec![counted(false, 0, Looked::Yes)], Outcome::Passed),
            (Mode::Block, Way::Forward, bad(), Outcome::Blocked),
            (Mode::Block, Way::Forward, none(), Outcome::Blocked),
            (Mode::Block, Way::Forward, early(), Outcome::Warned),
            (Mode::Block, Way::Forward, [early(), bad()].concat(), Outcome::Blocked),
            (Mode::Block, Way::Back, bad(), Outcome::Warned),
            (Mode::Block, Way::Back, none(), Outcome::Warned),
            (Mode::Warn, Way::Forward, bad(), Outcome::Warned),
            (Mode::Warn, Way::Forward, none(), Outcome::Warned),
        ] {
            let verdict = judge(mode, way, counted.clone());
            assert_eq!(verdict.outcome, expected, "{mode:?} {way:?} {counted:?}");
        }
    }

    #[test]
    fn what_is_against_it_is_said_rule_by_rule() {
        let all = vec![
            counted(false, 2, Looked::Yes),
            counted(true, 1, Looked::Yes),
            counted(true, 0, Looked::Yes),
            counted(false, 0, Looked::No),
        ];
        let verdict = judge(Mode::Block, Way::Forward, all);
        assert_eq!(
            verdict.sentence(),
            "2 SAST findings above MEDIUM: 2 HIGH; 1 new SAST finding above MEDIUM: 1 HIGH; there is no result of SAST: none of its \
             tools has looked at this with success"
        );
        assert_eq!(verdict.violations.iter().map(|v| v.count).collect::<Vec<_>>(), [2, 1, 0]);
    }
}
