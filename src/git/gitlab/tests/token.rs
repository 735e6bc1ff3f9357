use super::double::faults::{Fault, How};
use super::*;
use crate::domain::git::TokenRight;

async fn lacks(gitlab: &Gitlab) -> Vec<String> {
    let info = gitlab.identify().await.unwrap();
    info.missing.iter().map(|missing| format!("{}: {}", missing.right.needed_for(), missing.scope)).collect()
}

#[tokio::test]
async fn every_scope_gives_its_rights_and_no_others() {
    let bench = Bench::new().await;
    let root = bench.double.state().person("root");
    bench.double.state().account(root).is_admin = true;
    let ordinary = "creating GitLab accounts: instance administrator";
    let writing = ["creating projects: api", "installing webhooks: api"];
    let listing = ["listing projects and branches: read_api", "listing groups and organizations: read_api"];
    let source = "fetching source code: read_repository";
    let cases: [(&[&str], Vec<&str>); 5] = [
        (&["api"], vec![ordinary]),
        (&["read_api"], vec![source, writing[0], writing[1], ordinary]),
        (&["read_repository"], vec![listing[0], listing[1], writing[0], writing[1], ordinary]),
        (&["read_api", "write_repository"], vec![writing[0], writing[1], ordinary]),
        (&["read_user"], vec![listing[0], source, listing[1], writing[0], writing[1], ordinary]),
    ];
    for (at, (scopes, expected)) in cases.iter().enumerate() {
        let gitlab = bench.with(&format!("glpat-{at}"), bench.me, scopes);
        assert_eq!(lacks(&gitlab).await, *expected, "{scopes:?}");
        let info = gitlab.identify().await.unwrap();
        assert_eq!(info.scopes, *scopes);
        assert_eq!(info.account.as_deref(), (!scopes.contains(&"read_repository")).then_some("ada"));
    }
    assert_eq!(lacks(&bench.with("glpat-root", root, &["api"])).await, [""; 0]);
    for scope in ["read_api", "read_user"] {
        let reader = lacks(&bench.with(&format!("glpat-root-{scope}"), root, &[scope])).await;
        assert_eq!(reader.last().unwrap(), "creating GitLab accounts: api", "{scope}");
    }
}

#[tokio::test]
async fn an_administrator_without_admin_mode_is_told_what_is_missing() {
    let bench = Bench::new().await;
    bench.double.state().account(bench.me).is_admin = true;
    bench.double.state().admin_mode = true;
    assert_eq!(lacks(&bench.gitlab).await, ["creating GitLab accounts: admin_mode"]);
    assert_eq!(lacks(&bench.with("glpat-armed", bench.me, &["api", "admin_mode"])).await, [""; 0]);
}

#[tokio::test]
async fn a_token_ends_as_its_day_begins() {
    let bench = Bench::new().await;
    assert_eq!(bench.gitlab.identify().await.unwrap().expires_at, None);
    bench.double.state().tokens[0].expires_at = Some("2027-01-31".to_owned());
    let ends = bench.gitlab.identify().await.unwrap().expires_at.unwrap();
    assert_eq!(ends.to_rfc3339(), "2027-01-31T00:00:00+00:00");
}

#[tokio::test]
async fn a_token_that_is_not_taken_is_unauthorized_and_says_why() {
    let bench = Bench::new().await;
    let cases = [("expired", "Token is expired"), ("revoked", "Token was revoked"), ("unknown", "401 Unauthorized")];
    for (which, why) in cases {
        let token = format!("glpat-{which}");
        let gitlab = bench.with(&token, bench.me, &["api"]);
        {
            let mut state = bench.double.state();
            let token = state.tokens.last_mut().unwrap();
            token.expired = which == "expired";
            token.revoked = which == "revoked";
            if which == "unknown" {
                state.tokens.pop();
            }
        }
        let error = gitlab.identify().await.unwrap_err();
        assert!(matches!(&error, GitError::Unauthorized(said) if said.contains(why)), "{which}: {error}");
        assert!(error.to_string().contains("GitLab at http://127.0.0.1:"), "{error}");
        assert!(matches!(gitlab.projects(&first(5)).await.unwrap_err(), GitError::Unauthorized(_)));
    }
    // Servers that answer with an ended token all the same.
    for (field, why) in [("\"active\": false", "it has expired"), ("\"revoked\": true", "it was revoked")] {
        let body = format!("{{\"id\": 1, \"scopes\": [\"api\"], {field}}}");
        bench.double.fail(Fault::once("tokens/self", How::Answer(200, vec![], body)));
        let error = bench.gitlab.identify().await.unwrap_err();
        assert!(matches!(&error, GitError::Unauthorized(said) if said.ends_with(why)), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_tells_no_scopes_still_tells_something() {
    let bench = Bench::new().await;
    bench.double.state().knows_no_self = true;
    let info = bench.gitlab.identify().await.unwrap();
    assert_eq!((info.account.as_deref(), info.scopes.len(), info.missing.len()), (Some("ada"), 0, 1));
    assert_eq!(info.missing[0].right, TokenRight::CreateAccounts);
    let listless = bench.with("glpat-user", bench.me, &["read_user"]);
    let info = listless.identify().await.unwrap();
    assert_eq!(info.missing.len(), 5, "all but what can't be known: {:?}", info.missing);
    let fetcher = bench.with("glpat-source", bench.me, &["read_repository"]);
    assert_eq!(fetcher.identify().await.unwrap().account, None);

    // A fine-grained token has permissions where others have scopes.
    bench.double.state().knows_no_self = false;
    let granular = bench.with("glpat-granular", bench.me, &["granular", "api"]);
    let info = granular.identify().await.unwrap();
    assert_eq!((info.scopes.len(), info.missing.len()), (0, 1));
}
