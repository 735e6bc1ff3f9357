//! Who a token is and what it lacks.

use super::*;
use crate::domain::git::TokenRight::{self, CreateProjects, InstallWebhooks, ReadNamespaces, ReadProjects, ReadSource};
use crate::git::{GitError, TokenInfo};

const FINE: &str = "github_pat_0123456789abcdefghijABCDEFGHIJ";

/// Rights, and what would give them.
type Lacks = &'static [(TokenRight, &'static str)];

fn lacks(info: &TokenInfo) -> Vec<(TokenRight, &str)> {
    info.missing.iter().map(|lack| (lack.right, lack.scope.as_str())).collect()
}

#[tokio::test]
async fn classic_tokens_say_their_scopes() {
    let all = [
        (ReadProjects, "repo"),
        (ReadSource, "repo"),
        (ReadNamespaces, "read:org"),
        (CreateProjects, "repo"),
        (InstallWebhooks, "admin:repo_hook"),
    ];
    let bench = Bench::new().await;
    let cases = [
        ("repo, read:org", &[][..]),
        ("admin:org, repo", &[]),
        ("write:org, repo, user", &[]),
        ("repo", &all[2..3]),
        ("repo, user", &all[2..3]),
        ("public_repo, read:org", &[all[1], all[3]]),
        ("read:org, write:repo_hook", &[all[0], all[1], all[3]]),
        ("admin:repo_hook, read:org", &[all[0], all[1], all[3]]),
        ("repo:status, read:org", &[all[0], all[1], all[3], all[4]]),
        ("", &all),
    ];
    for (scopes, expected) in cases {
        bench.double.with(|state| state.classic(TOKEN, "ada", scopes));
        let info = bench.github.identify().await.unwrap();
        assert_eq!(lacks(&info), expected, "{scopes}");
        assert_eq!(info.scopes.join(", "), scopes);
        assert_eq!((info.account.as_deref(), info.expires_at), (Some("ada"), None));
    }
    assert!(bench.double.take_asked().iter().all(|asked| asked == "GET /user"));
}

#[tokio::test]
async fn fine_grained_tokens_are_tried_with_reads_alone() {
    let bench = Bench::new().await;
    bench.double.with(|state| {
        state.member("ada", "acme", "admin");
        state.add("acme/shop");
        state.repository("acme/open").private = false;
    });
    let fine = connect(&bench.double.url(), FINE, &bench.clock);
    let everything =
        ["metadata=read", "contents=read", "members=read", "administration=write", "repository_hooks=write"];
    let cases: [(&[&'static str], Lacks); 5] = [
        (&everything, &[]),
        // Whether it may write is not to be seen.
        (&["contents=read", "members=read", "administration=read", "repository_hooks=read"], &[]),
        (
            &["members=read", "administration=write", "repository_hooks=write"],
            &[(ReadProjects, "Contents: read"), (ReadSource, "Contents: read")],
        ),
        (
            &["contents=write"],
            &[
                (ReadNamespaces, "Members: read"),
                (CreateProjects, "Administration: write"),
                (InstallWebhooks, "Webhooks: write"),
            ],
        ),
        (&["contents=read", "members=read", "administration=write"], &[(InstallWebhooks, "Webhooks: write")]),
    ];
    for (permissions, expected) in cases {
        bench.double.with(|state| state.fine_grained(FINE, "ada", permissions));
        let info = fine.identify().await.unwrap();
        assert_eq!(lacks(&info), expected, "{permissions:?}");
        assert!(info.scopes.is_empty());
    }
    assert!(bench.double.asked().iter().all(|asked| asked.method == "GET"));

    // With nothing private to try it on, nothing is claimed.
    bench.double.with(|state| {
        state.repositories.clear();
        state.repository("ada/open").private = false;
        state.fine_grained(FINE, "ada", &["members=read"]);
    });
    assert_eq!(lacks(&fine.identify().await.unwrap()), []);
    // Nor is it where the token's owner is no administrator.
    bench.double.with(|state| {
        state.user("bob");
        state.repository("bob/shop").collaborators.insert("ada".to_owned());
        state.fine_grained(FINE, "ada", &["members=read", "contents=read"]);
    });
    assert_eq!(lacks(&fine.identify().await.unwrap()), []);
}

/// It can't be given the right to list organizations, and may make nothing in any.
#[tokio::test]
async fn a_fine_grained_token_of_a_persons_own_lists_that_person() {
    let bench = Bench::new().await;
    bench.double.with(|state| {
        state.member("ada", "acme", "admin");
        state.add("ada/shop");
        state.fine_grained(FINE, "ada", &["contents=write", "administration=write", "repository_hooks=write"]);
    });
    let fine = connect(&bench.double.url(), FINE, &bench.clock);
    assert_eq!(lacks(&fine.identify().await.unwrap()), []);
    let places = fine.namespaces(&page(5, None, None)).await.unwrap();
    assert_eq!(places.items.iter().map(|item| item.value.path.as_str()).collect::<Vec<_>>(), ["ada"]);
    assert!(!places.has_next);
    // A classic token's scope is what is missing.
    bench.double.with(|state| state.classic(TOKEN, "ada", "repo"));
    let error = bench.github.namespaces(&page(5, None, None)).await.unwrap_err();
    assert!(matches!(&error, GitError::Forbidden(said) if said.contains("read:org")), "{error}");
}

#[tokio::test]
async fn the_end_of_a_token_is_read() {
    let bench = Bench::new().await;
    let cases = [
        ("2027-03-31 00:00:00 UTC", Some("2027-03-31T00:00:00Z")),
        ("2027-03-31 09:00:00 +0900", Some("2027-03-31T00:00:00Z")),
        ("2027-03-31T00:00:00Z", Some("2027-03-31T00:00:00Z")),
        ("soon", None),
        ("99999-01-01 00:00:00 UTC", None),
    ];
    for (said, expected) in cases {
        bench.double.with(|state| state.tokens.get_mut(TOKEN).unwrap().expires = Some(said.to_owned()));
        let expires = bench.github.identify().await.unwrap().expires_at;
        assert_eq!(expires, expected.map(|text| text.parse().unwrap()), "{said}");
    }
}

#[tokio::test]
async fn a_token_that_is_not_taken_is_unauthorized() {
    let bench = Bench::new().await;
    let other = connect(&bench.double.url(), "ghp_unknown", &bench.clock);
    let error = other.identify().await.unwrap_err();
    assert!(
        matches!(&error, GitError::Unauthorized(said) if said.contains("does not take the token: Bad credentials"))
    );
    assert_eq!(bench.double.take_asked().len(), 1);
}

#[tokio::test]
async fn the_token_of_an_installation_is_nobodys() {
    let bench = Bench::new().await;
    bench.double.fail_with("GET /user", 100, 403, "Resource not accessible by integration");
    let info = bench.github.identify().await.unwrap();
    assert_eq!(info.account, None);
    assert_eq!(lacks(&info), [(ReadProjects, "Metadata: read"), (ReadNamespaces, "Members: read")]);
}

#[tokio::test]
async fn another_refusal_says_nothing_of_what_a_token_is() {
    let bench = Bench::new().await;
    bench.double.fail_with("GET /user", 1, 403, "Sorry. Your account was suspended.");
    let error = bench.github.identify().await.unwrap_err();
    assert!(matches!(&error, GitError::Forbidden(said) if said.contains("suspended")), "{error}");
    bench.double.fail_with("GET /user", 1, 403, "You have exceeded a secondary rate limit.");
    let error = bench.github.identify().await.unwrap_err();
    assert!(matches!(error, GitError::Limited { .. }), "{error}");
    bench.later(61);
    assert_eq!(bench.github.identify().await.unwrap().account.as_deref(), Some("ada"));
}

#[tokio::test]
async fn nobody_makes_accounts_on_github() {
    assert!(Bench::new().await.github.accounts().is_none());
}
