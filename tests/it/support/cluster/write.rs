//! Making, changing and deleting objects.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::answer::Refusal;
use super::controllers::exceeded;
use super::kinds::Kind;
use super::merge::{self, Applier};
use super::request::Call;
use super::rules::{self, Strictness};
use super::schema::NEWEST;
use super::store::{Key, Store, key_of, now, text};
use super::{defaults, fields, json};

/// A status and an object.
pub type Written = Result<(u16, Value), Refusal>;

/// POST.
pub fn create(store: &mut Store, call: &Call) -> Written {
    let mut object = body(call)?;
    placed(call, &mut object)?;
    if text(&object["metadata"]["name"]).is_empty() && !text(&object["metadata"]["generateName"]).is_empty() {
        let name = format!("{}{:05x}", text(&object["metadata"]["generateName"]), store.next_id() & 0xf_ffff);
        object["metadata"]["name"] = name.into();
    }
    let managers = merge::updated(call.kind, None, &object, &manager(call));
    made(store, call, object, &managers)
}

fn made(store: &mut Store, call: &Call, mut object: Value, managers: &fields::Managers) -> Written {
    let kind = call.kind;
    if kind.status {
        object["status"] = Value::Null;
    }
    rules::place(store, kind, &object)?;
    let key = key_of(kind, &object);
    if store.objects.contains_key(&key) {
        return Err(Refusal::exists(kind, &key.2));
    }
    defaults::fill(kind, &mut object);
    defaults::tidy(&mut object);
    if kind.kind == "Service" && object["spec"]["clusterIP"].is_null() && object["spec"]["type"] != "ExternalName" {
        let id = store.next_id();
        let ip = format!("10.96.{}.{}", id / 250 % 250, id % 250 + 1);
        object["spec"]["clusterIP"] = ip.clone().into();
        object["spec"]["clusterIPs"] = json!([ip]);
    }
    if kind.kind == "Job" && object["spec"]["selector"].is_null() {
        let id = format!("job-{}", store.next_id());
        object["spec"]["selector"] = json!({ "matchLabels": { "batch.kubernetes.io/controller-uid": id } });
        let labels = &mut object["spec"]["template"]["metadata"]["labels"];
        labels["batch.kubernetes.io/controller-uid"] = id.into();
        labels["batch.kubernetes.io/job-name"] = key.2.clone().into();
        labels["job-name"] = key.2.clone().into();
    }
    rules::validate(kind, &object)?;
    admit(store, &object)?;
    if let Some(why) = counted(kind).then(|| exceeded(store, &key.1, kind.kind, &object)).flatten() {
        return Err(Refusal::forbidden(kind, &key.2, &why));
    }
    owned_by(kind, &mut object, managers);
    if call.is("dryRun", "All") {
        return Ok((201, object));
    }
    let object = store.insert(kind, object);
    if kind.kind == "Namespace" {
        let account = json!({ "metadata": { "name": "default", "namespace": key.2 } });
        store.insert(super::kinds::of("ServiceAccount"), account);
    }
    Ok((201, object))
}

fn counted(kind: &Kind) -> bool {
    ["Pod", "Service", "Secret", "PersistentVolumeClaim"].contains(&kind.kind)
}

/// PUT.
pub fn replace(store: &mut Store, call: &Call) -> Written {
    let mut object = body(call)?;
    placed(call, &mut object)?;
    let before = there(store, call)?;
    let managers = merge::updated(call.kind, Some(&before), &object, &manager(call));
    stored(store, call, (before, object), &managers)
}

/// PATCH, by its content type.
pub fn patch(store: &mut Store, call: &Call) -> Written {
    let node = NEWEST.definition(&call.kind.definition()).unwrap_or(&Value::Null);
    if call.content_type == "application/apply-patch+yaml" {
        return apply(store, call);
    }
    if call.query.contains_key("force") {
        let why =
            "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be specified for non-apply patch";
        return Err(Refusal::new(422, "Invalid", why));
    }
    let before = there(store, call)?;
    let (changes, duplicates) = json::read(&call.body).map_err(Refusal::bad_request)?;
    let mut object = match call.content_type.as_str() {
        "application/merge-patch+json" => merge::merge_patch(&before, &changes),
        "application/strategic-merge-patch+json" => merge::strategic(node, &before, &changes),
        other => {
            let why = format!(
                "the body of the request was in an unknown format - accepted media types include: application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml; got {other}"
            );
            return Err(Refusal::new(415, "UnsupportedMediaType", why));
        }
    };
    rules::decode(call.kind, &mut object, &duplicates, strictness(call)?)?;
    let managers = merge::updated(call.kind, Some(&before), &object, &manager(call));
    stored(store, call, (before, object), &managers)
}

fn apply(store: &mut Store, call: &Call) -> Written {
    let Some(manager) = call.query.get("fieldManager").filter(|manager| !manager.is_empty()) else {
        let why = "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch";
        return Err(Refusal::new(422, "Invalid", why));
    };
    let mut given = body(call)?;
    placed(call, &mut given)?;
    if !given["metadata"]["managedFields"].as_array().is_none_or(Vec::is_empty) {
        return Err(Refusal::bad_request("metadata.managedFields must be nil"));
    }
    defaults::tidy(&mut given);
    let applier = Applier { manager, force: call.is("force", "true") };
    let key = (call.kind, call.namespace.clone(), call.name.clone());
    match store.objects.get(&key).cloned() {
        None => {
            let (object, managers) = merge::apply(call.kind, &json!({}), &given, &applier)?;
            made(store, call, object, &managers)
        }
        Some(before) => {
            let (object, managers) = merge::apply(call.kind, &before, &given, &applier)?;
            stored(store, call, (before, object), &managers)
        }
    }
}

fn stored(
    store: &mut Store,
    call: &Call,
    (before, mut object): (Value, Value),
    managers: &fields::Managers,
) -> Written {
    let (kind, name) = (call.kind, &call.name);
    let version = &object["metadata"]["resourceVersion"];
    if !version.is_null() && *version != before["metadata"]["resourceVersion"] {
        return Err(Refusal::stale(kind, name));
    }
    let uid = &object["metadata"]["uid"];
    if !uid.is_null() && *uid != before["metadata"]["uid"] {
        let why = format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            before["metadata"]["uid"]
        );
        return Err(Refusal::new(409, "Conflict", why));
    }
    for kept in ["uid", "creationTimestamp", "generation", "deletionTimestamp", "resourceVersion"] {
        object["metadata"][kept] = before["metadata"][kept].clone();
    }
    if kind.status {
        object["status"] = before["status"].clone();
    }
    if kind.kind == "Service" && object["spec"]["type"] != "ExternalName" {
        keep_allocated(&before, &mut object);
    }
    if kind.kind == "PersistentVolumeClaim" && object["spec"]["volumeName"].is_null() {
        object["spec"]["volumeName"] = before["spec"]["volumeName"].clone();
    }
    if kind.kind == "Job" {
        for pointer in ["selector", "template"] {
            let given = merge::merged(&Value::Null, &before["spec"][pointer], &object["spec"][pointer]);
            object["spec"][pointer] = given;
        }
    }
    defaults::fill(kind, &mut object);
    defaults::tidy(&mut object);
    rules::validate(kind, &object)?;
    rules::immutable(kind, &before, &object)?;
    admit(store, &object)?;
    // What is the same is not written, and no time of it changes.
    let mut same = before.clone();
    same["metadata"]["managedFields"] = Value::Null;
    object["metadata"]["managedFields"] = Value::Null;
    if same == object && fields::from_json(&before["metadata"]["managedFields"]) == *managers {
        return Ok((200, before));
    }
    owned_by(kind, &mut object, managers);
    if call.is("dryRun", "All") {
        return Ok((200, object));
    }
    let left = object["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty);
    if left && kind.kind != "Namespace" && kind.kind != "Pod" && !object["metadata"]["deletionTimestamp"].is_null() {
        store.remove(&key_of(kind, &object));
        return Ok((200, object));
    }
    Ok((200, store.write(kind, object)))
}

/// Addresses and node ports that were given stay where nothing else is said.
fn keep_allocated(before: &Value, object: &mut Value) {
    for field in ["clusterIP", "clusterIPs"] {
        if object["spec"][field].is_null() {
            object["spec"][field] = before["spec"][field].clone();
        }
    }
    let outside = object["spec"]["type"] == "NodePort" || object["spec"]["type"] == "LoadBalancer";
    let old: BTreeMap<String, Value> = before["spec"]["ports"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|port| (port["port"].to_string(), port["nodePort"].clone()))
        .collect();
    for port in object["spec"]["ports"].as_array_mut().into_iter().flatten() {
        let given = old.get(&port["port"].to_string()).cloned().unwrap_or_default();
        if !outside {
            port["nodePort"] = Value::Null;
        } else if port["nodePort"].is_null() {
            port["nodePort"] = given;
        }
    }
}

/// DELETE of one object.
pub fn delete(store: &mut Store, call: &Call) -> Written {
    let object = there(store, call)?;
    let (options, _) = if call.body.is_empty() {
        (json!({}), Vec::new())
    } else {
        json::read(&call.body).map_err(Refusal::bad_request)?
    };
    for field in ["uid", "resourceVersion"] {
        let wanted = &options["preconditions"][field];
        if !wanted.is_null() && *wanted != object["metadata"][field] {
            let why = format!(
                "Precondition failed: {field} in precondition: {wanted}, in object meta: {}",
                object["metadata"][field]
            );
            return Err(Refusal::new(409, "Conflict", why));
        }
    }
    let policy = call.query.get("propagationPolicy").cloned().unwrap_or_else(|| text(&options["propagationPolicy"]));
    if call.is("dryRun", "All") || !options["dryRun"].is_null() {
        return Ok((200, object));
    }
    Ok((200, gone(store, &key_of(call.kind, &object), &policy)))
}

/// DELETE of all that match.
pub fn delete_all(store: &mut Store, found: &[Value], call: &Call) -> Written {
    let policy = call.query.get("propagationPolicy").cloned().unwrap_or_default();
    for object in found {
        gone(store, &key_of(call.kind, object), &policy);
    }
    Ok((200, json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success" })))
}

fn gone(store: &mut Store, key: &Key, policy: &str) -> Value {
    let Some(mut object) = store.objects.get(key).cloned() else { return Value::Null };
    let success = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success" });
    // Jobs' pods stay unless it is said that they go: the API keeps to what it did before there was a choice.
    let orphan = policy == "Orphan" || (policy.is_empty() && key.0.kind == "Job");
    if orphan {
        let uid = &object["metadata"]["uid"];
        let of_it = |one: &Value| {
            one["metadata"]["ownerReferences"].as_array().is_some_and(|all| all.iter().any(|r| r["uid"] == *uid))
        };
        let all: Vec<(Key, Value)> =
            store.objects.iter().filter(|(_, one)| of_it(one)).map(|(k, one)| (k.clone(), one.clone())).collect();
        for (key, mut one) in all {
            one["metadata"]["ownerReferences"] = Value::Null;
            defaults::tidy(&mut one);
            store.write(key.0, one);
        }
    }
    let waits = match key.0.kind {
        "Namespace" | "Pod" => true,
        _ if policy == "Foreground" => {
            object["metadata"]["finalizers"] = json!(["foregroundDeletion"]);
            true
        }
        _ => !object["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty),
    };
    if !waits {
        store.remove(key);
        return success;
    }
    if object["metadata"]["deletionTimestamp"].is_null() {
        object["metadata"]["deletionTimestamp"] = now().into();
        object["metadata"]["deletionGracePeriodSeconds"] = 0.into();
        if key.0.kind == "Namespace" {
            object["status"]["phase"] = "Terminating".into();
        }
    }
    store.write(key.0, object)
}

/// The object that a call is about.
pub fn there(store: &Store, call: &Call) -> Result<Value, Refusal> {
    let key = (call.kind, call.namespace.clone(), call.name.clone());
    store.objects.get(&key).cloned().ok_or_else(|| Refusal::not_found(call.kind, &call.name))
}

/// The body as an object of the call's kind.
pub fn body(call: &Call) -> Result<Value, Refusal> {
    let (mut object, duplicates) = json::read(&call.body).map_err(Refusal::bad_request)?;
    if !object.is_object() {
        return Err(Refusal::bad_request("couldn't get version/kind; json parse error: the body is no object"));
    }
    let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
    if version != call.kind.api_version() || kind != call.kind.kind {
        let why = format!(
            "the API version or the kind in the data ({version}, {kind}) does not match the expected ({}, {})",
            call.kind.api_version(),
            call.kind.kind
        );
        return Err(Refusal::bad_request(why));
    }
    rules::decode(call.kind, &mut object, &duplicates, strictness(call)?)?;
    Ok(object)
}

/// Holds name and namespace to the path.
fn placed(call: &Call, object: &mut Value) -> Result<(), Refusal> {
    for (field, wanted) in [("name", &call.name), ("namespace", &call.namespace)] {
        let given = text(&object["metadata"][field]);
        if given.is_empty() && !wanted.is_empty() {
            object["metadata"][field] = wanted.clone().into();
        } else if !wanted.is_empty() && given != *wanted {
            let why = format!("the {field} of the object ({given}) does not match the {field} on the URL ({wanted})");
            return Err(Refusal::bad_request(why));
        } else if field == "namespace" && !call.kind.namespaced && !given.is_empty() {
            return Err(Refusal::bad_request(format!("namespace may not be set: {given}")));
        }
    }
    Ok(())
}

fn strictness(call: &Call) -> Result<Strictness, Refusal> {
    match call.query.get("fieldValidation").map(String::as_str) {
        None | Some("" | "Warn") => Ok(Strictness::Warn),
        Some("Ignore") => Ok(Strictness::Ignore),
        Some("Strict") => Ok(Strictness::Strict),
        Some(other) => Err(Refusal::new(422, "Invalid", format!("fieldValidation: Unsupported value: {other:?}"))),
    }
}

/// Who writes: what they call themselves, else the first word of their user agent.
fn manager(call: &Call) -> String {
    let named = call.query.get("fieldManager").filter(|manager| !manager.is_empty()).cloned();
    named.unwrap_or_else(|| call.agent.split('/').next().unwrap_or("unknown").to_owned())
}

fn owned_by(kind: &Kind, object: &mut Value, managers: &fields::Managers) {
    object["metadata"]["managedFields"] = fields::to_json(managers, &kind.api_version(), &now());
}

fn admit(store: &Store, object: &Value) -> Result<(), Refusal> {
    let denied = store.knobs.admission.clone().and_then(|admission| admission(object));
    match denied {
        Some((code, why)) => {
            let reason = if code == 403 { "Forbidden" } else { "BadRequest" };
            Err(Refusal::new(code, reason, format!("admission webhook \"policy.test\" denied the request: {why}")))
        }
        None => Ok(()),
    }
}
