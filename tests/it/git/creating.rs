//! Making a project and registering it: two halves, either of which may fail.

use kiops::domain::git::Provider;
use kiops::git::GitError;
use serde_json::{Value, json};

use super::{House, data, fault};
use crate::support::git::Effect;
use crate::support::shop::mutate;

fn project(name: &str) -> Value {
    json!({ "provider": "GITLAB", "projectName": "made", "name": name })
}

fn projects(house: &House) -> Vec<String> {
    house.test.gits.of(Provider::Gitlab).projects.iter().map(|p| p.project.path.to_string()).collect()
}

fn fail(house: &House, call: &'static str, error: GitError, effect: Effect) {
    house.test.gits.of(Provider::Gitlab).failures.insert(call, (error, effect));
}

fn mend(house: &House) {
    house.test.gits.of(Provider::Gitlab).failures.clear();
}

fn unreachable() -> GitError {
    GitError::Unreachable("GitLab at https://gitlab.example: no answer".to_owned())
}

#[tokio::test]
async fn a_project_is_made_private_with_the_branch_that_was_chosen() {
    let house = House::new().await;
    for (input, path, branch, private) in [
        (json!({ "projectName": "one", "name": "one" }), "bot/one", "main", true),
        (
            json!({ "projectName": "two", "name": "two", "gitNamespace": "acme", "branch": "release/1.0+rc", "private": false }),
            "acme/two",
            "release/1.0+rc",
            false,
        ),
    ] {
        for provider in ["GITLAB", "GITHUB"] {
            let mut input = input.clone();
            input["provider"] = json!(provider);
            input["name"] = json!(format!("{}-{}", input["name"].as_str().unwrap(), provider.to_lowercase()));
            let made = data(house.ask(&house.member, "createGitProject", input).await);
            let service = &made["createGitProject"]["service"];
            assert_eq!((&service["git"]["projectPath"], &service["git"]["branch"]), (&json!(path), &json!(branch)));
            let which = if provider == "GITLAB" { Provider::Gitlab } else { Provider::Github };
            let there =
                house.test.gits.of(which).projects.iter().find(|p| p.project.path.as_str() == path).cloned().unwrap();
            assert_eq!((there.branches, there.project.private), (vec![branch.to_owned()], private));
        }
    }
    assert_eq!(house.test.rows().await["git_creation"].len(), 0, "nothing is left to go on with");
}

#[tokio::test]
async fn what_the_provider_finds_fault_with_is_told_at_its_field() {
    let house = House::new().await;
    house.project("bot/taken", &["main"]);
    let (code, _, field, message) = fault(
        &house
            .ask(
                &house.member,
                "createGitProject",
                json!({ "provider": "GITLAB", "projectName": "taken", "name": "x" }),
            )
            .await,
    );
    assert_eq!((code.as_str(), field.as_str()), ("CONFLICT", "input.projectName"));
    assert!(message.contains("register it as an existing project"), "{message}");
    let input = json!({ "provider": "GITLAB", "projectName": "made", "name": "x", "gitNamespace": "nobody" });
    let (code, _, field, _) = fault(&house.ask(&house.member, "createGitProject", input).await);
    assert_eq!((code.as_str(), field.as_str()), ("BAD_USER_INPUT", "input.gitNamespace"));
    fail(&house, "create_project", GitError::Invalid("name is reserved".to_owned()), Effect::Nothing);
    let (code, _, field, _) = fault(&house.ask(&house.member, "createGitProject", project("x")).await);
    assert_eq!((code.as_str(), field.as_str()), ("BAD_USER_INPUT", "input.projectName"));
    fail(&house, "create_project", GitError::Forbidden("not in this group".to_owned()), Effect::Nothing);
    assert_eq!(fault(&house.ask(&house.member, "createGitProject", project("x")).await).1, "GIT_SCOPE_MISSING");
    assert_eq!(house.test.rows().await["git_creation"].len(), 0, "what was certainly not made is not remembered");
    for (field, value) in
        [("projectName", "a/b"), ("projectName", "x.git"), ("branch", "-x"), ("name", "X"), ("gitNamespace", "../x")]
    {
        let mut input = project("x");
        input[field] = json!(value);
        let answer = house.ask(&house.member, "createGitProject", input).await;
        assert_eq!(fault(&answer).2, format!("input.{field}"));
    }
    assert_eq!(projects(&house), ["bot/taken"]);
}

#[tokio::test]
async fn an_answer_that_is_lost_makes_no_second_project() {
    let house = House::new().await;
    // The provider made it, and the answer was lost.
    fail(&house, "create_project", unreachable(), Effect::Done);
    let (code, _, _, message) = fault(&house.ask(&house.member, "createGitProject", project("shop")).await);
    assert_eq!(code, "UPSTREAM_ERROR");
    assert!(
        message.contains("Whether made was made is not known") && message.contains("ask for it again"),
        "{message}"
    );
    mend(&house);
    let made = data(house.ask(&house.member, "createGitProject", project("shop")).await);
    assert_eq!(made["createGitProject"]["service"]["git"]["projectPath"], "bot/made");
    assert_eq!(projects(&house), ["bot/made"]);

    // It was not made: asking again makes it.
    let house = House::new().await;
    fail(&house, "create_project", unreachable(), Effect::Nothing);
    assert_eq!(fault(&house.ask(&house.member, "createGitProject", project("shop")).await).0, "UPSTREAM_ERROR");
    assert_eq!(projects(&house), Vec::<String>::new());
    mend(&house);
    data(house.ask(&house.member, "createGitProject", project("shop")).await);
    assert_eq!(projects(&house), ["bot/made"]);
}

#[tokio::test]
async fn where_registering_fails_the_message_says_how_to_go_on() {
    let house = House::new().await;
    fail(&house, "first_branch", unreachable(), Effect::Nothing);
    let (code, _, _, message) = fault(&house.ask(&house.member, "createGitProject", project("shop")).await);
    assert_eq!(code, "UPSTREAM_ERROR");
    assert!(message.contains("GitLab has made bot/made, and it is not registered yet"), "{message}");
    assert!(message.contains("or register bot/made as an existing project"), "{message}");
    assert_eq!(projects(&house), ["bot/made"]);
    assert_eq!(house.test.rows().await["service"].len(), 0);
    mend(&house);
    let made = data(house.ask(&house.member, "createGitProject", project("shop")).await);
    assert_eq!(made["createGitProject"]["service"]["git"]["branch"], "main");
    assert_eq!(house.test.rows().await["git_creation"].len(), 0);
}

#[tokio::test]
async fn a_name_that_is_taken_in_the_meantime_needs_another_and_no_second_project() {
    let house = House::new().await;
    let runtime = json!({ "name": "engine", "docker": { "host": "tcp://192.0.2.1:2375" } });
    let runtime = mutate(&house.test, &house.admin, "registerRuntime", runtime).await;
    // Twenty ask for one project under one name: one wins.
    let all = (0..20).map(|_| house.ask(&house.member, "createGitProject", project("shop")));
    let answers = futures_util::future::join_all(all).await;
    assert_eq!(answers.iter().filter(|a| a.errors.is_empty()).count(), 1);
    assert!(answers.iter().all(|a| a.errors.is_empty() || fault(a).0 == "CONFLICT"), "{answers:?}");
    assert_eq!(projects(&house), ["bot/made"]);
    assert_eq!(house.test.rows().await["git_creation"].len(), 0);
    // Taken before: the provider is not even asked.
    house.test.gits.of(Provider::Gitlab).calls.clear();
    let input = json!({ "provider": "GITLAB", "projectName": "other", "name": "shop", "runtimeId": runtime });
    let (code, _, field, _) = fault(&house.ask(&house.member, "createGitProject", input).await);
    assert_eq!((code.as_str(), field.as_str()), ("CONFLICT", "input.name"));
    assert_eq!(house.test.gits.of(Provider::Gitlab).calls, Vec::<&str>::new());
}

#[tokio::test]
async fn a_name_that_is_taken_between_the_halves_is_changed_and_no_second_project_is_made() {
    let house = House::new().await;
    fail(&house, "first_branch", unreachable(), Effect::Nothing);
    assert_eq!(fault(&house.ask(&house.member, "createGitProject", project("shop")).await).0, "UPSTREAM_ERROR");
    mend(&house);
    house.project("group/other", &["main"]);
    let taken = json!({ "provider": "GITLAB", "project": "group/other", "branch": "main", "name": "shop" });
    mutate(&house.test, &house.member, "registerGitProject", taken).await;
    assert_eq!(fault(&house.ask(&house.member, "createGitProject", project("shop")).await).2, "input.name");
    // Another name, and another branch while one is at it.
    let mut again = project("store");
    again["branch"] = json!("trunk");
    let made = data(house.ask(&house.member, "createGitProject", again).await);
    assert_eq!(made["createGitProject"]["service"]["git"]["branch"], "trunk");
    assert_eq!(projects(&house), ["bot/made", "group/other"]);
}

#[tokio::test]
async fn a_project_that_somebody_else_made_since_is_not_taken_for_ones_own() {
    let house = House::new().await;
    fail(&house, "create_project", unreachable(), Effect::Nothing);
    fault(&house.ask(&house.member, "createGitProject", project("shop")).await);
    mend(&house);
    // An hour later somebody makes it by hand.
    house.test.clock.advance(chrono::TimeDelta::hours(1));
    {
        let mut gitlab = house.test.gits.of(Provider::Gitlab);
        gitlab.now = house.test.app.clock.now();
        gitlab.add("bot/made", &["precious"]);
    }
    let (code, _, field, message) = fault(&house.ask(&house.member, "createGitProject", project("shop")).await);
    assert_eq!((code.as_str(), field.as_str()), ("CONFLICT", "input.projectName"), "{message}");
    let found = house.test.gits.of(Provider::Gitlab).projects[0].clone();
    assert_eq!(found.branches, ["precious"], "its branches are its owner's");
}

#[tokio::test]
async fn a_repeat_that_wants_something_else_is_told_so() {
    let house = House::new().await;
    let public = json!({ "provider": "GITLAB", "projectName": "made", "name": "shop", "private": false });
    fail(&house, "create_project", unreachable(), Effect::Done);
    fault(&house.ask(&house.member, "createGitProject", public.clone()).await);
    mend(&house);
    // While the other call may still be at it, nobody asks for something else.
    let (code, _, field, _) = fault(&house.ask(&house.member, "createGitProject", project("shop")).await);
    assert_eq!((code.as_str(), field.as_str()), ("CONFLICT", "input.projectName"));
    house.test.clock.advance(chrono::TimeDelta::minutes(3));
    let (code, _, field, message) = fault(&house.ask(&house.member, "createGitProject", project("shop")).await);
    assert_eq!((code.as_str(), field.as_str()), ("CONFLICT", "input.private"), "{message}");
    data(house.ask(&house.member, "createGitProject", public).await);
    assert_eq!(projects(&house), ["bot/made"]);
}

#[tokio::test]
async fn a_runtime_that_goes_between_the_halves_is_named_as_what_is_missing() {
    let house = House::new().await;
    let runtime = json!({ "name": "engine", "docker": { "host": "tcp://192.0.2.1:2375" } });
    let runtime = mutate(&house.test, &house.admin, "registerRuntime", runtime).await;
    let mut input = project("shop");
    input["runtimeId"] = json!(runtime);
    // Gone while the provider is asked.
    let admin = house.admin.clone();
    let app = house.test.app.clone();
    let row = kiops::graphql::ids::NodeKind::Runtime.row(&async_graphql::ID(runtime)).unwrap();
    house.test.gits.of(Provider::Gitlab).hook = Some(Box::new(move || {
        let (app, admin, row) = (app.clone(), admin.clone(), row.clone());
        Box::pin(async move { kiops::app::runtimes::remove(&app, &admin, &row).await.map(drop).unwrap() })
    }));
    let (code, _, _, message) = fault(&house.ask(&house.member, "createGitProject", input).await);
    assert_eq!(code, "NOT_FOUND");
    assert!(message.contains("bot/made") && message.contains("with another runtime, or none"), "{message}");
    data(house.ask(&house.member, "createGitProject", project("shop")).await);
    assert_eq!(projects(&house), ["bot/made"]);
}
