//! Registering, checking and changing clusters.

use serde_json::{Value, json};

use super::{Place, SERVER, TOKEN, kubeconfig, refusal};
use crate::support::app::TestApp;
use crate::support::fakes::OWN_CLUSTER;
use crate::support::shop::shared_engine;

#[tokio::test]
async fn a_cluster_is_stored_once_it_answered() {
    let place = Place::new().await;
    let answer = place
        .try_to_register(json!({
            "name": "cluster", "kubernetes": { "kubeconfig": kubeconfig(SERVER), "context": "main" },
            "ingressClass": "nginx", "storageClass": "fast", "exposure": "LOAD_BALANCER",
        }))
        .await;
    assert!(answer.errors.is_empty(), "{:?}", answer.errors);
    let runtime = answer.data.into_json().unwrap()["registerRuntime"]["runtime"].take();
    let expected = json!({
        "id": runtime["id"], "kind": "KUBERNETES", "endpoint": SERVER, "status": "READY", "statusMessage": null,
        "version": "28.5.1", "ingressClass": "nginx", "storageClass": "fast", "exposure": "LOAD_BALANCER",
        "missingPermissions": [], "grantManifest": null,
    });
    assert_eq!(runtime, expected);
    // What it is reached with is in no row.
    for (table, rows) in place.test.rows().await {
        assert!(rows.iter().all(|row| !row.contains(TOKEN)), "{table}");
    }

    place.cluster.fail("check", kiops::runtime::RuntimeError::Unreachable("it does not answer".to_owned()));
    let away = json!({ "name": "away", "kubernetes": { "kubeconfig": kubeconfig(SERVER) } });
    assert_eq!(refusal(&place.try_to_register(away).await).0, "UPSTREAM_ERROR");
}

#[tokio::test]
async fn what_the_login_may_not_do_is_listed_with_the_manifest_that_grants_it() {
    let place = Place::new().await;
    *place.cluster.missing.lock().unwrap() = vec!["create deployments.apps".to_owned()];
    let id = place.register().await;
    let ask = "query($id: ID!) { runtime(id: $id) { status statusMessage missingPermissions grantManifest } }";
    let shown = place.test.data(&place.admin, ask, json!({ "id": id })).await["runtime"].take();
    let expected = json!({
        "status": "UNAUTHORIZED",
        "statusMessage": "the login lacks 1 of the permissions that are needed: see grantManifest",
        "missingPermissions": ["create deployments.apps"],
        "grantManifest": "kind: ClusterRole\n",
    });
    assert_eq!(shown, expected);

    // Once they are granted the next check says so.
    place.cluster.missing.lock().unwrap().clear();
    let check = "mutation($i: CheckRuntimeInput!) { checkRuntime(input: $i) { runtime { status statusMessage \
        missingPermissions grantManifest } } }";
    let checked = place.test.data(&place.admin, check, json!({ "i": { "id": id } })).await["checkRuntime"].take();
    let expected = json!({ "status": "READY", "statusMessage": null, "missingPermissions": [], "grantManifest": null });
    assert_eq!(checked["runtime"], expected);
}

#[tokio::test]
async fn every_fault_is_named() {
    let place = Place::new().await;
    let good = || json!({ "kubeconfig": kubeconfig(SERVER) });
    let docker = || json!({ "host": "tcp://192.0.2.1:2375" });
    for (input, field) in [
        (json!({}), "input.docker"),
        (json!({ "docker": docker(), "kubernetes": good() }), "input.kubernetes"),
        (json!({ "kubernetes": {} }), "input.kubernetes"),
        (json!({ "kubernetes": { "inCluster": false } }), "input.kubernetes"),
        (
            json!({ "kubernetes": { "inCluster": true, "kubeconfig": kubeconfig(SERVER) } }),
            "input.kubernetes.inCluster",
        ),
        (json!({ "kubernetes": { "inCluster": true, "context": "main" } }), "input.kubernetes.context"),
        (json!({ "kubernetes": { "kubeconfig": "no: kubeconfig" } }), "input.kubernetes.kubeconfig"),
        (
            json!({ "kubernetes": { "kubeconfig": kubeconfig(SERVER), "context": "other" } }),
            "input.kubernetes.kubeconfig",
        ),
        (
            json!({ "kubernetes": { "kubeconfig": kubeconfig("https://169.254.169.254") } }),
            "input.kubernetes.kubeconfig",
        ),
        (json!({ "kubernetes": { "kubeconfig": kubeconfig("http://192.0.2.20") } }), "input.kubernetes.kubeconfig"),
        (json!({ "kubernetes": good(), "ingressClass": "No Class" }), "input.ingressClass"),
        (json!({ "kubernetes": good(), "storageClass": "-" }), "input.storageClass"),
        (json!({ "docker": docker(), "ingressClass": "nginx" }), "input.ingressClass"),
    ] {
        let mut input = input;
        input["name"] = "cluster".into();
        let answer = place.try_to_register(input.clone()).await;
        assert_eq!(refusal(&answer), ("BAD_USER_INPUT".to_owned(), None, Some(field.to_owned())), "{input}");
        let said = format!("{:?}", answer.errors);
        assert!(!said.contains(TOKEN), "{said}");
    }
    assert_eq!(place.cluster.count(""), 0, "nothing was asked");
}

#[tokio::test]
async fn a_program_in_a_kubeconfig_is_refused_by_its_key() {
    let place = Place::new().await;
    let text = kubeconfig(SERVER).replace(&format!("token: {TOKEN}"), "exec: { command: touch, args: [/tmp/x] }");
    let answer = place.try_to_register(json!({ "name": "c", "kubernetes": { "kubeconfig": text } })).await;
    assert_eq!(refusal(&answer).2.as_deref(), Some("input.kubernetes.kubeconfig"));
    assert!(answer.errors[0].message.contains("exec"), "{:?}", answer.errors);
}

#[tokio::test]
async fn the_servers_own_cluster_is_for_whom_the_configuration_names() {
    let test = TestApp::with(shared_engine(&["acme"])).await;
    let own = test.runtimes.another(OWN_CLUSTER);
    test.runtimes.alias("https://192.0.2.30:6443", &own);
    let document = "mutation($i: RegisterRuntimeInput!) { registerRuntime(input: $i) { runtime { endpoint } } }";
    let in_cluster = json!({ "name": "own", "kubernetes": { "inCluster": true } });
    // Under whatever address: it says that it is the same one.
    let spelled = json!({ "name": "spelled", "kubernetes": { "kubeconfig": kubeconfig("https://192.0.2.30:6443") } });
    let loopback = json!({ "name": "loop", "kubernetes": { "kubeconfig": kubeconfig("https://127.0.0.1:6443") } });
    let other = test.organization("other").await;
    for input in [&in_cluster, &spelled, &loopback] {
        let answer = test.run(Some(&other), document, json!({ "i": input })).await;
        let (code, reason, _) = refusal(&answer);
        assert_eq!((code.as_str(), reason.as_deref()), ("FAILED_PRECONDITION", Some("LOCAL_ENGINE_NOT_ALLOWED")));
    }
    let acme = test.organization("acme").await;
    let answer = test.data(&acme, document, json!({ "i": in_cluster })).await;
    assert_eq!(answer["registerRuntime"]["runtime"]["endpoint"], "https://kubernetes.default.svc");
}

#[tokio::test]
async fn a_cluster_stays_one_and_its_settings_change() {
    let place = Place::new().await;
    let id = place.register().await;
    let document = "mutation($i: UpdateRuntimeInput!) { updateRuntime(input: $i) { runtime { endpoint ingressClass \
        storageClass exposure } } }";
    let change = |input: Value| {
        let mut input = input;
        input["id"] = id.as_str().into();
        place.ask(document, json!({ "i": input }))
    };
    let answer = change(json!({ "docker": { "host": "tcp://192.0.2.1:2375" } })).await;
    assert_eq!(refusal(&answer).2.as_deref(), Some("input.docker"));
    let answer = change(json!({ "kubernetes": null })).await;
    assert_eq!(refusal(&answer).2.as_deref(), Some("input.kubernetes"));

    let asked = place.cluster.count("");
    let answer = change(json!({ "ingressClass": "traefik", "exposure": "LOAD_BALANCER" })).await;
    let shown = answer.data.into_json().unwrap()["updateRuntime"]["runtime"].take();
    let expected = json!({
        "endpoint": SERVER, "ingressClass": "traefik", "storageClass": null, "exposure": "LOAD_BALANCER",
    });
    assert_eq!((shown, place.cluster.count("")), (expected, asked));

    place.test.runtimes.another("https://192.0.2.21:6443");
    let answer = change(json!({ "kubernetes": { "kubeconfig": kubeconfig("https://192.0.2.21:6443") } })).await;
    assert!(answer.errors.is_empty(), "{:?}", answer.errors);
    let shown = answer.data.into_json().unwrap()["updateRuntime"]["runtime"].take();
    assert_eq!((&shown["endpoint"], &shown["ingressClass"]), (&json!("https://192.0.2.21:6443"), &json!("traefik")));
}
