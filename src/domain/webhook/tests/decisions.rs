use super::*;

fn of_gitlab(name: &str, payload: &Value, filter: &Filter) -> String {
    said(&decide(&gitlab(name, payload).unwrap(), filter))
}

fn of_github(name: &str, payload: &Value, filter: &Filter) -> String {
    said(&decide(&github(name, payload).unwrap(), filter))
}

fn patterns(texts: &[&str]) -> Vec<BranchPattern> {
    texts.iter().map(|text| BranchPattern::parse(text).unwrap()).collect()
}

#[test]
fn pushes_start_where_they_are_wanted() {
    let main = format!("PUSH branch main {SHA}");
    let other = "ignored: the branch feature/a/b is not one of those that start a pipeline".to_owned();
    let feature = json!("refs/heads/feature/a/b");
    let cases = [
        (json!("refs/heads/main"), Filter { ..filter() }, main.clone()),
        (feature.clone(), filter(), other.clone()),
        (feature.clone(), Filter { branches: patterns(&["main"]), ..filter() }, other),
        (
            feature.clone(),
            Filter { branches: patterns(&["main", "feature/*"]), ..filter() },
            format!("PUSH branch feature/a/b {SHA}"),
        ),
        // Patterns stand instead of the service's branch.
        (
            json!("refs/heads/main"),
            Filter { branches: patterns(&["feature/*"]), ..filter() },
            "ignored: the branch main is not one of those that start a pipeline".to_owned(),
        ),
        (
            json!("refs/heads/refs/heads/main"),
            Filter { branches: patterns(&["main"]), ..filter() },
            "ignored: the branch refs/heads/main is not one of those that start a pipeline".to_owned(),
        ),
        (
            json!("refs/heads/main"),
            Filter { on_push: false, ..filter() },
            "ignored: pushes do not start pipelines of this service".to_owned(),
        ),
        (json!("refs/heads/main"), Filter { on_tag: false, on_merge_request: false, ..filter() }, main),
        (
            json!("refs/heads/main"),
            Filter { external_project_id: "16".to_owned(), ..filter() },
            "ignored: it is of another project than this service's".to_owned(),
        ),
    ];
    for (name, filter, expected) in cases {
        assert_eq!(of_gitlab("Push Hook", &with(&gitlab_push(), "/ref", name.clone()), &filter), expected);
        assert_eq!(of_github("push", &with(&github_push(), "/ref", name), &filter), expected);
    }
}

#[test]
fn a_branch_that_is_left_somewhere_starts_and_one_that_is_gone_does_not() {
    let started = format!("PUSH branch main {SHA}");
    for payload in [github_push(), gitlab_push()] {
        let is_github = payload.get("head_commit").is_some();
        let decided = |payload: &Value| match is_github {
            true => of_github("push", payload, &filter()),
            false => of_gitlab("Push Hook", payload, &filter()),
        };
        let made = with(&payload, "/before", json!(ZEROS));
        assert_eq!(decided(&made), started);
        // Set back by force to a commit that was there: nothing is new.
        let back = with(&with(&payload, "/commits", json!([])), "/forced", json!(true));
        let back = if is_github { with(&back, "/head_commit", Value::Null) } else { back };
        assert_eq!(decided(&back), started);
        let gone = with(&payload, "/after", json!(ZEROS));
        assert_eq!(decided(&gone), "ignored: the branch was deleted");
        let long = with(&gone, "/after", json!("0".repeat(64)));
        assert_eq!(decided(&long), "ignored: the branch was deleted");
    }
    let deleted = with(&github_push(), "/deleted", json!(true));
    assert_eq!(of_github("push", &deleted, &filter()), "ignored: the branch was deleted");
}

#[test]
fn who_asks_for_no_pipeline_gets_none() {
    let skipped = "ignored: the commit's message says [skip ci]";
    let long = format!("{}[skip ci]", "x".repeat(100_000));
    for (message, expected) in [
        ("[skip ci] words", skipped.to_owned()),
        ("words [CI Skip]", skipped.to_owned()),
        ("words\n\n[skip CI]\n", skipped.to_owned()),
        (&long, skipped.to_owned()),
        ("skip ci", format!("PUSH branch main {SHA}")),
        ("[skipci]", format!("PUSH branch main {SHA}")),
    ] {
        let payload = with(&github_push(), "/head_commit/message", json!(message));
        assert_eq!(of_github("push", &payload, &filter()), expected, "{message:.30}");
        // Only the newest commit's counts.
        let payload = with(&gitlab_push(), "/commits/1/message", json!(message));
        assert_eq!(of_gitlab("Push Hook", &payload, &filter()), expected, "{message:.30}");
    }
    let merge = with(&gitlab_merge_request(), "/object_attributes/last_commit/message", json!("[skip ci]"));
    assert_eq!(of_gitlab("Merge Request Hook", &merge, &filter()), skipped);
    for (options, skips) in [
        (json!({ "ci": { "skip": 1 } }), true),
        (json!({ "ci": { "skip": true } }), true),
        (json!({ "ci": { "skip": "" } }), true),
        (json!({ "ci": { "skip": false } }), false),
        (json!({ "ci": { "variable": { "A": 1 } } }), false),
        (json!({ "merge_request": { "create": 1 } }), false),
        (json!([]), false),
    ] {
        let payload = with(&gitlab_push(), "/push_options", options.clone());
        let ignored = of_gitlab("Push Hook", &payload, &filter()) == "ignored: the push asks for no pipeline: ci.skip";
        assert_eq!(ignored, skips, "{options}");
    }
}

#[test]
fn a_tag_is_built_at_its_commit() {
    const TAG_OBJECT: &str = "82b3d5ae55f7080f1e6022629cdb57bfae7cccc7";
    let expected = format!("TAG tag v1.0/rc {SHA}");
    let payload = with(&with(&gitlab_push(), "/ref", json!("refs/tags/v1.0/rc")), "/object_kind", json!("tag_push"));
    assert_eq!(of_gitlab("Tag Push Hook", &payload, &filter()), expected);
    // An annotated tag is an object, which no pipeline builds.
    let annotated = with(&payload, "/after", json!(TAG_OBJECT));
    assert_eq!(of_gitlab("Tag Push Hook", &annotated, &filter()), expected);
    let unknown = with(&annotated, "/checkout_sha", Value::Null);
    let why = "ignored: the provider did not say which commit the tag v1.0/rc is";
    assert_eq!(of_gitlab("Tag Push Hook", &unknown, &filter()), why);
    let gone = with(&unknown, "/after", json!(ZEROS));
    assert_eq!(of_gitlab("Tag Push Hook", &gone, &filter()), "ignored: the tag was deleted");
    let tagged = with(&with(&github_push(), "/ref", json!("refs/tags/v1.0/rc")), "/after", json!(TAG_OBJECT));
    assert_eq!(of_github("push", &tagged, &filter()), expected);
    let unwanted = Filter { on_tag: false, ..filter() };
    let why = "ignored: tags do not start pipelines of this service";
    assert_eq!(of_gitlab("Tag Push Hook", &payload, &unwanted), why);
    assert_eq!(of_github("push", &tagged, &unwanted), why);
    // Branches that are wanted say nothing of tags, nor does a branch of the tag's name.
    let branches = Filter { branches: patterns(&["nothing"]), on_push: false, ..filter() };
    assert_eq!(of_github("push", &tagged, &branches), expected);
}

#[test]
fn what_is_told_of_twice_starts_once() {
    let made = |kind: &str, name: &str| {
        json!({ "ref": name, "ref_type": kind, "master_branch": "main",
            "repository": { "id": 15, "full_name": "acme/shop" } })
    };
    for (event, kind, expected) in [
        ("create", "tag", "ignored: the push that made the tag is what can start a pipeline"),
        ("create", "branch", "ignored: the push that made the branch is what can start a pipeline"),
        ("delete", "tag", "ignored: the tag was deleted"),
        ("delete", "branch", "ignored: the branch was deleted"),
    ] {
        assert_eq!(of_github(event, &made(kind, "v1/a"), &filter()), expected);
        let other = Filter { external_project_id: "16".to_owned(), ..filter() };
        let why = "ignored: it is of another project than this service's";
        assert_eq!(of_github(event, &made(kind, "v1/a"), &other), why);
    }
    assert!(github("create", &made("repository", "x")).is_err());
}

#[test]
fn merge_requests_start_with_their_code() {
    let started = format!("MERGE_REQUEST branch feature/basket {SHA}");
    let no_code = |name: &str| format!("ignored: the merge request has no new code: {name}");
    let attributes = |changes: &[(&str, Value)]| {
        changes.iter().fold(gitlab_merge_request(), |payload, (name, value)| {
            with(&payload, &format!("/object_attributes/{name}"), value.clone())
        })
    };
    let fork = "ignored: it comes from a fork: a fork's code is never built with this service's secrets, nor deployed";
    let cases = [
        (attributes(&[]), started.clone()),
        (attributes(&[("action", json!("reopen"))]), started.clone()),
        (attributes(&[("action", json!("update")), ("oldrev", json!(OLD))]), started.clone()),
        (attributes(&[("draft", json!(true))]), started.clone()),
        (attributes(&[("action", json!("update"))]), no_code("update")),
        (attributes(&[("action", json!("approved"))]), no_code("approved")),
        (attributes(&[("action", Value::Null)]), "ignored: the merge request has no new code".to_owned()),
        (attributes(&[("action", json!("close"))]), "ignored: the merge request was closed".to_owned()),
        (attributes(&[("action", json!("merge"))]), "ignored: the merge request was closed".to_owned()),
        (attributes(&[("source_project_id", json!(16))]), fork.to_owned()),
        (attributes(&[("source_project_id", Value::Null)]), fork.to_owned()),
        (
            attributes(&[("source_project_id", json!(16)), ("target_project_id", json!(16))]),
            "ignored: it is of another project than this service's".to_owned(),
        ),
        (
            attributes(&[("target_branch", json!("next"))]),
            "ignored: the branch next is not one of those that start a pipeline".to_owned(),
        ),
    ];
    for (payload, expected) in cases {
        assert_eq!(of_gitlab("Merge Request Hook", &payload, &filter()), expected, "{payload}");
    }
    let unwanted = Filter { on_merge_request: false, ..filter() };
    let why = "ignored: merge requests do not start pipelines of this service";
    assert_eq!(of_gitlab("Merge Request Hook", &gitlab_merge_request(), &unwanted), why);
}

#[test]
fn a_pull_request_of_a_fork_starts_nothing() {
    let payload = json!({
        "action": "synchronize", "number": 2, "repository": { "id": 15, "full_name": "acme/shop" },
        "pull_request": { "title": "x", "draft": true,
            "head": { "ref": "main", "sha": SHA, "repo": { "id": 15 } },
            "base": { "ref": "main", "sha": OLD, "repo": { "id": 15 } } },
    });
    assert_eq!(of_github("pull_request", &payload, &filter()), format!("MERGE_REQUEST branch main {SHA}"));
    for repo in [json!({ "id": 16 }), Value::Null, json!({})] {
        let payload = with(&payload, "/pull_request/head/repo", repo);
        assert!(of_github("pull_request", &payload, &filter()).contains("from a fork"));
    }
}

#[test]
fn everything_else_is_ignored_with_its_name() {
    for name in ["Issue Hook", "Pipeline Hook", "Release Hook"] {
        let payload = json!({ "object_kind": "something" });
        let expected = format!("ignored: events of this kind start no pipeline: {name}");
        assert_eq!(of_gitlab(name, &payload, &filter()), expected);
    }
    // An administrator's hook may look like a project's.
    let why = "ignored: events of this kind start no pipeline: System Hook";
    assert_eq!(of_gitlab("System Hook", &gitlab_push(), &filter()), why);
    let why = "ignored: events of this kind start no pipeline: check_runscriptalert";
    assert_eq!(of_github("check_run<script>\nalert", &json!({}), &filter()), why);
    assert_eq!(of_github("ping", &json!({}), &filter()), "ignored: it only tries the webhook, which works");
}

#[test]
fn a_renamed_project_is_known_by_its_id() {
    let payload = with(&gitlab_push(), "/project/path_with_namespace", json!("acme/store"));
    let Decision::Start(start) = decide(&gitlab("Push Hook", &payload).unwrap(), &filter()) else { panic!() };
    assert_eq!(start.path.unwrap().as_str(), "acme/store");
}
