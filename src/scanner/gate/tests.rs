use chrono::{Duration, TimeZone as _};

use super::*;

fn day(number: i64) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 1, 1, 0, 0, 0).unwrap() + Duration::days(number)
}

/// The day on which it is judged.
const TODAY: i64 = 100;
/// The day on which rules were saved.
const SAVED: i64 = 50;

fn rule(max_severity: Severity, only_new: bool) -> Rule {
    Rule { kind: ScanKind::Sast, max_severity, only_new, saved_at: day(SAVED) }
}

fn finding(severity: Severity) -> Counted {
    Counted {
        kind: ScanKind::Sast,
        severity,
        state: FindingState::Open,
        first_seen_at: day(SAVED + 1),
        deployed_at: None,
        ignored_until: None,
    }
}

fn judge(gate: (Mode, &[Rule]), findings: &[Counted], going: Going) -> Verdict {
    let scanned = [ScanKind::Sast, ScanKind::Sca].into();
    let at = Circumstances { now: day(TODAY), going, scanned: &scanned };
    Gate { mode: gate.0, rules: gate.1.to_vec() }.judge(findings.iter().copied(), at)
}

#[test]
fn the_severity_that_is_let_through_is_the_highest() {
    for highest in Severity::ALL {
        for severity in Severity::ALL {
            let verdict = judge((Mode::Block, &[rule(highest, false)]), &[finding(severity)], Going::Out);
            let outcome = if severity > highest { Outcome::Blocked } else { Outcome::Passed };
            assert_eq!(verdict.outcome, outcome, "{severity} with {highest}");
            assert_eq!(verdict.violations.len(), usize::from(severity > highest));
        }
    }
}

#[test]
fn what_counts() {
    let high = finding(Severity::High);
    let ignored = Counted { state: FindingState::Ignored, ..high };
    let until = |date| Counted { ignored_until: Some(day(date)), ..ignored };
    let old = Counted { first_seen_at: day(SAVED - 1), ..high };
    let deployed = Counted { deployed_at: Some(day(SAVED + 2)), ..high };
    let rows: [(&str, Counted, bool, bool); 12] = [
        // What it is, whether any rule counts it, whether one of only new ones does.
        ("open", high, true, true),
        ("fixed", Counted { state: FindingState::Fixed, ..high }, false, false),
        ("ignored for good", ignored, false, false),
        ("ignored for a while yet", until(TODAY + 1), false, false),
        ("ignored until now", until(TODAY), false, false),
        ("ignored until yesterday", until(TODAY - 1), true, true),
        ("fixed, and once ignored", Counted { state: FindingState::Fixed, ..until(1) }, false, false),
        ("seen before the rule", old, true, false),
        ("seen in the moment of the rule", Counted { first_seen_at: day(SAVED), ..high }, true, false),
        ("deployed before", deployed, true, false),
        ("old and deployed", Counted { deployed_at: Some(day(1)), ..old }, true, false),
        ("of another kind", Counted { kind: ScanKind::Sca, ..high }, false, false),
    ];
    for (what, finding, counts, counts_as_new) in rows {
        for (only_new, counts) in [(false, counts), (true, counts_as_new)] {
            let verdict = judge((Mode::Block, &[rule(Severity::Medium, only_new)]), &[finding], Going::Out);
            assert_eq!(verdict.outcome == Outcome::Blocked, counts, "{what}, only new: {only_new}");
        }
    }
}

#[test]
fn what_comes_of_a_violation() {
    let high = [finding(Severity::High)];
    for (mode, going, outcome) in [
        (Mode::Block, Going::Out, Outcome::Blocked),
        (Mode::Block, Going::Back, Outcome::Warned),
        (Mode::Warn, Going::Out, Outcome::Warned),
        (Mode::Warn, Going::Back, Outcome::Warned),
    ] {
        let verdict = judge((mode, &[rule(Severity::Medium, false)]), &high, going);
        assert_eq!((verdict.outcome, verdict.violations.len()), (outcome, 1), "{mode:?} {going:?}");
        assert_eq!(judge((mode, &[rule(Severity::High, false)]), &high, going).outcome, Outcome::Passed);
        assert_eq!(judge((mode, &[]), &high, going).outcome, Outcome::Passed);
    }
}

#[test]
fn a_gate_that_blocks_needs_a_scan_that_succeeded() {
    let dast = Rule { kind: ScanKind::Dast, ..rule(Severity::Critical, true) };
    for (mode, going, outcome) in [
        (Mode::Block, Going::Out, Outcome::Blocked),
        (Mode::Block, Going::Back, Outcome::Warned),
        (Mode::Warn, Going::Out, Outcome::Passed),
    ] {
        let verdict = judge((mode, &[rule(Severity::Medium, false), dast]), &[], going);
        assert_eq!(verdict.outcome, outcome, "{mode:?} {going:?}");
        for violation in verdict.violations {
            assert_eq!((violation.rule, violation.count), (dast, 0));
            assert!(violation.message.starts_with("no DAST tool has succeeded"), "{}", violation.message);
        }
    }
    // One tool of the kind that failed leaves findings that count, scanned or not.
    let found = Counted { kind: ScanKind::Dast, ..finding(Severity::High) };
    let verdict = judge((Mode::Block, &[Rule { max_severity: Severity::Low, ..dast }]), &[found], Going::Out);
    assert_eq!((verdict.violations.len(), verdict.violations[0].count), (1, 1));
}

#[test]
fn violations_are_told_in_words() {
    let expired = Counted { state: FindingState::Ignored, ignored_until: Some(day(1)), ..finding(Severity::High) };
    let sca = Counted { kind: ScanKind::Sca, ..finding(Severity::Low) };
    let found = [finding(Severity::Critical), finding(Severity::High), expired, finding(Severity::Low), sca];
    let rules = [
        rule(Severity::Medium, true),
        Rule { kind: ScanKind::Sca, ..rule(Severity::Info, false) },
        rule(Severity::High, true),
    ];
    let verdict = judge((Mode::Warn, &rules), &found, Going::Out);
    let told: Vec<_> = verdict.violations.iter().map(|v| (v.count, v.message.as_str())).collect();
    assert_eq!(
        told,
        [
            (
                3,
                "3 SAST findings above MEDIUM that are new: 1 CRITICAL, 2 HIGH (1 was ignored until a time that has passed)"
            ),
            (1, "1 SCA finding above INFO: 1 LOW"),
            (1, "1 SAST finding above HIGH that is new: 1 CRITICAL"),
        ]
    );
    let verdict_rules: Vec<Rule> = verdict.violations.iter().map(|v| v.rule).collect();
    assert_eq!(verdict_rules, rules);
}
