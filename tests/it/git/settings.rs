//! Storing tokens.

use async_graphql::Response;
use kiops::domain::git::Provider;
use kiops::git::GitError;
use serde_json::{Value, json};

use super::{House, data, fault};
use crate::support::git::{GOOD_TOKEN, token};
use crate::support::shop::mutate;

const SETTINGS: &str = "{ gitSettings { id provider baseUrl tokenHint account scopes missingScopes { scope } expiresAt \
    checkedAt savedBy { email } declared statusMessage } }";

async fn save_gitlab(house: &House, base_url: &str, token: &str) -> Response {
    let document =
        "mutation($input: SaveGitlabSettingsInput!) { saveGitlabSettings(input: $input) { gitSettings { id } } }";
    let input = json!({ "input": { "baseUrl": base_url, "token": token } });
    house.test.run(Some(&house.admin), document, input).await
}

async fn gitlab_row(house: &House) -> entity::git_settings::Model {
    use entity::git_settings::Column;
    use sea_orm::{ColumnTrait as _, QueryFilter as _};
    let rows = house.admin.scope.git_settings().filter(Column::Provider.eq(entity::GitProvider::Gitlab));
    rows.one(house.test.app.db.read()).await.unwrap().unwrap()
}

#[tokio::test]
async fn what_is_stored_is_shown_and_the_token_is_not() {
    let house = House::new().await;
    let found = house.test.data(&house.admin, SETTINGS, Value::Null).await;
    let gitlab = &found["gitSettings"][0];
    assert_eq!(gitlab["provider"], "GITLAB");
    assert_eq!(gitlab["baseUrl"], "https://gitlab.example");
    assert_eq!((&gitlab["tokenHint"], &gitlab["account"]), (&json!("good"), &json!("bot")));
    assert_eq!(gitlab["savedBy"]["email"], "admin@acme.example");
    assert_eq!((&gitlab["declared"], &gitlab["statusMessage"]), (&json!(false), &Value::Null));
    assert_eq!(found["gitSettings"][1]["baseUrl"], "https://api.github.com");
    assert!(!found.to_string().contains(GOOD_TOKEN));
    let audit =
        "{ auditEvents(action: \"git_settings.saved\") { nodes { subjectName detail subject { __typename id } } } }";
    let events = house.test.data(&house.admin, audit, Value::Null).await;
    assert_eq!(events["auditEvents"]["nodes"][1]["subjectName"], "GitLab");
    assert_eq!(events["auditEvents"]["nodes"][1]["subject"]["id"], gitlab["id"]);

    let member = house.test.run(Some(&house.member), "{ gitSettings { id } }", Value::Null).await;
    assert_eq!(member.errors[0].message, "Unknown field \"gitSettings\" on type \"Query\".");
    let node = "query($id: ID!) { node(id: $id) { __typename } }";
    assert_eq!(house.test.data(&house.member, node, json!({ "id": gitlab["id"] })).await["node"], Value::Null);
    assert_eq!(
        house.test.data(&house.admin, node, json!({ "id": gitlab["id"] })).await["node"]["__typename"],
        "GitSettings"
    );
}

#[tokio::test]
async fn a_token_is_tried_before_it_is_stored() {
    let house = House::bare().await;
    let rows = house.test.rows().await;
    let at = |answer: Response| {
        let (code, _, field, message) = fault(&answer);
        (code, field, message)
    };
    let (code, field, message) = at(save_gitlab(&house, "https://gitlab.example", "glpat-of-nobody").await);
    assert_eq!((code.as_str(), field.as_str()), ("BAD_USER_INPUT", "input.token"), "{message}");
    let (code, field, _) = at(save_gitlab(&house, "gitlab.example", "").await);
    assert_eq!((code.as_str(), field.as_str()), ("BAD_USER_INPUT", "input.token"));
    let violations = save_gitlab(&house, "gitlab.example", "two words").await;
    let violations = violations.errors[0].extensions.as_ref().unwrap().get("violations").unwrap().clone();
    assert_eq!(violations.into_json().unwrap().as_array().unwrap().len(), 2, "all faults at once");

    let fail = |error: GitError| house.test.gits.of(Provider::Gitlab).failure = Some(error);
    for (error, code, field) in [
        (GitError::Unreachable("GitLab at https://gitlab.example: no answer".to_owned()), "UPSTREAM_ERROR", ""),
        (GitError::NotFound("nothing".to_owned()), "BAD_USER_INPUT", "input.baseUrl"),
        (GitError::Refused("it is a loopback address".to_owned()), "BAD_USER_INPUT", "input.baseUrl"),
        (GitError::Limited { message: "later".to_owned(), retry_at: None }, "UPSTREAM_ERROR", ""),
    ] {
        fail(error.clone());
        let answer = at(save_gitlab(&house, "https://gitlab.example", GOOD_TOKEN).await);
        assert_eq!((answer.0.as_str(), answer.1.as_str()), (code, field), "{error:?}");
    }
    house.test.gits.of(Provider::Gitlab).failure = None;
    let ended = house.test.app.clock.now();
    let info = kiops::git::TokenInfo { expires_at: Some(ended), ..token(&[]) };
    house.test.gits.of(Provider::Gitlab).tokens.insert("glpat-that-has-ended".to_owned(), info);
    let (code, field, message) = at(save_gitlab(&house, "https://gitlab.example", "glpat-that-has-ended").await);
    assert_eq!((code.as_str(), field.as_str()), ("BAD_USER_INPUT", "input.token"));
    assert!(message.contains("ended on"), "{message}");
    assert_eq!(house.test.rows().await, rows, "nothing was written");
}

#[tokio::test]
async fn saves_at_once_leave_one_whole_row() {
    let house = House::bare().await;
    for n in 0..20 {
        let name = format!("glpat-number-{n:04}");
        let info = kiops::git::TokenInfo { account: Some(format!("bot{n:04}")), ..token(&[]) };
        house.test.gits.of(Provider::Gitlab).tokens.insert(name, info);
    }
    let saves = (0..20).map(|n| {
        let house = &house;
        async move {
            data(save_gitlab(house, &format!("https://gitlab{n:04}.example"), &format!("glpat-number-{n:04}")).await)
        }
    });
    futures_util::future::join_all(saves).await;
    let found = house.test.data(&house.admin, SETTINGS, Value::Null).await;
    let [row] = found["gitSettings"].as_array().unwrap().as_slice() else { panic!("{found}") };
    let hint = row["tokenHint"].as_str().unwrap();
    assert_eq!(row["account"], format!("bot{hint}"), "account, address and token are of one save");
    assert_eq!(row["baseUrl"], format!("https://gitlab{hint}.example"));
    // The sealed token is the same one's: what is listed with it works.
    let used = house.test.gits.of(Provider::Gitlab).tokens.remove(&format!("glpat-number-{hint}"));
    assert!(used.is_some());
    let answer =
        house.test.run(Some(&house.member), "{ gitProjects(provider: GITLAB) { nodes { path } } }", Value::Null).await;
    assert_eq!(fault(&answer).1, "GIT_TOKEN_REJECTED");
    assert_eq!(house.test.rows().await["secret"].len(), 1, "no earlier token stays behind");
}

#[tokio::test]
async fn what_is_deleted_is_gone_and_services_stay() {
    let house = House::new().await;
    house.project("group/shop", &["main"]);
    let register = json!({ "provider": "GITLAB", "project": "group/shop", "branch": "main", "name": "shop" });
    let service = mutate(&house.test, &house.admin, "registerGitProject", register).await;
    let delete = "mutation { deleteGitSettings(input: { provider: GITLAB }) { provider } }";
    let hidden = house.test.run(Some(&house.member), delete, Value::Null).await;
    assert_eq!(hidden.errors[0].message, "Unknown field \"deleteGitSettings\" on type \"Mutation\".");
    let deleted = house.test.data(&house.admin, delete, Value::Null).await;
    assert_eq!(deleted["deleteGitSettings"]["provider"], "GITLAB");
    let again = house.test.run(Some(&house.admin), delete, Value::Null).await;
    assert_eq!(fault(&again).0, "NOT_FOUND");
    assert_eq!(house.test.rows().await["secret"].len(), 1, "GitHub's");
    let found =
        "query($id: ID!) { service(id: $id) { git { projectPath } } gitProjects(provider: GITLAB) { nodes { path } } }";
    let answer = house.test.run(Some(&house.member), found, json!({ "id": service })).await;
    assert_eq!(fault(&answer).1, "GIT_NOT_CONFIGURED");
    let answer = answer.data.into_json().unwrap();
    assert_eq!(answer["service"]["git"]["projectPath"], "group/shop");
}

#[tokio::test]
async fn an_address_that_is_left_out_stays() {
    let house = House::bare().await;
    let save = async |input: Value| {
        let document = "mutation($input: SaveGithubSettingsInput!) { saveGithubSettings(input: $input) { gitSettings { baseUrl } } }";
        let saved = house.test.data(&house.admin, document, json!({ "input": input })).await;
        saved["saveGithubSettings"]["gitSettings"]["baseUrl"].as_str().unwrap().to_owned()
    };
    assert_eq!(save(json!({ "token": GOOD_TOKEN })).await, "https://api.github.com");
    let own = "https://github.example/api/v3";
    assert_eq!(save(json!({ "token": GOOD_TOKEN, "baseUrl": own })).await, own);
    assert_eq!(save(json!({ "token": GOOD_TOKEN })).await, own, "a token is not sent to another server");
    assert_eq!(save(json!({ "token": GOOD_TOKEN, "baseUrl": null })).await, "https://api.github.com");
}

#[tokio::test]
async fn a_refusal_of_the_earlier_token_does_not_touch_the_new_one() {
    let house = House::new().await;
    let asked = gitlab_row(&house).await;
    house.test.gits.of(Provider::Gitlab).tokens.clear();
    let info = token(&[]);
    house.test.gits.of(Provider::Gitlab).tokens.insert("glpat-the-new-one".to_owned(), info);
    data(save_gitlab(&house, "https://gitlab.example", "glpat-the-new-one").await);
    // What was asked with the earlier token is answered only now.
    kiops::app::git::check::check(&house.test.app, &asked).await.unwrap();
    let listed =
        house.test.run(Some(&house.member), "{ gitProjects(provider: GITLAB) { nodes { path } } }", Value::Null).await;
    assert!(listed.errors.is_empty(), "{:?}", listed.errors);
}

#[tokio::test]
async fn saves_and_deletions_at_once_leave_no_token_behind() {
    let house = House::new().await;
    let delete = "mutation { deleteGitSettings(input: { provider: GITLAB }) { provider } }";
    let saves = (0..10).map(|_| save_gitlab(&house, "https://gitlab.example", GOOD_TOKEN));
    let deletions = (0..10).map(|_| house.test.run(Some(&house.admin), delete, Value::Null));
    let (saved, deleted) =
        futures_util::join!(futures_util::future::join_all(saves), futures_util::future::join_all(deletions));
    assert!(saved.iter().all(|a| a.errors.is_empty()), "{saved:?}");
    assert!(deleted.iter().all(|a| a.errors.is_empty() || fault(a).0 == "NOT_FOUND"), "{deleted:?}");
    let rows = house.test.rows().await;
    assert_eq!(rows["secret"].len(), rows["git_settings"].len(), "each token is some settings'");
}

#[tokio::test]
async fn what_the_file_states_is_changed_there() {
    use sea_orm::{ActiveModelTrait as _, IntoActiveModel as _, Set};
    let house = House::new().await;
    let mut row = gitlab_row(&house).await.into_active_model();
    row.declared = Set(true);
    row.update(house.test.app.db.read_write()).await.unwrap();
    let delete = "mutation { deleteGitSettings(input: { provider: GITLAB }) { provider } }";
    for answer in [
        save_gitlab(&house, "https://gitlab.example", GOOD_TOKEN).await,
        house.test.run(Some(&house.admin), delete, Value::Null).await,
    ] {
        assert_eq!(fault(&answer).1, "DECLARED");
    }
}
