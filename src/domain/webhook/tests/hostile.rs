use proptest::prelude::*;

use super::*;

#[test]
fn what_is_missing_or_refused_is_named() {
    let gitlab_push_says = |payload: Value| gitlab("Push Hook", &payload).unwrap_err().to_string();
    let github_push_says = |payload: Value| github("push", &payload).unwrap_err().to_string();
    for (pointer, word) in [("/ref", "ref"), ("/after", "after"), ("/before", "before")] {
        for said in [
            gitlab_push_says(without(&gitlab_push(), pointer)),
            github_push_says(without(&github_push(), pointer)),
            gitlab_push_says(with(&gitlab_push(), pointer, json!(7))),
            github_push_says(with(&github_push(), pointer, json!({}))),
        ] {
            assert!(said.starts_with(&format!("{word} ")), "{said}");
        }
    }
    assert!(github_push_says(without(&github_push(), "/repository")).starts_with("repository.id "));
    assert!(github_push_says(with(&github_push(), "/repository/id", json!(-1))).starts_with("repository.id "));
    let project = without(&without(&gitlab_push(), "/project"), "/project_id");
    assert!(gitlab_push_says(project).starts_with("project_id "));
    for (pointer, word) in [
        ("/object_attributes", "object_attributes"),
        ("/object_attributes/iid", "object_attributes.iid"),
        ("/object_attributes/source_branch", "source_branch"),
        ("/object_attributes/last_commit", "last_commit.id"),
    ] {
        let said = gitlab("Merge Request Hook", &without(&gitlab_merge_request(), pointer)).unwrap_err().to_string();
        assert!(said.contains(word), "{said}");
    }
}

#[test]
fn names_that_are_none_are_refused_and_not_quoted() {
    for bad in [
        "refs/heads/--upload-pack=touch x",
        "refs/heads/--upload-pack=x",
        "refs/heads/-x",
        "refs/heads/a..b",
        "refs/heads/@{-1}",
        "refs/heads/a\nb",
        "refs/heads/a\0",
        "refs/heads/",
        "refs/heads",
        "refs/tags/",
        "refs/notes/commits",
        "--upload-pack=x",
        "main",
        "",
    ] {
        for error in [
            github("push", &with(&github_push(), "/ref", json!(bad))).unwrap_err(),
            gitlab("Push Hook", &with(&gitlab_push(), "/ref", json!(bad))).unwrap_err(),
        ] {
            assert!(error.to_string().starts_with("ref ") && !error.to_string().contains("upload"), "{bad}: {error}");
        }
    }
    for good in ["feature/x;rm", "fix/#12", "ä", "a/b/c", "$(id)"] {
        let payload = with(&github_push(), "/ref", json!(format!("refs/heads/{good}")));
        let Event::Push(push) = github("push", &payload).unwrap() else { panic!() };
        assert_eq!(push.name.as_str(), good);
    }
    for bad in ["--exec=x", "da15", &SHA.to_uppercase(), &format!("{SHA}\n"), "HEAD"] {
        let payload = with(&github_push(), "/after", json!(bad));
        assert!(github("push", &payload).unwrap_err().to_string().starts_with("after "), "{bad}");
    }
    let payload = with(&gitlab_merge_request(), "/object_attributes/source_branch", json!("--upload-pack=x"));
    assert!(gitlab("Merge Request Hook", &payload).is_err());
}

#[test]
fn a_body_is_json_of_some_size() {
    let said = |body: &[u8]| read(Provider::Github, &event("push"), body).unwrap_err().to_string();
    assert!(said(b"payload=%7B%7D").contains("application/json"));
    assert!(said(b"[]").contains("no JSON object"));
    assert!(said(&vec![b' '; MAX_BODY_BYTES + 1]).contains("more than"));
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(said(deep.as_bytes()).contains("no JSON"));
    let none = read(Provider::Gitlab, &Headers::default(), b"{}").unwrap_err().to_string();
    assert!(none.contains("X-Gitlab-Event"), "{none}");
}

#[test]
fn texts_are_kept_in_bounds_and_addresses_are_for_people() {
    let head = json!({ "id": SHA, "message": "ä".repeat(100_000), "url": "javascript:alert(1)",
        "timestamp": "yesterday", "author": { "name": format!("a\u{1b}[31m{}", "b".repeat(1000)) } });
    let Event::Push(push) = github("push", &with(&github_push(), "/head_commit", head)).unwrap() else { panic!() };
    let head = push.head.unwrap();
    assert!(head.message.len() <= 8 * 1024 && head.author_name.as_ref().unwrap().len() <= 255);
    assert!(!head.author_name.unwrap().contains('\u{1b}'));
    assert_eq!((head.url, head.committed_at), (None, None));
    // Nothing that was read is an address to clone from.
    for event in [github("push", &github_push()).unwrap(), gitlab("Push Hook", &gitlab_push()).unwrap()] {
        assert!(!format!("{event:?}").contains("evil.example"));
    }
}

/// Any JSON, of the names that mean something.
fn any_json() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec![
        "id",
        "ref",
        "after",
        "before",
        "commits",
        "head_commit",
        "message",
        "repository",
        "project",
        "object_kind",
        "object_attributes",
        "pull_request",
        "head",
        "base",
        "repo",
        "sha",
        "action",
        "number",
        "iid",
        "skip",
        "ci",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
        Just(json!(SHA)),
        Just(json!("refs/heads/main")),
        Just(json!("push")),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name.clone(), inner, 0..6)
                .prop_map(|fields| fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ]
    })
}

/// The JSON pointers of everything in a document.
fn pointers(value: &Value, at: &str, all: &mut Vec<String>) {
    let inside: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(n, value)| (n.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    for (name, value) in inside {
        all.push(format!("{at}/{name}"));
        pointers(value, &format!("{at}/{name}"), all);
    }
}

const NAMES: [&str; 8] =
    ["push", "pull_request", "create", "delete", "Push Hook", "Tag Push Hook", "Merge Request Hook", "ping"];

fn all_of(name: &str, body: &[u8]) {
    for provider in Provider::ALL {
        if let Ok(event) = read(provider, &event(name), body) {
            let decision = decide(&event, &filter());
            assert!(!said(&decision).is_empty());
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..200), n in 0..NAMES.len()) {
        all_of(NAMES[n], &body);
    }

    #[test]
    fn no_document_makes_it_panic(payload in any_json(), n in 0..NAMES.len()) {
        all_of(NAMES[n], payload.to_string().as_bytes());
    }

    #[test]
    fn no_change_of_a_delivery_makes_it_panic(value in any_json(), pick in any::<prop::sample::Index>(), n in 0..3usize) {
        let mut payload = [github_push(), gitlab_push(), gitlab_merge_request()][n].clone();
        let mut all = Vec::new();
        pointers(&payload, "", &mut all);
        *payload.pointer_mut(pick.get(all.as_slice()).as_str()).unwrap() = value;
        all_of(["push", "Push Hook", "Merge Request Hook"][n], payload.to_string().as_bytes());
    }

    #[test]
    fn only_the_very_bytes_are_signed(body in prop::collection::vec(any::<u8>(), 1..100), at in any::<prop::sample::Index>()) {
        use hmac::{Hmac, KeyInit as _, Mac as _};
        let mac = Hmac::<sha2::Sha256>::new_from_slice(b"key").unwrap().chain_update(&body).finalize().into_bytes();
        let header = format!("sha256={}", hex::encode(mac));
        let headers = Headers { hub_signature: Some(&header), ..Headers::default() };
        let scheme = Scheme::Github("key".into());
        prop_assert_eq!(verify(&scheme, &headers, &body, chrono::DateTime::UNIX_EPOCH), Ok(Proof::Signature));
        let mut changed = body.clone();
        *at.get_mut(&mut changed) ^= 1;
        prop_assert!(verify(&scheme, &headers, &changed, chrono::DateTime::UNIX_EPOCH).is_err());
    }
}
