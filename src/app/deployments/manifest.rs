//! What a revision looks like in the words of its runtime: a Compose file, or Kubernetes manifests.

use crate::domain::compose;
use crate::domain::spec::Spec;
use crate::runtime::Runtimes;

/// The manifest of a spec, secrets masked; the same spec always gives the same text.
#[must_use]
pub fn of(runtimes: &dyn Runtimes, spec: &Spec) -> String {
    beside(runtimes, spec, None)
}

/// What changes between two specs, as a unified diff of their manifests; empty when nothing does. A secret that has another
/// value shows as such: that it changed, and nothing else about it.
#[must_use]
pub fn diff(runtimes: &dyn Runtimes, before: Option<&Spec>, after: &Spec) -> String {
    let old = before.map(|before| of(runtimes, before)).unwrap_or_default();
    let new = beside(runtimes, after, before);
    if old == new { String::new() } else { compose::unified_diff(&old, &new) }
}

/// As [`diff`], of what leaves one place (named first) for another: the diff begins with a comment that says so.
#[must_use]
pub fn diff_of_move(runtimes: &dyn Runtimes, before: Option<&Spec>, after: &Spec, (from, to): (&str, &str)) -> String {
    let old = before.map(|before| of(runtimes, before)).unwrap_or_default();
    let new = beside(runtimes, after, before);
    compose::unified_diff(&format!("# on {from}\n{old}"), &format!("# on {to}\n{new}"))
}

fn beside(runtimes: &dyn Runtimes, spec: &Spec, before: Option<&Spec>) -> String {
    match &spec.cluster {
        Some(_) => runtimes.manifests(spec, before),
        None => compose::export_beside(spec, before),
    }
}
