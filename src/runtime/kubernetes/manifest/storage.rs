//! Volumes: a claim for each, which outlives revisions.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, PersistentVolumeClaimVolumeSource, Volume, VolumeMount,
    VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::{Frame, Object, short_hash};
use crate::domain::quantity;
use crate::domain::spec::ContainerSpec;

/// The claims of a container.
pub(super) fn claims(frame: &Frame<'_>, container: &ContainerSpec) -> Vec<Object> {
    let claim = |volume: &crate::domain::spec::VolumeSpec| {
        let mut metadata = frame.meta_of(container, &claim_name(&container.name, &volume.mount_path));
        // The path in words: the name holds only some of it.
        metadata.annotations = Some(BTreeMap::from([(MOUNT_PATH.to_owned(), volume.mount_path.clone())]));
        let requests = BTreeMap::from([("storage".to_owned(), Quantity(volume.size.clone()))]);
        Object::Claim(PersistentVolumeClaim {
            metadata,
            spec: Some(PersistentVolumeClaimSpec {
                access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
                resources: Some(VolumeResourceRequirements { requests: Some(requests), limits: None }),
                storage_class_name: frame.cluster.storage_class.clone(),
                ..Default::default()
            }),
            status: None,
        })
    };
    container.volumes.iter().map(claim).collect()
}

/// Where a container has a claim mounted, in words.
const MOUNT_PATH: &str = "kiops.dev/mount-path";

/// Makes a claim fit for the one that is there. Of a claim nothing can be changed but its size, and that only upwards
/// (<https://kubernetes.io/docs/concepts/storage/persistent-volumes/#expanding-persistent-volumes-claims>). One that has
/// grown stays as large as it is, so that an older revision can be brought back; the sentences say what is not as wanted.
pub fn settle(claim: &mut PersistentVolumeClaim, there: &PersistentVolumeClaim) -> Vec<String> {
    let mut told = Vec::new();
    let path = annotation(claim, MOUNT_PATH);
    let container = claim.metadata.labels.as_ref().and_then(|labels| labels.get(crate::runtime::labels::CONTAINER));
    let what = format!("container {}: the volume at {path}", container.map_or("", String::as_str));
    let (Some(wanted), Some(now)) = (claim.spec.as_mut(), there.spec.as_ref()) else { return told };
    if let (Some(class), Some(kept)) = (&wanted.storage_class_name, &now.storage_class_name)
        && class != kept
    {
        told.push(format!("{what} stays with the storage class {kept}: that of a volume can't be changed"));
    }
    wanted.storage_class_name.clone_from(&now.storage_class_name);
    wanted.access_modes.clone_from(&now.access_modes);
    if let (Some(asked), Some(kept)) = (size(wanted), size(now))
        && bytes(&asked) < bytes(&kept)
    {
        told.push(format!("{what} stays at {}, and not {}: a volume can't shrink", kept.0, asked.0));
        let requests = BTreeMap::from([("storage".to_owned(), kept)]);
        wanted.resources = Some(VolumeResourceRequirements { requests: Some(requests), limits: None });
    }
    told
}

fn annotation<'a>(claim: &'a PersistentVolumeClaim, key: &str) -> &'a str {
    claim.metadata.annotations.as_ref().and_then(|all| all.get(key)).map_or("", String::as_str)
}

fn size(spec: &PersistentVolumeClaimSpec) -> Option<Quantity> {
    spec.resources.as_ref()?.requests.as_ref()?.get("storage").cloned()
}

fn bytes(size: &Quantity) -> u64 {
    quantity::bytes(&size.0).unwrap_or_default()
}

/// The claims as volumes of a pod.
pub(super) fn volumes(container: &ContainerSpec) -> Option<Vec<Volume>> {
    let volume = |volume: &crate::domain::spec::VolumeSpec| Volume {
        name: volume_name(&volume.mount_path),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: claim_name(&container.name, &volume.mount_path),
            read_only: None,
        }),
        ..Default::default()
    };
    (!container.volumes.is_empty()).then(|| container.volumes.iter().map(volume).collect())
}

/// Where they are mounted.
pub(super) fn mounts(container: &ContainerSpec) -> Option<Vec<VolumeMount>> {
    let mount = |volume: &crate::domain::spec::VolumeSpec| VolumeMount {
        name: volume_name(&volume.mount_path),
        mount_path: volume.mount_path.clone(),
        ..Default::default()
    };
    (!container.volumes.is_empty()).then(|| container.volumes.iter().map(mount).collect())
}

/// `db` and `/var/lib/mysql` give `db-var-lib-mysql-` and a hash of the path, whatever other volumes there are.
pub(super) fn claim_name(container: &str, path: &str) -> String {
    format!("{container}-{}", volume_name(path))
}

/// The path as an RFC 1123 label: its words, as far as there is room, and its hash.
fn volume_name(path: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let words: String = path.chars().map(keep).collect();
    let words = words.split('-').filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-");
    let words: String = words.chars().take(40).collect();
    match words.trim_end_matches('-') {
        "" => format!("volume-{}", short_hash(path)),
        words => format!("{words}-{}", short_hash(path)),
    }
}
