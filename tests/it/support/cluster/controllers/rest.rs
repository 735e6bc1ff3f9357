//! The smaller controllers: namespaces that go, owners that are gone, services, claims, quotas, autoscalers.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::kinds;
use super::super::rules::amount;
use super::super::store::{Key, Store, has_labels, key_of, text};
use super::{is_ready, tell_to_go};

/// A namespace that is being deleted is emptied, and gone when it is empty and its time has come.
pub fn namespaces(store: &mut Store, at: Instant) -> Option<Instant> {
    let mut next: Option<Instant> = None;
    for namespace in store.list("Namespace", "") {
        if namespace["metadata"]["deletionTimestamp"].is_null() {
            continue;
        }
        let name = text(&namespace["metadata"]["name"]);
        let leaves = at + store.knobs.namespace_leaves;
        let due = *store.leaving.entry(name.clone()).or_insert(leaves);
        let inside: Vec<Key> = store.objects.keys().filter(|key| key.0.namespaced && key.1 == name).cloned().collect();
        for key in inside {
            let Some(object) = store.objects.get(&key).cloned() else { continue };
            match key.0.kind {
                "Pod" => tell_to_go(store, &object),
                _ if !object["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty) => {}
                _ => drop(store.remove(&key)),
            }
        }
        let empty = !store.objects.keys().any(|key| key.0.namespaced && key.1 == name);
        if due <= at && empty {
            store.leaving.remove(&name);
            store.remove(&key_of(kinds::of("Namespace"), &namespace));
        } else if due > at {
            next = Some(next.map_or(due, |next| next.min(due)));
        }
    }
    next
}

/// What was owned by something that is gone goes too.
pub fn garbage(store: &mut Store) -> Option<Instant> {
    let there: Vec<String> = store.objects.values().map(|object| text(&object["metadata"]["uid"])).collect();
    let lost = |object: &Value| {
        let owners = object["metadata"]["ownerReferences"].as_array().filter(|owners| !owners.is_empty());
        owners.is_some_and(|owners| owners.iter().all(|owner| !there.contains(&text(&owner["uid"]))))
    };
    let gone: Vec<(Key, Value)> = store
        .objects
        .iter()
        .filter(|(_, object)| lost(object))
        .map(|(key, object)| (key.clone(), object.clone()))
        .collect();
    for (key, object) in gone {
        match key.0.kind {
            "Pod" => tell_to_go(store, &object),
            _ => drop(store.remove(&key)),
        }
    }
    None
}

/// Node ports; cluster addresses are given when a service is made.
pub fn services(store: &mut Store) -> Option<Instant> {
    let all = store.list("Service", "");
    let ports = |service: &Value| service["spec"]["ports"].as_array().cloned().unwrap_or_default();
    let mut taken: Vec<i64> = all.iter().flat_map(ports).filter_map(|port| port["nodePort"].as_i64()).collect();
    for service in all.iter().filter(|service| service["spec"]["type"] != "ClusterIP") {
        if ports(service).iter().all(|port| !port["nodePort"].is_null()) {
            continue;
        }
        store.change(
            "Service",
            (&text(&service["metadata"]["namespace"]), &text(&service["metadata"]["name"])),
            |service| {
                for port in service["spec"]["ports"].as_array_mut().into_iter().flatten() {
                    if port["nodePort"].is_null() {
                        let free = (30000..32768).find(|port| !taken.contains(port)).unwrap_or(30000);
                        taken.push(free);
                        port["nodePort"] = free.into();
                    }
                }
            },
        );
    }
    None
}

/// The pods that a service leads to, by name.
pub fn resolve(store: &Store, namespace: &str, service: &str) -> Vec<String> {
    let Some(service) = store.get("Service", namespace, service) else { return Vec::new() };
    let mut pods = store.list("Pod", namespace);
    pods.retain(|pod| is_ready(pod) && has_labels(pod, &service["spec"]["selector"]) && listens(pod, service));
    pods.iter().map(|pod| text(&pod["metadata"]["name"])).collect()
}

/// Whether a pod listens where the service's first port leads, by name or by number. What a container listens on is what it
/// declares.
fn listens(pod: &Value, service: &Value) -> bool {
    let target = &service["spec"]["ports"][0]["targetPort"];
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let mut ports = containers.flat_map(|container| container["ports"].as_array().into_iter().flatten());
    ports.any(|port| if target.is_string() { port["name"] == *target } else { port["containerPort"] == *target })
}

/// Claims are bound, and grow.
pub fn claims(store: &mut Store) -> Option<Instant> {
    for claim in store.list("PersistentVolumeClaim", "") {
        let size = claim["spec"]["resources"]["requests"]["storage"].clone();
        if claim["status"]["phase"] == "Bound" && claim["status"]["capacity"]["storage"] == size {
            continue;
        }
        let volume = format!("pvc-{}", text(&claim["metadata"]["uid"]));
        let place = (text(&claim["metadata"]["namespace"]), text(&claim["metadata"]["name"]));
        store.change("PersistentVolumeClaim", (&place.0, &place.1), |claim| {
            claim["spec"]["volumeName"] = volume.into();
            let modes = claim["spec"]["accessModes"].clone();
            claim["status"] = json!({ "phase": "Bound", "accessModes": modes, "capacity": { "storage": size } });
        });
    }
    None
}

/// Without metrics an autoscaler keeps its target within its bounds.
pub fn autoscalers(store: &mut Store) -> Option<Instant> {
    for scaler in store.list("HorizontalPodAutoscaler", "") {
        let namespace = text(&scaler["metadata"]["namespace"]);
        let target = text(&scaler["spec"]["scaleTargetRef"]["name"]);
        let number = |value: &Value| value.as_i64().unwrap_or(1);
        let Some(deployment) = store.get("Deployment", &namespace, &target).cloned() else { continue };
        let now = number(&deployment["spec"]["replicas"]);
        let (least, most) = (number(&scaler["spec"]["minReplicas"]), number(&scaler["spec"]["maxReplicas"]));
        // What was stopped stays so.
        let wanted = if now == 0 { 0 } else { now.clamp(least, most.max(least)) };
        if wanted != now {
            store.change("Deployment", (&namespace, &target), |deployment| {
                deployment["spec"]["replicas"] = wanted.into();
            });
        }
        let current = number(&json!(deployment["status"]["readyReplicas"].as_i64().unwrap_or(0)));
        store.change("HorizontalPodAutoscaler", (&namespace, &text(&scaler["metadata"]["name"])), |scaler| {
            scaler["status"]["currentReplicas"] = current.into();
            scaler["status"]["desiredReplicas"] = wanted.into();
            scaler["status"]["currentMetrics"] = Value::Null;
            super::super::defaults::tidy(scaler);
        });
    }
    None
}

/// What a namespace uses of its quotas.
pub fn quotas(store: &mut Store) -> Option<Instant> {
    for quota in store.list("ResourceQuota", "") {
        let namespace = text(&quota["metadata"]["namespace"]);
        let used: BTreeMap<String, String> = quota["spec"]["hard"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| (name.clone(), plain(used(store, &namespace, name))))
            .collect();
        store.change("ResourceQuota", (&namespace, &text(&quota["metadata"]["name"])), |quota| {
            quota["status"] = json!({ "hard": quota["spec"]["hard"], "used": used });
        });
    }
    None
}

/// Why a quota is against one more object; none where there is room.
pub fn exceeded(store: &Store, namespace: &str, kind: &str, object: &Value) -> Option<String> {
    for quota in store.list("ResourceQuota", namespace) {
        for (name, hard) in quota["spec"]["hard"].as_object().into_iter().flatten() {
            let more = asks(kind, object, name);
            let has = used(store, namespace, name);
            if more > 0.0 && has + more > amount(&text(hard)) {
                return Some(format!(
                    "exceeded quota: {}, requested: {name}={}, used: {name}={}, limited: {name}={}",
                    text(&quota["metadata"]["name"]),
                    plain(more),
                    plain(has),
                    text(hard)
                ));
            }
        }
    }
    None
}

fn used(store: &Store, namespace: &str, name: &str) -> f64 {
    let counted =
        [("Pod", "pods"), ("Service", "services"), ("Secret", "secrets"), ("PersistentVolumeClaim", "claims")];
    counted
        .iter()
        .flat_map(|(kind, _)| store.list(kind, namespace).into_iter().map(|object| asks(kind, &object, name)))
        .sum()
}

/// How much an object takes of what a quota counts.
fn asks(kind: &str, object: &Value, name: &str) -> f64 {
    let plural = kinds::of(kind).plural;
    if name == plural || name == format!("count/{plural}") {
        return 1.0;
    }
    let (part, resource) = match name {
        "cpu" | "memory" => ("requests", name),
        _ => name.split_once('.').unwrap_or(("", "")),
    };
    match (kind, part) {
        ("Pod", "requests" | "limits") => {
            let containers = object["spec"]["containers"].as_array().into_iter().flatten();
            containers.map(|container| amount(&text(&container["resources"][part][resource]))).sum()
        }
        ("PersistentVolumeClaim", "requests") if resource == "storage" => {
            amount(&text(&object["spec"]["resources"]["requests"]["storage"]))
        }
        _ => 0.0,
    }
}

fn plain(number: f64) -> String {
    if number.fract() == 0.0 { format!("{number:.0}") } else { format!("{:.0}m", number * 1000.0) }
}
