//! Many who follow one log: each gets every line once and in order, wherever they begin.

use async_graphql::{Request, Variables};
use futures_util::StreamExt as _;
use kiops::app::log::{RunLog, after};
use kiops::builder::{Journal as _, Output};
use kiops::domain::stage::StageKind;
use kiops::graphql::ids::decode;
use kiops::vault::Masker;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{Yard, until};
use crate::support::app::caller;

const FOLLOW: &str = "subscription($id: ID!, $after: String) { pipelineLog(id: $id, after: $after) { text cursor } }";

impl Yard {
    /// Its log, to write to, once what the run has said itself is stored: of two lines with one number the second is lost.
    async fn log(&self, id: &str) -> RunLog {
        let (_, row) = decode(&id.into()).unwrap();
        let mut before = None;
        loop {
            let stored = after(&self.test.app, &row, None, 0, 500).await.unwrap().len();
            if before.replace(stored) == Some(stored) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        }
        RunLog::resume(&self.test.app, &row, StageKind::Build, Masker::new([])).await.unwrap()
    }

    /// All that a subscription gives until it ends.
    fn follow(&self, document: &str, variables: Value) -> JoinHandle<Vec<Value>> {
        let request = Request::new(document).variables(Variables::from_json(variables));
        let answers = self.test.schemas.execute_stream(request, caller(Some(&self.member)));
        tokio::spawn(answers.map(|answer| serde_json::to_value(&answer).unwrap()).collect())
    }
}

fn texts(answers: &[Value]) -> Vec<&str> {
    answers.iter().map(|answer| answer["data"]["pipelineLog"]["text"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn each_gets_every_line_once_wherever_they_begin() {
    let yard = Yard::new().await;
    let gate = yard.test.builder.hold("build");
    let id = yard.start(json!({})).await;
    let run = yard.begin().await;
    until(async || yard.test.builder.count("build") == 1).await;
    let log = yard.log(&id).await;
    let many: Vec<_> = (0..20).map(|_| yard.follow(FOLLOW, json!({ "id": id }))).collect();
    for n in 0..3_000 {
        log.line(Output::Stdout, &format!("line {n}")).await;
        if n % 700 == 0 {
            log.flush().await;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
    log.flush().await;
    // Somebody comes when thousands are there, and another goes on from the middle.
    let late = yard.follow(FOLLOW, json!({ "id": id }));
    gate.add_permits(10);
    run.await.unwrap();
    let late = late.await.unwrap();
    let whole: Vec<_> = texts(&late).into_iter().map(str::to_owned).collect();
    assert!(whole.len() >= 3_000);
    let ours: Vec<_> = whole.iter().filter(|text| text.starts_with("line ")).cloned().collect();
    assert_eq!(ours, (0..3_000).map(|n| format!("line {n}")).collect::<Vec<_>>());
    for one in many {
        assert_eq!(texts(&one.await.unwrap()), whole);
    }
    for from in [0, 1, 499, 500, 501, 1_777, whole.len() - 2, whole.len() - 1] {
        let after = &late[from]["data"]["pipelineLog"]["cursor"];
        let rest = yard.follow(FOLLOW, json!({ "id": id, "after": after })).await.unwrap();
        assert_eq!(texts(&rest), whole[from + 1..], "from {from}");
    }
    // Once the last has gone, nothing is read on anybody's behalf.
    until(async || yard.test.app.tails.followed() == 0).await;
}

#[tokio::test]
async fn a_line_is_written_as_the_library_would_write_it() {
    let yard = Yard::new().await;
    let id = yard.start(json!({})).await;
    crate::support::shop::work(&yard.test).await;
    let log = yard.log(&id).await;
    for text in ["", "\"quoted\" \\ and \u{1}\t\r control", "two\u{2028}lines 🚀 ü", "</script>", "{\"json\": [1]}"]
    {
        log.line(Output::Stderr, text).await;
    }
    log.flush().await;
    for selection in [
        "text",
        "at stage stream text cursor __typename",
        "b: text a: text text c: at kind: __typename",
        "text ...F ... on LogLine { stage @skip(if: true) at text } text } fragment F on LogLine { stream again: stream",
    ] {
        let (fields, fragments) = selection
            .split_once(" } fragment")
            .map_or((selection, String::new()), |(f, rest)| (f, format!("fragment{rest} }}")));
        let followed = format!("subscription($id: ID!) {{ pipelineLog(id: $id) {{ {fields} }} }} {fragments}");
        let followed = yard.follow(&followed, json!({ "id": id })).await.unwrap();
        let listed = format!(
            "query($id: ID!) {{ node(id: $id) {{ ... on Pipeline {{ log(first: 500) {{ nodes {{ {fields} }} }} }} }} }} {fragments}"
        );
        let listed = yard.test.data(&yard.member, &listed, json!({ "id": id })).await;
        let listed = listed["node"]["log"]["nodes"].as_array().unwrap();
        let followed: Vec<_> = followed.iter().map(|answer| &answer["data"]["pipelineLog"]).collect();
        assert!(followed.len() > 5);
        assert_eq!(serde_json::to_string(&followed).unwrap(), serde_json::to_string(&listed).unwrap(), "{selection}");
    }
}

#[tokio::test]
async fn a_line_of_which_nothing_is_asked_is_an_object() {
    let yard = Yard::new().await;
    let id = yard.start(json!({})).await;
    crate::support::shop::work(&yard.test).await;
    let document = "subscription($id: ID!) { pipelineLog(id: $id) { text @skip(if: true) } }";
    let followed = yard.follow(document, json!({ "id": id })).await.unwrap();
    assert!(!followed.is_empty());
    assert!(followed.iter().all(|answer| answer["data"]["pipelineLog"] == json!({})), "{followed:?}");
}

#[tokio::test]
async fn a_log_that_is_forgotten_meanwhile_ends_in_order() {
    let yard = Yard::new().await;
    let id = yard.start(json!({})).await;
    crate::support::shop::work(&yard.test).await;
    let cursor = yard.follow(FOLLOW, json!({ "id": id })).await.unwrap()[0]["data"]["pipelineLog"]["cursor"].clone();
    yard.test.clock.advance(chrono::TimeDelta::days(40));
    kiops::app::log::retention::forget_old(&yard.test.app).await.unwrap();
    let left = yard.follow(FOLLOW, json!({ "id": id })).await.unwrap();
    assert_eq!(texts(&left), ["this log was kept for 30days, and is gone"]);
    assert!(yard.follow(FOLLOW, json!({ "id": id, "after": cursor })).await.unwrap().is_empty());
}
