//! What the controllers and the node do by themselves.

use serde_json::json;

use super::*;

fn condition(object: &Value, kind: &str) -> Value {
    let all = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    all.into_iter().find(|one| one["type"] == kind).unwrap_or_default()
}

impl Http {
    fn web(&self) -> Value {
        self.double.get("Deployment", "shop", "web").unwrap()
    }

    async fn complete(&self) {
        until("the rollout is complete", || {
            condition(&self.web(), "Progressing")["reason"] == "NewReplicaSetAvailable"
        })
        .await;
    }

    fn waiting(&self, reason: &str) -> Option<Value> {
        let pods = self.double.list("Pod", "shop");
        pods.iter()
            .map(|pod| pod["status"]["containerStatuses"][0].clone())
            .find(|status| status["state"]["waiting"]["reason"] == reason)
    }
}

#[tokio::test]
async fn a_rolling_update_never_has_too_few() {
    let http = shop().await;
    let path = format!("{DEPLOYMENTS}/web");
    http.applied("/api/v1/namespaces/shop/services/web", &service()).await;
    http.applied(&path, &deployment("registry.test/web:1")).await;
    http.complete().await;
    assert_eq!(http.double.resolve("shop", "web").len(), 2);
    http.applied(&path, &deployment("registry.test/web:2")).await;
    let mut least = 2;
    until("the second revision is there", || {
        least = least.min(http.double.resolve("shop", "web").len());
        let web = http.web();
        web["status"]["observedGeneration"] == 2 && condition(&web, "Progressing")["reason"] == "NewReplicaSetAvailable"
    })
    .await;
    assert_eq!(least, 2);
    let sets = http.double.list("ReplicaSet", "shop");
    let mut revisions: Vec<_> =
        sets.iter().map(|set| set["metadata"]["annotations"]["deployment.kubernetes.io/revision"].clone()).collect();
    revisions.sort_by_key(Value::to_string);
    assert_eq!(revisions, ["1", "2"]);
    // Back again is the first set's third revision.
    http.applied(&path, &deployment("registry.test/web:1")).await;
    until("back", || http.web()["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3").await;
    assert_eq!(http.double.list("ReplicaSet", "shop").len(), 2);
}

#[tokio::test]
async fn a_recreated_one_is_gone_before_the_next_comes() {
    let http = shop().await;
    let path = format!("{DEPLOYMENTS}/web");
    let recreated = |image: &str| {
        let mut given = deployment(image);
        given["spec"]["strategy"] = json!({ "type": "Recreate" });
        given["spec"]["replicas"] = json!(1);
        given
    };
    http.applied(&path, &recreated("registry.test/web:1")).await;
    http.complete().await;
    http.applied(&path, &recreated("registry.test/web:2")).await;
    let mut most = 0;
    until("the second is ready", || {
        let pods = http.double.list("Pod", "shop");
        most = most.max(pods.len());
        pods.iter().any(|pod| {
            pod["spec"]["containers"][0]["image"] == "registry.test/web:2" && pod["status"]["phase"] == "Running"
        })
    })
    .await;
    assert_eq!(most, 1);
}

#[tokio::test]
async fn failures_have_their_reasons_and_the_old_pods_stay() {
    let http = shop().await;
    http.double.speed(20.0);
    let path = format!("{DEPLOYMENTS}/web");
    http.applied("/api/v1/namespaces/shop/services/web", &service()).await;
    http.applied(&path, &deployment("registry.test/web:1")).await;
    http.complete().await;
    let lines = vec!["starting".to_owned(), "no database".to_owned()];
    http.double.image("registry.test/crash:1", Behaviour::CrashLoop { exit_code: 3, lines });
    http.double.image("registry.test/memory:1", Behaviour::OutOfMemory);
    http.double.image("registry.test/config:1", Behaviour::ConfigError("secret \"x\" not found".to_owned()));
    for (image, reason) in [
        ("registry.test/none:1", "ImagePullBackOff"),
        ("registry.test/crash:1", "CrashLoopBackOff"),
        ("registry.test/memory:1", "CrashLoopBackOff"),
        ("registry.test/config:1", "CreateContainerConfigError"),
    ] {
        // Without it a pod that crashes counts for the moment before it does, on a real cluster too.
        let mut given = deployment(image);
        given["spec"]["minReadySeconds"] = json!(6);
        http.applied(&path, &given).await;
        until(image, || http.waiting(reason).is_some_and(|status| status["image"] == image)).await;
        assert_eq!(http.double.resolve("shop", "web").len(), 2, "{image}");
    }
    let mut given = deployment("registry.test/memory:1");
    given["spec"]["minReadySeconds"] = json!(6);
    http.applied(&path, &given).await;
    until("killed", || {
        http.double
            .list("Pod", "shop")
            .iter()
            .any(|pod| pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["reason"] == "OOMKilled")
    })
    .await;
    until("the deadline passes", || condition(&http.web(), "Progressing")["reason"] == "ProgressDeadlineExceeded")
        .await;
    assert_eq!(condition(&http.web(), "Available")["status"], "True");
    let events = http.double.list("Event", "shop");
    let said = |reason: &str, part: &str| {
        events
            .iter()
            .any(|event| event["reason"] == reason && event["message"].as_str().is_some_and(|text| text.contains(part)))
    };
    assert!(
        said("Failed", "registry.test/none:1: not found") && said("BackOff", "Back-off restarting failed container")
    );
}

#[tokio::test]
async fn not_ready_nowhere_to_run_and_no_room_in_the_quota_are_said() {
    let http = shop().await;
    http.double.speed(20.0);
    http.double.image("registry.test/mute:1", Behaviour::NeverReady);
    http.applied(&format!("{DEPLOYMENTS}/web"), &deployment("registry.test/mute:1")).await;
    until("its probe fails", || {
        let events = http.double.list("Event", "shop");
        events.iter().any(|event| event["reason"] == "Unhealthy") && http.web()["status"]["readyReplicas"].is_null()
    })
    .await;
    http.double.image("registry.test/big:1", Behaviour::Unschedulable);
    http.applied(&format!("{DEPLOYMENTS}/web"), &deployment("registry.test/big:1")).await;
    until("unschedulable", || {
        http.double.list("Pod", "shop").iter().any(|pod| {
            let scheduled = condition(pod, "PodScheduled");
            scheduled["reason"] == "Unschedulable"
                && scheduled["message"].as_str().unwrap().contains("Insufficient cpu")
        })
    })
    .await;
    http.namespace("small").await;
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "small" }, "spec": { "hard": { "pods": "1" } },
    });
    assert_eq!(http.post("/api/v1/namespaces/small/resourcequotas", &quota).await.0, 201);
    let mut given = deployment("registry.test/web:1");
    given["metadata"]["namespace"] = json!("small");
    http.applied("/apis/apps/v1/namespaces/small/deployments/web", &given).await;
    until("refused", || {
        let web = http.double.get("Deployment", "small", "web").unwrap();
        let failure = condition(&web, "ReplicaFailure");
        failure["message"].as_str().is_some_and(|why| {
            why.contains("is forbidden: exceeded quota: small, requested: pods=1, used: pods=1, limited: pods=1")
        })
    })
    .await;
    let events = http.double.list("Event", "small");
    assert!(events.iter().any(|event| event["reason"] == "FailedCreate"), "{events:?}");
    assert_eq!(http.double.list("Pod", "small").len(), 1);
}

#[tokio::test]
async fn logs_are_followed_until_the_container_ends() {
    let http = shop().await;
    http.double.speed(20.0);
    http.applied(&format!("{DEPLOYMENTS}/web"), &deployment("registry.test/web:1")).await;
    http.complete().await;
    let pod = http.double.list("Pod", "shop")[0]["metadata"]["name"].as_str().unwrap().to_owned();
    for line in ["one", "two", "three"] {
        http.double.print(("shop", &pod), "web", line);
    }
    let path = format!("/api/v1/namespaces/shop/pods/{pod}/log");
    assert_eq!(http.get(&path).await.1, json!("one\ntwo\nthree\n"));
    assert_eq!(http.get(&format!("{path}?tailLines=1&container=web")).await.1, json!("three\n"));
    let timed = http.get(&format!("{path}?timestamps=true")).await.1;
    assert!(timed.as_str().unwrap().lines().all(|line| line.starts_with("20") && line.contains("Z ")), "{timed}");
    assert_eq!(http.get(&format!("{path}?container=db")).await.0, 400);
    let answer = http.get(&format!("{path}?previous=true")).await;
    assert!(answer.0 == 400 && message(&answer).contains("previous terminated container"), "{answer:?}");
    let request = http.client.get(format!("{}{path}?follow=true&tailLines=0", http.double.url())).bearer_auth(ADMIN);
    let followed = tokio::spawn(async move { request.send().await.unwrap().text().await.unwrap() });
    tokio::time::sleep(Duration::from_millis(300)).await;
    http.double.print(("shop", &pod), "web", "four");
    http.delete(&format!("/api/v1/namespaces/shop/pods/{pod}")).await;
    assert_eq!(followed.await.unwrap(), "four\n");
    until("another pod takes its place", || http.double.list("Pod", "shop").len() == 2).await;

    let lines = vec!["no database".to_owned()];
    http.double.image("registry.test/crash:1", Behaviour::CrashLoop { exit_code: 3, lines });
    http.applied(&format!("{DEPLOYMENTS}/web"), &deployment("registry.test/crash:1")).await;
    until("it crashes", || http.waiting("CrashLoopBackOff").is_some()).await;
    // More than one may have come by now; one that crashed has something to tell.
    let mut pods = http.double.list("Pod", "shop");
    pods.retain(|pod| pod["status"]["containerStatuses"][0]["restartCount"].as_i64().is_some_and(|times| times > 0));
    let pod = pods[0]["metadata"]["name"].as_str().unwrap();
    let path = format!("/api/v1/namespaces/shop/pods/{pod}/log?previous=true");
    assert_eq!(http.get(&path).await.1, json!("no database\n"));
}

#[tokio::test]
async fn what_an_image_does_can_depend_on_its_variables() {
    let http = shop().await;
    let broken = Behaviour::CrashLoop { exit_code: 1, lines: Vec::new() };
    http.double.image("registry.test/web:3", Behaviour::runs().when("FAIL", "1", broken));
    let mut given = deployment("registry.test/web:3");
    http.applied(&format!("{DEPLOYMENTS}/web"), &given).await;
    http.complete().await;
    given["spec"]["template"]["spec"]["containers"][0]["envFrom"] = json!([{ "secretRef": { "name": "web" } }]);
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "web" }, "stringData": { "FAIL": "1" },
    });
    http.applied("/api/v1/namespaces/shop/secrets/web", &secret).await;
    http.applied(&format!("{DEPLOYMENTS}/web"), &given).await;
    until("it crashes", || http.waiting("CrashLoopBackOff").is_some()).await;
}

#[tokio::test]
async fn jobs_end_and_their_pods_stay_unless_told_otherwise() {
    let http = shop().await;
    let ends =
        |exit_code| Behaviour::Ends { after: Duration::from_millis(50), exit_code, lines: vec!["built".to_owned()] };
    http.double.image("registry.test/build:1", ends(0));
    http.double.image("registry.test/build:2", ends(2));
    let jobs = "/apis/batch/v1/namespaces/shop/jobs";
    for (name, image, end) in
        [("good", "registry.test/build:1", "Complete"), ("bad", "registry.test/build:2", "Failed")]
    {
        let job = json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": name },
            "spec": { "backoffLimit": 0, "template": { "spec": { "restartPolicy": "Never", "containers": [{ "name": "b", "image": image }] } } },
        });
        assert_eq!(http.post(jobs, &job).await.0, 201);
        until(name, || condition(&http.double.get("Job", "shop", name).unwrap(), end)["status"] == "True").await;
    }
    let code = http
        .double
        .list("Pod", "shop")
        .iter()
        .map(|pod| pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"].as_i64().unwrap())
        .max();
    assert_eq!(code, Some(2));
    assert_eq!(http.delete(&format!("{jobs}/good")).await.0, 200);
    assert_eq!(http.delete(&format!("{jobs}/bad?propagationPolicy=Background")).await.0, 200);
    until("one pod is left", || http.double.list("Pod", "shop").len() == 1).await;
}

#[tokio::test]
async fn autoscalers_keep_to_their_bounds_and_services_get_ports() {
    let http = shop().await;
    http.applied(&format!("{DEPLOYMENTS}/web"), &deployment("registry.test/web:1")).await;
    let scaler = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": { "name": "web" },
        "spec": {
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" },
            "minReplicas": 3, "maxReplicas": 5,
        },
    });
    http.applied("/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers/web", &scaler).await;
    until("three run", || http.web()["status"]["readyReplicas"] == 3).await;
    let mut outside = service();
    outside["spec"]["type"] = json!("NodePort");
    http.applied("/api/v1/namespaces/shop/services/web", &outside).await;
    let port = || http.double.get("Service", "shop", "web").unwrap()["spec"]["ports"][0]["nodePort"].as_i64();
    until("it has a port", || port().is_some_and(|port| (30000..32768).contains(&port))).await;
    let before = port();
    http.applied("/api/v1/namespaces/shop/services/web", &outside).await;
    assert_eq!(port(), before);
}
