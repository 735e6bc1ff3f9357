//! What a plan says of a move, and of a strategy.

use super::*;
use crate::app::deployments::plan::{self, Plan};
use crate::app::testing::FakeRuntimes;
use crate::domain::spec::Strategy;

fn spec(containers: serde_json::Value) -> Spec {
    let base = serde_json::json!({
        "name": "", "repository": "docker.io/library/nginx", "tag": "1", "digest": null, "port": null,
        "host_port": null, "env": {}, "volumes": [], "ingress_path": null, "is_internal": false, "health": null,
        "command": null, "restricted": false,
        "resources": { "cpu_request": null, "memory_request": null, "cpu_limit": null, "memory_limit": null },
    });
    let merged = containers.as_array().unwrap().iter().map(|given| {
        let mut whole = base.clone();
        whole.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
        whole
    });
    let target = serde_json::json!({
        "organization_id": "o", "service_id": "s", "service": "shop", "environment_id": "e",
        "environment": "production", "namespace": "shop",
    });
    let containers: Vec<_> = merged.collect();
    serde_json::from_value(serde_json::json!({ "target": target, "containers": containers })).unwrap()
}

fn db(path: &str) -> serde_json::Value {
    serde_json::json!({ "name": "db", "volumes": [{ "mount_path": path, "size": "1Gi" }] })
}

fn web(tag: &str) -> serde_json::Value {
    serde_json::json!({ "name": "web", "tag": tag, "port": 80, "host_port": 8080 })
}

fn course(from: Origin) -> Course {
    Course { to: Stop { id: "b".to_owned(), name: "near".to_owned() }, from, was_there: false }
}

fn elsewhere() -> Origin {
    Origin::Elsewhere(Stop { id: "a".to_owned(), name: "far".to_owned() })
}

#[test]
fn what_stays_and_what_starts_empty_is_named() {
    let (old, new) = (spec(serde_json::json!([web("1"), db("/old")])), spec(serde_json::json!([web("1"), db("/new")])));
    assert_eq!(course(Origin::Here).notes(&new, Some(&old)), Vec::<String>::new());
    let notes = course(elsewhere()).notes(&new, Some(&old));
    assert_eq!(
        notes[1..],
        [
            "its addresses will be those of near, and host ports are chosen anew there",
            "volume /new of db starts empty on near",
            "volume /old of db stays on far",
        ]
    );
    assert!(notes[0].starts_with("it moves from runtime far to runtime near"), "{notes:?}");
    let kept = course(elsewhere()).notes(&old, Some(&old));
    assert_eq!(kept[2], "volume /old of db starts empty on near; what it holds on far stays there and is not copied");
    let again = Course { was_there: true, ..course(elsewhere()) }.notes(&old, Some(&old));
    assert!(again[2].contains("holds what was left there on near"), "{again:?}");
}

#[test]
fn a_move_is_part_of_a_plan_and_stops_nothing() {
    let current = spec(serde_json::json!([web("1"), db("/data")]));
    let changed = spec(serde_json::json!([web("2"), db("/data")]));
    let stays = compare(changed.clone(), &current, course(Origin::Here));
    assert_eq!(stays.downtime, ["web keeps host port 8080, which must change hands"]);
    assert_eq!(stays.spec.containers[0].host_port, Some(8080));
    let moves = compare(changed.clone(), &current, course(elsewhere()));
    assert_eq!(moves.downtime, Vec::<String>::new());
    assert_eq!(moves.spec.containers[0].host_port, None, "the other engine's ports are its own");
    assert!(moves.diff.contains("-# on far\n") && moves.diff.contains("+# on near\n"), "{}", moves.diff);
    assert_ne!(moves.hash(), stays.hash());

    // Nothing but the place changes.
    let only_moves = compare(current.clone(), &current, course(elsewhere()));
    assert!(!only_moves.diff.is_empty());
    let other = Origin::Elsewhere(Stop { id: "c".to_owned(), name: "far".to_owned() });
    let from_elsewhere = compare(current.clone(), &current, course(other));
    assert_ne!(only_moves.hash(), from_elsewhere.hash());
}

#[test]
fn recreating_says_that_it_stops_what_changes_and_why() {
    let current = spec(serde_json::json!([web("1"), db("/data")]));
    let recreated = |containers| Spec { strategy: Strategy::Recreate, ..spec(containers) };
    let changed = recreated(serde_json::json!([web("2"), db("/data")]));
    let plan = compare(changed, &current, course(Origin::Here));
    assert_eq!(plan.downtime, ["web is stopped before its new one starts: the strategy is RECREATE"]);
    let same = recreated(serde_json::json!([web("1"), db("/data")]));
    assert_eq!(compare(same, &current, course(Origin::Here)).downtime, Vec::<String>::new());
}

fn compare(spec: Spec, current: &Spec, course: Course) -> Plan {
    plan::compare(&FakeRuntimes, (spec, Some(current)), course, Vec::new())
}
