//! Answers that api.github.com gave, and those that GitHub documents, are understood.

use serde_json::Value;
use wiremock::matchers::{any, method, path as on};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::openapi::Description;
use super::*;
use crate::git::github::wire;

fn recorded(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn a_recorded_repository_is_read() {
    let server = MockServer::start().await;
    let record = &recorded(include_str!("../../../../tests/fixtures/github/recorded/get-repository.json"))[0];
    Mock::given(on(record["path"].as_str().unwrap()))
        .respond_with(ResponseTemplate::new(200).set_body_json(&record["response"]))
        .mount(&server)
        .await;
    let github = connect(&server.uri(), TOKEN, &Arc::default());
    let project = github.project(&at("octokit-fixture-org/hello-world")).await.unwrap().unwrap();
    assert_eq!(project.external_id, "1000");
    assert_eq!(project.path, path("octokit-fixture-org/hello-world"));
    assert_eq!(project.web_url, "https://github.com/octokit-fixture-org/hello-world");
    assert_eq!(project.default_branch.as_deref(), Some("master"));
    assert!(!project.private && !project.archived && project.description.is_none());
    assert!(project.last_activity_at.is_some());
}

#[tokio::test]
async fn a_recorded_renaming_is_followed() {
    let server = MockServer::start().await;
    let records = recorded(include_str!("../../../../tests/fixtures/github/recorded/rename-repository.json"));
    for record in records.iter().filter(|record| record["method"] == "get") {
        let status = u16::try_from(record["status"].as_u64().unwrap()).unwrap();
        let mut answer = ResponseTemplate::new(status).set_body_json(&record["response"]);
        if status == 301 {
            let location = record["headers"]["location"].as_str().unwrap();
            answer = answer.insert_header("location", location.replace("https://api.github.com", &server.uri()));
        }
        Mock::given(method("GET")).and(on(record["path"].as_str().unwrap())).respond_with(answer).mount(&server).await;
    }
    let github = connect(&server.uri(), TOKEN, &Arc::default());
    let old = "octokit-fixture-org/rename-repository";
    for project in [at(old), known(1000, old), known(1000, "somebody/else")] {
        let found = github.project(&project).await.unwrap().unwrap();
        assert_eq!(found.path, path("octokit-fixture-org/rename-repository-newname"), "{project:?}");
    }
    assert_eq!(github.project(&known(1001, old)).await, Ok(None));
}

#[tokio::test]
async fn a_recorded_refusal_is_quoted() {
    let server = MockServer::start().await;
    let record = &recorded(include_str!("../../../../tests/fixtures/github/recorded/errors.json"))[0];
    let answer = ResponseTemplate::new(422).set_body_json(&record["response"]);
    Mock::given(any()).respond_with(answer).mount(&server).await;
    let error = connect(&server.uri(), TOKEN, &Arc::default()).identify().await.unwrap_err();
    assert!(error.to_string().ends_with("refused: Validation Failed; color: invalid"), "{error}");
}

#[test]
fn a_recorded_organization_and_the_documented_answers_are_read() {
    let record = &recorded(include_str!("../../../../tests/fixtures/github/recorded/get-organization.json"))[0];
    let organization: wire::Account = serde_json::from_value(record["response"].clone()).unwrap();
    assert_eq!(organization.login, "octokit-fixture-org");

    let description = Description::read();
    let documented = |name: &str| description.example(name).clone();
    let rows: Vec<wire::Repository> = serde_json::from_value(documented("repository-items-default-response")).unwrap();
    assert_eq!(rows[0].project().unwrap().path, path("octocat/Hello-World"));
    for name in ["full-repository", "full-repository-default-response"] {
        let one: wire::Repository = serde_json::from_value(documented(name)).unwrap();
        assert_eq!(one.project().unwrap().external_id, "1296269", "{name}");
    }
    let found: wire::Found = serde_json::from_value(documented("repo-search-result-item-paginated")).unwrap();
    assert_eq!(found.items[0].project().unwrap().path, path("dtrupenn/Tetris"));
    let memberships: Vec<wire::Membership> = serde_json::from_value(documented("org-membership-items")).unwrap();
    assert_eq!(memberships[0].organization.login, "github");
    let organization: wire::Account = serde_json::from_value(documented("organization-full")).unwrap();
    assert_eq!(organization.members_can_create_repositories, Some(true));
    for name in [
        "private-user-response-with-public-and-private-profile-information",
        "private-user-response-with-public-profile-information",
    ] {
        let me: wire::Account = serde_json::from_value(documented(name)).unwrap();
        assert_eq!(me.login, "octocat");
    }
    let branches: Vec<wire::BranchRow> =
        serde_json::from_value(documented("short-branch-with-protection-items")).unwrap();
    assert_eq!(branches[0].branch(&rows[0]).unwrap().commit.sha, branches[0].commit.sha);
    for name in ["branch-get", "branch-with-protection"] {
        let one: wire::BranchRow = serde_json::from_value(documented(name)).unwrap();
        let branch = one.branch(&rows[0]).unwrap();
        assert!(branch.commit.committed_at.is_some() && branch.commit.author_name.is_some(), "{name}");
    }
}

#[test]
fn a_commit_of_no_date_spoils_no_branch() {
    let description = Description::read();
    let rows: Vec<wire::Repository> =
        serde_json::from_value(description.example("repository-items-default-response").clone()).unwrap();
    let mut branch = description.example("branch-get").clone();
    for date in ["0000-00-00T00:00:00Z", "+292277026596-12-04T15:30:07Z", "", "soon"] {
        branch["commit"]["commit"]["committer"]["date"] = date.into();
        let row: wire::BranchRow = serde_json::from_value(branch.clone()).unwrap();
        assert_eq!(row.branch(&rows[0]).unwrap().commit.committed_at, None, "{date}");
    }
    branch["commit"]["commit"]["committer"]["date"] = "2024-02-29T01:00:00+01:00".into();
    let row: wire::BranchRow = serde_json::from_value(branch).unwrap();
    let date = "2024-02-29T00:00:00Z".parse().unwrap();
    assert_eq!(row.branch(&rows[0]).unwrap().commit.committed_at, Some(date));
}
