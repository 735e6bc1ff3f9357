//! Scans through the API, where a cluster builds.

use serde_json::json;

use super::{IMAGE, probe};
use crate::cluster_builds::pipelines::{Yard, message, stages};
use crate::cluster_builds::{BUILDKIT, NAMESPACE, REPOSITORY, begins, buildkit, ends, image};
use crate::support::cluster::Behaviour;
use crate::support::shop::{mutate, process, text, work};
use kiops::domain::scan::ScanKind;
use kiops::scanner::Tool;

const TOKEN: &str = "a registry's own secret";

fn sarif() -> String {
    let results = json!([{
        "ruleId": "py.eval", "level": "error", "message": { "text": "eval is found" },
        "locations": [{ "physicalLocation": {
            "artifactLocation": { "uri": "/kiops/source/src/app.py" }, "region": { "startLine": 1 },
        } }],
    }]);
    let driver = json!({ "name": "probe", "version": "1.2.3", "rules": [{ "id": "py.eval" }] });
    json!({ "version": "2.1.0", "runs": [{ "tool": { "driver": driver }, "results": results }] }).to_string()
}

/// A yard whose probe finds one thing, and in whose pods BuildKit's image does what builds and scans want of it.
async fn yard(tools: Vec<Tool>) -> Yard {
    let yard = Yard::with(ends(0, &[begins("a", "[1/1] RUN make")]), tools).await;
    let helper = buildkit(ends(0, &[begins("a", "[1/1] RUN make")]));
    let helper = helper.but_in("given", Behaviour::Unpacks).but_in("keeper", Behaviour::runs());
    yard.double.image(BUILDKIT, helper);
    yard.double.image(IMAGE, super::ends(0, &["looking"]));
    yard.double.leaves(IMAGE, |out| std::fs::write(out.join("report.json"), sarif()).unwrap());
    yard
}

fn nothing_is_left(yard: &Yard) {
    for kind in ["Job", "Pod", "Secret"] {
        assert!(yard.double.list(kind, NAMESPACE).is_empty(), "{kind}");
    }
}

async fn scans(yard: &Yard, pipeline: &str) -> Vec<serde_json::Value> {
    let document = "query($id: ID!) { node(id: $id) { ... on Pipeline { scans { kind status message
        findings(first: 10) { nodes { rule location } } tools { name status message } } } } }";
    let found = yard.test.data(&yard.member, document, json!({ "id": pipeline })).await;
    found["node"]["scans"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_pipeline_scans_the_source_in_a_job_and_the_image_from_its_registry() {
    let reads = process("reader", ScanKind::Sca, &["cp", "{image}", "{report}"]);
    let sees = Tool { name: "seer".to_owned(), kind: ScanKind::Sca, ..probe() };
    let sees = Tool { command: ["seer", "{image}", "{report}"].map(str::to_owned).to_vec(), ..sees };
    let yard = yard(vec![probe(), reads, sees]).await;
    yard.test.sources.files.lock().unwrap().insert("src/app.py".to_owned(), "eval(data)\n".to_owned());
    yard.save(json!({
        "imageRepository": REPOSITORY, "scans": ["SAST", "SCA"],
        "registryAuth": { "username": "robot", "token": TOKEN },
    }))
    .await;
    let id = yard.start().await;
    work(&yard.test).await;
    let done = yard.look(&id).await;
    // What the reader leaves is no report: it is the archive.
    assert_eq!(stages(&done), "SUCCEEDED SUCCEEDED INCOMPLETE SKIPPED SKIPPED", "{done:#}");
    let scans = scans(&yard, &id).await;
    let sast = scans.iter().find(|scan| scan["kind"] == "SAST").unwrap();
    assert_eq!(sast["status"], "SUCCEEDED", "{sast:#}");
    assert_eq!(sast["findings"]["nodes"], json!([{ "rule": "py.eval", "location": "src/app.py:1" }]), "{sast:#}");
    let sca = scans.iter().find(|scan| scan["kind"] == "SCA").unwrap();
    let tool = |name: &str| sca["tools"].as_array().unwrap().iter().find(|tool| tool["name"] == name).unwrap().clone();
    assert_eq!(tool("seer")["status"], "SUCCEEDED", "{sca:#}");
    assert_eq!(tool("reader")["status"], "FAILED", "{sca:#}");
    // The tool that is in an image was sent the image of the pipeline, by its digest.
    let inputs = yard.double.inputs("given");
    let saved = format!("{} for linux/amd64", image());
    assert!(inputs.iter().any(|input| String::from_utf8_lossy(input).contains(&saved)), "{}", inputs.len());
    nothing_is_left(&yard);
    let all = format!("{:?}{done}{:?}", yard.test.rows().await, scans);
    assert!(!all.contains(TOKEN));
    assert!(inputs.iter().all(|input| !String::from_utf8_lossy(input).contains(TOKEN)));
}

#[tokio::test]
async fn images_of_others_are_scanned_by_hand_from_their_registries() {
    let sees = Tool { name: "seer".to_owned(), kind: ScanKind::Sca, ..probe() };
    let sees = Tool { command: ["seer", "{image}", "{report}"].map(str::to_owned).to_vec(), ..sees };
    let yard = yard(vec![sees]).await;
    let digest = yard.test.registries.push("nginx:1.27", 1);
    let runtimes = yard.test.data(&yard.admin, "{ runtimes { nodes { id name } } }", json!({})).await;
    let runtime = text(&runtimes["runtimes"]["nodes"][0]["id"]);
    let containers = json!([{ "name": "web", "image": "nginx", "tag": "1.27", "port": 80 }]);
    let input = json!({ "name": "web", "runtimeId": runtime, "containers": containers });
    let service = mutate(&yard.test, &yard.admin, "registerDockerHubService", input).await;
    let started = mutate(&yard.test, &yard.member, "startScan", json!({ "serviceId": service, "kind": "SCA" })).await;
    work(&yard.test).await;
    let document = "query($id: ID!) { node(id: $id) { ... on Scan { status message } } }";
    let done = yard.test.data(&yard.member, document, json!({ "id": started })).await;
    assert_eq!(done["node"]["status"], "SUCCEEDED", "{done:#}");
    let inputs = yard.double.inputs("given");
    let saved = format!("nginx@{digest} for linux/amd64");
    assert!(inputs.iter().any(|input| String::from_utf8_lossy(input).contains(&saved)), "{}", inputs.len());
    nothing_is_left(&yard);
}

#[tokio::test]
async fn a_scan_that_is_canceled_leaves_nothing_on_the_cluster() {
    let yard = yard(vec![probe()]).await;
    yard.double.image(IMAGE, super::goes_on());
    let started = mutate(
        &yard.test,
        &yard.member,
        "startScan",
        json!({ "serviceId": yard.service, "kind": "SAST", "ref": "main" }),
    )
    .await;
    let canceling = async {
        let begun = std::time::Instant::now();
        while yard.double.inputs("given").is_empty() {
            assert!(begun.elapsed() < std::time::Duration::from_secs(20), "it never begins");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert_eq!(yard.double.list("Job", NAMESPACE).len(), 1);
        let remove = "mutation($i: RemoveServiceInput!) { removeService(input: $i) { id } }";
        yard.test.data(&yard.admin, remove, json!({ "i": { "id": yard.service } })).await;
    };
    tokio::join!(work(&yard.test), canceling);
    let document = "query($id: ID!) { node(id: $id) { ... on Scan { status } } }";
    let done = yard.test.data(&yard.member, document, json!({ "id": started })).await;
    assert!(done["node"].is_null() || done["node"]["status"] == "CANCELED", "{done:#}");
    nothing_is_left(&yard);
}

#[tokio::test]
async fn a_tool_that_the_cluster_does_not_get_fails_and_the_others_stand() {
    let missing = Tool { name: "gone".to_owned(), image: Some("tools.test/gone:1".to_owned()), ..probe() };
    let yard = yard(vec![probe(), missing]).await;
    yard.save(json!({ "imageRepository": REPOSITORY, "scans": ["SAST"] })).await;
    let done = yard.run().await;
    assert_eq!(stages(&done), "SUCCEEDED SUCCEEDED INCOMPLETE SKIPPED SKIPPED", "{done:#}");
    assert!(message(&done, "SCAN").contains("gone: the cluster does not get scan.tools.gone.image"), "{done:#}");
    nothing_is_left(&yard);
}

#[tokio::test]
async fn dast_reaches_the_service_inside_of_the_cluster_and_nothing_else() {
    let prober = Tool { name: "zap".to_owned(), kind: ScanKind::Dast, ..probe() };
    let prober = Tool { command: ["zap", "{url}", "{report}"].map(str::to_owned).to_vec(), ..prober };
    let yard = yard(vec![prober]).await;
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let written = seen.clone();
    yard.double.admit(move |object| {
        if object["kind"] == "Job" || object["kind"] == "NetworkPolicy" {
            written.lock().unwrap().push(object.clone());
        }
        None
    });
    yard.test.registries.push("nginx:1.27", 1);
    let runtimes = yard.test.data(&yard.admin, "{ runtimes { nodes { id name } } }", json!({})).await;
    for (runtime, inside) in [("cluster", true), ("engine", false)] {
        let all = runtimes["runtimes"]["nodes"].as_array().unwrap();
        let id = text(&all.iter().find(|one| one["name"] == runtime).unwrap()["id"]);
        let containers = json!([
            { "name": "web", "image": "nginx", "tag": "1.27", "port": 80 },
            { "name": "db", "image": "nginx", "tag": "1.27", "port": 3306, "isInternal": true },
        ]);
        let name = format!("web-of-{runtime}");
        let input = json!({ "name": name, "runtimeId": id, "containers": containers });
        let service = mutate(&yard.test, &yard.admin, "registerDockerHubService", input).await;
        mutate(&yard.test, &yard.admin, "deployService", json!({ "serviceId": service })).await;
        work(&yard.test).await;
        seen.lock().unwrap().clear();
        let started = json!({ "serviceId": service, "kind": "DAST" });
        let started = mutate(&yard.test, &yard.member, "startScan", started).await;
        work(&yard.test).await;
        let document = "query($id: ID!) { node(id: $id) { ... on Scan { status message } } }";
        let done = yard.test.data(&yard.member, document, json!({ "id": started })).await;
        assert_eq!(done["node"]["status"], "SUCCEEDED", "{done:#}");
        let seen = seen.lock().unwrap().clone();
        // One run for one endpoint: the database is nobody's business.
        let jobs: Vec<_> = seen.iter().filter(|one| one["kind"] == "Job" && one["spec"]["suspend"] == true).collect();
        assert_eq!(jobs.len(), 1, "{jobs:#?}");
        let containers = jobs[0]["spec"]["template"]["spec"]["containers"].as_array().unwrap();
        let tool = containers.iter().find(|one| one["name"] == "tool").unwrap();
        let url = text(&tool["command"][1]);
        let own = jobs[0]["metadata"]["name"].clone();
        let policy = seen.iter().find(|one| one["kind"] == "NetworkPolicy" && one["metadata"]["name"] == own);
        if inside {
            let namespace = url.strip_prefix("http://web.").and_then(|rest| rest.strip_suffix(".svc/")).unwrap();
            assert!(namespace.contains(&name), "{url}");
            let egress = policy.unwrap()["spec"]["egress"].to_string();
            assert!(egress.contains(&format!("\"kubernetes.io/metadata.name\":\"{namespace}\"")), "{egress}");
            assert!(!egress.contains("ipBlock"), "{egress}");
        } else {
            assert!(url.starts_with("http://192.0.2.1"), "{url}");
            assert_eq!(policy, None);
        }
    }
    nothing_is_left(&yard);
}
