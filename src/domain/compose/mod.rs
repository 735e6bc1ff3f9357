//! Compose files: what a service looks like as one, and what one holds that a service can be made from.

mod export;
mod fields;
mod import;
mod probe;
mod words;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod any_spec_tests;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod export_tests;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod import_tests;

pub use export::{CHANGED_MASK, MASK, export, export_beside};
pub use import::{ComposeError, Import, ImportedContainer, ImportedVariable, import};

/// What changed between two texts, as a unified diff with three lines of context; empty when nothing did.
#[must_use]
pub fn unified_diff(before: &str, after: &str) -> String {
    similar::TextDiff::from_lines(before, after).unified_diff().context_radius(3).header("before", "after").to_string()
}
