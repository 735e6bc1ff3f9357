#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::app::testing::world;
use crate::app::{Code, images};
use crate::domain::paging::Cursor;
use crate::domain::paging::{PageLimits, PageRequest};
use crate::domain::secret::ExposeSecret as _;

fn input(host: &str, token: &str, prefix: Change<String>) -> SaveRegistry {
    SaveRegistry {
        host: host.to_owned(),
        username: "ada".to_owned(),
        token: SecretString::from(token.to_owned()),
        repository_prefix: prefix,
    }
}

#[tokio::test]
async fn tried_sealed_and_replaced() {
    let w = world().await;
    let bad = save(&w.app, &w.admin, input("docker.io", "bad", Change::Keep)).await.unwrap_err();
    assert_eq!((bad.code, bad.violations[0].field.as_str()), (Code::BadUserInput, "input.token"));
    let down = save(&w.app, &w.admin, input("down.example", "good", Change::Keep)).await.unwrap_err();
    assert_eq!(down.code, Code::UpstreamError);
    assert!(list(&w.app, &w.admin.scope).await.unwrap().is_empty());

    let prefix = Change::Set("ada".to_owned());
    let first = save(&w.app, &w.admin, input("index.docker.io", "good", prefix)).await.unwrap();
    assert_eq!(first.host, "docker.io");
    let second = save(&w.app, &w.admin, input("docker.io", "good", Change::Keep)).await.unwrap();
    assert_eq!(second.id, first.id);
    assert_ne!(second.secret_id, first.secret_id);
    assert_eq!(second.repository_prefix.as_deref(), Some("ada"));
    assert_eq!(w.admin.scope.secrets().all(w.app.db.read()).await.unwrap().len(), 1);

    let prefix = Change::Set("ghcr.io/ada".to_owned());
    let taken = save(&w.app, &w.admin, input("ghcr.io", "good", prefix)).await.unwrap_err();
    assert_eq!((taken.code, taken.violations[0].field.as_str()), (Code::Conflict, "input.repositoryPrefix"));

    let login = login_for(&w.app, &w.member.scope, None, "registry-1.docker.io").await.unwrap().unwrap();
    assert_eq!(login.token.expose_secret(), "good");
    assert!(login_for(&w.app, &w.stranger.scope, None, "docker.io").await.unwrap().is_none());

    assert_eq!(delete(&w.app, &w.member, "docker.io").await.unwrap_err().code, Code::Forbidden);
    assert_eq!(delete(&w.app, &w.stranger, "docker.io").await.unwrap_err().code, Code::NotFound);
    assert_eq!(delete(&w.app, &w.admin, "docker.io").await.unwrap(), "docker.io");
    assert!(w.admin.scope.secrets().all(w.app.db.read()).await.unwrap().is_empty());
    assert_eq!(w.admin.scope.audit_events().all(w.app.db.read()).await.unwrap().len(), 3);
}

#[tokio::test]
async fn hosts_and_prefixes() {
    let w = world().await;
    assert_eq!(
        save(&w.app, &w.member, input("ghcr.io", "good", Change::Keep)).await.unwrap_err().code,
        Code::Forbidden
    );
    for host in ["", "nodots", "https://ghcr.io", "ghcr.io/x", "a b.io", "x.io:0", "-x.io", "x.io:99999", "ghcr.io\n"] {
        let error = save(&w.app, &w.admin, input(host, "good", Change::Keep)).await.unwrap_err();
        assert_eq!(error.violations[0].field, "input.host", "{host:?}");
    }
    for prefix in ["ada", "docker.io/ada", "ghcr.io/Ada", "ghcr.io/"] {
        let error = save(&w.app, &w.admin, input("ghcr.io", "good", Change::Set(prefix.to_owned()))).await.unwrap_err();
        assert_eq!(error.violations[0].field, "input.repositoryPrefix", "{prefix}");
    }
    let row = save(&w.app, &w.admin, input("GHCR.io", "good", Change::Set("ghcr.io/ada".to_owned()))).await.unwrap();
    assert_eq!((row.host.as_str(), row.repository_prefix.as_deref()), ("ghcr.io", Some("ghcr.io/ada")));
}

#[tokio::test]
async fn tags_go_on_after_any_cursor() {
    let w = world().await;
    let limits = PageLimits { default: 20, max: 100 };
    let page = |first: i32, after: Option<String>| {
        PageRequest::new(Some(first), after.as_deref(), None, None, limits).unwrap()
    };
    let scope = &w.member.scope;
    let first = images::tags(&w.app, scope, "nginx", None, &page(3, None)).await.unwrap();
    let names = |t: &images::Tags| t.tags.iter().map(|(_, t)| t.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&first), ["0", "1", "2"]);
    assert!(first.has_next && !first.has_previous);
    let all = ["0", "1", "2", "3", "4"];
    for (i, (cursor, _)) in first.tags.iter().enumerate() {
        let mut seen: Vec<String> = names(&first)[..=i].to_vec();
        let mut after = Some(cursor.encode());
        while let Some(cursor) = after {
            let more = images::tags(&w.app, scope, "nginx", None, &page(2, Some(cursor))).await.unwrap();
            seen.extend(names(&more));
            after = more.tags.last().filter(|_| more.has_next).map(|(c, _)| c.encode());
        }
        assert_eq!(seen, all, "after {i}");
    }
    let foreign = Some(Cursor(vec!["name".to_owned(), "x".to_owned()]).encode());
    let error = images::tags(&w.app, scope, "nginx", None, &page(2, foreign)).await.unwrap_err();
    assert_eq!((error.code, error.violations[0].field.as_str()), (Code::BadUserInput, "after"));
    let down = images::tags(&w.app, scope, "down.example/x", None, &page(2, None)).await.unwrap_err();
    assert_eq!(down.code, Code::UpstreamError);
    assert!(down.retry_at.is_some());
    let error = images::tags(&w.app, scope, "x:$(id)", None, &page(2, None)).await.unwrap_err();
    assert_eq!(error.violations[0].field, "image");
    assert_eq!(images::search(&w.app, "nginx", Some(3)).await.unwrap().len(), 3);
    assert!(images::search(&w.app, " ", None).await.unwrap().is_empty());
    assert!(images::search(&w.app, "nginx", Some(101)).await.is_err());
}
