//! What is planned and stored for a deployment to a cluster.

use kiops::runtime::RuntimeError;
use serde_json::{Value, json};

use super::{Place, refusal};
use crate::support::shop::{mutate, text, work};

const PREVIEW: &str = "query($i: DeployServiceInput!) { deploymentPreview(input: $i) { manifest diff warnings downtime \
    planHash } }";
const SHOWN: &str = "query($id: ID!) { service(id: $id) { status namespace environments { id name namespace replicas \
    undeployedChanges endpoints { container url isInternal } currentDeployment { manifest } } } }";

/// A web server behind an ingress, one that is published, and an internal database.
fn containers() -> Value {
    json!([
        { "name": "web", "image": "nginx", "tag": "1.27", "port": 80, "ingressPath": "/" },
        { "name": "admin", "image": "nginx", "tag": "1.27", "port": 8080, "restricted": true },
        {
            "name": "db", "image": "nginx", "tag": "1.27", "port": 3306, "isInternal": true,
            "volumes": [{ "mountPath": "/var/lib/mysql" }],
        },
    ])
}

struct Shop {
    place: Place,
    runtime: String,
    service: String,
}

impl Shop {
    async fn new() -> Self {
        let place = Place::new().await;
        let runtime = place.register().await;
        let service = place_service(&place, &runtime, "shop", "shop").await;
        Self { place, runtime, service }
    }

    async fn preview(&self) -> Value {
        let preview = self.place.test.data(&self.place.admin, PREVIEW, json!({ "i": { "serviceId": self.service } }));
        preview.await["deploymentPreview"].take()
    }

    async fn deploy(&self) {
        let input = json!({ "serviceId": self.service });
        mutate(&self.place.test, &self.place.admin, "deployService", input).await;
        work(&self.place.test).await;
    }

    async fn shown(&self) -> Value {
        self.place.test.data(&self.place.admin, SHOWN, json!({ "id": self.service })).await["service"].take()
    }

    async fn save(&self, input: Value) {
        let mut input = input;
        input["serviceId"] = self.service.as_str().into();
        let document = "mutation($i: SaveEnvironmentInput!) { saveEnvironment(input: $i) { environment { id } } }";
        self.place.test.data(&self.place.admin, document, json!({ "i": input })).await;
    }
}

async fn place_service(place: &Place, runtime: &str, name: &str, namespace: &str) -> String {
    let input = json!({ "name": name, "runtimeId": runtime, "namespace": namespace, "containers": containers() });
    mutate(&place.test, &place.admin, "registerDockerHubService", input).await
}

#[tokio::test]
async fn the_settings_of_environment_and_runtime_are_in_the_revision() {
    let shop = Shop::new().await;
    shop.save(
        json!({ "name": "production", "replicas": 3, "domain": "shop.example", "tls": { "issuer": "letsencrypt" } }),
    )
    .await;
    let preview = shop.preview().await;
    let manifest = text(&preview["manifest"]);
    for part in ["kind: Namespace", "kind: Deployment", "kind: Ingress", "kind: PersistentVolumeClaim", "replicas: 3"] {
        assert!(manifest.contains(part), "{part}: {manifest}");
    }
    assert!(manifest.contains("shop.example") && manifest.contains("letsencrypt"), "{manifest}");
    shop.deploy().await;
    let shown = shop.shown().await;
    let environment = &shown["environments"][0];
    assert_eq!((&shown["status"], &environment["undeployedChanges"]), (&json!("RUNNING"), &json!(false)));
    assert!(text(&environment["currentDeployment"]["manifest"]).contains("kind: Deployment"));
    let endpoints = json!([
        { "container": "web", "url": "https://shop.example", "isInternal": false },
        { "container": "admin", "url": "http://192.0.2.10:30080", "isInternal": false },
        { "container": "db", "url": "tcp://db:3306", "isInternal": true },
    ]);
    assert_eq!(environment["endpoints"], endpoints);
    assert_eq!(shop.preview().await["diff"], "", "the same again changes nothing");

    // A change of what is for clusters alone is a change.
    shop.save(json!({ "name": "production", "replicas": 5 })).await;
    assert_eq!(shop.shown().await["environments"][0]["undeployedChanges"], true);
    let diff = text(&shop.preview().await["diff"]);
    assert!(diff.contains("-  replicas: 3") && diff.contains("+  replicas: 5"), "{diff}");
    shop.deploy().await;

    // Going back brings back the number of that time too.
    let input = json!({ "serviceId": shop.service });
    mutate(&shop.place.test, &shop.place.admin, "rollbackService", input).await;
    work(&shop.place.test).await;
    let manifest = text(&shop.shown().await["environments"][0]["currentDeployment"]["manifest"]);
    assert!(manifest.contains("replicas: 3"), "{manifest}");
}

#[tokio::test]
async fn what_was_changed_by_hand_is_said_in_the_preview() {
    let shop = Shop::new().await;
    shop.deploy().await;
    let said = "Deployment web: spec.replicas is 5, and not 1 as it was applied";
    *shop.place.cluster.drift.lock().unwrap() = vec![said.to_owned()];
    assert_eq!(shop.preview().await["warnings"], json!([said]));
    // A cluster that does not tell leaves the preview as it is.
    shop.place.cluster.fail("drift", RuntimeError::Unreachable("gone".to_owned()));
    assert_eq!(shop.preview().await["warnings"], json!([]));
}

#[tokio::test]
async fn what_will_not_be_as_it_looks_is_said_in_the_preview() {
    let shop = Shop::new().await;
    shop.save(json!({ "name": "production", "tls": { "issuer": "letsencrypt" } })).await;
    let warnings = shop.preview().await["warnings"].take();
    assert_eq!(warnings.as_array().unwrap().len(), 1, "{warnings}");
    assert!(text(&warnings[0]).contains("the environment has no domain"), "{warnings}");
}

#[tokio::test]
async fn somebody_elses_namespace_is_refused_by_whoever_asks() {
    let shop = Shop::new().await;
    let refused = || RuntimeError::NotOwned("namespace shop exists, and KIOPS did not make it".to_owned());
    let expected = ("FAILED_PRECONDITION".to_owned(), Some("NAMESPACE_NOT_OWNED".to_owned()));
    let input = json!({ "i": { "serviceId": shop.service } });
    let deploy = "mutation($i: DeployServiceInput!) { deployService(input: $i) { deployment { id } } }";
    for document in [PREVIEW, deploy] {
        shop.place.cluster.fail("admit", refused());
        let (code, reason, _) = refusal(&shop.place.ask(document, input.clone()).await);
        assert_eq!((code, reason), expected);
    }
    // One that is found out too late fails the deployment, and nothing is left under way.
    shop.place.cluster.fail("apply", refused());
    shop.deploy().await;
    assert_eq!(shop.shown().await["status"], "DEPLOY_FAILED");

    // Neither do two environments share one.
    shop.deploy().await;
    let other = place_service(&shop.place, &shop.runtime, "other", "shop").await;
    let answer = shop.place.ask(deploy, json!({ "i": { "serviceId": other } })).await;
    let (code, reason, _) = refusal(&answer);
    assert_eq!((code, reason), expected);
    assert!(answer.errors[0].message.contains("environment production of service shop"), "{:?}", answer.errors);
}

#[tokio::test]
async fn it_is_exported_in_both_languages() {
    let shop = Shop::new().await;
    let ask =
        "query($id: ID!) { k: exportService(id: $id, format: KUBERNETES) c: exportService(id: $id, format: COMPOSE) }";
    let exported = shop.place.test.data(&shop.place.admin, ask, json!({ "id": shop.service })).await;
    assert!(text(&exported["k"]).contains("kind: Deployment"), "{exported}");
    assert!(text(&exported["c"]).contains("services:"), "{exported}");
}

#[tokio::test]
async fn it_moves_from_an_engine_to_a_cluster_and_back() {
    let shop = Shop::new().await;
    let place = &shop.place;
    place.test.runtimes.another("tcp://192.0.2.5:2375");
    let engine = json!({ "name": "engine", "docker": { "host": "tcp://192.0.2.5:2375" } });
    let engine = mutate(&place.test, &place.admin, "registerRuntime", engine).await;
    let input = json!({
        "name": "mover", "runtimeId": engine, "containers": [{ "name": "web", "image": "nginx", "tag": "1.27", "port": 80 }],
    });
    let service = mutate(&place.test, &place.admin, "registerDockerHubService", input).await;
    let shop = Shop { service, ..shop };
    shop.deploy().await;
    let update = "mutation($i: UpdateServiceInput!) { updateService(input: $i) { service { id } } }";
    let go_to = async |runtime: &str| {
        let input = json!({ "i": { "id": shop.service, "runtimeId": runtime } });
        shop.place.test.data(&shop.place.admin, update, input).await;
        shop.deploy().await;
        shop.shown().await
    };
    let there = go_to(&shop.runtime).await;
    let environment = &there["environments"][0];
    assert_eq!(there["status"], "RUNNING", "{there}");
    assert!(text(&environment["currentDeployment"]["manifest"]).contains("kind: Deployment"));
    assert_eq!(environment["endpoints"][0]["url"], "http://192.0.2.10:30080");
    let back = go_to(&engine).await;
    let environment = &back["environments"][0];
    assert!(text(&environment["currentDeployment"]["manifest"]).contains("services:"), "{back}");
    assert_eq!(environment["endpoints"][0]["url"], "http://192.0.2.5:80");
}

#[tokio::test]
async fn what_could_not_be_stopped_is_not_shown_as_stopped() {
    let shop = Shop::new().await;
    shop.deploy().await;
    let stop = json!({ "i": { "serviceId": shop.service } });
    let document = "mutation($i: StopServiceInput!) { stopService(input: $i) { service { id } } }";
    shop.place.cluster.fail("stop", RuntimeError::Failed("the login may not patch deployments".to_owned()));
    shop.place.test.data(&shop.place.admin, document, stop.clone()).await;
    work(&shop.place.test).await;
    // It goes on running, and shows as what it is.
    assert_eq!(shop.shown().await["status"], "RUNNING");
    shop.place.test.data(&shop.place.admin, document, stop).await;
    work(&shop.place.test).await;
    assert_eq!(shop.shown().await["status"], "STOPPED");
}

#[tokio::test]
async fn going_back_takes_the_classes_of_the_cluster_where_it_is_now() {
    let shop = Shop::new().await;
    shop.deploy().await;
    let place = &shop.place;
    let server = "https://192.0.2.40:6443";
    place.test.runtimes.another(server);
    let other = json!({
        "name": "other", "kubernetes": { "kubeconfig": super::kubeconfig(server) }, "ingressClass": "traefik",
        "storageClass": "gp3",
    });
    let other = mutate(&place.test, &place.admin, "registerRuntime", other).await;
    let update = "mutation($i: UpdateServiceInput!) { updateService(input: $i) { service { id } } }";
    place.test.data(&place.admin, update, json!({ "i": { "id": shop.service, "runtimeId": other } })).await;
    shop.deploy().await;
    let back = "query($i: RollbackServiceInput!) { rollbackPreview(input: $i) { manifest } }";
    let preview = place.test.data(&place.admin, back, json!({ "i": { "serviceId": shop.service } })).await;
    let manifest = text(&preview["rollbackPreview"]["manifest"]);
    assert!(manifest.contains("traefik") && manifest.contains("gp3"), "{manifest}");
}

#[tokio::test]
async fn what_was_stopped_stays_so_after_a_deployment_that_failed() {
    let shop = Shop::new().await;
    shop.deploy().await;
    let stop = "mutation($i: StopServiceInput!) { stopService(input: $i) { service { id } } }";
    shop.place.test.data(&shop.place.admin, stop, json!({ "i": { "serviceId": shop.service } })).await;
    work(&shop.place.test).await;
    shop.place.cluster.fail("apply", RuntimeError::Failed("web exited with code 1".to_owned()));
    shop.deploy().await;
    assert!(shop.place.cluster.running.lock().unwrap().values().all(|running| running.stopped));
    shop.deploy().await;
    assert_eq!(shop.shown().await["status"], "RUNNING");
}
