//! What a deployment will be, before it is made: pure data from what is stored.

use std::collections::BTreeMap;

use entity::{deployment, service};
use sha2::{Digest as _, Sha256};

use super::manifest;
use super::moving::Course;
use crate::app::services::definition::containers_of;
use crate::app::{Result, Violations};
use crate::domain::image::{Digest, Tag};
use crate::domain::spec::{ContainerSpec, Spec, Strategy};
use crate::runtime::Runtimes;

/// What would change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What would run.
    pub spec: Spec,
    /// The Compose file or the manifests of it, secrets masked.
    pub manifest: String,
    /// Unified diff against what serves.
    pub diff: String,
    /// Why the service stops answering for a while; empty: it does not.
    pub downtime: Vec<String>,
    /// Where it goes.
    pub course: Course,
    /// What the person should know of the way there.
    pub notes: Vec<String>,
    /// What the person should know else.
    pub warnings: Vec<String>,
}

impl Plan {
    /// Says whether a later plan is the same: a digest over everything that decides what runs.
    #[must_use]
    pub fn hash(&self) -> String {
        // Without the environment's id: before the first deployment it is made anew for each plan.
        let target = &self.spec.target;
        let facts = serde_json::json!({
            "place": [&target.service_id, &target.environment, &target.namespace],
            "runtimes": [&self.course.to.id, self.course.leaves().map(|from| from.id.as_str()).unwrap_or_default()],
            "strategy": self.spec.strategy,
            "containers": self.spec.containers,
            "cluster": self.spec.cluster,
            "diff": self.diff,
        });
        hex::encode(Sha256::digest(facts.to_string()))
    }
}

/// New tags for named containers.
pub type Tags = Vec<(String, String)>;

/// Reads new tags for named containers.
///
/// # Errors
/// BAD_USER_INPUT for a container that is not there or named twice, and for what is no tag.
pub fn checked(service: &service::Model, tags: &Tags) -> Result<BTreeMap<String, Tag>> {
    let containers = containers_of(service)?;
    let mut violations = Violations::default();
    let mut checked = BTreeMap::new();
    for (i, (name, tag)) in tags.iter().enumerate() {
        let field = format!("input.tags.{i}.container");
        let Some(container) = containers.iter().find(|c| c.name == *name) else {
            violations.add(field, format!("the service has no container {name}"));
            continue;
        };
        if container.image.is_none() {
            violations.add(field, format!("the image of {name} is built, and its tag is the build's"));
        } else if checked.contains_key(name) {
            violations.add(field, format!("{name} is named twice"));
        } else if let Some(tag) = violations.check(format!("input.tags.{i}.tag"), Tag::parse(tag)) {
            checked.insert(name.clone(), tag);
        }
    }
    violations.finish()?;
    Ok(checked)
}

/// The spec of a stored revision.
///
/// # Errors
/// INTERNAL when it can't be read.
pub fn spec_of_revision(deployment: &deployment::Model) -> Result<Spec> {
    Ok(serde_json::from_value(deployment.spec.clone())?)
}

/// Compares what should run with what serves. Host ports are those that the environment keeps, and none on a runtime
/// that it moves to: what is free there is known to that engine alone.
#[must_use]
pub fn compare(
    runtimes: &dyn Runtimes,
    (mut spec, current): (Spec, Option<&Spec>),
    course: Course,
    mut warnings: Vec<String>,
) -> Plan {
    if course.leaves().is_some() {
        spec.containers.iter_mut().for_each(|c| c.host_port = None);
    }
    let manifest = manifest::of(runtimes, &spec);
    let diff = match course.leaves() {
        Some(from) => manifest::diff_of_move(runtimes, current, &spec, (&from.name, &course.to.name)),
        None => manifest::diff(runtimes, current, &spec),
    };
    let downtime = match (current, course.leaves()) {
        // What runs goes on running until the new one serves.
        (None, _) => Vec::new(),
        (Some(current), Some(_)) => removed(&spec, current).collect(),
        (Some(current), None) => removed(&spec, current).chain(downtime(&spec, current)).collect(),
    };
    let notes = course.notes(&spec, current);
    if spec.cluster.is_some() {
        warnings.extend(runtimes.notices(&spec));
    }
    Plan { manifest, diff, downtime, course, notes, warnings, spec }
}

/// Gives published containers the host ports that their environment keeps for them, and takes all others away.
pub fn keep_host_ports(spec: &mut Spec, kept: &BTreeMap<String, u16>) {
    for container in &mut spec.containers {
        let published = container.port.is_some() && !container.is_internal;
        container.host_port = kept.get(&container.name).copied().filter(|_| published);
    }
}

fn removed<'a>(spec: &'a Spec, current: &'a Spec) -> impl Iterator<Item = String> + 'a {
    let gone = |old: &&ContainerSpec| !spec.containers.iter().any(|c| c.name == old.name);
    current.containers.iter().filter(gone).map(|old| format!("{} is removed", old.name))
}

fn downtime(spec: &Spec, current: &Spec) -> Vec<String> {
    let mut reasons = Vec::new();
    for old in &current.containers {
        let Some(new) = spec.containers.iter().find(|c| c.name == old.name) else { continue };
        if new == old {
            continue;
        }
        if spec.strategy == Strategy::Recreate {
            reasons.push(format!("{} is stopped before its new one starts: the strategy is RECREATE", new.name));
            continue;
        }
        if !new.volumes.is_empty() || !old.volumes.is_empty() {
            reasons.push(format!("{} has a volume, which only one container may use at a time", new.name));
        } else if let Some(port) = old.host_port.filter(|_| new.port.is_some() && !new.is_internal) {
            reasons.push(format!("{} keeps host port {port}, which must change hands", new.name));
        }
    }
    reasons
}

/// The images as resolved: `repository:tag@digest`. One that is in no registry has the engine's own id in its digest's
/// place.
#[must_use]
pub fn images(spec: &Spec) -> Vec<String> {
    let image = |c: &ContainerSpec| match c.digest.as_ref().map(Digest::as_str).or(c.image_id.as_deref()) {
        Some(exactly) => format!("{}:{}@{exactly}", c.repository, c.tag),
        None => format!("{}:{}", c.repository, c.tag),
    };
    spec.containers.iter().map(image).collect()
}
