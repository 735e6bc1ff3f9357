//! People of the file, and their passwords.

use entity::Role;
use kiops::app::declared::Outcome;
use kiops::app::identity::sessions;
use kiops::app::identity::{passwords, tokens, users};
use kiops::domain::secret::{ExposeSecret as _, SecretString};

use super::{ada, apply, everything, is_declared, keys, organization, refused, trail, user};
use crate::support::app::{PASSWORD, TestApp, password};

#[tokio::test]
async fn a_new_password_holds_from_the_next_start_and_ends_sessions() {
    let test = TestApp::new().await;
    let mut file = everything();
    apply(&test, std::slice::from_ref(&file)).await;
    let session = test.login("bob@acme.example", None).await.unwrap();
    let alive =
        async || sessions::authenticate(&test.app, session.token.expose_secret(), None).await.unwrap().is_some();
    assert_eq!(apply(&test, std::slice::from_ref(&file)).await, Outcome::AsItWas);
    assert!(alive().await, "the same password ends nothing");

    file.users[1].password = Some("another password".into());
    apply(&test, std::slice::from_ref(&file)).await;
    assert!(!alive().await);
    assert!(test.login("bob@acme.example", None).await.is_err());
    test.login_as("bob@acme.example", "another password", None, "192.0.2.7").await.unwrap();
    test.login("ada@acme.example", None).await.unwrap();
    let admin = ada(&test, "acme").await;
    assert_eq!(trail(&test, &admin).await.last().unwrap(), "auth.password_set bob@acme.example");
    assert_eq!(apply(&test, std::slice::from_ref(&file)).await, Outcome::AsItWas);

    // Without one in the file it is Bob's own.
    file.users[1].password = None;
    apply(&test, std::slice::from_ref(&file)).await;
    assert_eq!(trail(&test, &admin).await.last().unwrap(), "user.password_released bob@acme.example");
    let bob = test.login_as("bob@acme.example", "another password", None, "192.0.2.7").await.unwrap().actor;
    passwords::change(&test.app, &bob, &"another password".into(), &password()).await.unwrap();
    assert_eq!(apply(&test, &[file]).await, Outcome::AsItWas);
    test.login("bob@acme.example", None).await.unwrap();
}

#[tokio::test]
async fn who_moves_to_another_organization_of_the_file_stays_the_files() {
    let test = TestApp::new().await;
    let mut file = everything();
    apply(&test, std::slice::from_ref(&file)).await;
    let bob = file.users.remove(1);
    let mut other = organization("beta");
    other.users.push(bob);
    other.users[1].password = Some("another password".into());
    apply(&test, &[file, other]).await;
    test.login_as("bob@acme.example", "another password", Some("beta"), "192.0.2.7").await.unwrap();
}

#[tokio::test]
async fn who_is_stated_is_changed_in_the_file_alone() {
    let test = TestApp::new().await;
    apply(&test, &[everything()]).await;
    let admin = ada(&test, "acme").await;
    let bob = test.login("bob@acme.example", None).await.unwrap().actor;
    let new = SecretString::from("another password");
    let before = test.rows().await;
    is_declared(&users::set_role(&test.app, &admin, &bob.user_id, Role::Admin).await.unwrap_err());
    is_declared(&users::remove(&test.app, &admin, &bob.user_id).await.unwrap_err());
    is_declared(&passwords::change(&test.app, &bob, &password(), &new).await.unwrap_err());
    is_declared(&passwords::change(&test.app, &admin, &password(), &new).await.unwrap_err());
    is_declared(&passwords::set(&test.app, "bob@acme.example", &new).await.unwrap_err());
    assert_eq!(test.rows().await, before);

    apply(&test, &[organization("acme")]).await;
    passwords::change(&test.app, &bob, &password(), &new).await.unwrap();
    users::set_role(&test.app, &admin, &bob.user_id, Role::Admin).await.unwrap();
    users::remove(&test.app, &admin, &bob.user_id).await.unwrap();
}

#[tokio::test]
async fn a_lower_role_takes_its_tokens_with_it() {
    let test = TestApp::new().await;
    let mut file = everything();
    file.users[1].role = Role::Admin;
    apply(&test, std::slice::from_ref(&file)).await;
    let bob = test.login("bob@acme.example", None).await.unwrap().actor;
    let (token, _) = tokens::create(&test.app, &bob, "ci", Some(Role::Admin), None).await.unwrap();
    file.users[1].role = Role::Member;
    apply(&test, &[file]).await;
    assert!(sessions::authenticate(&test.app, token.expose_secret(), None).await.unwrap().is_none());
    assert_eq!(test.rows().await["token"].len(), 1);
}

#[tokio::test]
async fn an_account_of_others_is_taken_in_as_it_is_and_never_taken_over() {
    let test = TestApp::new().await;
    let far = test.organization("far").await;
    let eve = test.member(&far, "eve@far.example").await;
    let mut file = organization("acme");
    file.users.push(user("Eve@far.example", Role::Admin, Some("chosen by acme")));
    let faults = refused(&test, std::slice::from_ref(&file)).await;
    assert_eq!(keys(&faults), ["organizations.0.users.1.password"]);
    assert!(faults[0].1.contains("leave the password out"), "{faults:?}");

    file.users[1].password = None;
    apply(&test, std::slice::from_ref(&file)).await;
    test.login("eve@far.example", Some("acme")).await.unwrap();
    passwords::change(&test.app, &eve, &password(), &"a password of Eve".into()).await.unwrap();
    assert_eq!(apply(&test, std::slice::from_ref(&file)).await, Outcome::AsItWas);

    // The operator may: stated everywhere, the account is the file's.
    let mut other = organization("far");
    other.users.push(user("eve@far.example", Role::Member, None));
    file.users[1].password = Some(PASSWORD.into());
    apply(&test, &[file, other]).await;
    test.login("eve@far.example", Some("acme")).await.unwrap();
    is_declared(&passwords::change(&test.app, &eve, &password(), &"a password of Eve".into()).await.unwrap_err());
}

#[tokio::test]
async fn an_account_of_the_file_stays_the_files_wherever_else_it_comes_to() {
    let test = TestApp::new().await;
    let mut file = everything();
    apply(&test, std::slice::from_ref(&file)).await;
    let far = test.organization("far").await;
    test.user(&far, "bob@acme.example", Role::Member).await;
    assert_eq!(apply(&test, std::slice::from_ref(&file)).await, Outcome::AsItWas);
    file.users[1].password = Some("another password".into());
    file.users[1].name = "Bob".to_owned();
    apply(&test, std::slice::from_ref(&file)).await;
    let bob = test.login_as("bob@acme.example", "another password", Some("far"), "192.0.2.7").await.unwrap().actor;
    let people = users::by_ids(&test.app, &far.scope, std::slice::from_ref(&bob.user_id)).await.unwrap();
    assert_eq!((people[&bob.user_id].name.as_str(), people[&bob.user_id].declared), ("Bob", false));
    // What the other organization made of them is its own.
    users::remove(&test.app, &far, &bob.user_id).await.unwrap();
}

#[tokio::test]
async fn the_last_admin_is_not_stated_away() {
    let test = TestApp::new().await;
    let mut file = organization("acme");
    apply(&test, std::slice::from_ref(&file)).await;
    file.users[0].role = Role::Member;
    assert_eq!(keys(&refused(&test, std::slice::from_ref(&file)).await), ["organizations.0.users"]);
    let admin = ada(&test, "acme").await;
    test.user(&admin, "carol@acme.example", Role::Admin).await;
    apply(&test, &[file]).await;
}
