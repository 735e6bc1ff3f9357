//! What a gate lets through.

use async_graphql::Response;
use chrono::TimeDelta;
use entity::scan;
use kiops::app::Actor;
use kiops::domain::scan::ScanKind;
use sea_orm::EntityTrait as _;
use serde_json::{Value, json};

use super::{EVAL, Hit, PICKLE, Yard, tool};
use crate::support::app::code;
use crate::support::builds::commit;
use crate::support::shop::{text, work};

const NEW: Hit = Hit { rule: "py.shell", level: "error", path: "src/new.py", line: 3, code: "os.system(x)" };
const GATE: &str = "gate { outcome violations { count message rule { kind maxSeverity onlyNew } } overrideReason \
    overriddenBy { email } }";

impl Yard {
    pub(super) async fn save_gate(&self, actor: &Actor, input: Value) -> Response {
        let document = "mutation($i: SaveSecurityGateInput!) { saveSecurityGate(input: $i) { securityGate { enabled mode \
            inherited rules { kind maxSeverity onlyNew } } } }";
        self.test.run(Some(actor), document, json!({ "i": input })).await
    }

    /// Images go where the runtime can have them from.
    pub(super) async fn push_images(&self) {
        let document = "mutation($i: SaveBuildSettingsInput!) { saveBuildSettings(input: $i) { service { id } } }";
        let input = json!({ "serviceId": self.service, "imageRepository": "registry.example/team/shop" });
        self.test.data(&self.member, document, json!({ "i": input })).await;
    }

    /// The organization's gate: SAST, MEDIUM at most.
    pub(super) async fn gate(&self, mode: &str, only_new: bool) {
        // What was seen before was seen before.
        self.test.clock.advance(TimeDelta::minutes(1));
        let rules = json!([{ "kind": "SAST", "maxSeverity": "MEDIUM", "onlyNew": only_new }]);
        let saved = self.save_gate(&self.admin, json!({ "enabled": true, "mode": mode, "rules": rules })).await;
        assert!(saved.errors.is_empty(), "{:?}", saved.errors);
        self.test.clock.advance(TimeDelta::minutes(1));
    }

    /// A commit in which the tool sees this goes through a pipeline.
    pub(super) async fn push(&self, n: u8, hits: &[Hit], input: Value) -> String {
        self.test.sources.push("main", commit(n));
        self.hits("semgrep", hits);
        let id = self.start_pipeline(input).await;
        work(&self.test).await;
        id
    }

    pub(super) async fn gate_of(&self, pipeline: &str) -> Value {
        let document = format!(
            "query($id: ID!) {{ node(id: $id) {{ ... on Pipeline {{ status {GATE} stages {{ kind status message }} }} }} }}"
        );
        self.test.data(&self.member, &document, json!({ "id": pipeline })).await["node"].clone()
    }

    pub(super) async fn preview(&self, pipeline: &str) -> Value {
        let document = format!("query($i: DeployServiceInput!) {{ deploymentPreview(input: $i) {{ {GATE} }} }}");
        let input = json!({ "serviceId": self.service, "pipelineId": pipeline });
        let shown = self.test.data(&self.member, &document, json!({ "i": input })).await;
        shown["deploymentPreview"]["gate"].clone()
    }

    async fn deploy(&self, actor: &Actor, mut input: Value) -> Response {
        input["serviceId"] = json!(self.service);
        let document = format!(
            "mutation($i: DeployServiceInput!) {{ deployService(input: $i) {{ deployment {{ id {GATE} }} }} }}"
        );
        let answer = self.test.run(Some(actor), &document, json!({ "i": input })).await;
        work(&self.test).await;
        answer
    }

    /// A deployment by hand; gives what the gate said.
    async fn deployed(&self, actor: &Actor, input: Value) -> Value {
        let answer = self.deploy(actor, input).await;
        assert!(answer.errors.is_empty(), "{:?}", answer.errors);
        answer.data.into_json().unwrap()["deployService"]["deployment"]["gate"].clone()
    }
}

async fn yard() -> Yard {
    let yard = Yard::new(&["semgrep"]).await;
    yard.save_scans(&["SAST"]).await;
    yard.push_images().await;
    yard
}

fn reason(answer: &Response) -> (Option<String>, Value, String) {
    let error = &answer.errors[0];
    let said = serde_json::to_value(&error.extensions).unwrap();
    (code(answer), said["reason"].clone(), error.message.clone())
}

#[tokio::test]
async fn of_an_old_high_and_a_new_one_the_new_one_is_kept_back() {
    let yard = yard().await;
    let old = yard.push(1, &[EVAL], json!({})).await;
    yard.gate("BLOCK", true).await;
    assert_eq!(yard.preview(&old).await["outcome"], "PASSED");
    let by_pipeline = yard.push(2, &[EVAL], json!({ "deployTo": "production" })).await;
    let passed = yard.gate_of(&by_pipeline).await;
    assert_eq!((&passed["status"], &passed["gate"]["outcome"]), (&json!("SUCCEEDED"), &json!("PASSED")), "{passed}");

    let new = yard.push(3, &[EVAL, NEW], json!({ "deployTo": "production" })).await;
    let blocked = yard.gate_of(&new).await;
    let stage = blocked["stages"].as_array().unwrap().iter().find(|stage| stage["kind"] == "DEPLOY").unwrap();
    assert_eq!(stage["status"], "FAILED", "{blocked:#}");
    assert!(text(&stage["message"]).contains("1 new SAST finding above MEDIUM"), "{stage}");
    assert_eq!(blocked["gate"]["outcome"], "BLOCKED");
    let violation = &blocked["gate"]["violations"][0];
    assert_eq!(violation["rule"], json!({ "kind": "SAST", "maxSeverity": "MEDIUM", "onlyNew": true }));
    assert_eq!(violation["count"], 1);
    assert_eq!(yard.preview(&new).await["outcome"], "BLOCKED");
    for actor in [&yard.member, &yard.admin] {
        let (code, why, message) = reason(&yard.deploy(actor, json!({ "pipelineId": new })).await);
        assert_eq!((code.as_deref(), why), (Some("FAILED_PRECONDITION"), json!("GATE_BLOCKED")));
        assert!(message.contains("1 new SAST finding above MEDIUM"), "{message}");
    }

    // A member has no such field, an empty reason is none, and an admin's is kept.
    let with = json!({ "pipelineId": new, "gateOverride": "a hotfix; the finding is in a test" });
    assert!(!yard.deploy(&yard.member, with.clone()).await.errors.is_empty());
    let empty = json!({ "pipelineId": new, "gateOverride": "  " });
    assert_eq!(code(&yard.deploy(&yard.admin, empty).await).as_deref(), Some("BAD_USER_INPUT"));
    let verdict = yard.deployed(&yard.admin, with).await;
    assert_eq!((&verdict["outcome"], &verdict["violations"][0]["count"]), (&json!("OVERRIDDEN"), &json!(1)));
    assert_eq!(verdict["overrideReason"], "a hotfix; the finding is in a test");
    assert!(text(&verdict["overriddenBy"]["email"]).contains('@'), "{verdict}");
    let trail = yard.test.data(&yard.admin, "{ auditEvents(first: 20) { nodes { action detail } } }", json!({})).await;
    assert!(trail.to_string().contains("a hotfix; the finding is in a test"), "{trail}");

    // It has been deployed: it is new no more.
    let next = yard.push(4, &[EVAL, NEW], json!({ "deployTo": "production" })).await;
    let passed = yard.gate_of(&next).await;
    assert_eq!((&passed["status"], &passed["gate"]["outcome"]), (&json!("SUCCEEDED"), &json!("PASSED")), "{passed}");
}

#[tokio::test]
async fn going_back_is_warned_of_and_not_kept_back() {
    let yard = yard().await;
    for (n, hits) in [(1, &[EVAL][..]), (2, &[])] {
        let id = yard.push(n, hits, json!({ "deployTo": "production" })).await;
        assert_eq!(yard.gate_of(&id).await["status"], "SUCCEEDED");
    }
    yard.gate("BLOCK", false).await;
    let document =
        format!("mutation($i: RollbackServiceInput!) {{ rollbackService(input: $i) {{ deployment {{ {GATE} }} }} }}");
    let back = yard.test.data(&yard.member, &document, json!({ "i": { "serviceId": yard.service } })).await;
    let verdict = &back["rollbackService"]["deployment"]["gate"];
    assert_eq!(verdict["outcome"], "WARNED", "{back}");
    // It is fixed in the commit that came after, and in the one that comes back it is not.
    assert_eq!(verdict["violations"][0]["message"], "1 SAST finding above MEDIUM: 1 HIGH");
    let asked = format!("query($i: RollbackServiceInput!) {{ rollbackPreview(input: $i) {{ {GATE} }} }}");
    let shown = yard.test.data(&yard.member, &asked, json!({ "i": { "serviceId": yard.service } })).await;
    assert_eq!(shown["rollbackPreview"]["gate"]["outcome"], "WARNED");
}

#[tokio::test]
async fn a_warning_lets_it_through_and_what_is_off_says_nothing() {
    let yard = yard().await;
    yard.gate("WARN", false).await;
    let id = yard.push(1, &[EVAL, PICKLE], json!({ "deployTo": "production" })).await;
    let warned = yard.gate_of(&id).await;
    assert_eq!((&warned["status"], &warned["gate"]["outcome"]), (&json!("SUCCEEDED"), &json!("WARNED")), "{warned}");
    assert_eq!(warned["gate"]["violations"][0]["count"], 1);
    let off = json!({ "enabled": false, "mode": "BLOCK", "rules": [{ "kind": "SAST", "maxSeverity": "INFO" }] });
    assert!(yard.save_gate(&yard.admin, off).await.errors.is_empty());
    assert_eq!(yard.preview(&id).await, Value::Null);
    assert_eq!(yard.deployed(&yard.member, json!({})).await, Value::Null);
}

#[tokio::test]
async fn a_waiver_holds_until_its_time_is_over() {
    let yard = yard().await;
    yard.gate("BLOCK", false).await;
    let pipeline = yard.push(1, &[EVAL], json!({})).await;
    assert_eq!(yard.preview(&pipeline).await["outcome"], "BLOCKED");
    let id = text(&yard.finding("py.eval").await["id"]);
    let ignore = json!({ "id": id, "state": "IGNORED", "reason": "never reached", "until": yard.later(10) });
    assert_eq!(code(&yard.set_state(&yard.member, ignore.clone()).await).as_deref(), Some("FORBIDDEN"));
    assert!(yard.set_state(&yard.admin, ignore).await.errors.is_empty());
    assert_eq!(yard.preview(&pipeline).await["outcome"], "PASSED");
    assert_eq!(yard.deployed(&yard.member, json!({})).await["outcome"], "PASSED");
    yard.test.clock.advance(TimeDelta::minutes(11));
    assert_eq!(yard.preview(&pipeline).await["outcome"], "BLOCKED");
    let (_, why, _) = reason(&yard.deploy(&yard.member, json!({})).await);
    assert_eq!(why, "GATE_BLOCKED");
}

#[tokio::test]
async fn what_is_waived_holds_nothing_back_when_it_is_mended_later() {
    let yard = yard().await;
    yard.gate("BLOCK", false).await;
    let first = yard.push(1, &[EVAL], json!({})).await;
    let ignore = json!({ "id": yard.finding("py.eval").await["id"], "state": "IGNORED", "reason": "never reached" });
    assert!(yard.set_state(&yard.admin, ignore).await.errors.is_empty());
    yard.push(2, &[], json!({})).await;
    assert_eq!(yard.states().await, ["py.eval FIXED"]);
    assert_eq!(yard.preview(&first).await["outcome"], "PASSED", "it is in the first build still, and waived there");
}

#[tokio::test]
async fn without_a_result_it_is_kept_back() {
    let yard = Yard::with(|told| vec![tool(told, "semgrep", ScanKind::Sast), tool(told, "zap", ScanKind::Dast)]).await;
    yard.push_images().await;
    let unseen = yard.push(1, &[], json!({})).await;
    yard.gate("BLOCK", false).await;
    let verdict = yard.preview(&unseen).await;
    assert_eq!(verdict["outcome"], "BLOCKED");
    assert!(text(&verdict["violations"][0]["message"]).contains("there is no result of SAST"), "{verdict}");
    // One that crashed has none either.
    yard.save_scans(&["SAST"]).await;
    yard.test.sources.push("main", commit(2));
    yard.break_down("semgrep", 3);
    let crashed = yard.start_pipeline(json!({})).await;
    work(&yard.test).await;
    assert_eq!(yard.gate_of(&crashed).await["stages"][2]["kind"], "SCAN");
    let answer = yard.deploy(&yard.member, json!({ "pipelineId": crashed })).await;
    assert!(!answer.errors.is_empty());
    // A scan by hand of the same commit is a result.
    yard.hits("semgrep", &[]);
    let by_hand = yard.scan("main").await;
    assert_eq!(by_hand["status"], "SUCCEEDED", "{by_hand}");
    let clean = yard.push(2, &[], json!({})).await;
    assert_eq!(yard.preview(&clean).await["outcome"], "PASSED");
    // DAST looks at what runs: before this build does it can't be asked for.
    let dast = json!({ "enabled": true, "mode": "BLOCK", "rules": [{ "kind": "DAST", "maxSeverity": "LOW" }] });
    assert!(yard.save_gate(&yard.admin, dast).await.errors.is_empty());
    assert_eq!(yard.preview(&clean).await["outcome"], "WARNED");
    let warned = yard.deployed(&yard.member, json!({})).await;
    assert_eq!(warned["outcome"], "WARNED");
    assert!(text(&warned["violations"][0]["message"]).contains("it is looked at once it runs"), "{warned}");
}

#[tokio::test]
async fn what_a_forgotten_scan_saw_is_no_result() {
    let yard = yard().await;
    yard.gate("BLOCK", false).await;
    let pipeline = yard.push(1, &[EVAL], json!({})).await;
    assert_eq!(yard.preview(&pipeline).await["violations"][0]["count"], 1);
    scan::Entity::update_many()
        .col_expr(scan::Column::Pruned, true.into())
        .exec(yard.test.app.db.read_write())
        .await
        .unwrap();
    let verdict = yard.preview(&pipeline).await;
    assert_eq!((&verdict["outcome"], &verdict["violations"][0]["count"]), (&json!("BLOCKED"), &json!(0)));
}

#[tokio::test]
async fn what_a_tool_saw_counts_although_it_broke_down_later() {
    let yard = Yard::new(&["semgrep", "bandit"]).await;
    yard.save_scans(&["SAST"]).await;
    yard.push_images().await;
    yard.gate("BLOCK", false).await;
    yard.hits("bandit", &[NEW]);
    let pipeline = yard.push(1, &[], json!({})).await;
    assert_eq!(yard.preview(&pipeline).await["violations"][0]["count"], 1);
    yard.break_down("bandit", 2);
    let part = yard.scan("main").await;
    assert_eq!(part["status"], "INCOMPLETE", "{part}");
    let verdict = yard.preview(&pipeline).await;
    assert_eq!((&verdict["outcome"], &verdict["violations"][0]["count"]), (&json!("BLOCKED"), &json!(1)));
}

#[tokio::test]
async fn a_service_has_its_own_or_its_organizations() {
    let yard = yard().await;
    let shown = async |actor: &Actor| {
        let document = "query($id: ID!) { service(id: $id) { securityGate { enabled mode inherited rules { kind } } } \
            one: securityGate(serviceId: $id) { inherited } all: securityGate { inherited mode } }";
        yard.test.data(actor, document, json!({ "id": yard.service })).await
    };
    assert_eq!(shown(&yard.member).await["service"]["securityGate"], Value::Null);
    yard.gate("BLOCK", false).await;
    let inherited = shown(&yard.member).await;
    assert_eq!(inherited["service"]["securityGate"]["inherited"], true, "{inherited}");
    assert_eq!(inherited["one"]["inherited"], true);
    assert_eq!(inherited["all"], json!({ "inherited": false, "mode": "BLOCK" }));

    let own = json!({ "serviceId": yard.service, "enabled": true, "mode": "WARN", "rules": [] });
    assert!(yard.save_gate(&yard.admin, own.clone()).await.errors.is_empty());
    let shown_own = shown(&yard.member).await;
    assert_eq!(
        shown_own["service"]["securityGate"],
        json!({ "enabled": true, "mode": "WARN", "inherited": false, "rules": [] })
    );
    let pipeline = yard.push(1, &[EVAL], json!({})).await;
    assert_eq!(yard.preview(&pipeline).await["outcome"], "PASSED");

    let remove =
        "mutation($i: RemoveSecurityGateInput!) { removeSecurityGate(input: $i) { securityGate { mode inherited } } }";
    let input = json!({ "i": { "serviceId": yard.service } });
    let removed = yard.test.data(&yard.admin, remove, input.clone()).await;
    assert_eq!(removed["removeSecurityGate"]["securityGate"], json!({ "mode": "BLOCK", "inherited": true }));
    assert_eq!(yard.preview(&pipeline).await["outcome"], "BLOCKED");
    let again = yard.test.run(Some(&yard.admin), remove, input).await;
    assert_eq!(code(&again).as_deref(), Some("NOT_FOUND"));

    // For admins, of their own organization, and each rule once.
    assert!(!yard.save_gate(&yard.member, own.clone()).await.errors.is_empty());
    let stranger = yard.test.organization("other").await;
    assert_eq!(code(&yard.save_gate(&stranger, own).await).as_deref(), Some("NOT_FOUND"));
    let twice = json!([{ "kind": "SCA", "maxSeverity": "LOW" }, { "kind": "SCA", "maxSeverity": "HIGH" }]);
    let answer = yard.save_gate(&yard.admin, json!({ "enabled": true, "mode": "WARN", "rules": twice })).await;
    let said = serde_json::to_value(&answer.errors[0].extensions).unwrap();
    assert_eq!((code(&answer).as_deref(), &said["field"]), (Some("BAD_USER_INPUT"), &json!("input.rules.1")));
}

#[tokio::test]
async fn a_rule_that_is_saved_again_keeps_its_time() {
    let yard = yard().await;
    yard.gate("BLOCK", true).await;
    let new = yard.push(1, &[NEW], json!({})).await;
    assert_eq!(yard.preview(&new).await["outcome"], "BLOCKED");
    yard.gate("BLOCK", true).await;
    assert_eq!(yard.preview(&new).await["outcome"], "BLOCKED");
    // Another rule is another one.
    yard.test.clock.advance(TimeDelta::minutes(1));
    let rules = json!([{ "kind": "SAST", "maxSeverity": "LOW", "onlyNew": true }]);
    let input = json!({ "enabled": true, "mode": "BLOCK", "rules": rules });
    assert!(yard.save_gate(&yard.admin, input).await.errors.is_empty());
    assert_eq!(yard.preview(&new).await["outcome"], "PASSED");
}

#[tokio::test]
async fn what_waits_for_an_approval_is_asked_again() {
    let yard = yard().await;
    let hold =
        "mutation($id: ID!) { saveEnvironment(input: {serviceId: $id, name: \"production\", requireApproval: true}) {
        environment { id } } }";
    yard.test.data(&yard.admin, hold, json!({ "id": yard.service })).await;
    yard.gate("BLOCK", false).await;
    let pipeline = yard.push(1, &[], json!({ "deployTo": "production" })).await;
    assert_eq!(yard.gate_of(&pipeline).await["status"], "WAITING_APPROVAL");
    let ask = format!(
        "query($id: ID!) {{ service(id: $id) {{ environments {{ latestDeployment {{ id status {GATE} }} }} }} }}"
    );
    let waits = async || {
        let shown = yard.test.data(&yard.admin, &ask, json!({ "id": yard.service })).await;
        shown["service"]["environments"][0]["latestDeployment"].clone()
    };
    let id = text(&waits().await["id"]);
    assert_eq!(waits().await["gate"]["outcome"], "PASSED");
    // Something is found meanwhile in the very commit that waits.
    yard.hits("semgrep", &[EVAL]);
    assert_eq!(yard.scan("main").await["status"], "SUCCEEDED");

    let resolve = format!(
        "mutation($i: ResolveApprovalInput!) {{ resolveApproval(input: $i) {{ deployment {{ status {GATE} }} }} }}"
    );
    let say = async |more: Value| {
        let mut input = json!({ "id": id, "approve": true });
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        yard.test.run(Some(&yard.admin), &resolve, json!({ "i": input })).await
    };
    let (code, why, message) = reason(&say(json!({})).await);
    assert_eq!((code.as_deref(), why), (Some("FAILED_PRECONDITION"), json!("GATE_BLOCKED")));
    assert!(message.contains("1 SAST finding above MEDIUM"), "{message}");
    assert_eq!(waits().await["status"], "WAITING_APPROVAL");
    assert_eq!(
        crate::support::app::code(&say(json!({ "gateOverride": " " })).await).as_deref(),
        Some("BAD_USER_INPUT")
    );
    let answer = say(json!({ "gateOverride": "it is in a test" })).await;
    assert!(answer.errors.is_empty(), "{:?}", answer.errors);
    let shown = waits().await;
    assert_eq!((&shown["status"], &shown["gate"]["outcome"]), (&json!("QUEUED"), &json!("OVERRIDDEN")));
    let trail = "{ auditEvents(action: \"deployment.approved\") { nodes { detail } } }";
    let trail = yard.test.data(&yard.admin, trail, json!({})).await;
    assert!(trail.to_string().contains("it is in a test"), "{trail}");
    work(&yard.test).await;
    assert_eq!(waits().await["status"], "SUCCEEDED");
}

#[tokio::test]
async fn what_was_overridden_goes_on_as_long_as_nothing_else_is_against_it() {
    let yard = yard().await;
    let hold =
        "mutation($id: ID!) { saveEnvironment(input: {serviceId: $id, name: \"production\", requireApproval: true}) {
        environment { id } } }";
    yard.test.data(&yard.admin, hold, json!({ "id": yard.service })).await;
    yard.gate("BLOCK", false).await;
    let pipeline = yard.push(1, &[EVAL], json!({})).await;
    let resolve = "mutation($i: ResolveApprovalInput!) { resolveApproval(input: $i) { deployment { status } } }";
    let resolve = async |answer: Response| {
        let id = answer.data.into_json().unwrap()["deployService"]["deployment"]["id"].clone();
        yard.test.run(Some(&yard.admin), resolve, json!({ "i": { "id": id, "approve": true } })).await
    };
    let with = json!({ "pipelineId": pipeline, "gateOverride": "a hotfix" });
    let asked = yard.deploy(&yard.admin, with.clone()).await;
    assert!(resolve(asked).await.errors.is_empty());
    work(&yard.test).await;
    // Another thing is found before it is let go on.
    let asked = yard.deploy(&yard.admin, with).await;
    yard.hits("semgrep", &[EVAL, NEW]);
    yard.scan("main").await;
    let (_, why, _) = reason(&resolve(asked).await);
    assert_eq!(why, "GATE_BLOCKED");
}
