//! How bad a result is; the table is in the documentation of [`super`].

use super::wire::{Level, Properties};
use crate::domain::scan::{ScanKind, Severity};

/// What a rule or a result says of severity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Said {
    score: Option<Severity>,
    word: Option<Severity>,
    level: Option<Level>,
}

impl Said {
    /// What properties and a level say.
    pub fn of(properties: &Properties, level: Option<Level>) -> Self {
        let word = properties.severity.first().and_then(word).or(properties.issue_severity.first().and_then(word));
        Self { score: properties.security_severity.first().and_then(score), word, level }
    }
}

/// The severity of a result that counts for a kind.
pub fn of(kind: ScanKind, result: Said, rule: Option<Said>) -> Severity {
    let rule = rule.unwrap_or_default();
    let said = result.score.or(rule.score).or(result.word).or(rule.word);
    let level = result.level.or(rule.level).map(|level| match level {
        Level::Error => Severity::High,
        Level::Warning => Severity::Medium,
        Level::Note => Severity::Low,
        Level::None => Severity::Info,
    });
    said.or(level).unwrap_or(if kind == ScanKind::Secret { Severity::High } else { Severity::Medium })
}

/// A CVSS score, or a word in its place.
fn score(text: &str) -> Option<Severity> {
    match text.trim().parse::<f64>() {
        Ok(score) if (0.0..=10.0).contains(&score) => Some(Severity::of_score(score)),
        Ok(_) => None,
        Err(_) => word(text),
    }
}

/// A severity in the words of tools. `unknown` is none: a fault that nobody has rated is not a harmless one.
#[must_use]
pub fn word(text: &str) -> Option<Severity> {
    Some(match text.trim().to_ascii_lowercase().as_str() {
        "critical" | "blocker" => Severity::Critical,
        "high" | "error" | "major" | "important" => Severity::High,
        "medium" | "moderate" | "warning" => Severity::Medium,
        "low" | "minor" | "note" => Severity::Low,
        "info" | "informational" | "information" | "none" | "negligible" => Severity::Info,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scanner::report::json::Loose;

    fn said(score: &str, severity: &str, level: Option<Level>) -> Said {
        let loose = |text: &str| Loose(Some(text.to_owned()).filter(|text| !text.is_empty()).into_iter().collect());
        Said::of(
            &Properties { security_severity: loose(score), severity: loose(severity), ..Properties::default() },
            level,
        )
    }

    #[test]
    fn what_says_more_wins() {
        let nothing = said("", "", None);
        let rows = [
            (nothing, nothing, Severity::Medium),
            (nothing, said("", "", Some(Level::Error)), Severity::High),
            (said("", "", Some(Level::Note)), said("", "", Some(Level::Error)), Severity::Low),
            (said("", "", Some(Level::None)), nothing, Severity::Info),
            (said("", "", Some(Level::Error)), said("9.8", "", None), Severity::Critical),
            (said("3.9", "", Some(Level::Error)), said("9.8", "", None), Severity::Low),
            (said("", "CRITICAL", Some(Level::Error)), nothing, Severity::Critical),
            (said("", "whatever", Some(Level::Note)), nothing, Severity::Low),
            (said("99", "", Some(Level::Note)), nothing, Severity::Low),
            (said("NaN", "", Some(Level::Note)), nothing, Severity::Low),
            (said("high", "", Some(Level::Note)), nothing, Severity::High),
            (said("0.0", "", Some(Level::Error)), nothing, Severity::Info),
            (said("7", "", None), nothing, Severity::High),
        ];
        for (result, rule, severity) in rows {
            assert_eq!(of(ScanKind::Sast, result, Some(rule)), severity, "{result:?} {rule:?}");
        }
        assert_eq!(of(ScanKind::Secret, nothing, None), Severity::High);
        assert_eq!(of(ScanKind::Secret, said("", "", Some(Level::Warning)), None), Severity::Medium);
        assert_eq!(of(ScanKind::Sast, nothing, None), Severity::Medium);
    }
}
