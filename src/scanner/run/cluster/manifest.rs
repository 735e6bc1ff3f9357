//! What the run of a tool is on a cluster, as typed objects: nothing here asks anybody.
//!
//! One pod: `given` unpacks what it is sent; then the tool runs, and beside it `keeper`, which does nothing by itself: the
//! report is read in it once the tool has ended. Both it and `given` are of BuildKit's image, which builds need anyway.
//!
//! A tool may do no more than the Pod Security Standard `baseline` lets it, and less where that takes nothing from it: it is
//! whoever its image says, root too, without any right that root has, on a root file system that it can't write to. Folders of
//! a node, which `baseline` forbids, it gets none.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::Job as BatchJob;
use k8s_openapi::api::core::v1::{
    Capabilities, Container, EmptyDirVolumeSource, EnvVar, PodSpec, SecurityContext, Volume,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use sha2::{Digest as _, Sha256};

use crate::cluster::ground::{anywhere, policy, within};
use crate::cluster::job::{self, bounded, confined, container, millis, mount, nodes, read_only, scratch};
use crate::cluster::literal;
use crate::scanner::run::fill::Places;
use crate::scanner::run::inside::{self, HOME, OUT, VOLUME, places};
use crate::scanner::run::{Beside, ClusterConnection, Job};

/// The container that unpacks what the tool is given.
pub const GIVEN: &str = "given";
/// The container of the tool.
pub const TOOL: &str = "tool";
/// The container in which the report is read.
pub const KEEPER: &str = "keeper";
/// The last file of what is given. The tool can't make it.
pub const LAST: &str = "whole";
/// The Job that a pod is of.
const JOB: &str = "kiops.dev/job";
/// Whose files it all is: nobody's that an image is likely to have.
const NOBODY: i64 = 65_533;
/// How long a pod may take to end when it is told to. Seconds: `keeper` would never end by itself.
const GRACE: i64 = 1;
const SMALL: u64 = 64 << 20;

/// What reads the report, in `keeper`: one archive of two files on its standard output.
pub const READ: [&str; 8] = ["tar", "-c", "-f", "-", "-C", VOLUME, LAST, "out/report.json"];

/// The name of the Job of a run, by that of the run's folder, which no other run has.
pub fn name(folder: &str) -> String {
    format!("kiops-scan-{}", hex::encode(&Sha256::digest(folder)[..12]))
}

/// What chooses the pods of a Job.
pub fn selector(name: &str) -> String {
    format!("{JOB}={name}")
}

/// What chooses all that a scan has.
pub fn of_scan(scan_id: &str) -> String {
    format!("{}={}", inside::SCAN, value(scan_id))
}

/// The Job of a run, suspended. Its pod needs somebody who sends what it is given.
pub fn tool_job(name: &str, job: &Job<'_>, (image, here): (&str, &Places), on: &ClusterConnection) -> BatchJob {
    let tool = job.tool;
    let given = Container {
        // `tar` reads until its input is closed, which is done once all is sent, or by a connection that breaks.
        stdin: Some(true),
        stdin_once: Some(true),
        resources: Some(bounded(millis(tool.cpu), 2 * SMALL, on.disk)),
        security_context: Some(SecurityContext {
            run_as_user: Some(NOBODY),
            run_as_group: Some(NOBODY),
            run_as_non_root: Some(true),
            ..still()
        }),
        volume_mounts: Some(vec![mount("given", VOLUME)]),
        ..container(GIVEN, &on.image, &["tar", "-x", "-f", "-", "-C", VOLUME])
    };
    // A tool may be root, and keep its report to itself: whoever reads it has root's right to, and no other.
    let keeper = Container {
        resources: Some(bounded(100, SMALL, SMALL)),
        security_context: Some(SecurityContext {
            run_as_user: Some(0),
            run_as_group: Some(0),
            capabilities: Some(Capabilities {
                add: Some(vec!["DAC_OVERRIDE".to_owned()]),
                drop: Some(vec!["ALL".to_owned()]),
            }),
            ..still()
        }),
        volume_mounts: Some(vec![read_only("given", VOLUME), read_only("out", OUT)]),
        ..container(KEEPER, &on.image, &["tail", "-f", "/dev/null"])
    };
    let words: Vec<String> = places(here).command(tool).iter().map(|word| literal(word)).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let worker = Container {
        // What the image says of its environment stays, PATH above all.
        env: Some([("HOME", HOME), ("TMPDIR", "/tmp")].map(variable).to_vec()),
        working_dir: Some(OUT.to_owned()),
        resources: Some(bounded(millis(tool.cpu), tool.memory, on.disk)),
        security_context: Some(still()),
        volume_mounts: Some(vec![
            read_only("given", VOLUME),
            mount("out", OUT),
            mount("temporary", "/tmp"),
            mount("home", HOME),
        ]),
        ..container(TOOL, image, &words)
    };
    let pod = PodSpec {
        init_containers: Some(vec![given]),
        // They are started in this order.
        containers: vec![keeper, worker],
        node_selector: Some(nodes(on.platform.as_deref())),
        termination_grace_period_seconds: Some(GRACE),
        volumes: Some(vec![
            scratch("given", on.disk),
            scratch("out", tool.max_report_bytes.max(tool.memory)),
            in_memory("temporary", tool.memory),
            in_memory("home", tool.memory),
        ]),
        ..Default::default()
    };
    job::job(name, &labels(name, job), tool.timeout, pod)
}

/// What lets the run's pod out, if anything does: the tool declares the network, or scans what is in a namespace of the same
/// cluster.
pub fn way_out(name: &str, job: &Job<'_>, owner: OwnerReference) -> Option<NetworkPolicy> {
    let mut rules = Vec::new();
    if job.tool.network {
        rules.extend(anywhere());
    }
    if let Some(Beside::Namespace(namespace)) = job.join {
        rules.extend(within(namespace));
    }
    if rules.is_empty() {
        return None;
    }
    let meta = ObjectMeta {
        name: Some(name.to_owned()),
        labels: Some(labels(name, job)),
        owner_references: Some(vec![owner]),
        ..Default::default()
    };
    let chosen = BTreeMap::from([(JOB.to_owned(), name.to_owned())]);
    Some(policy(meta, LabelSelector { match_labels: Some(chosen), ..Default::default() }, rules))
}

fn labels(name: &str, job: &Job<'_>) -> BTreeMap<String, String> {
    let whose = inside::labels(job).map(|(key, text)| (key.to_owned(), value(text)));
    whose.into_iter().chain([(JOB.to_owned(), name.to_owned())]).collect()
}

/// A text as a label has it; in place of one that none can have, its hash.
fn value(text: &str) -> String {
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let is_value = text.len() <= 63
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        && ends(text.chars().next())
        && ends(text.chars().last());
    if is_value { text.to_owned() } else { hex::encode(&Sha256::digest(text)[..16]) }
}

/// What no container of the pod needs more than.
fn still() -> SecurityContext {
    SecurityContext { read_only_root_filesystem: Some(true), ..confined() }
}

/// A folder that is counted as memory of the container that writes to it.
fn in_memory(name: &str, bytes: u64) -> Volume {
    let folder =
        EmptyDirVolumeSource { medium: Some("Memory".to_owned()), size_limit: Some(Quantity(bytes.to_string())) };
    Volume { name: name.to_owned(), empty_dir: Some(folder), ..Default::default() }
}

fn variable((name, value): (&str, &str)) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.to_owned()), value_from: None }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use serde::Serialize;

    use super::*;
    use crate::cluster::job::owner;
    use crate::domain::kubeconfig::ClusterAccess;
    use crate::domain::scan::ScanKind;
    use crate::scanner::run::Mark;
    use crate::scanner::{Format, Target, Tool};

    fn tool() -> Tool {
        Tool {
            name: "one".to_owned(),
            kind: ScanKind::Sast,
            image: Some("registry.test/one:1".to_owned()),
            command: ["one", "--out={report}", "{source}", "$(HOME)"].map(str::to_owned).to_vec(),
            files: Vec::new(),
            format: Format::Sarif,
            timeout: Duration::from_secs(600),
            ok_exit_codes: vec![0],
            history: false,
            network: false,
            cpu: 1.5,
            memory: 1 << 30,
            max_report_bytes: 1 << 20,
            mounts: Vec::new(),
        }
    }

    fn connection() -> ClusterConnection {
        ClusterConnection {
            access: ClusterAccess::InCluster,
            namespace: "kiops-builds".to_owned(),
            image: "moby/buildkit:v0.32.2-rootless".to_owned(),
            disk: 20 << 30,
            platform: Some("linux/arm64".to_owned()),
        }
    }

    fn with<T>(tool: &Tool, join: Option<&Beside>, look: impl FnOnce(&Job<'_>) -> T) -> T {
        let mark = Mark {
            scan_id: "0199c1a0-7c35-7d43-9d2f-3f6f0f6f9a01".to_owned(),
            service_id: "0199c1a0-0000-7000-8000-000000000002".to_owned(),
            organization_id: "0199c1a0-0000-7000-8000-000000000003".to_owned(),
        };
        let target = Target::default();
        let report = Path::new("/r");
        look(&Job { tool, target: &target, mark: &mark, host: None, images: None, report, join })
    }

    fn yaml(object: &impl Serialize) -> String {
        serde_norway::to_string(object).unwrap()
    }

    #[test]
    fn a_tool_is_one_job() {
        let here = Places { source: Some("/here".to_owned()), ..Places::default() };
        let job =
            with(&tool(), None, |job| tool_job("kiops-scan-x", job, ("registry.test/one:1", &here), &connection()));
        insta::assert_snapshot!(yaml(&job));
    }

    #[test]
    fn a_tool_gets_out_where_it_declares_to_or_has_to() {
        let by = || owner("kiops-scan-x", "uid-of-the-job");
        let shop = Beside::Namespace("shop-production".to_owned());
        let closed = tool();
        let open = Tool { network: true, ..tool() };
        assert_eq!(with(&closed, None, |job| way_out("kiops-scan-x", job, by())), None);
        insta::assert_snapshot!(
            "a_namespace",
            yaml(&with(&closed, Some(&shop), |job| way_out("kiops-scan-x", job, by())))
        );
        insta::assert_snapshot!("the_network", yaml(&with(&open, None, |job| way_out("kiops-scan-x", job, by()))));
        let both = yaml(&with(&open, Some(&shop), |job| way_out("kiops-scan-x", job, by())));
        assert!(both.contains("0.0.0.0/0") && both.contains("shop-production"), "{both}");
        // An engine's network is none of a cluster's.
        let network = Beside::Network("shop".to_owned());
        assert_eq!(with(&closed, Some(&network), |job| way_out("kiops-scan-x", job, by())), None);
    }

    #[test]
    fn names_and_labels_are_such_whatever_the_text() {
        for text in ["scan-1", "", "-", "a/../b", "Ünder", &"x".repeat(64), "a b", "x."] {
            let (name, value) = (name(text), value(text));
            assert!(
                name.len() <= 63 && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            );
            assert!((1..=63).contains(&value.len()) && value.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'));
        }
        assert_ne!(value("a b"), value("a  b"));
        assert_eq!(value("osv-scanner"), "osv-scanner");
    }
}
