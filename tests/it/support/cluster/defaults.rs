//! What the API server writes into an object where nothing was said.

use serde_json::{Value, json};

use super::kinds::Kind;

/// Fills in an object's defaults.
pub fn fill(kind: &Kind, object: &mut Value) {
    match kind.kind {
        "Namespace" => {
            set(&mut object["spec"], "finalizers", json!(["kubernetes"]));
            set(&mut object["status"], "phase", json!("Active"));
            let name = object["metadata"]["name"].clone();
            object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
        }
        "Secret" => {
            set(object, "type", json!("Opaque"));
            // What is given as text is kept as data.
            if let Some(Value::Object(texts)) = object.as_object_mut().and_then(|all| all.remove("stringData")) {
                use base64::Engine as _;
                for (key, text) in texts {
                    let text = text.as_str().unwrap_or_default();
                    object["data"][key] = base64::engine::general_purpose::STANDARD.encode(text).into();
                }
            }
        }
        "Service" => {
            let spec = &mut object["spec"];
            set(spec, "type", json!("ClusterIP"));
            set(spec, "sessionAffinity", json!("None"));
            set(spec, "internalTrafficPolicy", json!("Cluster"));
            set(spec, "ipFamilyPolicy", json!("SingleStack"));
            set(spec, "ipFamilies", json!(["IPv4"]));
            if spec["type"] != "ClusterIP" {
                set(spec, "externalTrafficPolicy", json!("Cluster"));
            }
            for port in each(&mut spec["ports"]) {
                set(port, "protocol", json!("TCP"));
                let number = port["port"].clone();
                set(port, "targetPort", number);
            }
            set(&mut object["status"], "loadBalancer", json!({}));
        }
        "Deployment" => {
            let spec = &mut object["spec"];
            set(spec, "replicas", json!(1));
            set(spec, "revisionHistoryLimit", json!(10));
            set(spec, "progressDeadlineSeconds", json!(600));
            set(&mut spec["strategy"], "type", json!("RollingUpdate"));
            if spec["strategy"]["type"] == "RollingUpdate" {
                let rolling = &mut spec["strategy"]["rollingUpdate"];
                set(rolling, "maxUnavailable", json!("25%"));
                set(rolling, "maxSurge", json!("25%"));
            }
            pod(&mut spec["template"]["spec"], "Always");
        }
        "ReplicaSet" => {
            set(&mut object["spec"], "replicas", json!(1));
            pod(&mut object["spec"]["template"]["spec"], "Always");
        }
        "Job" => {
            let spec = &mut object["spec"];
            set(spec, "backoffLimit", json!(6));
            set(spec, "completions", json!(1));
            set(spec, "parallelism", json!(1));
            set(spec, "suspend", json!(false));
            pod(&mut spec["template"]["spec"], "");
        }
        "Pod" => {
            pod(&mut object["spec"], "Always");
            set(&mut object["spec"], "enableServiceLinks", json!(true));
            set(&mut object["status"], "phase", json!("Pending"));
        }
        "PersistentVolumeClaim" => {
            set(&mut object["spec"], "volumeMode", json!("Filesystem"));
            set(&mut object["status"], "phase", json!("Pending"));
        }
        "HorizontalPodAutoscaler" => set(&mut object["spec"], "minReplicas", json!(1)),
        _ => {}
    }
}

fn pod(spec: &mut Value, restart: &str) {
    if !restart.is_empty() {
        set(spec, "restartPolicy", json!(restart));
    }
    set(spec, "dnsPolicy", json!("ClusterFirst"));
    set(spec, "schedulerName", json!("default-scheduler"));
    set(spec, "terminationGracePeriodSeconds", json!(30));
    set(spec, "securityContext", json!({}));
    for list in ["initContainers", "containers"] {
        for container in each(&mut spec[list]) {
            let image = container["image"].as_str().unwrap_or_default().to_owned();
            let tag = image.rsplit('/').next().and_then(|last| last.split_once(':')).map(|(_, tag)| tag);
            let always = !image.contains('@') && tag.is_none_or(|tag| tag == "latest");
            set(container, "imagePullPolicy", json!(if always { "Always" } else { "IfNotPresent" }));
            set(container, "terminationMessagePath", json!("/dev/termination-log"));
            set(container, "terminationMessagePolicy", json!("File"));
            set(container, "resources", json!({}));
            requests(&mut container["resources"]);
            for port in each(&mut container["ports"]) {
                set(port, "protocol", json!("TCP"));
            }
            for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
                if container[probe].is_object() {
                    let probe = &mut container[probe];
                    set(probe, "timeoutSeconds", json!(1));
                    set(probe, "periodSeconds", json!(10));
                    set(probe, "successThreshold", json!(1));
                    set(probe, "failureThreshold", json!(3));
                    if probe["httpGet"].is_object() {
                        set(&mut probe["httpGet"], "scheme", json!("HTTP"));
                    }
                }
            }
            for variable in each(&mut container["env"]) {
                if variable["valueFrom"]["fieldRef"].is_object() {
                    set(&mut variable["valueFrom"]["fieldRef"], "apiVersion", json!("v1"));
                }
            }
        }
        // Indexing put a null there where there was no list.
        if spec[list].is_null()
            && let Some(spec) = spec.as_object_mut()
        {
            spec.remove(list);
        }
    }
    for volume in each(&mut spec["volumes"]) {
        for source in ["secret", "configMap", "projected"] {
            if volume[source].is_object() {
                set(&mut volume[source], "defaultMode", json!(0o644));
            }
        }
    }
    tidy(spec);
}

/// What is limited and not requested is requested as much.
fn requests(resources: &mut Value) {
    let Some(limits) = resources["limits"].as_object().cloned() else { return tidy(resources) };
    for (name, amount) in limits {
        if resources["requests"][&name].is_null() {
            resources["requests"][&name] = amount;
        }
    }
}

fn set(at: &mut Value, key: &str, value: Value) {
    if at.is_null() {
        *at = json!({});
    }
    if at[key].is_null() {
        at[key] = value;
    }
}

fn each(list: &mut Value) -> impl Iterator<Item = &mut Value> {
    list.as_array_mut().into_iter().flatten()
}

/// Takes nulls away, which are as if nothing stood there.
pub fn tidy(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, inner| !inner.is_null());
            fields.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}
