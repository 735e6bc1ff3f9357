//! What is refused, and who owns which field.

use serde_json::json;

use super::*;

#[tokio::test]
async fn strict_validation_names_what_it_does_not_know() {
    let http = shop().await;
    let path = format!("{DEPLOYMENTS}/web");
    let mut wrong = deployment("registry.test/web:1");
    wrong["spec"]["template"]["spec"]["containers"][0]["imagee"] = json!("x");
    let answer = http.apply(&path, STRICT, &wrong).await;
    let sentence = r#"strict decoding error: unknown field "spec.template.spec.containers[0].imagee""#;
    assert_eq!((answer.0, message(&answer)), (400, sentence));
    // Without it the field is dropped, as it is on a real one.
    let answer = http.apply(&path, "fieldManager=kiops&force=true", &wrong).await;
    assert_eq!(answer.0, 201, "{}", answer.1);
    assert!(answer.1["spec"]["template"]["spec"]["containers"][0]["imagee"].is_null());

    let mut wrong = deployment("registry.test/web:1");
    wrong["spec"]["replicas"] = json!("two");
    let answer = http.apply(&path, STRICT, &wrong).await;
    assert!(answer.0 == 400 && message(&answer).contains("spec.replicas"), "{answer:?}");

    let twice = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","name":"a"}}"#;
    let path = "/api/v1/namespaces/shop/configmaps/a?".to_owned() + STRICT;
    let answer = http.send(Method::PATCH, &path, "application/apply-patch+yaml", twice.to_owned()).await;
    assert_eq!((answer.0, message(&answer)), (400, r#"strict decoding error: duplicate field "metadata.name""#));

    // A field that only the newest version knows is no use on the oldest.
    let mut new = deployment("registry.test/web:1");
    new["spec"]["template"]["spec"]["containers"][0]["restartPolicyRules"] = json!([]);
    let answer = http.apply(&format!("{DEPLOYMENTS}/web"), STRICT, &new).await;
    assert!(answer.0 == 400 && message(&answer).contains("oldest"), "{answer:?}");
}

#[tokio::test]
async fn what_is_missing_or_misnamed_is_invalid() {
    let http = shop().await;
    let mut without = deployment("registry.test/web:1");
    without["spec"].as_object_mut().unwrap().remove("selector");
    let answer = http.post(DEPLOYMENTS, &without).await;
    assert!(answer.0 == 422 && message(&answer).starts_with(r#"Deployment.apps "web" is invalid: "#), "{answer:?}");
    assert!(message(&answer).contains("spec.selector: Required value"), "{answer:?}");

    let mut other = deployment("registry.test/web:1");
    other["spec"]["selector"]["matchLabels"]["app"] = json!("db");
    assert!(message(&http.post(DEPLOYMENTS, &other).await).contains("does not match template `labels`"));

    let mut named = service();
    named["metadata"]["name"] = json!("1web");
    let answer = http.post("/api/v1/namespaces/shop/services", &named).await;
    assert!(answer.0 == 422 && message(&answer).contains("a DNS-1035 label must consist of"), "{answer:?}");
    let answer = http.post("/api/v1/namespaces", &namespace("Shop")).await;
    assert!(answer.0 == 422 && message(&answer).contains("a lowercase RFC 1123 label"), "{answer:?}");

    let mut mount = deployment("registry.test/web:1");
    mount["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] = json!([{ "name": "data", "mountPath": "/d" }]);
    assert!(message(&http.post(DEPLOYMENTS, &mount).await).contains("volumeMounts[0].name: Not found"));

    let answer = http
        .post(
            "/apis/apps/v1/namespaces/nowhere/deployments",
            &json!({
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" },
                "spec": deployment("registry.test/web:1")["spec"],
            }),
        )
        .await;
    assert_eq!((answer.0, message(&answer)), (404, r#"namespaces "nowhere" not found"#));
    let answer = http.get(&format!("{DEPLOYMENTS}/web")).await;
    assert_eq!((answer.0, message(&answer)), (404, r#"deployments.apps "web" not found"#));
    let answer = http.post("/api/v1/namespaces", &namespace("shop")).await;
    assert_eq!((answer.0, message(&answer)), (409, r#"namespaces "shop" already exists"#));
}

#[tokio::test]
async fn apply_wants_a_manager_and_keeps_to_owners() {
    let http = shop().await;
    let path = format!("{DEPLOYMENTS}/web");
    let mut given = deployment("registry.test/web:1");
    let answer = http.apply(&path, "force=true", &given).await;
    assert!(answer.0 == 422 && message(&answer).contains("fieldManager: Required value"), "{answer:?}");
    let first = http.applied(&path, &given).await;
    assert_eq!(first["metadata"]["managedFields"][0]["manager"], "kiops");
    assert_eq!(first["spec"]["template"]["spec"]["containers"][0]["ports"][0]["protocol"], "TCP");
    // The same again changes nothing.
    until("the controllers are done", || {
        http.double.get("Deployment", "shop", "web").unwrap()["status"]["readyReplicas"] == 2
    })
    .await;
    let before = http.double.get("Deployment", "shop", "web").unwrap();
    let again = http.applied(&path, &given).await;
    assert_eq!(again["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"]);

    // Somebody else's field: refused without force, taken with it.
    let edit = json!({ "spec": { "replicas": 5 } });
    assert_eq!(http.merge(&format!("{path}?fieldManager=kubectl-edit"), &edit).await.0, 200);
    let answer = http.apply(&path, "fieldManager=kiops", &given).await;
    let sentence = r#"Apply failed with 1 conflict: conflict with "kubectl-edit" using apps/v1: .spec.replicas"#;
    assert_eq!((answer.0, message(&answer)), (409, sentence));
    assert_eq!(http.applied(&path, &given).await["spec"]["replicas"], 2);

    // What is not applied any more goes; what others wrote stays; lists are merged by their keys.
    let label = json!({ "metadata": { "labels": { "by": "hand" } } });
    assert_eq!(http.merge(&path, &label).await.0, 200);
    let other = json!({ "spec": { "template": { "spec": { "containers": [
        { "name": "web", "env": [{ "name": "HAND", "value": "1" }] },
    ] } } } });
    let strategic = http.send(Method::PATCH, &path, "application/strategic-merge-patch+json", other.to_string()).await;
    assert_eq!(strategic.0, 200, "{}", strategic.1);
    given["spec"]["template"]["spec"]["containers"][0]["env"] = json!([{ "name": "NEW", "value": "b" }]);
    let after = http.applied(&path, &given).await;
    assert_eq!(after["metadata"]["labels"]["by"], "hand");
    let names: Vec<_> = after["spec"]["template"]["spec"]["containers"][0]["env"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v["name"].clone())
        .collect();
    assert_eq!(names, ["HAND", "NEW"], "{after}");
    given["spec"].as_object_mut().unwrap().remove("progressDeadlineSeconds");
    assert_eq!(http.applied(&path, &given).await["spec"]["progressDeadlineSeconds"], 600);
}

#[tokio::test]
async fn stale_and_immutable_writes_are_refused() {
    let http = shop().await;
    let path = format!("{DEPLOYMENTS}/web");
    http.applied(&path, &deployment("registry.test/web:1")).await;
    let mut stale = deployment("registry.test/web:1");
    stale["metadata"]["resourceVersion"] = json!("1");
    let answer = http.put(&path, &stale).await;
    assert_eq!(answer.0, 409);
    assert!(
        message(&answer)
            .starts_with(r#"Operation cannot be fulfilled on deployments.apps "web": the object has been modified"#),
        "{answer:?}"
    );

    let mut other = deployment("registry.test/web:1");
    other["spec"]["selector"]["matchLabels"] = json!({ "app": "web", "x": "y" });
    other["spec"]["template"]["metadata"]["labels"]["x"] = json!("y");
    let answer = http.apply(&path, STRICT, &other).await;
    assert!(answer.0 == 422 && message(&answer).contains("field is immutable"), "{answer:?}");

    let made = http.applied("/api/v1/namespaces/shop/services/web", &service()).await;
    assert!(made["spec"]["clusterIP"].as_str().unwrap().starts_with("10.96."), "{made}");
    let mut moved = service();
    moved["spec"]["clusterIP"] = json!("10.96.9.9");
    let answer = http.apply("/api/v1/namespaces/shop/services/web", STRICT, &moved).await;
    assert!(answer.0 == 422 && message(&answer).contains("may not change once set"), "{answer:?}");

    let claims = "/api/v1/namespaces/shop/persistentvolumeclaims/data";
    let claim = |size: &str, class: &str| {
        json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "data" },
            "spec": { "accessModes": ["ReadWriteOnce"], "storageClassName": class, "resources": { "requests": { "storage": size } } },
        })
    };
    http.applied(claims, &claim("1Gi", "a")).await;
    until("bound", || http.double.get("PersistentVolumeClaim", "shop", "data").unwrap()["status"]["phase"] == "Bound")
        .await;
    http.applied(claims, &claim("2Gi", "a")).await;
    let answer = http.apply(claims, STRICT, &claim("1Gi", "a")).await;
    assert!(answer.0 == 422 && message(&answer).contains("can not be less"), "{answer:?}");
    let answer = http.apply(claims, STRICT, &claim("2Gi", "b")).await;
    assert!(answer.0 == 422 && message(&answer).contains("spec is immutable after creation"), "{answer:?}");

    let jobs = "/apis/batch/v1/namespaces/shop/jobs";
    let job = |image: &str| {
        json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "build" },
            "spec": { "template": { "spec": { "restartPolicy": "Never", "containers": [{ "name": "build", "image": image }] } } },
        })
    };
    http.applied(&format!("{jobs}/build"), &job("registry.test/web:1")).await;
    let answer = http.apply(&format!("{jobs}/build"), STRICT, &job("registry.test/web:2")).await;
    assert!(answer.0 == 422 && message(&answer).contains("spec.template"), "{answer:?}");
}

#[tokio::test]
async fn generation_counts_changes_of_the_spec_alone() {
    let http = shop().await;
    let path = format!("{DEPLOYMENTS}/web");
    let first = http.applied(&path, &deployment("registry.test/web:1")).await;
    assert_eq!(first["metadata"]["generation"], 1);
    assert!(first["metadata"]["uid"].is_string() && first["metadata"]["creationTimestamp"].is_string());
    let labelled = http.merge(&path, &json!({ "metadata": { "labels": { "a": "b" } } })).await.1;
    assert_eq!(labelled["metadata"]["generation"], 1);
    assert_ne!(labelled["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    let scaled = http.merge(&format!("{path}/scale"), &json!({ "spec": { "replicas": 1 } })).await.1;
    assert_eq!(scaled["spec"]["replicas"], 1);
    assert_eq!(http.get(&path).await.1["metadata"]["generation"], 2);
    // A trial changes nothing.
    let trial = http.apply(&path, &format!("{STRICT}&dryRun=All"), &deployment("registry.test/web:2")).await.1;
    assert_eq!(trial["spec"]["template"]["spec"]["containers"][0]["image"], "registry.test/web:2");
    assert_eq!(http.get(&path).await.1["spec"]["template"]["spec"]["containers"][0]["image"], "registry.test/web:1");
}
