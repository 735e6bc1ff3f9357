//! What an image does in a container, and why a pod does not come to begin.

use std::collections::BTreeMap;

use serde_json::Value;

use super::knobs::Behaviour;
use super::pods::specs;
use super::store::{Store, text};

/// A volume that is not there yet.
pub fn unmounted(store: &Store, pod: &Value) -> Option<String> {
    let namespace = text(&pod["metadata"]["namespace"]);
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    let mut secrets = volumes.map(|volume| (text(&volume["name"]), text(&volume["secret"]["secretName"])));
    let (volume, secret) =
        secrets.find(|(_, secret)| !secret.is_empty() && store.get("Secret", &namespace, secret).is_none())?;
    Some(format!("MountVolume.SetUp failed for volume {volume:?} : secret {secret:?} not found"))
}

pub fn behaviour(store: &Store, pod: &Value, spec: &Value) -> Behaviour {
    let image = store.knobs.images.get(&text(&spec["image"]));
    image.map_or(Behaviour::Missing, |image| {
        image.behaviour.resolved(&text(&spec["name"]), &variables(store, pod, spec)).clone()
    })
}

/// A container's variables, those from secrets and config maps among them.
fn variables(store: &Store, pod: &Value, spec: &Value) -> BTreeMap<String, String> {
    let namespace = text(&pod["metadata"]["namespace"]);
    let mut all = BTreeMap::new();
    for source in spec["envFrom"].as_array().into_iter().flatten() {
        for (field, kind) in [("secretRef", "Secret"), ("configMapRef", "ConfigMap")] {
            let object = store.get(kind, &namespace, &text(&source[field]["name"]));
            let data = object.and_then(|object| object["data"].as_object());
            all.extend(data.into_iter().flatten().map(|(key, value)| (key.clone(), plain(kind, value))));
        }
    }
    for variable in spec["env"].as_array().into_iter().flatten() {
        let mut value = text(&variable["value"]);
        for (field, kind) in [("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")] {
            let reference = &variable["valueFrom"][field];
            if let Some(object) = store.get(kind, &namespace, &text(&reference["name"])) {
                value = plain(kind, &object["data"][text(&reference["key"])]);
            }
        }
        all.insert(text(&variable["name"]), value);
    }
    all
}

fn plain(kind: &str, value: &Value) -> String {
    use base64::Engine as _;
    let given = text(value);
    if kind != "Secret" {
        return given;
    }
    let bytes = base64::engine::general_purpose::STANDARD.decode(given).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

pub fn unschedulable(store: &Store, pod: &Value) -> Option<String> {
    let namespace = text(&pod["metadata"]["namespace"]);
    for volume in pod["spec"]["volumes"].as_array().into_iter().flatten() {
        let claim = text(&volume["persistentVolumeClaim"]["claimName"]);
        if !claim.is_empty() && store.get("PersistentVolumeClaim", &namespace, &claim).is_none() {
            return Some(format!("0/1 nodes are available: persistentvolumeclaim {claim:?} not found."));
        }
    }
    let specs = specs(pod);
    let nobody = specs.iter().any(|spec| matches!(behaviour(store, pod, spec), Behaviour::Unschedulable));
    let why = "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.";
    nobody.then(|| why.to_owned())
}

pub fn pull_fault(store: &Store, pod: &Value, spec: &Value) -> Option<String> {
    let name = text(&spec["image"]);
    let image = store.knobs.images.get(&name);
    let unpacked = |why: &str| {
        format!(
            "rpc error: code = NotFound desc = failed to pull and unpack image {name:?}: failed to resolve reference {name:?}: {name}: {why}"
        )
    };
    if image.is_none() || matches!(behaviour(store, pod, spec), Behaviour::Missing) {
        return Some(unpacked("not found"));
    }
    let namespace = text(&pod["metadata"]["namespace"]);
    let logins = pod["spec"]["imagePullSecrets"].as_array().cloned().unwrap_or_default();
    let is_login = |login: &Value| {
        let secret = store.get("Secret", &namespace, &text(&login["name"]));
        secret.is_some_and(|secret| secret["type"] == "kubernetes.io/dockerconfigjson")
    };
    let closed = image.is_some_and(|image| image.private) && !logins.iter().any(is_login);
    closed.then(|| unpacked("pull access denied, repository does not exist or may require authorization"))
}

pub fn config_fault(store: &Store, pod: &Value, spec: &Value) -> Option<String> {
    let namespace = text(&pod["metadata"]["namespace"]);
    let lacks = |kind: &str, name: &str, key: &str| match store.get(kind, &namespace, name) {
        _ if name.is_empty() => None,
        None => Some(format!("{} {name:?} not found", kind.to_lowercase())),
        Some(object) if !key.is_empty() && object["data"][key].is_null() => {
            Some(format!("couldn't find key {key} in {kind} {namespace}/{name}"))
        }
        Some(_) => None,
    };
    for source in spec["envFrom"].as_array().into_iter().flatten() {
        let fault = lacks("Secret", &text(&source["secretRef"]["name"]), "");
        if let Some(why) = fault.or_else(|| lacks("ConfigMap", &text(&source["configMapRef"]["name"]), "")) {
            return Some(why);
        }
    }
    for variable in spec["env"].as_array().into_iter().flatten() {
        for (field, kind) in [("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")] {
            let reference = &variable["valueFrom"][field];
            if let Some(why) = lacks(kind, &text(&reference["name"]), &text(&reference["key"])) {
                return Some(why);
            }
        }
    }
    let field = |key: &str| {
        let own = &spec["securityContext"][key];
        if own.is_null() { pod["spec"]["securityContext"][key].clone() } else { own.clone() }
    };
    let root = store.knobs.images.get(&text(&spec["image"])).is_some_and(|image| image.root);
    if field("runAsNonRoot") == true && (field("runAsUser") == 0 || (field("runAsUser").is_null() && root)) {
        let place = format!("{}_{namespace}({})", text(&pod["metadata"]["name"]), text(&pod["metadata"]["uid"]));
        let name = text(&spec["name"]);
        return Some(format!(
            "container has runAsNonRoot and image will run as root (pod: {place:?}, container: {name})"
        ));
    }
    match behaviour(store, pod, spec) {
        Behaviour::ConfigError(why) => Some(why),
        _ => None,
    }
}
