use super::double::faults::{Fault, How};
use super::*;
use crate::git::NamespaceKind;

async fn all(gitlab: &Gitlab, request: ListRequest) -> Vec<String> {
    let mut found = Vec::new();
    let mut request = Some(request);
    while let Some(asked) = request {
        let page = gitlab.namespaces(&asked).await.unwrap();
        assert!(page.items.len() <= asked.first as usize);
        found.extend(page.items.iter().map(|item| item.value.path.clone()));
        request = next(&asked, &page);
    }
    found
}

#[tokio::test]
async fn the_own_account_comes_first_then_the_groups_that_take_projects() {
    let bench = Bench::new().await;
    {
        let mut state = bench.double.state();
        state.group("acme", bench.me, 30);
        state.group("acme/web", bench.me, 20);
        state.group("readers", bench.me, 20);
        state.group("closed", bench.me, 50);
        state.groups.last_mut().unwrap().creation = 100;
        let other = state.person("bob");
        state.group("others", other, 50);
    }
    for size in [1, 2, 100] {
        assert_eq!(all(&bench.gitlab, first(size)).await, ["ada", "acme", "acme/web"], "{size}");
    }
    let page = bench.gitlab.namespaces(&first(2)).await.unwrap();
    assert_eq!(page.items[0].value.kind, NamespaceKind::User);
    assert_eq!(page.items[1].value.kind, NamespaceKind::Group);
    // Below the server's own address, wherever the server says that its pictures are.
    let avatar = page.items[1].value.avatar_url.clone().unwrap();
    assert!(avatar.starts_with("http://127.0.0.1:"), "{avatar}");
    assert_eq!(all(&bench.gitlab, search("WEB")).await, ["acme/web"]);
    assert_eq!(all(&bench.gitlab, search("ada")).await, ["ada"]);
    // Each size asks for its own pages; that a size is asked for again costs nothing.
    bench.asked();
    all(&bench.gitlab, first(100)).await;
    assert!(bench.asked().is_empty());
    let forged = ListRequest { after: Some("group.\0\"}}".to_owned()), ..first(5) };
    assert!(bench.gitlab.namespaces(&forged).await.is_ok());
    let body = &bench.double.asked()[0].body;
    assert_eq!(body["variables"]["after"], "\0\"}}", "a cursor is a variable, never part of the query");
}

#[tokio::test]
async fn a_picture_is_on_a_web_page_or_there_is_none() {
    let bench = Bench::new().await;
    let me = |picture: &str| {
        format!("{{\"id\": 1, \"username\": \"ada\", \"name\": \"Ada\", \"avatar_url\": \"{picture}\"}}")
    };
    let group = |picture: &str| {
        format!(
            "{{\"data\": {{\"currentUser\": {{\"groups\": {{\"edges\": [{{\"cursor\": \"1\", \"node\": {{\"fullPath\": \"acme\", \
             \"name\": \"Acme\", \"avatarUrl\": \"{picture}\"}}}}], \"pageInfo\": {{\"hasNextPage\": false}}}}}}}}}}"
        )
    };
    let below = bench.double.url.clone() + "/uploads/1.png";
    for (picture, expected) in [
        ("javascript:alert(1)", None),
        ("data:text/html,x", None),
        ("uploads/1.png", Some(below.as_str())),
        ("https://example.com/1.png", Some("https://example.com/1.png")),
    ] {
        bench.double.fail(Fault::once("/user", How::Answer(200, vec![], me(picture))));
        bench.double.fail(Fault::once("graphql", How::Answer(200, vec![], group(picture))));
        let page = bench.gitlab.namespaces(&first(5)).await.unwrap();
        assert_eq!(page.items.len(), 2);
        for item in page.items {
            assert_eq!(item.value.avatar_url.as_deref(), expected, "{}", item.value.path);
        }
        bench.clock.wait(TimeDelta::seconds(31));
    }
}

#[tokio::test]
async fn a_hundred_and_more_groups_are_each_listed_once() {
    let bench = Bench::new().await;
    for number in 0..250 {
        bench.double.state().group(&format!("g{number:03}"), bench.me, 40);
    }
    for size in [7, 99, 100] {
        let found = all(&bench.gitlab, first(size)).await;
        let mut once = found.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!((found.len(), once.len()), (251, 251), "{size}");
    }
}

#[tokio::test]
async fn an_account_that_may_make_no_projects_of_its_own_is_not_offered() {
    let bench = Bench::new().await;
    bench.double.state().group("acme", bench.me, 40);
    bench.double.state().account(bench.me).can_create_project = false;
    assert_eq!(all(&bench.gitlab, first(5)).await, ["acme"]);
    let bot = bench.double.state().person("group_1_bot");
    bench.double.state().account(bot).bot = true;
    bench.double.state().groups[0].members.insert(bot, 30);
    assert_eq!(all(&bench.with("glpat-bot", bot, &["api"]), first(5)).await, ["acme"]);
}

#[tokio::test]
async fn a_token_without_the_scope_may_not_list() {
    let bench = Bench::new().await;
    assert_eq!(all(&bench.with("glpat-read", bench.me, &["read_api"]), first(5)).await, ["ada"]);
    for scopes in [["read_user"], ["read_repository"]] {
        let error = bench.with(scopes[0], bench.me, &scopes).namespaces(&first(5)).await.unwrap_err();
        assert!(matches!(&error, GitError::Forbidden(said) if said.contains("the token")), "{error}");
    }
    let gone = "{\"data\": null, \"errors\": [{\"message\": \"Field 'groups' doesn't accept it {token}\"}]}";
    bench.double.fail(Fault::once("graphql", How::Answer(200, vec![], gone.to_owned())));
    let error = bench.gitlab.namespaces(&first(5)).await.unwrap_err();
    // Nothing of what was asked is the caller's fault, whatever they search for.
    assert!(matches!(&error, GitError::Unreachable(said) if said.contains("doesn't accept it ***")), "{error}");
    bench.double.fail(Fault::once("graphql", How::Answer(200, vec![], gone.to_owned())));
    let error = bench.gitlab.namespaces(&search("a")).await.unwrap_err();
    assert!(matches!(error, GitError::Unreachable(_)), "{error}");
    // A cursor is.
    bench.double.fail(Fault::once("graphql", How::Answer(200, vec![], gone.to_owned())));
    let after = ListRequest { after: Some("group.forged".to_owned()), ..first(5) };
    assert!(matches!(bench.gitlab.namespaces(&after).await.unwrap_err(), GitError::Invalid(_)));
}

#[tokio::test]
async fn a_picture_is_a_page_or_none() {
    for (given, expected) in [
        ("javascript:alert(1)", None),
        ("data:text/html,x", None),
        ("/uploads/x.png", Some("/uploads/x.png")),
        ("https://cdn.example.com/x.png", Some("https://cdn.example.com/x.png")),
    ] {
        let bench = Bench::new().await;
        let me = serde_json::json!({ "id": 1, "username": "ada", "name": "Ada", "avatar_url": given });
        bench.double.fail(Fault::once("/api/v4/user", How::Answer(200, vec![], me.to_string())));
        let node = serde_json::json!({ "fullPath": "acme", "name": "Acme", "avatarUrl": given });
        let groups =
            serde_json::json!({ "edges": [{ "cursor": "1", "node": node }], "pageInfo": { "hasNextPage": false } });
        let body = serde_json::json!({ "data": { "currentUser": { "groups": groups } } });
        bench.double.fail(Fault::once("graphql", How::Answer(200, vec![], body.to_string())));
        let page = bench.gitlab.namespaces(&first(5)).await.unwrap();
        assert_eq!(page.items.len(), 2);
        for item in &page.items {
            let seen = item.value.avatar_url.as_deref();
            let host = url::Url::parse(&bench.double.url).unwrap();
            let expected = expected.map(|at| host.join(at).unwrap().to_string());
            assert_eq!(seen, expected.as_deref(), "{given} of {}", item.value.path);
        }
    }
}
