use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::rollout::*;

fn deployment(generation: i64, spec: &Value, status: &Value) -> Deployment {
    serde_json::from_value(json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "web", "generation": generation },
        "spec": { "replicas": spec, "selector": {}, "template": {} },
        "status": status,
    }))
    .unwrap()
}

fn pod(status: &Value) -> Pod {
    serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "web-1-a", "labels": { "kiops.dev/container": "web" },
            "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "u" }] },
        "status": status,
    }))
    .unwrap()
}

fn container(state: &Value, last: &Value, restarts: i32) -> Pod {
    pod(&json!({ "phase": "Pending", "containerStatuses": [
        { "name": "sidecar", "image": "s", "imageID": "", "ready": true, "restartCount": 0 },
        { "name": "web", "image": "i", "imageID": "", "ready": false, "restartCount": restarts,
          "state": state, "lastState": last },
    ]}))
}

#[test]
fn a_rollout_is_complete_when_the_applied_generation_alone_serves() {
    let done = json!({ "observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2 });
    assert!(is_complete(&deployment(3, &json!(2), &done), 3));
    // A cached reading: neither the object nor its status is of what was applied.
    assert!(!is_complete(&deployment(2, &json!(2), &done), 3));
    let mut status = done.clone();
    status["observedGeneration"] = json!(2);
    assert!(!is_complete(&deployment(3, &json!(2), &status), 3));
    for (field, value) in [("updatedReplicas", 1), ("availableReplicas", 1), ("replicas", 3)] {
        let mut status = done.clone();
        status[field] = json!(value);
        assert!(!is_complete(&deployment(3, &json!(2), &status), 3), "{field}");
    }
    assert!(!is_complete(&deployment(1, &json!(1), &Value::Null), 1));
    // Changed by somebody else since: what is there now counts.
    assert!(!is_complete(&deployment(4, &json!(2), &done), 3));
    assert!(is_complete(&deployment(1, &json!(0), &json!({ "observedGeneration": 1 })), 1));
}

#[test]
fn the_controllers_own_word_counts() {
    let quota = "pods \"web-1-\" is forbidden: exceeded quota: few, requested: pods=1, used: pods=2, limited: pods=2";
    let status = json!({ "conditions": [
        { "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "it took too long" },
        { "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": quota },
    ]});
    let trouble = trouble_of_deployment(&deployment(1, &json!(1), &status)).unwrap();
    assert_eq!((trouble.kind, trouble.text.as_str()), (Kind::Refused, quota));
    let status = json!({ "conditions": [status["conditions"][0]] });
    assert_eq!(trouble_of_deployment(&deployment(1, &json!(1), &status)).unwrap().kind, Kind::GivenUp);
    let fine = json!({ "conditions": [{ "type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated" }] });
    assert_eq!(trouble_of_deployment(&deployment(1, &json!(1), &fine)), None);
}

#[test]
fn pods_say_what_is_wrong_with_them() {
    let waiting = |reason: &str, message: &str| json!({ "waiting": { "reason": reason, "message": message } });
    let ended = |reason: &str, code: i32| json!({ "terminated": { "reason": reason, "exitCode": code } });
    let not_there = "rpc error: code = NotFound desc = failed to pull and unpack image \"r.test/web:9\": not found";
    let cases = [
        (waiting("ErrImagePull", not_there), Value::Null, 0, Some(Kind::NoImage)),
        (waiting("ImagePullBackOff", "Back-off pulling image \"r.test/web:9\""), Value::Null, 0, Some(Kind::Pull)),
        (waiting("ErrImagePull", "dial tcp: i/o timeout"), Value::Null, 0, Some(Kind::Pull)),
        (waiting("InvalidImageName", ""), Value::Null, 0, Some(Kind::NoImage)),
        (waiting("CreateContainerConfigError", "image will run as root"), Value::Null, 0, Some(Kind::Config)),
        (waiting("ContainerCreating", ""), Value::Null, 0, None),
        (waiting("CrashLoopBackOff", "back-off 10s"), ended("Error", 7), 1, None),
        (waiting("CrashLoopBackOff", "back-off 40s"), ended("Error", 7), 3, Some(Kind::Crash)),
        (ended("OOMKilled", 137), Value::Null, 3, Some(Kind::Crash)),
    ];
    for (state, last, restarts, expected) in cases {
        let found = trouble_of_pod(&container(&state, &last, restarts), Others::Stand, 0);
        assert_eq!(found.as_ref().map(|t| t.kind), expected, "{state}");
        assert!(found.is_none_or(|t| t.container == "web" && t.pod.as_deref() == Some("web-1-a")));
    }
    let crash = container(&waiting("CrashLoopBackOff", ""), &ended("Error", 7), 3);
    assert_eq!(trouble_of_pod(&crash, Others::Stand, 0).unwrap().text, "exits with code 7, 3 times by now");
    assert_eq!(trouble_of_pod(&crash, Others::Come, 0), None, "what it needs may still be coming up");
    let memory = container(&ended("OOMKilled", 137), &Value::Null, 3);
    assert!(
        trouble_of_pod(&memory, Others::Stand, 0).unwrap().text.contains("out of memory (OOMKilled, exit code 137)")
    );
    let said = "0/3 nodes are available: 3 Insufficient cpu.";
    let pending = pod(&json!({ "phase": "Pending", "conditions": [
        { "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": said },
    ]}));
    let trouble = trouble_of_pod(&pending, Others::Stand, 0).unwrap();
    assert_eq!((trouble.kind, trouble.text.as_str()), (Kind::Unschedulable, said));
}

#[test]
fn short_rollouts_have_less_patience() {
    assert_eq!(Kind::Unschedulable.patience(Duration::from_secs(600)), Duration::from_secs(120));
    assert_eq!(Kind::Unschedulable.patience(Duration::from_secs(40)), Duration::from_secs(10));
    assert_eq!(Kind::Crash.patience(Duration::from_secs(600)), Duration::ZERO);
}

#[test]
fn only_pods_of_the_newest_template_are_judged() {
    let set = |name: &str, number: Option<&str>, made: &str| -> ReplicaSet {
        let annotations = number.map(|n| json!({ "deployment.kubernetes.io/revision": n }));
        serde_json::from_value(json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": { "name": name, "annotations": annotations, "creationTimestamp": made,
                "labels": { "kiops.dev/container": "web" } },
        }))
        .unwrap()
    };
    let mut current = deployment(1, &json!(1), &Value::Null);
    let (old, new) = (set("web-1", None, "2026-01-01T00:00:00Z"), set("web-2", None, "2026-01-02T00:00:00Z"));
    let all = [old.clone(), new.clone()];
    assert!(is_newest(&new, &current, &all) && !is_newest(&old, &current, &all));
    // Back at an earlier template: its set is older, and the newest one all the same.
    current.metadata.annotations = Some([("deployment.kubernetes.io/revision".to_owned(), "3".to_owned())].into());
    let all = [set("web-1", Some("3"), "2026-01-01T00:00:00Z"), set("web-2", Some("2"), "2026-01-02T00:00:00Z")];
    assert!(is_newest(&all[0], &current, &all) && !is_newest(&all[1], &current, &all));
    assert_eq!(set_of(&pod(&Value::Null)), Some("web-1"));
}
