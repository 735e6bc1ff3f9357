//! Deployments and their replica sets.

use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::events::event;
use super::super::kinds;
use super::super::pods::seconds;
use super::super::store::{Store, now, text};
use super::{is_ready, make_pod, owned, owner, remove, tell_to_go};

const REVISION: &str = "deployment.kubernetes.io/revision";

/// Takes every deployment a step on.
pub fn step(store: &mut Store, at: Instant) -> Option<Instant> {
    for set in store.list("ReplicaSet", "") {
        replica_set(store, &set);
    }
    let deployments = store.list("Deployment", "");
    deployments.iter().filter_map(|deployment| one(store, deployment, at)).min()
}

fn one(store: &mut Store, deployment: &Value, at: Instant) -> Option<Instant> {
    if !deployment["metadata"]["deletionTimestamp"].is_null() {
        return None;
    }
    let hash = hash_of(&deployment["spec"]["template"]);
    let mut sets = owned(store, "ReplicaSet", deployment);
    let recreate = deployment["spec"]["strategy"]["type"] == "Recreate";
    let revision = |set: &Value| text(&set["metadata"]["annotations"][REVISION]).parse::<i64>().unwrap_or(0);
    let newest = sets.iter().map(revision).max().unwrap_or(0);
    let current = match sets.iter().find(|set| set["metadata"]["labels"]["pod-template-hash"] == hash.as_str()).cloned()
    {
        Some(set) if revision(&set) < newest => {
            let place = place(&set);
            store.change("ReplicaSet", (&place.0, &place.1), |set| {
                set["metadata"]["annotations"][REVISION] = (newest + 1).to_string().into();
            });
            store.get("ReplicaSet", &place.0, &place.1)?.clone()
        }
        Some(set) => set,
        None => {
            let set = new_set(store, deployment, (&hash, newest + 1));
            sets.push(set.clone());
            set
        }
    };
    sets.retain(|set| set["metadata"]["uid"] != current["metadata"]["uid"]);
    let least = deployment["spec"]["minReadySeconds"].as_i64().unwrap_or(0);
    let at_current = place(&current);
    store.change("ReplicaSet", (&at_current.0, &at_current.1), |set| set["spec"]["minReadySeconds"] = least.into());

    let wanted = number(&deployment["spec"]["replicas"]);
    let pods: Vec<Value> = sets.iter().flat_map(|set| owned(store, "Pod", set)).collect();
    let own = owned(store, "Pod", &current);
    let staying =
        |pods: &[Value]| pods.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()).count() as i64;
    if recreate {
        sets.iter().for_each(|set| scale(store, set, 0));
        // Nothing new before the last old one is gone.
        scale(store, &current, if pods.is_empty() { wanted } else { number(&current["spec"]["replicas"]) });
    } else {
        let rolling = &deployment["spec"]["strategy"]["rollingUpdate"];
        let surge = portion(&rolling["maxSurge"], wanted, f64::ceil);
        let unavailable = portion(&rolling["maxUnavailable"], wanted, f64::floor);
        let old_wanted: i64 = sets.iter().map(|set| number(&set["spec"]["replicas"])).sum();
        let room = (wanted + surge - old_wanted).max(0);
        let current_wanted = number(&current["spec"]["replicas"]);
        scale(store, &current, if wanted <= current_wanted { wanted } else { room.min(wanted).max(current_wanted) });
        let least = wanted - unavailable;
        // Those that are no use go first.
        let mut left = staying(&own) + staying(&pods) - least - (staying(&own) - available(store, &own, at));
        let mut kept: Vec<i64> = sets.iter().map(|set| number(&set["spec"]["replicas"])).collect();
        for (set, kept) in sets.iter().zip(&mut kept) {
            let own = owned(store, "Pod", set);
            let useless = (*kept - available(store, &own, at)).min(left).max(0);
            left -= useless;
            *kept -= useless;
        }
        let mut spare = available(store, &own, at) + available(store, &pods, at) - least;
        for (set, kept) in sets.iter().zip(kept) {
            let fewer = kept.min(spare.max(0));
            spare -= fewer;
            scale(store, set, kept - fewer);
        }
    }
    let over = sets.len() as i64 - number(&deployment["spec"]["revisionHistoryLimit"]);
    let mut done: Vec<&Value> = sets.iter().filter(|set| number(&set["spec"]["replicas"]) == 0).collect();
    done.sort_by_key(|set| revision(set));
    let old: Vec<Value> = done.into_iter().take(usize::try_from(over).unwrap_or(0)).cloned().collect();
    old.iter().for_each(|set| remove(store, "ReplicaSet", set));
    status(store, deployment, (&current, &own, &pods), at)
}

fn status(
    store: &mut Store,
    deployment: &Value,
    (current, own, old): (&Value, &[Value], &[Value]),
    at: Instant,
) -> Option<Instant> {
    let wanted = number(&deployment["spec"]["replicas"]);
    let here = |pods: &[Value]| pods.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()).count() as i64;
    let ready = |pods: &[Value]| pods.iter().filter(|pod| is_ready(pod)).count() as i64;
    let least_time = seconds(&store.knobs, &deployment["spec"]["minReadySeconds"], 0.0);
    let own_available = available(store, own, at);
    let available = own_available + available(store, old, at);
    let (updated, total, all_ready) = (here(own), here(own) + here(old), ready(own) + ready(old));
    let uid = text(&deployment["metadata"]["uid"]);
    let generation = number(&deployment["metadata"]["generation"]);
    let counts = vec![generation, updated, total, available, own_available];
    let before = store.progress.get(&uid).cloned();
    let since = match before {
        Some((since, same)) if same == counts => since,
        _ => {
            store.progress.insert(uid, (at, counts));
            at
        }
    };
    let complete = updated == wanted && total == wanted && own_available == wanted;
    let deadline = since + seconds(&store.knobs, &deployment["spec"]["progressDeadlineSeconds"], 600.0);
    let failure = store.get("ReplicaSet", &place(current).0, &place(current).1);
    let failure = failure.and_then(|set| set["status"]["conditions"].get(0)).cloned();
    let name = text(&current["metadata"]["name"]);
    let progressing = if complete {
        ("True", "NewReplicaSetAvailable", format!("ReplicaSet {name:?} has successfully progressed."))
    } else if deadline <= at {
        ("False", "ProgressDeadlineExceeded", format!("ReplicaSet {name:?} has timed out progressing."))
    } else {
        ("True", "ReplicaSetUpdated", format!("ReplicaSet {name:?} is progressing."))
    };
    let rolling = &deployment["spec"]["strategy"]["rollingUpdate"];
    let least = wanted - portion(&rolling["maxUnavailable"], wanted, f64::floor);
    let availability = if available >= least {
        ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.".to_owned())
    } else {
        ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.".to_owned())
    };
    let (namespace, own_name) = place(deployment);
    let revision = current["metadata"]["annotations"][REVISION].clone();
    store.change("Deployment", (&namespace, &own_name), |deployment| {
        deployment["metadata"]["annotations"][REVISION] = revision;
        let was = deployment["status"]["conditions"].clone();
        let mut conditions =
            vec![condition(&was, "Available", availability), condition(&was, "Progressing", progressing)];
        conditions.extend(failure);
        deployment["status"] = counted(&[
            ("observedGeneration", generation),
            ("replicas", total),
            ("updatedReplicas", updated),
            ("readyReplicas", all_ready),
            ("availableReplicas", available),
            ("unavailableReplicas", (wanted.max(total) - available).max(0)),
        ]);
        deployment["status"]["conditions"] = json!(conditions);
    });
    // Pods that are ready become available by waiting.
    let waits = (all_ready > available).then(|| at + least_time.min(std::time::Duration::from_millis(50)));
    let due = (!complete && deadline > at).then_some(deadline);
    due.into_iter().chain(waits).min()
}

/// How many pods have been ready for as long as their replica sets ask.
fn available(store: &Store, pods: &[Value], at: Instant) -> i64 {
    let counts = |pod: &&Value| {
        let owner = text(&pod["metadata"]["ownerReferences"][0]["name"]);
        let set = store.get("ReplicaSet", &text(&pod["metadata"]["namespace"]), &owner);
        let least = seconds(&store.knobs, set.map_or(&Value::Null, |set| &set["spec"]["minReadySeconds"]), 0.0);
        let since = store.runs.get(&text(&pod["metadata"]["uid"])).and_then(|run| run.ready_since);
        is_ready(pod) && since.is_some_and(|since| since + least <= at)
    };
    pods.iter().filter(counts).count() as i64
}

fn replica_set(store: &mut Store, set: &Value) {
    let mut pods = owned(store, "Pod", set);
    pods.retain(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    let wanted = usize::try_from(number(&set["spec"]["replicas"])).unwrap_or(0);
    let mut failure = None;
    for _ in pods.len()..wanted {
        if let Err(why) = make_pod(store, set, &text(&set["metadata"]["name"])) {
            failure = Some(why);
            break;
        }
    }
    if pods.len() > wanted {
        // Those that are not ready go first.
        pods.sort_by_key(is_ready);
        pods.iter().take(pods.len() - wanted).for_each(|pod| tell_to_go(store, pod));
    }
    let (namespace, name) = place(set);
    let was = set["status"]["conditions"].clone();
    if let Some(why) = &failure
        && was.is_null()
    {
        event(store, set, ("Warning", "FailedCreate"), &format!("Error creating: {why}"));
    }
    let mut pods = owned(store, "Pod", set);
    pods.retain(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    let ready = pods.iter().filter(|pod| is_ready(pod)).count() as i64;
    store.change("ReplicaSet", (&namespace, &name), |set| {
        let generation = number(&set["metadata"]["generation"]);
        set["status"] = counted(&[
            ("observedGeneration", generation),
            ("readyReplicas", ready),
            ("availableReplicas", ready),
            ("fullyLabeledReplicas", pods.len() as i64),
        ]);
        set["status"]["replicas"] = pods.len().into();
        if let Some(why) = failure {
            // The pod's name in the sentence is another each time; the first one stays.
            let kept = was.get(0).cloned();
            set["status"]["conditions"] = json!([kept.unwrap_or_else(|| condition(
                &Value::Null,
                "ReplicaFailure",
                ("True", "FailedCreate", why)
            ))]);
        }
    });
}

/// Counts that are zero are left out, as the real one does.
fn counted(counts: &[(&str, i64)]) -> Value {
    let mut status = json!({});
    for (name, count) in counts.iter().filter(|(_, count)| *count != 0) {
        status[*name] = (*count).into();
    }
    status
}

/// A condition that stays as it is keeps its times.
fn condition(before: &Value, kind: &str, (status, reason, message): (&str, &str, String)) -> Value {
    let old = before.as_array().into_iter().flatten().find(|old| old["type"] == kind);
    let mut fresh = json!({ "type": kind, "status": status, "reason": reason, "message": message });
    let time = |field: &str, kept: bool| match old {
        Some(old) if kept => old[field].clone(),
        _ => now().into(),
    };
    let same_status = old.is_some_and(|old| old["status"] == status);
    let same = same_status && old.is_some_and(|old| old["reason"] == reason && old["message"] == message.as_str());
    fresh["lastTransitionTime"] = time("lastTransitionTime", same_status);
    fresh["lastUpdateTime"] = time("lastUpdateTime", same);
    fresh
}

fn new_set(store: &mut Store, deployment: &Value, (hash, revision): (&str, i64)) -> Value {
    let (namespace, name) = place(deployment);
    let mut template = deployment["spec"]["template"].clone();
    template["metadata"]["labels"]["pod-template-hash"] = hash.into();
    let mut selector = deployment["spec"]["selector"].clone();
    selector["matchLabels"]["pod-template-hash"] = hash.into();
    let set = json!({
        "metadata": {
            "name": format!("{name}-{hash}"), "namespace": namespace, "labels": template["metadata"]["labels"],
            "annotations": { REVISION: revision.to_string() }, "ownerReferences": owner(deployment),
        },
        "spec": {
            "replicas": 0, "selector": selector, "template": template,
            "minReadySeconds": deployment["spec"]["minReadySeconds"].as_i64().unwrap_or(0),
        },
        "status": { "replicas": 0 },
    });
    store.insert(kinds::of("ReplicaSet"), set)
}

fn scale(store: &mut Store, set: &Value, replicas: i64) {
    let (namespace, name) = place(set);
    store.change("ReplicaSet", (&namespace, &name), |set| set["spec"]["replicas"] = replicas.into());
}

fn place(object: &Value) -> (String, String) {
    (text(&object["metadata"]["namespace"]), text(&object["metadata"]["name"]))
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

/// `25%` or a number.
fn portion(value: &Value, of: i64, round: fn(f64) -> f64) -> i64 {
    match value.as_str().and_then(|text| text.strip_suffix('%')).and_then(|text| text.parse::<f64>().ok()) {
        Some(percent) => round(of as f64 * percent / 100.0) as i64,
        None => number(value),
    }
}

/// FNV-1a of a template, in letters that make no words.
fn hash_of(template: &Value) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in template.to_string().bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    (0..10).map(|step| char::from(LETTERS[usize::try_from(hash / 27_u64.pow(step) % 27).unwrap_or(0)])).collect()
}
