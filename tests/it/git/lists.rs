//! Projects, branches and namespaces.

use chrono::TimeDelta;
use kiops::domain::git::Provider;
use kiops::git::GitError;
use serde_json::{Value, json};

use super::{House, fault};
use crate::support::git::Effect;
use crate::support::shop::mutate;

#[tokio::test]
async fn projects_are_paged_and_searched_and_show_their_services() {
    let house = House::new().await;
    for n in 0..45 {
        house.project(&format!("group/project-{n:02}"), &["main"]);
    }
    let register = json!({ "provider": "GITLAB", "project": "group/project-44", "branch": "main", "name": "shop" });
    mutate(&house.test, &house.member, "registerGitProject", register.clone()).await;
    let mut second = register;
    second["name"] = json!("shop-api");
    second["contextPath"] = json!("services/api");
    mutate(&house.test, &house.member, "registerGitProject", second).await;

    let document = "query($after: String, $search: String) { gitProjects(provider: GITLAB, first: 20, after: $after, \
        search: $search) { nodes { path externalId private archived defaultBranch webUrl services { name git { contextPath } } } \
        edges { cursor } pageInfo { hasNextPage hasPreviousPage endCursor } } }";
    let mut after = Value::Null;
    let mut seen = Vec::new();
    for page in 0..3 {
        house.test.gits.of(Provider::Gitlab).calls.clear();
        let found = house.test.data(&house.member, document, json!({ "after": after })).await;
        assert_eq!(house.test.gits.of(Provider::Gitlab).calls, ["projects"], "one page is one call");
        let list = &found["gitProjects"];
        assert_eq!(list["pageInfo"]["hasNextPage"], page < 2);
        assert_eq!(list["pageInfo"]["hasPreviousPage"], page > 0);
        seen.extend(list["nodes"].as_array().unwrap().iter().map(|n| n["path"].as_str().unwrap().to_owned()));
        if page == 0 {
            let services = json!([
                { "name": "shop-api", "git": { "contextPath": "services/api" } },
                { "name": "shop", "git": { "contextPath": "." } },
            ]);
            assert_eq!(list["nodes"][0]["services"], services);
            assert_eq!(list["nodes"][1]["services"], json!([]));
        }
        after = list["pageInfo"]["endCursor"].clone();
    }
    assert_eq!(seen.len(), 45);
    assert_eq!((seen[0].as_str(), seen[44].as_str()), ("group/project-44", "group/project-00"));

    let found = house.test.data(&house.member, document, json!({ "search": "project-1" })).await;
    assert_eq!(found["gitProjects"]["nodes"].as_array().unwrap().len(), 10);
    // The same project of the other provider is another one.
    let other = "{ gitProject(provider: GITHUB, path: \"group/project-44\") { path services { name } } \
        none: gitProject(provider: GITHUB, path: \"group/none\") { path } }";
    let found = house.test.data(&house.member, other, Value::Null).await;
    assert_eq!(found["gitProject"]["services"], json!([]));
    assert_eq!(found["none"], Value::Null);
}

#[tokio::test]
async fn bounds_and_cursors_are_checked_before_anything_is_asked() {
    let house = House::new().await;
    house.test.gits.of(Provider::Gitlab).calls.clear();
    for (arguments, field) in [
        ("first: 101", "first"),
        ("first: -1", "first"),
        ("after: \"rubbish!\"", "after"),
        ("search: \"a\\nb\"", "search"),
    ] {
        let document = format!("{{ gitProjects(provider: GITLAB, {arguments}) {{ nodes {{ path }} }} }}");
        let (code, _, at, _) = fault(&house.test.run(Some(&house.member), &document, Value::Null).await);
        assert_eq!((code.as_str(), at.as_str()), ("BAD_USER_INPUT", field), "{arguments}");
    }
    let nothing = "{ gitProjects(provider: GITLAB, first: 0) { nodes { path } pageInfo { hasNextPage } } }";
    assert_eq!(house.test.data(&house.member, nothing, Value::Null).await["gitProjects"]["nodes"], json!([]));
    for (field, argument) in [("gitProject", "path"), ("gitBranches", "project")] {
        for bad in ["shop", "../x", "a/b?c", "-x/y", "https://gitlab.com/a/b", "a//b"] {
            let selection = if field == "gitProject" { "path" } else { "nodes { name }" };
            let document = format!("{{ {field}(provider: GITLAB, {argument}: \"{bad}\") {{ {selection} }} }}");
            let (code, _, at, _) = fault(&house.test.run(Some(&house.member), &document, Value::Null).await);
            assert_eq!((code.as_str(), at.as_str()), ("BAD_USER_INPUT", argument), "{bad}");
        }
    }
    assert_eq!(house.test.gits.of(Provider::Gitlab).calls, Vec::<&str>::new());
}

#[tokio::test]
async fn a_provider_that_is_down_nulls_its_own_field_and_is_named() {
    let house = House::new().await;
    house.project("group/shop", &["main"]);
    let at = house.test.app.clock.now() + TimeDelta::minutes(5);
    for (error, retry) in [
        (GitError::Unreachable("GitLab at https://gitlab.example: no answer within 10 s".to_owned()), false),
        (
            GitError::Limited {
                message: "GitLab at https://gitlab.example limits requests".to_owned(),
                retry_at: Some(at),
            },
            true,
        ),
    ] {
        house.test.gits.of(Provider::Gitlab).failure = Some(error);
        let document = "{ gitlab: gitProjects(provider: GITLAB) { nodes { path } } \
            github: gitProjects(provider: GITHUB) { nodes { path } } viewer { role } }";
        let answer = house.test.run(Some(&house.member), document, Value::Null).await;
        let (code, _, _, message) = fault(&answer);
        assert_eq!(code, "UPSTREAM_ERROR");
        assert!(message.contains("GitLab at https://gitlab.example"), "{message}");
        assert_eq!(answer.errors[0].extensions.as_ref().unwrap().get("retryAt").is_some(), retry);
        assert_eq!(answer.errors.len(), 1);
        let found = answer.data.into_json().unwrap();
        assert_eq!(found["gitlab"], Value::Null);
        assert_eq!(found["github"]["nodes"][0]["path"], "group/shop");
        assert_eq!(found["viewer"]["role"], "MEMBER");
    }
}

#[tokio::test]
async fn a_search_that_is_given_up_says_what_to_type() {
    let house = House::new().await;
    let error = GitError::Invalid("too much to look through: type the whole name".to_owned());
    house.test.gits.of(Provider::Github).failures.insert("projects", (error, Effect::Nothing));
    let cursor = kiops::domain::paging::Cursor(vec!["5".to_owned()]).encode();
    for arguments in ["search: \"x\"".to_owned(), format!("search: \"x\", after: \"{cursor}\"")] {
        let document = format!("{{ gitProjects(provider: GITHUB, {arguments}) {{ nodes {{ path }} }} }}");
        let (code, _, field, message) = fault(&house.test.run(Some(&house.member), &document, Value::Null).await);
        assert_eq!((code.as_str(), field.as_str()), ("BAD_USER_INPUT", "search"));
        assert!(message.contains("type the whole name"), "{message}");
    }
}

#[tokio::test]
async fn branches_are_listed_below_a_project_and_by_its_path() {
    let house = House::new().await;
    let names = ["main", "feature/ä", "fix/#12", "release/1.0+rc", "a/b/c/d"];
    house.project("group/shop", &names);
    let document = "query($search: String) { gitBranches(provider: GITLAB, project: \"group/shop\", search: $search) { nodes { \
        name isDefault protected commit { sha message } } } gitProject(provider: GITHUB, path: \"group/shop\") { branches(first: 2) { \
        nodes { name } pageInfo { hasNextPage } } } \
        gitNamespaces(provider: GITLAB) { nodes { path name kind } } }";
    let found = house.test.data(&house.member, document, Value::Null).await;
    let listed = found["gitBranches"]["nodes"].as_array().unwrap();
    assert_eq!(listed.iter().map(|b| b["name"].as_str().unwrap()).collect::<Vec<_>>(), names);
    assert_eq!((&listed[0]["isDefault"], &listed[1]["isDefault"]), (&json!(true), &json!(false)));
    assert_eq!(found["gitProject"]["branches"]["nodes"], json!([{ "name": "main" }, { "name": "feature/ä" }]));
    assert_eq!(found["gitProject"]["branches"]["pageInfo"]["hasNextPage"], true);
    assert_eq!(found["gitNamespaces"]["nodes"][1], json!({ "path": "acme", "name": "acme", "kind": "GROUP" }));
    let found = house.test.data(&house.member, document, json!({ "search": "e/" })).await;
    assert_eq!(found["gitBranches"]["nodes"].as_array().unwrap().len(), 2);
    let none = "{ gitBranches(provider: GITLAB, project: \"group/none\") { nodes { name } } }";
    assert_eq!(fault(&house.test.run(Some(&house.member), none, Value::Null).await).0, "NOT_FOUND");
}

#[tokio::test]
async fn a_token_that_is_refused_in_use_is_remembered_and_asked_no_more() {
    let house = House::new().await;
    house.test.gits.of(Provider::Gitlab).tokens.clear();
    let document = "{ gitProjects(provider: GITLAB) { nodes { path } } }";
    for actor in [&house.member, &house.admin] {
        let (code, reason, _, message) = fault(&house.test.run(Some(actor), document, Value::Null).await);
        assert_eq!((code.as_str(), reason.as_str()), ("FAILED_PRECONDITION", "GIT_TOKEN_REJECTED"));
        assert!(message.contains("complete \"GitLab Settings\""), "{message}");
    }
    let asked = house.test.gits.of(Provider::Gitlab).calls.iter().filter(|c| **c == "projects").count();
    assert_eq!(asked, 1);
}
