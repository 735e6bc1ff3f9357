//! Every example of the events that are read, of npm @octokit/webhooks-examples: tests/fixtures/webhooks/README.md.

use super::*;

fn examples(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}

#[test]
fn every_example_comes_to_what_it_should() {
    let all = [
        ("push", include_str!("../../../../tests/fixtures/webhooks/push.json"), 7),
        ("pull_request", include_str!("../../../../tests/fixtures/webhooks/pull_request.json"), 29),
        ("create", include_str!("../../../../tests/fixtures/webhooks/create.json"), 5),
        ("delete", include_str!("../../../../tests/fixtures/webhooks/delete.json"), 4),
        ("ping", include_str!("../../../../tests/fixtures/webhooks/ping.json"), 4),
    ];
    let mut lines = Vec::new();
    for (name, text, count) in all {
        let examples = examples(text);
        assert_eq!(examples.len(), count, "{name}");
        for (number, payload) in examples.iter().enumerate() {
            let filter = Filter {
                service_branch: BranchName::parse("master").unwrap(),
                external_project_id: payload["repository"]["id"].to_string(),
                ..filter()
            };
            let event = github(name, payload).unwrap_or_else(|error| panic!("{name} {number}: {error}"));
            let what = [&payload["action"], &payload["ref"]].into_iter().filter_map(Value::as_str);
            let what: Vec<_> = what.collect();
            lines.push(format!("{name} {number} {}: {}", what.join(" "), said(&decide(&event, &filter))));
        }
    }
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn a_push_is_read_whole() {
    let payload = &examples(include_str!("../../../../tests/fixtures/webhooks/push.json"))[4];
    insta::assert_debug_snapshot!(github("push", payload).unwrap());
    insta::assert_debug_snapshot!(gitlab("Push Hook", &gitlab_push()).unwrap());
}

#[test]
fn a_merge_request_is_read_whole() {
    let payload = &examples(include_str!("../../../../tests/fixtures/webhooks/pull_request.json"))[0];
    insta::assert_debug_snapshot!(github("pull_request", payload).unwrap());
    insta::assert_debug_snapshot!(gitlab("Merge Request Hook", &gitlab_merge_request()).unwrap());
}
