//! What a real API server refuses beyond the schema: names, what fits together, and what may not change.

use serde_json::Value;

use super::answer::Refusal;
use super::kinds::Kind;
use super::schema::{Faults, NEWEST, OLDEST};
use super::store::{Store, has_labels, text};

/// How strictly unknown fields are taken (`fieldValidation`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    Ignore,
    Warn,
    Strict,
}

/// Fields that the oldest version does not have, and that are written only where the cluster says that it is newer.
const SAID_BY_VERSION: [&str; 1] = [".securityContext.appArmorProfile"];

/// Holds a body to the schemas, the newest and the oldest, and takes unknown fields out where they are not refused.
pub fn decode(kind: &Kind, body: &mut Value, duplicates: &[String], strict: Strictness) -> Result<(), Refusal> {
    let faults = NEWEST.check(&kind.definition(), body);
    if let Some(wrong) = faults.wrong.first() {
        let why = format!("{} in version {:?} cannot be handled as a {}: {wrong}", kind.kind, kind.version, kind.kind);
        return Err(Refusal::bad_request(why));
    }
    if strict == Strictness::Strict {
        let unknown = faults.unknown.iter().map(|path| format!("unknown field {path:?}"));
        let twice = duplicates.iter().map(|path| format!("duplicate field {path:?}"));
        let all: Vec<String> = unknown.chain(twice).collect();
        if !all.is_empty() {
            return Err(Refusal::bad_request(format!("strict decoding error: {}", all.join(", "))));
        }
        // The cluster is the newest; what is written to it has to be good on the oldest too.
        let Faults { unknown, wrong, .. } = OLDEST.check(&kind.definition(), body);
        let is_held = |path: &&String| !SAID_BY_VERSION.iter().any(|field| path.ends_with(field));
        if let Some(path) = unknown.iter().filter(is_held).chain(&wrong).next() {
            let why = format!("strict decoding error: unknown field {path:?} (of the oldest supported version)");
            return Err(Refusal::bad_request(why));
        }
    }
    for path in faults.unknown {
        drop_path(body, &path);
    }
    Ok(())
}

fn drop_path(value: &mut Value, path: &str) {
    let pointer = format!("/{}", path.replace('[', ".").replace(']', "").replace('.', "/"));
    if let Some((parent, last)) = pointer.rsplit_once('/')
        && let Some(fields) = value.pointer_mut(parent).and_then(Value::as_object_mut)
    {
        fields.remove(last);
    }
}

/// What is wrong with an object as it would be stored.
pub fn validate(kind: &Kind, object: &Value) -> Result<(), Refusal> {
    let name = text(&object["metadata"]["name"]);
    let mut faults = NEWEST.check(&kind.definition(), object).invalid;
    faults.extend(name_fault(kind, &name));
    for (field, values) in [("labels", true), ("annotations", false)] {
        for (key, value) in object["metadata"][field].as_object().into_iter().flatten() {
            let value = value.as_str().unwrap_or_default();
            if !is_qualified(key) {
                faults.push(format!("metadata.{field}: Invalid value: {key:?}: name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"));
            }
            if values && !is_label_value(value) {
                faults.push(format!("metadata.labels: Invalid value: {value:?}: a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"));
            }
        }
    }
    match kind.kind {
        "Deployment" | "ReplicaSet" => {
            let spec = &object["spec"];
            if !has_labels(&spec["template"], &spec["selector"]["matchLabels"]) {
                faults.push(format!(
                    "spec.template.metadata.labels: Invalid value: {}: `selector` does not match template `labels`",
                    spec["template"]["metadata"]["labels"]
                ));
            }
            pod(&spec["template"]["spec"], "spec.template.spec", &mut faults);
            if spec["template"]["spec"]["restartPolicy"] != "Always" {
                faults.push(
                    "spec.template.spec.restartPolicy: Unsupported value: supported values: \"Always\"".to_owned(),
                );
            }
            if spec["replicas"].as_i64().is_some_and(|replicas| replicas < 0) {
                faults.push(format!(
                    "spec.replicas: Invalid value: {}: must be greater than or equal to 0",
                    spec["replicas"]
                ));
            }
            let rolling = &spec["strategy"]["rollingUpdate"];
            if spec["strategy"]["type"] == "Recreate" && !rolling.is_null() {
                faults.push(
                    "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"
                        .to_owned(),
                );
            }
            if is_none(&rolling["maxUnavailable"]) && is_none(&rolling["maxSurge"]) {
                faults.push(
                    "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"
                        .to_owned(),
                );
            }
        }
        "Pod" => pod(&object["spec"], "spec", &mut faults),
        "Job" => {
            pod(&object["spec"]["template"]["spec"], "spec.template.spec", &mut faults);
            if !["Never", "OnFailure"].iter().any(|word| object["spec"]["template"]["spec"]["restartPolicy"] == *word) {
                faults.push(
                    "spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""
                        .to_owned(),
                );
            }
        }
        "Service" => {
            let ports = object["spec"]["ports"].as_array().cloned().unwrap_or_default();
            if ports.is_empty() && object["spec"]["clusterIP"] != "None" {
                faults.push("spec.ports: Required value".to_owned());
            }
            for (index, port) in ports.iter().enumerate() {
                if ports.len() > 1 && text(&port["name"]).is_empty() {
                    faults.push(format!("spec.ports[{index}].name: Required value"));
                }
                port_fault(&port["port"], &format!("spec.ports[{index}].port"), &mut faults);
            }
        }
        _ => {}
    }
    if faults.is_empty() { Ok(()) } else { Err(Refusal::invalid(kind, &name, &faults)) }
}

fn is_none(amount: &Value) -> bool {
    *amount == 0 || *amount == "0%"
}

fn port_fault(port: &Value, path: &str, faults: &mut Vec<String>) {
    if !port.as_i64().is_some_and(|port| (1..=65535).contains(&port)) {
        faults.push(format!("{path}: Invalid value: {port}: must be between 1 and 65535, inclusive"));
    }
}

fn pod(spec: &Value, path: &str, faults: &mut Vec<String>) {
    let volumes: Vec<String> =
        spec["volumes"].as_array().into_iter().flatten().map(|volume| text(&volume["name"])).collect();
    let containers = spec["containers"].as_array().cloned().unwrap_or_default();
    if containers.is_empty() {
        faults.push(format!("{path}.containers: Required value"));
    }
    for (index, container) in containers.iter().enumerate() {
        let at = format!("{path}.containers[{index}]");
        if !is_label(&text(&container["name"])) {
            faults.push(format!("{at}.name: Invalid value: {}: {LABEL}", container["name"]));
        }
        if text(&container["image"]).is_empty() {
            faults.push(format!("{at}.image: Required value"));
        }
        for (number, port) in container["ports"].as_array().into_iter().flatten().enumerate() {
            port_fault(&port["containerPort"], &format!("{at}.ports[{number}].containerPort"), faults);
        }
        for (number, mount) in container["volumeMounts"].as_array().into_iter().flatten().enumerate() {
            if !volumes.contains(&text(&mount["name"])) {
                faults.push(format!("{at}.volumeMounts[{number}].name: Not found: {}", mount["name"]));
            }
        }
        for (number, variable) in container["env"].as_array().into_iter().flatten().enumerate() {
            if !variable["value"].is_null() && !text(&variable["value"]).is_empty() && !variable["valueFrom"].is_null()
            {
                faults.push(format!(
                    "{at}.env[{number}].valueFrom: Invalid value: \"\": may not be specified when `value` is not empty"
                ));
            }
        }
        for probe in ["livenessProbe", "startupProbe"] {
            if container[probe]["successThreshold"].as_i64().is_some_and(|times| times != 1) {
                faults.push(format!("{at}.{probe}.successThreshold: Invalid value: must be 1"));
            }
        }
    }
}

/// What may not change.
pub fn immutable(kind: &Kind, before: &Value, after: &Value) -> Result<(), Refusal> {
    let name = text(&after["metadata"]["name"]);
    let refuse = |fault: String| Err(Refusal::invalid(kind, &name, &[fault]));
    let differs = |pointer: &str| before.pointer(pointer) != after.pointer(pointer);
    let fixed = |path: &str, pointer: &str| {
        refuse(format!("{path}: Invalid value: {}: field is immutable", after.pointer(pointer).unwrap_or(&Value::Null)))
    };
    match kind.kind {
        "Deployment" | "ReplicaSet" if differs("/spec/selector") => fixed("spec.selector", "/spec/selector"),
        "Job" if differs("/spec/template") => fixed("spec.template", "/spec/template"),
        "Job" if differs("/spec/selector") => fixed("spec.selector", "/spec/selector"),
        "Service" if differs("/spec/clusterIP") && after["spec"]["type"] != "ExternalName" => refuse(format!(
            "spec.clusterIPs[0]: Invalid value: [{}]: may not change once set",
            after["spec"]["clusterIP"]
        )),
        "Secret" if differs("/type") => fixed("type", "/type"),
        "Secret" | "ConfigMap" if before["immutable"] == true && differs("/data") => {
            refuse("data: Forbidden: field is immutable when `immutable` is set".to_owned())
        }
        "PersistentVolumeClaim" => claim(kind, before, after),
        "Pod" => {
            let mut old = before["spec"].clone();
            for (index, container) in after["spec"]["containers"].as_array().into_iter().flatten().enumerate() {
                old["containers"][index]["image"] = container["image"].clone();
            }
            if old == after["spec"] {
                return Ok(());
            }
            refuse("spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)".to_owned())
        }
        "IngressClass" if differs("/spec/controller") => fixed("spec.controller", "/spec/controller"),
        "StorageClass" if differs("/provisioner") => fixed("provisioner", "/provisioner"),
        "RoleBinding" | "ClusterRoleBinding" if differs("/roleRef") => {
            refuse("roleRef: Invalid value: cannot change roleRef".to_owned())
        }
        _ => Ok(()),
    }
}

fn claim(kind: &Kind, before: &Value, after: &Value) -> Result<(), Refusal> {
    let name = text(&after["metadata"]["name"]);
    let (mut old, new) = (before["spec"].clone(), &after["spec"]);
    let size = |spec: &Value| amount(&text(&spec["resources"]["requests"]["storage"]));
    let shrinks = size(new) < size(&old);
    old["resources"]["requests"]["storage"] = new["resources"]["requests"]["storage"].clone();
    if old != *new {
        let why = "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        return Err(Refusal::invalid(kind, &name, &[why.to_owned()]));
    }
    if shrinks {
        let why = "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity";
        return Err(Refusal::invalid(kind, &name, &[why.to_owned()]));
    }
    Ok(())
}

/// A quantity in its unit's ones; zero where it is none.
pub fn amount(text: &str) -> f64 {
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let factor = match unit {
        "m" => 0.001,
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "Ki" => 1024.0,
        "Mi" => 1_048_576.0,
        "Gi" => 1_073_741_824.0,
        "Ti" => 1_099_511_627_776.0,
        _ => return 0.0,
    };
    number.parse::<f64>().map_or(0.0, |number| number * factor)
}

/// Whether an object may be made in its namespace.
pub fn place(store: &Store, kind: &Kind, object: &Value) -> Result<(), Refusal> {
    if !kind.namespaced {
        return Ok(());
    }
    let (namespace, name) = (text(&object["metadata"]["namespace"]), text(&object["metadata"]["name"]));
    let Some(there) = store.get("Namespace", "", &namespace) else {
        return Err(Refusal::new(404, "NotFound", format!("namespaces {namespace:?} not found")));
    };
    if there["metadata"]["deletionTimestamp"].is_null() {
        return Ok(());
    }
    let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
    Err(Refusal::forbidden(kind, &name, &why))
}

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const RFC1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";

fn name_fault(kind: &Kind, name: &str) -> Option<String> {
    let rule = match kind.kind {
        _ if name.is_empty() => {
            return Some("metadata.name: Required value: name or generateName is required".to_owned());
        }
        "Namespace" if !is_label(name) => LABEL,
        "Service" if !is_label(name) || name.starts_with(|c: char| c.is_ascii_digit()) => RFC1035,
        // RBAC takes any name that can stand in a path.
        "Role" | "RoleBinding" | "ClusterRole" | "ClusterRoleBinding" if !name.contains(['/', '%']) => return None,
        _ if name.len() > 253 || !name.split('.').all(is_label) => SUBDOMAIN,
        _ => return None,
    };
    Some(format!("metadata.name: Invalid value: {name:?}: {rule}"))
}

fn is_label(text: &str) -> bool {
    let inside = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !text.is_empty() && text.len() <= 63 && text.bytes().all(inside) && !text.starts_with('-') && !text.ends_with('-')
}

fn is_label_value(text: &str) -> bool {
    let inside = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let ends = |b: Option<&u8>| b.is_none_or(u8::is_ascii_alphanumeric);
    text.len() <= 63 && text.bytes().all(inside) && ends(text.as_bytes().first()) && ends(text.as_bytes().last())
}

fn is_qualified(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    !name.is_empty() && is_label_value(name) && prefix.is_none_or(|prefix| prefix.split('.').all(is_label))
}
