//! Logging in, tokens, users and the first start.
#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

use chrono::TimeDelta;
use entity::Role;
use kiops::app::audit::{self, Filter};
use kiops::app::identity::users::{self, NewUser, UserFilter};
use kiops::app::identity::{bootstrap, organizations, passwords, sessions, tokens};
use kiops::app::{Actor, Code, Error, Precondition};
use kiops::domain::paging::{PageLimits, PageRequest};
use kiops::domain::secret::{ExposeSecret as _, SecretString};
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter};

use crate::support::app::{PASSWORD, TestApp, password};

fn page() -> PageRequest {
    PageRequest::new(None, None, None, None, PageLimits { default: 20, max: 100 }).unwrap()
}

async fn actions(test: &TestApp, admin: &Actor) -> Vec<String> {
    let page = audit::list(&test.app, admin, Filter::default(), &page()).await.unwrap();
    page.items.into_iter().map(|(_, event)| event.action).collect()
}

async fn alive(test: &TestApp, token: &SecretString) -> Option<Actor> {
    sessions::authenticate(&test.app, token.expose_secret(), None).await.unwrap()
}

fn field(error: &Error) -> Option<&str> {
    error.violations.first().map(|v| v.field.as_str())
}

#[tokio::test]
async fn a_session_works_until_it_ends() {
    let test = TestApp::new().await;
    test.organization("acme").await;
    let session = test.login("Admin@ACME.example ", None).await.unwrap();
    assert!(session.token.expose_secret().starts_with("kiops_s_"));
    let actor = alive(&test, &session.token).await.unwrap();
    assert_eq!(actor.role, Role::Admin);
    assert!(sessions::still_valid(&test.app, &actor).await.unwrap());

    sessions::logout(&test.app, &actor).await.unwrap();
    assert_eq!(alive(&test, &session.token).await, None);
    assert!(!sessions::still_valid(&test.app, &actor).await.unwrap());

    let session = test.login("admin@acme.example", None).await.unwrap();
    test.clock.advance(TimeDelta::hours(24));
    assert_eq!(alive(&test, &session.token).await, None);
    assert!(!sessions::still_valid(&test.app, &session.actor).await.unwrap());
}

#[tokio::test]
async fn what_is_no_token_speaks_for_nobody() {
    let test = TestApp::new().await;
    for token in ["", "kiops_", "kiops_s_AAAA", "Bearer x", "\0", &"kiops_".repeat(1000)] {
        assert_eq!(sessions::authenticate(&test.app, token, None).await.unwrap(), None, "{token:?}");
    }
}

#[tokio::test]
async fn a_failed_login_says_the_same_whatever_was_wrong() {
    let test = TestApp::new().await;
    let default = test.organization("default").await;
    let acme = test.organization("acme").await;
    let wrong = [
        ("admin@acme.example", "wrong password", None),
        ("nobody@acme.example", PASSWORD, None),
        ("hunter2", PASSWORD, None),
        ("a\0b", PASSWORD, None),
        ("admin@acme.example", PASSWORD, Some("default")),
        ("admin@acme.example", PASSWORD, Some("nowhere")),
    ];
    for (email, password, organization) in wrong {
        let error = test.login_as(email, password, organization, "192.0.2.9").await.err().unwrap();
        assert_eq!(error.code, Code::Unauthenticated, "{email:?}");
        assert_eq!(error.message, "the e-mail address, the password or the organization is wrong");
    }
    let failed = |all: Vec<String>| all.iter().filter(|a| *a == "auth.login_failed").count();
    assert_eq!(failed(actions(&test, &acme).await), 3);
    assert_eq!(failed(actions(&test, &default).await), 3);
    let page = audit::list(&test.app, &default, Filter::default(), &page()).await.unwrap();
    assert!(page.items.iter().all(|(_, e)| e.subject_name.as_deref() != Some("hunter2")));
}

#[tokio::test]
async fn a_long_password_is_refused_by_its_length() {
    let test = TestApp::new().await;
    test.organization("acme").await;
    let long = "x".repeat(1025);
    let error = test.login_as("admin@acme.example", &long, None, "192.0.2.9").await.err().unwrap();
    assert_eq!((error.code, field(&error)), (Code::BadUserInput, Some("input.password")));
}

#[tokio::test]
async fn an_account_takes_so_many_failures_from_many_addresses() {
    let test = TestApp::new().await;
    test.organization("acme").await;
    for email in ["admin@acme.example", "nobody@acme.example"] {
        for n in 0..10 {
            let error = test.login_as(email, "wrong password", None, &format!("198.51.100.{n}")).await.err().unwrap();
            assert_eq!(error.code, Code::Unauthenticated, "{email} {n}");
        }
        let error = test.login_as(email, PASSWORD, None, "203.0.113.1").await.err().unwrap();
        assert_eq!(error.code, Code::RateLimited);
        assert_eq!(error.retry_at.unwrap() - test.app.clock.now(), TimeDelta::minutes(1));
    }
    test.clock.advance(TimeDelta::minutes(1));
    test.login("admin@acme.example", None).await.unwrap();
}

#[tokio::test]
async fn an_address_takes_so_many_failures_of_many_accounts() {
    let test = TestApp::new().await;
    test.organization("acme").await;
    for n in 0..10 {
        let from = format!("2001:db8::{n}");
        let error = test.login_as(&format!("u{n}@acme.example"), PASSWORD, None, &from).await.err().unwrap();
        assert_eq!(error.code, Code::Unauthenticated, "{n}");
    }
    let error = test.login_as("admin@acme.example", PASSWORD, None, "2001:db8::ffff").await.err().unwrap();
    assert_eq!(error.code, Code::RateLimited);
    test.login_as("admin@acme.example", PASSWORD, None, "2001:db8:1::1").await.unwrap();
}

#[tokio::test]
async fn wrong_passwords_at_once_are_counted_too() {
    let test = TestApp::new().await;
    test.organization("acme").await;
    let tries = (0..20).map(|_| test.login_as("admin@acme.example", "wrong password", None, "192.0.2.9"));
    let answers = futures_util::future::join_all(tries).await;
    let tried = answers.iter().filter(|a| a.as_ref().is_err_and(|e| e.code == Code::Unauthenticated)).count();
    assert!((10..=11).contains(&tried), "{tried}");
}

#[tokio::test]
async fn a_login_opens_the_oldest_membership_unless_told() {
    let test = TestApp::new().await;
    let old = test.organization("old").await;
    test.clock.advance(TimeDelta::minutes(5));
    let new = test.organization("new").await;
    test.user(&old, "ada@x.example", Role::Member).await;
    test.clock.advance(TimeDelta::minutes(5));
    let changed = NewUser {
        email: "ADA@x.example".to_owned(),
        name: "Another".to_owned(),
        password: SecretString::from("a different one"),
        role: Role::Admin,
    };
    let person = users::create(&test.app, &new, changed).await.unwrap();
    assert_eq!((person.name.as_str(), person.role), ("Somebody", Role::Admin));

    assert!(test.login_as("ada@x.example", "a different one", None, "192.0.2.9").await.is_err());
    let first = test.login("ada@x.example", None).await.unwrap().actor;
    assert_eq!((first.scope, first.role), (old.scope, Role::Member));
    let second = test.login("ada@x.example", Some("new")).await.unwrap().actor;
    assert_eq!((second.scope.clone(), second.role), (new.scope, Role::Admin));
    let slugs: Vec<_> = organizations::of_user(&test.app, &second).await.unwrap().into_iter().map(|o| o.slug).collect();
    assert_eq!(slugs, ["new", "old"]);
}

#[tokio::test]
async fn an_api_token_ends_with_what_it_was_made_for() {
    let test = TestApp::new().await;
    let admin = test.organization("acme").await;
    test.user(&admin, "ada@acme.example", Role::Admin).await;
    let ada = test.login("ada@acme.example", None).await.unwrap();
    let create = |role, days| tokens::create(&test.app, &ada.actor, "ci", role, days);
    let (strong, _) = create(None, None).await.unwrap();
    let (weak, _) = create(Some(Role::Member), None).await.unwrap();
    let (short, _) = create(Some(Role::Member), Some(1)).await.unwrap();
    assert_eq!(alive(&test, &strong).await.unwrap().role, Role::Admin);
    assert_eq!(alive(&test, &weak).await.unwrap().role, Role::Member);
    let weak_actor = alive(&test, &weak).await.unwrap();
    assert!(tokens::create(&test.app, &weak_actor, "up", Some(Role::Admin), None).await.is_err());

    users::set_role(&test.app, &admin, &ada.actor.user_id, Role::Member).await.unwrap();
    assert_eq!(alive(&test, &strong).await, None);
    assert!(alive(&test, &weak).await.is_some());
    assert_eq!(alive(&test, &ada.token).await.unwrap().role, Role::Member);
    assert!(!sessions::still_valid(&test.app, &ada.actor).await.unwrap());
    users::set_role(&test.app, &admin, &ada.actor.user_id, Role::Admin).await.unwrap();
    assert_eq!(alive(&test, &strong).await, None);

    test.clock.advance(TimeDelta::days(1));
    assert_eq!(alive(&test, &short).await, None);
    assert!(alive(&test, &weak).await.is_some());
    users::remove(&test.app, &admin, &ada.actor.user_id).await.unwrap();
    assert_eq!(alive(&test, &weak).await, None);
}

#[tokio::test]
async fn tokens_are_their_owners_and_their_admins() {
    let test = TestApp::new().await;
    let admin = test.organization("acme").await;
    let other = test.organization("other").await;
    let ada = test.member(&admin, "ada@acme.example").await;
    let ben = test.member(&admin, "ben@acme.example").await;
    let (secret, token) = tokens::create(&test.app, &ada, "ci", None, None).await.unwrap();
    assert_eq!(tokens::list(&test.app, &ada).await.unwrap().len(), 1);
    assert_eq!(tokens::list(&test.app, &ben).await.unwrap().len(), 0);
    assert_eq!(tokens::list(&test.app, &other).await.unwrap().len(), 0);
    assert_eq!(tokens::list(&test.app, &admin).await.unwrap().len(), 1);
    for stranger in [&ben, &other] {
        let error = tokens::revoke(&test.app, stranger, &token.id).await.unwrap_err();
        assert_eq!(error.code, Code::NotFound);
    }
    tokens::revoke(&test.app, &admin, &token.id).await.unwrap();
    assert_eq!(alive(&test, &secret).await, None);

    let error = tokens::create(&test.app, &ada, "x", Some(Role::Admin), None).await.err().unwrap();
    assert_eq!(error.code, Code::Forbidden);
    for days in [0, -1, 3651, i32::MAX] {
        let error = tokens::create(&test.app, &ada, "", None, Some(days)).await.err().unwrap();
        assert_eq!(error.violations.len(), 2, "{days}");
    }
}

#[tokio::test]
async fn the_last_admin_stays() {
    let test = TestApp::new().await;
    let admin = test.organization("acme").await;
    let error = users::remove(&test.app, &admin, &admin.user_id).await.unwrap_err();
    assert_eq!(error.code, Code::Conflict);
    let error = users::set_role(&test.app, &admin, &admin.user_id, Role::Member).await.unwrap_err();
    assert_eq!(error.code, Code::Forbidden);

    test.user(&admin, "ada@acme.example", Role::Admin).await;
    let ada = test.login("ada@acme.example", None).await.unwrap().actor;
    let (one, two) = tokio::join!(
        users::set_role(&test.app, &admin, &ada.user_id, Role::Member),
        users::set_role(&test.app, &ada, &admin.user_id, Role::Member),
    );
    assert_eq!(usize::from(one.is_ok()) + usize::from(two.is_ok()), 1);
    let (winner, loser) = if one.is_ok() { (&admin, &ada) } else { (&ada, &admin) };
    users::set_role(&test.app, winner, &loser.user_id, Role::Admin).await.unwrap();
    let (one, two) =
        tokio::join!(users::remove(&test.app, &admin, &admin.user_id), users::remove(&test.app, &ada, &ada.user_id),);
    assert_eq!(usize::from(one.is_ok()) + usize::from(two.is_ok()), 1);
}

#[tokio::test]
async fn users_are_their_organizations() {
    let test = TestApp::new().await;
    let admin = test.organization("acme").await;
    let other = test.organization("other").await;
    let member = test.member(&admin, "ada@acme.example").await;
    for error in [
        users::set_role(&test.app, &other, &member.user_id, Role::Admin).await.unwrap_err(),
        users::remove(&test.app, &other, &member.user_id).await.unwrap_err(),
        users::remove(&test.app, &admin, "01900000-0000-7000-8000-00000000ffff").await.unwrap_err(),
    ] {
        assert_eq!((error.code, error.message.as_str()), (Code::NotFound, "there is no such user"));
    }
    let error = users::list(&test.app, &member, UserFilter::default(), &page()).await.err().unwrap();
    assert_eq!(error.code, Code::Forbidden);
    let error = users::remove(&test.app, &member, &admin.user_id).await.unwrap_err();
    assert_eq!(error.code, Code::Forbidden);

    let again = NewUser {
        email: "ADA@acme.example".to_owned(),
        name: "Ada".to_owned(),
        password: password(),
        role: Role::Member,
    };
    let error = users::create(&test.app, &admin, again).await.unwrap_err();
    assert_eq!((error.code, field(&error)), (Code::Conflict, Some("input.email")));
    let wrong = NewUser {
        email: "x".to_owned(),
        name: String::new(),
        password: SecretString::from("short"),
        role: Role::Member,
    };
    let error = users::create(&test.app, &admin, wrong).await.unwrap_err();
    let fields: Vec<_> = error.violations.iter().map(|v| v.field.as_str()).collect();
    assert_eq!(fields, ["input.email", "input.name", "input.password"]);
}

#[tokio::test]
async fn who_was_removed_comes_back_with_a_new_password() {
    let test = TestApp::new().await;
    let admin = test.organization("acme").await;
    let person = test.user(&admin, "ada@acme.example", Role::Member).await;
    users::remove(&test.app, &admin, &person.id).await.unwrap();
    let new = NewUser {
        email: person.email,
        name: "Ada".to_owned(),
        password: SecretString::from("quite another one"),
        role: Role::Member,
    };
    users::create(&test.app, &admin, new).await.unwrap();
    assert!(test.login("ada@acme.example", None).await.is_err());
    test.login_as("ada@acme.example", "quite another one", None, "192.0.2.9").await.unwrap();
}

#[tokio::test]
async fn a_search_takes_wildcards_as_letters() {
    let test = TestApp::new().await;
    let admin = test.organization("acme").await;
    for email in ["a%b@acme.example", "a_b@acme.example", "axb@acme.example"] {
        test.user(&admin, email, Role::Member).await;
    }
    for (text, found) in [("A%B", 1), ("a_b", 1), ("x", 4), ("\\", 0), ("'", 0), ("\0", 0), ("", 4), ("SOMEBODY", 3)] {
        let filter = UserFilter { search: Some(text.to_owned()), role: None };
        let people = users::list(&test.app, &admin, filter, &page()).await.unwrap();
        assert_eq!(people.items.len(), found, "{text:?}");
        assert_eq!((people.count)().await.unwrap(), found as u64);
    }
    let filter = UserFilter { search: None, role: Some(Role::Admin) };
    assert_eq!(users::list(&test.app, &admin, filter, &page()).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn pages_follow_each_other_in_both_directions() {
    let test = TestApp::new().await;
    let admin = test.organization("acme").await;
    for n in 0..4 {
        test.user(&admin, &format!("u{n}@acme.example"), Role::Member).await;
    }
    let limits = PageLimits { default: 20, max: 100 };
    let emails = async |request: PageRequest| {
        let page = users::list(&test.app, &admin, UserFilter::default(), &request).await.unwrap();
        let cursors: Vec<String> = page.items.iter().map(|(c, _)| c.encode()).collect();
        let names: Vec<String> = page.items.into_iter().map(|(_, p)| p.email[..2].to_owned()).collect();
        (names, cursors, page.has_previous_page, page.has_next_page)
    };
    let (names, cursors, before, after) = emails(PageRequest::new(Some(2), None, None, None, limits).unwrap()).await;
    assert_eq!((names, before, after), (vec!["u3".into(), "u2".into()], false, true));
    let (names, cursors, before, after) =
        emails(PageRequest::new(Some(10), Some(&cursors[1]), None, None, limits).unwrap()).await;
    assert_eq!((names, before, after), (vec!["u1".into(), "u0".into(), "ad".into()], true, false));
    let (names, _, before, after) =
        emails(PageRequest::new(None, None, Some(2), Some(&cursors[2]), limits).unwrap()).await;
    assert_eq!((names, before, after), (vec!["u1".into(), "u0".into()], true, true));
}

#[tokio::test]
async fn a_new_password_ends_the_other_sessions() {
    let test = TestApp::new().await;
    test.organization("acme").await;
    let one = test.login("admin@acme.example", None).await.unwrap();
    let two = test.login("admin@acme.example", None).await.unwrap();
    let (api, _) = tokens::create(&test.app, &one.actor, "ci", None, None).await.unwrap();
    let new = SecretString::from("another password");
    let wrong = SecretString::from("wrong password");
    let error = passwords::change(&test.app, &one.actor, &wrong, &new).await.unwrap_err();
    assert_eq!(field(&error), Some("input.currentPassword"));
    let error = passwords::change(&test.app, &one.actor, &password(), &SecretString::from("short")).await.unwrap_err();
    assert_eq!(field(&error), Some("input.newPassword"));
    passwords::change(&test.app, &one.actor, &password(), &new).await.unwrap();
    assert!(alive(&test, &one.token).await.is_some());
    assert!(alive(&test, &two.token).await.is_none());
    assert!(alive(&test, &api).await.is_some());
    assert!(test.login("admin@acme.example", None).await.is_err());

    passwords::set(&test.app, "Admin@acme.example", &password()).await.unwrap();
    assert!(alive(&test, &one.token).await.is_none());
    test.login("admin@acme.example", None).await.unwrap();
    let error = passwords::set(&test.app, "nobody@acme.example", &password()).await.unwrap_err();
    assert_eq!(error.code, Code::NotFound);
}

#[tokio::test]
async fn who_is_declared_is_changed_in_the_file_alone() {
    let test = TestApp::new().await;
    let admin = test.organization("acme").await;
    let ada = test.member(&admin, "ada@acme.example").await;
    let tx = test.app.begin().await.unwrap();
    entity::membership::Entity::update_many()
        .col_expr(entity::membership::Column::Declared, true.into())
        .col_expr(entity::membership::Column::DeclaredPassword, true.into())
        .filter(entity::membership::Column::UserId.eq(&ada.user_id))
        .exec(&tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let new = SecretString::from("another password");
    for error in [
        users::set_role(&test.app, &admin, &ada.user_id, Role::Admin).await.unwrap_err(),
        users::remove(&test.app, &admin, &ada.user_id).await.unwrap_err(),
        passwords::change(&test.app, &ada, &password(), &new).await.unwrap_err(),
        passwords::set(&test.app, "ada@acme.example", &new).await.unwrap_err(),
    ] {
        assert_eq!((error.code, error.reason), (Code::FailedPrecondition, Some(Precondition::Declared)));
    }
}

#[tokio::test]
async fn the_first_start_happens_once() {
    let test = TestApp::new().await;
    let start = || bootstrap::bootstrap(&test.app, "default", "admin@localhost", None);
    let (one, two) = tokio::join!(start(), start());
    let made: Vec<_> = [one.unwrap(), two.unwrap()].into_iter().flatten().collect();
    assert_eq!(made.len(), 1);
    assert_eq!(made[0].expose_secret().len(), 24);
    assert_eq!(entity::organization::Entity::find().count(test.app.db.read()).await.unwrap(), 1);
    test.login_as("admin@localhost", made[0].expose_secret(), None, "192.0.2.9").await.unwrap();

    let given = Some(SecretString::from("x"));
    assert!(bootstrap::bootstrap(&test.app, "default", "admin@localhost", given).await.unwrap().is_none());
    let empty = TestApp::new().await;
    let given = || Some(SecretString::from("short"));
    let error = bootstrap::bootstrap(&empty.app, "No Slug", "nobody", given()).await.unwrap_err();
    assert_eq!(error.violations.len(), 3);
    let given = Some(password());
    assert!(bootstrap::bootstrap(&empty.app, "default", "admin@localhost", given).await.unwrap().is_none());
    test.login_as("admin@localhost", "wrong password", None, "192.0.2.9").await.err().unwrap();
}

#[tokio::test]
async fn the_last_use_is_noted_once_a_minute() {
    let test = TestApp::new().await;
    let admin = test.organization("acme").await;
    let session = test.login("admin@acme.example", None).await.unwrap();
    let seen = async || {
        let people = users::by_ids(&test.app, &admin.scope, std::slice::from_ref(&admin.user_id)).await.unwrap();
        people[&admin.user_id].last_seen_at
    };
    assert_eq!(seen().await, None);
    let start = test.app.clock.now();
    alive(&test, &session.token).await.unwrap();
    assert_eq!(seen().await, Some(start));
    test.clock.advance(TimeDelta::seconds(59));
    alive(&test, &session.token).await.unwrap();
    assert_eq!(seen().await, Some(start));
    test.clock.advance(TimeDelta::seconds(1));
    alive(&test, &session.token).await.unwrap();
    assert_eq!(seen().await, Some(start + TimeDelta::minutes(1)));
}

#[tokio::test]
async fn everything_is_in_the_trail() {
    let test = TestApp::new().await;
    let admin = test.organization("acme").await;
    let ada = test.member(&admin, "ada@acme.example").await;
    let (_, token) = tokens::create(&test.app, &ada, "ci", None, None).await.unwrap();
    tokens::revoke(&test.app, &ada, &token.id).await.unwrap();
    users::set_role(&test.app, &admin, &ada.user_id, Role::Admin).await.unwrap();
    users::remove(&test.app, &admin, &ada.user_id).await.unwrap();
    sessions::logout(&test.app, &admin).await.unwrap();
    let mut all = actions(&test, &admin).await;
    all.reverse();
    let expected = [
        "organization.created",
        "auth.logged_in",
        "user.created",
        "auth.logged_in",
        "api_token.created",
        "api_token.revoked",
        "user.role_set",
        "user.removed",
        "auth.logged_out",
    ];
    assert_eq!(all, expected);
    let filter = Filter {
        subject: Some(("User".to_owned(), ada.user_id.clone())),
        actor_id: Some(admin.user_id.clone()),
        since: Some(test.app.clock.now()),
        ..Filter::default()
    };
    let page = audit::list(&test.app, &admin, filter, &page()).await.unwrap();
    assert_eq!(page.items.len(), 3);
    let other = test.organization("other").await;
    assert!(!actions(&test, &other).await.contains(&"user.removed".to_owned()));
}
