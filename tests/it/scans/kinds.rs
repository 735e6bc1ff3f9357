//! DAST, which looks at what is deployed and at nothing else; and services that are made of images.

use kiops::domain::scan::ScanKind;
use kiops::scanner::Tool;
use serde_json::{Value, json};

use super::{EVAL, Yard, tool};
use crate::support::app::code;
use crate::support::shop::{mutate, text, web, work};

/// A tool of DAST that leaves the addresses that it is given, and reports nothing.
fn prober(told: &std::path::Path) -> Vec<Tool> {
    let script = "echo \"$2\" >> \"$1/addresses\"; cp \"$1/zap.report\" \"$3\"";
    let command = ["/bin/sh", "-c", script, "-", told.to_str().unwrap(), "{url}", "{report}"];
    vec![crate::support::shop::process("zap", ScanKind::Dast, &command)]
}

/// An address as programs write it.
fn whole(url: &str) -> String {
    url::Url::parse(url).unwrap().into()
}

impl Yard {
    fn addresses(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.told.join("addresses")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    async fn endpoints(&self, service: &str) -> Vec<String> {
        let ask = "query($id: ID!) { service(id: $id) { environments { endpoints { url isInternal } } } }";
        let found = self.test.data(&self.member, ask, json!({ "id": service })).await;
        let all = found["service"]["environments"][0]["endpoints"].as_array().unwrap().clone();
        all.iter().filter(|e| e["isInternal"] == false).map(|e| text(&e["url"])).collect()
    }
}

#[tokio::test]
async fn what_a_pipeline_deploys_is_scanned_while_it_runs() {
    let yard = Yard::with(prober).await;
    yard.hits("zap", &[EVAL]);
    yard.save_scans(&["DAST"]).await;
    let document = "mutation($i: SaveBuildSettingsInput!) { saveBuildSettings(input: $i) { service { id } } }";
    let input = json!({ "serviceId": yard.service, "imageRepository": "registry.example/team/shop" });
    yard.test.data(&yard.member, document, json!({ "i": input })).await;
    let id = yard.start_pipeline(json!({ "deployTo": "production" })).await;
    work(&yard.test).await;
    let pipeline = yard.pipeline(&id).await;
    assert_eq!(pipeline["status"], "SUCCEEDED", "{pipeline}");
    let scan = &pipeline["scans"][0];
    assert_eq!((&scan["kind"], &scan["status"]), (&json!("DAST"), &json!("SUCCEEDED")), "{scan}");
    assert_eq!(scan["environment"]["name"], "production");
    let expected: Vec<String> = yard.endpoints(&yard.service).await.iter().map(|url| whole(url)).collect();
    assert_eq!(yard.addresses(), expected);
    assert!(!expected.is_empty());
    // A rollback brings up nothing new.
    mutate(&yard.test, &yard.member, "deployService", json!({ "serviceId": yard.service })).await;
    work(&yard.test).await;
    let scans = yard.addresses().len();
    mutate(&yard.test, &yard.member, "rollbackService", json!({ "serviceId": yard.service })).await;
    work(&yard.test).await;
    assert_eq!(yard.addresses().len(), scans);
}

#[tokio::test]
async fn dast_goes_to_endpoints_and_nowhere_else() {
    let yard = Yard::with(prober).await;
    yard.hits("zap", &[]);
    let service = json!({
        "name": "images", "runtimeId": yard.runtime,
        "containers": [web(), { "name": "db", "image": "nginx", "tag": "1.27", "port": 3306, "isInternal": true }],
    });
    yard.test.registries.push("nginx:1.27", 1);
    let service = mutate(&yard.test, &yard.admin, "registerDockerHubService", service).await;
    let dast = |more: Value| {
        let mut input = json!({ "serviceId": service, "kind": "DAST" });
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        input
    };
    let refused = yard.ask_scan(&yard.member, dast(json!({}))).await;
    assert_eq!(code(&refused).as_deref(), Some("FAILED_PRECONDITION"), "nothing is deployed");
    mutate(&yard.test, &yard.member, "deployService", json!({ "serviceId": service })).await;
    work(&yard.test).await;
    for bad in [
        json!({ "environment": "https://example.com" }),
        json!({ "environment": "169.254.169.254" }),
        json!({ "environment": "staging" }),
        json!({ "ref": "http://127.0.0.1:8080/" }),
        json!({ "ref": "http://metadata.google.internal/", "environment": "production" }),
    ] {
        let answer = yard.ask_scan(&yard.member, dast(bad.clone())).await;
        assert_eq!(code(&answer).as_deref(), Some("BAD_USER_INPUT"), "{bad}");
    }
    work(&yard.test).await;
    assert_eq!(yard.addresses(), Vec::<String>::new());
    let id = yard.start(dast(json!({ "environment": "production" }))).await;
    work(&yard.test).await;
    assert_eq!(yard.look(&id).await["status"], "SUCCEEDED");
    let expected: Vec<String> = yard.endpoints(&service).await.iter().map(|url| whole(url)).collect();
    assert_eq!(yard.addresses(), expected, "the database is nobody's business");
    assert_eq!(expected.len(), 1);

    // Queued, and stopped before it began.
    let id = yard.start(dast(json!({}))).await;
    let stop = "mutation($i: StopServiceInput!) { stopService(input: $i) { service { id } } }";
    let claim = yard.claim().await.unwrap();
    yard.test.data(&yard.member, stop, json!({ "i": { "serviceId": service } })).await;
    work(&yard.test).await;
    kiops::app::scans::run::run(&yard.test.app, &claim).await.unwrap();
    let scan = yard.look(&id).await;
    assert_eq!(
        (&scan["status"], &scan["message"]),
        (&json!("FAILED"), &json!("production is stopped: restart it first"))
    );
    assert_eq!(yard.addresses().len(), 1);
    let refused = yard.ask_scan(&yard.member, dast(json!({}))).await;
    assert_eq!(code(&refused).as_deref(), Some("FAILED_PRECONDITION"));
}

#[tokio::test]
async fn a_tool_that_needs_what_is_not_there_says_so() {
    let yard = Yard::with(|told| {
        let mut image = tool(told, "trivy", ScanKind::Sca);
        image.command.iter_mut().filter(|word| *word == "{source}").for_each(|word| *word = "{image}".to_owned());
        vec![image, tool(told, "osv", ScanKind::Sca)]
    })
    .await;
    yard.hits("osv", &[]);
    // Nothing was built of this commit.
    let id = yard.start(json!({ "kind": "SCA" })).await;
    work(&yard.test).await;
    let scan = yard.look(&id).await;
    assert_eq!(scan["status"], "INCOMPLETE", "{scan}");
    let trivy = scan["tools"].as_array().unwrap().iter().find(|t| t["name"] == "trivy").unwrap().clone();
    assert!(text(&trivy["message"]).contains("nothing was built of commit"), "{trivy}");
    // A service that is made of images has no source.
    let service = json!({ "name": "images", "runtimeId": yard.runtime, "containers": [web()] });
    let service = mutate(&yard.test, &yard.admin, "registerDockerHubService", service).await;
    let id = yard.start(json!({ "kind": "SCA", "serviceId": service })).await;
    work(&yard.test).await;
    let scan = yard.look(&id).await;
    let osv = scan["tools"].as_array().unwrap().iter().find(|t| t["name"] == "osv").unwrap().clone();
    assert!(text(&osv["message"]).contains("no source"), "{scan}");
}
