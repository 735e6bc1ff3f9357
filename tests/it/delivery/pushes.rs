//! A push, and what comes of it.

use serde_json::json;

use super::{TOKEN, Works, push_by_hand, stage, statuses, text};
use crate::support::registry;
use crate::support::server::until;

#[test]
fn a_push_is_built_tested_pushed_and_deployed() {
    let test = "a_push_is_built_tested_pushed_and_deployed";
    let Some(works) = Works::open(test) else { return };
    let Some(works) = works.with_registry(test) else { return };
    works.save(json!({ "testCommand": ["/bin/sh", "-c", "busybox grep version /www/index.html"] }));
    works.auto_deploy();
    works.auto_ci();

    let first = push_by_hand(&works, "version 2");
    assert_eq!(works.deliver("main", &first), 202);
    let started = until("a pipeline", 20, || works.pipelines().pop());
    let done = works.ended(&text(&started["id"]));
    let lines = works.lines(&text(&done["id"]));
    assert_eq!(done["status"], "SUCCEEDED", "{done:#}\n{lines:#?}");
    assert_eq!(statuses(&done), "SUCCEEDED SUCCEEDED SKIPPED SUCCEEDED SUCCEEDED");
    assert_eq!((&done["trigger"], &done["commit"]["sha"]), (&json!("PUSH"), &json!(first)));
    let address = &works.registry.as_ref().unwrap().address;
    let image = text(&done["image"]);
    assert!(image.starts_with(&format!("{address}/team/delivery-")) && image.contains("@sha256:"), "{image}");
    assert_eq!(works.page().as_deref(), Some("version 2"));
    assert!(lines.iter().any(|line| line.starts_with("TEST ") && line.contains("version 2")), "{lines:#?}");

    // The provider was told how the commit fares.
    until("the commit's status", 20, || {
        let state = works.gitlab.state();
        state.statuses.iter().any(|s| s.sha == first && s.state == "success").then_some(())
    });

    // A push that breaks the test: the old version goes on, and the message says which command failed.
    let broken = push_by_hand(&works, "something else");
    assert_eq!(works.deliver("main", &broken), 202);
    let failed = until("a second pipeline", 20, || works.pipelines().into_iter().nth(1));
    let failed = works.ended(&text(&failed["id"]));
    assert_eq!(statuses(&failed), "SUCCEEDED SUCCEEDED SKIPPED FAILED SKIPPED", "{failed:#}");
    let message = text(&stage(&failed, "TEST")["message"]);
    assert!(message.contains("busybox grep version /www/index.html") && message.contains("exit code 1"), "{message}");
    assert_eq!(works.page().as_deref(), Some("version 2"));
    let state = works
        .server
        .data("query($id: ID!) { service(id: $id) { status statusMessage } }", json!({ "id": works.service }));
    assert_eq!(state["service"]["status"], "BUILD_FAILED", "{state}");

    // No secret is anywhere: log, history, layers, labels, process list, the server's own log.
    let tag = image.split('@').next().unwrap();
    let seen = [
        works.docker(&["history", "--no-trunc", tag]),
        works.docker(&["inspect", tag]),
        works.lines(&text(&done["id"])).join("\n"),
        works.server.log(),
    ];
    for (what, seen) in ["history", "inspect", "lines", "log"].iter().zip(&seen) {
        assert!(!seen.contains(TOKEN) && !seen.contains(registry::TOKEN), "{what}");
    }
    works.close();
}

#[test]
fn what_stays_on_the_engine_is_deployed_and_can_be_gone_back_to() {
    let test = "what_stays_on_the_engine_is_deployed_and_can_be_gone_back_to";
    let Some(works) = Works::open(test) else { return };
    let first = works.ended(&works.start(json!({ "deployTo": "production" })));
    assert_eq!(first["status"], "SUCCEEDED", "{first:#}\n{:#?}", works.lines(&text(&first["id"])));
    assert!(text(&first["image"]).starts_with("kiops.internal/default/delivery-"));
    assert_eq!(works.page().as_deref(), Some("version 1"));
    works.commit("main", "version 2");
    let second = works.ended(&works.start(json!({ "deployTo": "production" })));
    assert_eq!(second["status"], "SUCCEEDED", "{second:#}");
    assert_eq!(works.page().as_deref(), Some("version 2"));
    let back = "mutation($id: ID!) { rollbackService(input: {serviceId: $id}) { deployment { id } } }";
    works.server.data(back, json!({ "id": works.service }));
    until("version 1", 60, || works.page().filter(|page| page == "version 1"));
    // The same commit again is the same image: nothing is built a second time.
    let again = works.ended(&works.start(json!({})));
    assert!(text(&stage(&again, "BUILD")["message"]).contains("built by pipeline 2"), "{again:#}");
    works.close();
}
