//! Lists: their order, their pages, what they cost, and what comes and goes between two pages.

use std::collections::BTreeSet;
use std::time::Duration;

use super::github_double::Trouble;
use super::*;
use crate::git::NamespaceKind;

async fn with_projects(count: usize) -> Bench {
    let bench = Bench::new().await;
    bench.double.with(|state| {
        state.member("ada", "acme", "member");
        for n in 0..count {
            state.repository(&format!("acme/part-{n:05}"));
        }
    });
    bench
}

#[tokio::test]
async fn ten_thousand_projects_cost_a_page_at_a_time() {
    let bench = with_projects(10_000).await;
    let first = bench.github.projects(&page(20, None, None)).await.unwrap();
    assert_eq!(bench.double.take_asked(), ["GET /user/repos"]);
    assert!(first.has_next);
    assert_eq!(first.items.len(), 20);
    assert_eq!(first.items[0].value.path, path("acme/part-09999"), "newest first");

    // The next four pages are cut from the same answer, while that is fresh.
    let mut after = last(&first.items);
    for _ in 0..4 {
        after = last(&bench.github.projects(&page(20, after.as_deref(), None)).await.unwrap().items);
    }
    assert_eq!(bench.double.take_asked(), [""; 0]);

    let paths = all_paths(&bench.github, 100, None).await;
    assert_eq!(paths.len(), 10_000);
    assert_eq!(paths.iter().collect::<BTreeSet<_>>().len(), 10_000);
    assert!(paths.is_sorted_by(|a, b| a > b));
    // The first page was remembered; each of the others was read once.
    assert_eq!(bench.double.take_asked().len(), 99);
}

#[tokio::test]
async fn ten_thousand_projects_are_searched_by_github() {
    let bench = with_projects(10_000).await;
    let found = bench.github.projects(&page(20, None, Some("part-0012"))).await.unwrap();
    let cost = bench.double.take_asked();
    assert_eq!(found.items.len(), 10);
    assert!(!found.has_next);
    let expected =
        ["GET /user/repos", "GET /user", "GET /user/memberships/orgs", "GET /search/repositories", "GET /user/repos"];
    assert_eq!(cost, expected);
    // More than a search gives: a thousand, each once.
    let paths = all_paths(&bench.github, 70, Some("PART")).await;
    assert_eq!(paths.len(), 1000);
    assert_eq!(paths.iter().collect::<BTreeSet<_>>().len(), 1000);
}

#[tokio::test]
async fn a_search_among_many_misses_no_other_owner_and_no_new_repository() {
    let bench = with_projects(700).await;
    bench.double.with(|state| {
        state.user("bob");
        state.repository("bob/shop").collaborators.insert("ada".to_owned());
        state.repository("bob/shop-of-bob");
        state.repository("bob/shop-open").private = false;
        state.repository("ada/shop");
        state.slow_index = true;
        state.repository("acme/shop-new");
    });
    let github = &bench.github;
    assert_eq!(all_paths(github, 1, Some("shop")).await, ["ada/shop", "bob/shop"]);
    assert_eq!(all_paths(github, 1, Some("acme/SHOP-new")).await, ["acme/shop-new"]);
    assert_eq!(all_paths(github, 1, Some("bob/shop")).await, ["bob/shop"]);
    assert_eq!(all_paths(github, 1, Some("bob/")).await, ["bob/shop"]);
    assert_eq!(all_paths(github, 1, Some("bob/shop-open")).await, [""; 0], "everybody's is not one's own");
    assert_eq!(all_paths(github, 1, Some("user:bob")).await, [""; 0]);
    assert_eq!(all_paths(github, 1, Some("ä")).await, [""; 0]);
    bench.double.with(|state| state.index());
    bench.later(31);
    assert_eq!(all_paths(github, 1, Some("shop")).await, ["ada/shop", "acme/shop-new", "bob/shop"]);
    assert_eq!(all_paths(github, 1, Some("acme/shop-new")).await, ["acme/shop-new"]);
}

#[tokio::test]
async fn a_repository_that_is_named_whole_is_found_where_one_may_only_read() {
    let bench = with_projects(600).await;
    bench.double.with(|state| {
        state.organization("acme").members_only_read = true;
        state.slow_index = true;
        state.repository("acme/open-shop").private = false;
    });
    assert_eq!(all_paths(&bench.github, 20, Some("acme/open-shop")).await, ["acme/open-shop"]);
    bench.double.with(|state| state.index());
    bench.later(31);
    assert_eq!(all_paths(&bench.github, 20, Some("acme/open-shop")).await, ["acme/open-shop"], "and once");
    // An organization that keeps the token out of what was named spoils no search.
    let saml = "Resource protected by organization SAML enforcement.";
    bench.double.with(|state| {
        state.slow_index = false;
        state.add("ada/open-shop-too");
    });
    bench.double.fail_with("GET /repos/ada/open-shop", 1, 403, saml);
    assert_eq!(all_paths(&bench.github, 20, Some("ada/open-shop")).await, ["ada/open-shop-too"]);
}

#[tokio::test]
async fn a_search_that_goes_on_ends_where_patience_does() {
    let bench = with_projects(12_200).await;
    // Without the names of organizations all is looked through, newest first.
    bench.double.with(|state| state.classic(TOKEN, "ada", "repo"));
    assert_eq!(all_paths(&bench.github, 20, Some("part-12199")).await, ["acme/part-12199"]);
    let error = bench.github.projects(&page(20, None, Some("part-00001"))).await.unwrap_err();
    assert!(matches!(&error, crate::git::GitError::Invalid(said) if said.contains("part-00001")), "{error}");
}

#[tokio::test]
async fn a_branch_more_is_seen_although_the_page_before_it_has_not_changed() {
    let bench = with_projects(1).await;
    let project = at("acme/part-00000");
    bench.double.with(|state| {
        let part = state.at("acme/part-00000").unwrap();
        (0..99).for_each(|n| drop(part.branches.insert(format!("b{n:02}"), github_double::Branch::new(n))));
    });
    let names = async || {
        let list = async |request| bench.github.branches(&project, &request).await.unwrap().unwrap();
        all(100, None, list).await.into_iter().map(|branch| branch.name).collect::<Vec<_>>()
    };
    assert_eq!(names().await.len(), 100);
    bench.double.with(|state| {
        let part = state.at("acme/part-00000").unwrap();
        part.branches.insert("zoo".to_owned(), github_double::Branch::new(7));
    });
    bench.later(31);
    bench.double.take_asked();
    let now = names().await;
    assert_eq!((now.len(), now.last()), (101, Some(&branch("zoo"))));
    let pages = |asked: &&github_double::Asked| asked.path.ends_with("/branches");
    let asked = bench.double.asked();
    let listed: Vec<_> = asked.iter().filter(pages).map(|asked| asked.headers.contains_key("if-none-match")).collect();
    assert_eq!(listed, [true, false], "the first page is answered 304");
}

#[tokio::test]
async fn a_slow_walk_gives_what_it_has() {
    let bench = with_projects(1).await;
    bench.double.with(|state| {
        let part = state.at("acme/part-00000").unwrap();
        (0..12_000).for_each(|n| drop(part.branches.insert(format!("b{n:05}"), github_double::Branch::new(n))));
    });
    bench.double.fail("GET /repos/acme/part-00000/branches", 1000, Trouble::Slow(Duration::from_millis(2200)));
    let project = at("acme/part-00000");
    let listed = bench.github.branches(&project, &page(20, None, Some("b00000"))).await.unwrap().unwrap();
    assert_eq!((listed.items.len(), listed.has_next), (1, true));
}

#[tokio::test]
async fn organizations_that_there_was_no_time_for_are_on_the_next_page() {
    let bench = Bench::new().await;
    bench.double.with(|state| (0..320).for_each(|n| state.member("ada", &format!("org-{n:03}"), "member")));
    bench.double.fail("GET /user/memberships/orgs", 1000, Trouble::Slow(Duration::from_millis(2200)));
    // One of these is on the first page of memberships, and one on the last.
    let request = page(20, None, Some("10"));
    let listed = bench.github.namespaces(&request).await.unwrap();
    assert!(listed.has_next && !listed.items.is_empty());
    let paths = all(20, Some("10"), async |request| bench.github.namespaces(&request).await.unwrap()).await;
    let paths: Vec<_> = paths.into_iter().map(|place| place.path).collect();
    assert_eq!(
        paths,
        [
            "org-010", "org-100", "org-101", "org-102", "org-103", "org-104", "org-105", "org-106", "org-107",
            "org-108", "org-109", "org-110", "org-210", "org-310"
        ]
    );
    // With nothing to show, and nowhere to go on from, that is what is said.
    bench.later(31);
    let error = bench.github.namespaces(&page(20, None, Some("org-310"))).await.unwrap_err();
    assert!(
        matches!(&error, crate::git::GitError::Unreachable(said) if said.contains("in time: try again")),
        "{error}"
    );
}

#[tokio::test]
async fn a_token_that_is_told_of_no_organization_searches_theirs_all_the_same() {
    let bench = with_projects(700).await;
    bench.double.with(|state| state.classic(TOKEN, "ada", "repo"));
    assert_eq!(all_paths(&bench.github, 20, Some("part-00013")).await, ["acme/part-00013"]);
}

#[tokio::test]
async fn few_projects_are_searched_in_the_list_itself() {
    let bench = with_projects(30).await;
    bench.double.with(|state| {
        state.user("bob");
        state.repository("bob/Web-Shop").collaborators.insert("ada".to_owned());
        state.repository("ada/shop").archived = true;
    });
    let found = bench.github.projects(&page(20, None, Some("hop"))).await.unwrap();
    let of = |item: &Item<crate::git::Project>| (item.value.path.as_str().to_owned(), item.value.archived);
    let rows: Vec<_> = found.items.iter().map(of).collect();
    assert_eq!(rows, [("ada/shop".to_owned(), true), ("bob/Web-Shop".to_owned(), false)]);
    assert_eq!(all_paths(&bench.github, 1, Some("shop web")).await, ["bob/Web-Shop"]);
    assert_eq!(all_paths(&bench.github, 7, Some("part")).await.len(), 30);
    assert_eq!(bench.double.take_asked(), ["GET /user/repos"]);
}

#[tokio::test]
async fn what_comes_and_goes_between_two_pages_repeats_nothing_and_loses_nothing() {
    let bench = with_projects(250).await;
    let names = |listed: &Listed<crate::git::Project>| -> Vec<String> {
        listed.items.iter().map(|item| item.value.name.clone()).collect()
    };
    let first = bench.github.projects(&page(100, None, None)).await.unwrap();
    let mut seen = names(&first);

    // Three are made, and what was last on the page is on the next one now.
    bench.double.with(|state| (0..3).for_each(|n| state.add(&format!("acme/new-{n}"))));
    bench.later(31);
    let second = bench.github.projects(&page(60, last(&first.items).as_deref(), None)).await.unwrap();
    seen.extend(names(&second));

    // 120 are gone, the last one that was shown among them: what follows is on the page before.
    bench.double.with(|state| {
        let gone: Vec<u64> = state.repositories.keys().rev().take(163).skip(30).copied().collect();
        gone.iter().for_each(|id| drop(state.repositories.remove(id)));
    });
    bench.later(31);
    let mut after = last(&second.items);
    loop {
        let listed = bench.github.projects(&page(50, after.as_deref(), None)).await.unwrap();
        seen.extend(names(&listed));
        after = last(&listed.items);
        if !listed.has_next {
            break;
        }
    }
    let expected: Vec<String> = (0..250).rev().map(|n| format!("part-{n:05}")).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_forged_cursor_reads_the_callers_own_list() {
    let bench = with_projects(3).await;
    use base64::Engine as _;
    let forged = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    let long = forged(&format!("[0,1,0,\"{}\",null]", "x".repeat(5000)));
    for cursor in
        ["", "garbage", "%00", &forged("[9,1,0,\"1\",null]"), &forged("[0,0,0,\"1\",null]"), &forged("{}"), &long]
    {
        let listed = bench.github.projects(&page(20, Some(cursor), None)).await.unwrap();
        assert_eq!(listed.items.len(), 3, "{cursor}");
    }
    bench.double.take_asked();
    let far = forged("[0,999999,18446744073709551615,\"1\",\"2000\"]");
    let listed = bench.github.projects(&page(20, Some(&far), None)).await.unwrap();
    assert!(listed.items.is_empty() && !listed.has_next);
    assert!(bench.double.take_asked().len() <= 6);
}

#[tokio::test]
async fn branches_begin_with_the_default_and_come_once() {
    let bench = with_projects(1).await;
    bench.double.with(|state| {
        let part = state.at("acme/part-00000").unwrap();
        for n in 0..250 {
            part.branches.insert(format!("feature/{n:03}"), github_double::Branch::new(n));
        }
        for name in ["feature/ä", "fix/#12", "release/1.0+rc", "a/b/c/d", "zoo"] {
            part.branches.insert(name.to_owned(), github_double::Branch::new(1));
        }
        part.branches.insert("-option".to_owned(), github_double::Branch::new(1));
        part.branches.get_mut("zoo").unwrap().protected = true;
    });
    let project = at("acme/part-00000");
    let listed = bench.github.branches(&project, &page(3, None, None)).await.unwrap().unwrap();
    assert_eq!(
        listed.items.iter().map(|i| i.value.name.as_str()).collect::<Vec<_>>(),
        ["main", "a/b/c/d", "feature/000"]
    );
    assert!(listed.items[0].value.is_default && !listed.items[1].value.is_default);
    assert_eq!(listed.items[0].value.commit.message.as_deref(), Some("Initial commit"));
    let web_url = listed.items[1].value.commit.web_url.as_deref().unwrap();
    assert_eq!(web_url, format!("https://github.com/acme/part-00000/commit/{}", listed.items[1].value.commit.sha));
    let cost = bench.double.take_asked();
    let repository = "GET /repos/acme/part-00000";
    let expected = [repository.to_owned(), format!("{repository}/branches/main"), format!("{repository}/branches")];
    assert_eq!(cost, expected);

    for first in [1, 7, 100] {
        let list = async |request| bench.github.branches(&project, &request).await.unwrap().unwrap();
        let names: Vec<String> = all(first, None, list).await.iter().map(|b| b.name.as_str().to_owned()).collect();
        assert_eq!(names.len(), 256, "{first}");
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), 256);
    }
    let found = async |text: &'static str| {
        let list = async |request| bench.github.branches(&project, &request).await.unwrap().unwrap();
        all(2, Some(text), list).await.iter().map(|b| b.name.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(found("A").await.len(), 254, "all but fix/#12 and zoo");
    assert_eq!(found("oo").await, ["zoo"]);
    assert_eq!(found("feature/ä").await, ["feature/ä"]);
    assert_eq!(found("#").await, ["fix/#12"]);
    assert_eq!(found("MAI").await, ["main"]);
    assert_eq!(found("feature/00").await.len(), 10);
    assert_eq!(found("nothing").await, [""; 0]);
    assert_eq!(bench.github.branches(&at("acme/none"), &page(3, None, None)).await, Ok(None));
}

#[tokio::test]
async fn a_walk_for_a_branch_is_bounded_and_finds_a_whole_name_at_once() {
    let bench = with_projects(1).await;
    bench.double.with(|state| {
        let part = state.at("acme/part-00000").unwrap();
        for n in 0..12_000 {
            part.branches.insert(format!("b{n:05}"), github_double::Branch::new(n));
        }
    });
    let project = at("acme/part-00000");
    let error = bench.github.branches(&project, &page(20, None, Some("11999"))).await.unwrap_err();
    assert!(error.to_string().contains("branches that were looked through has \"11999\""), "{error}");
    assert!(bench.double.take_asked().len() <= 102);
    let listed = bench.github.branches(&project, &page(1, None, Some("b11999"))).await.unwrap().unwrap();
    assert_eq!(listed.items[0].value.name, branch("b11999"));
    // Without a text nothing is read ahead: the repository, its default branch and a page, then the next page.
    bench.later(31);
    bench.double.take_asked();
    let listed = bench.github.branches(&project, &page(99, None, None)).await.unwrap().unwrap();
    assert_eq!(bench.double.take_asked().len(), 3);
    bench.github.branches(&project, &page(99, last(&listed.items).as_deref(), None)).await.unwrap().unwrap();
    assert_eq!(bench.double.take_asked().len(), 1);
    // What was found on the way is given, with where to go on.
    let listed = bench.github.branches(&project, &page(20, None, Some("b00000"))).await.unwrap().unwrap();
    assert!(listed.has_next && listed.items.len() == 1);
    let rest = page(20, last(&listed.items).as_deref(), Some("b00000"));
    let rest = bench.github.branches(&project, &rest).await.unwrap().unwrap();
    assert_eq!((rest.items.len(), rest.has_next), (0, false));
}

#[tokio::test]
async fn namespaces_are_where_the_token_may_make_something() {
    let bench = Bench::new().await;
    bench.double.with(|state| {
        state.user("ada").name = Some("Ada Lovelace".to_owned());
        state.member("ada", "owned", "admin");
        state.organization("owned").members_can_create = Some(false);
        state.organization("owned").name = Some("Ada's Firm".to_owned());
        state.member("ada", "open", "member");
        state.member("ada", "closed", "member");
        state.organization("closed").members_can_create = Some(false);
        state.member("ada", "silent", "member");
        state.organization("silent").members_can_create = None;
        state.organization("invited");
        state.user("ada").memberships.push(("invited".to_owned(), "admin", "pending"));
    });
    let listed = bench.github.namespaces(&page(20, None, None)).await.unwrap();
    let rows: Vec<_> =
        listed.items.iter().map(|i| (i.value.path.as_str(), i.value.name.as_str(), i.value.kind)).collect();
    let group = NamespaceKind::Group;
    let expected = [
        ("ada", "Ada Lovelace", NamespaceKind::User),
        ("owned", "Ada's Firm", group),
        ("open", "open", group),
        ("silent", "silent", group),
    ];
    assert_eq!(rows, expected);
    assert!(!listed.has_next);
    let found = async |first, text| {
        let list = async |request| bench.github.namespaces(&request).await.unwrap();
        all(first, text, list).await.into_iter().map(|n| n.path).collect::<Vec<_>>()
    };
    assert_eq!(found(1, None).await, ["ada", "owned", "open", "silent"]);
    assert_eq!(found(3, None).await, ["ada", "owned", "open", "silent"]);
    assert_eq!(found(1, Some("FIRM")).await, ["owned"]);
    assert_eq!(found(1, Some("a")).await, ["ada", "owned"]);
    assert_eq!(found(1, Some("nobody")).await, [""; 0]);
}

#[tokio::test]
async fn hundreds_of_organizations_are_asked_about_as_far_as_the_page_goes() {
    let bench = Bench::new().await;
    bench.double.with(|state| (0..230).for_each(|n| state.member("ada", &format!("org-{n:03}"), "member")));
    let listed = bench.github.namespaces(&page(20, None, None)).await.unwrap();
    assert!(listed.has_next && listed.items.len() == 20);
    let cost = bench.double.take_asked().len();
    assert!(cost <= 2 + 20, "{cost}");
    let list = async |request| bench.github.namespaces(&request).await.unwrap();
    let paths: BTreeSet<String> = all(50, None, list).await.into_iter().map(|n| n.path).collect();
    assert_eq!(paths.len(), 231);
}
