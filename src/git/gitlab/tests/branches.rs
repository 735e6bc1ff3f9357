use super::double::faults::{Fault, How};
use super::double::state::BranchPages;
use super::*;
use crate::domain::paging::Cursor;

const ODD: [&str; 8] =
    ["feature/ä", "fix/#12", "release/1.0+rc", "a/b/c/d", "x%2Fy", "$(id)", "cost$", "q&a=b;c|d'e\"f"];

async fn all(bench: &Bench, request: ListRequest) -> Vec<String> {
    let mut found = Vec::new();
    let mut request = Some(request);
    while let Some(asked) = request {
        let page = bench.gitlab.branches(&path("ada/shop"), &asked).await.unwrap().unwrap();
        found.extend(page.items.iter().map(|item| item.value.name.to_string()));
        request = next(&asked, &page);
    }
    found
}

async fn shop(branches: impl IntoIterator<Item = String>) -> (Bench, u64) {
    let bench = Bench::new().await;
    let id = bench.double.state().project("ada/shop", "main");
    bench.double.state().projects.get_mut(&id).unwrap().branches.extend(branches.into_iter().map(|name| (name, false)));
    (bench, id)
}

#[tokio::test]
async fn every_name_that_git_takes_is_found_and_listed() {
    let (bench, id) = shop(ODD.iter().map(|name| (*name).to_owned())).await;
    for name in ODD {
        for reference in [path("ada/shop"), known(id, "ada/old")] {
            let found = bench.gitlab.branch(&reference, &branch(name)).await.unwrap().unwrap();
            assert_eq!((found.name.as_str(), found.is_default, found.protected), (name, false, false));
            assert_eq!(found.commit.sha.len(), 40);
            assert_eq!(found.commit.message.as_deref(), Some("Add it\n\nWith a body"));
            assert_eq!(found.commit.committed_at.unwrap().to_rfc3339(), "2024-06-28T10:44:20+00:00");
        }
        assert_eq!(all(&bench, search(name)).await, [name], "{name}");
    }
    let asked = bench.asked();
    let expected = "GET /api/v4/projects/ada%2Fshop/repository/branches/release%2F1.0%2Brc";
    assert!(asked.iter().any(|asked| asked == expected), "{asked:#?}");
    let mut expected: Vec<&str> = ODD.to_vec();
    expected.sort_unstable();
    expected.insert(0, "main");
    assert_eq!(all(&bench, first(3)).await, expected);
    assert_eq!(bench.gitlab.branch(&path("ada/shop"), &branch("none")).await.unwrap(), None);
    assert_eq!(bench.gitlab.branch(&path("ada/none"), &branch("main")).await.unwrap(), None);
    assert_eq!(bench.gitlab.branches(&path("ada/none"), &first(3)).await.unwrap(), None);
}

#[tokio::test]
async fn the_default_branch_comes_first_and_not_again() {
    let names = (0..350).map(|number| format!("b{number:03}")).chain(["zz".to_owned()]);
    let (bench, id) = shop(names).await;
    bench.double.state().projects.get_mut(&id).unwrap().default_branch = "b123".to_owned();
    let page = bench.gitlab.branches(&path("ada/shop"), &first(2)).await.unwrap().unwrap();
    let names: Vec<&str> = page.items.iter().map(|item| item.value.name.as_str()).collect();
    assert_eq!(names, ["b123", "b000"]);
    assert!(page.items[0].value.is_default && !page.items[1].value.is_default);
    // The project, the default branch, and one page.
    assert_eq!(bench.asked().len(), 3);
    for size in [1, 7, 100] {
        let found = all(&bench, first(size)).await;
        assert_eq!((found.len(), found[0].as_str(), found[351].as_str()), (352, "b123", "zz"), "{size}");
        let mut rest = found[1..].to_vec();
        rest.dedup();
        assert!(rest.is_sorted() && rest.len() == 351 && !rest.contains(&"b123".to_owned()), "{size}");
    }
    // All of that is four pages of a hundred, remembered.
    assert_eq!(bench.asked().len(), 3);
    assert_eq!(all(&bench, search("b12")).await[..2], ["b123", "b120"]);
    assert_eq!(all(&bench, search("nothing")).await, [""; 0]);
}

#[tokio::test]
async fn nothing_repeats_or_is_lost_when_branches_come_and_go() {
    let (bench, id) = shop((0..300).map(|number| format!("b{number:03}"))).await;
    let request = first(100);
    let page = bench.gitlab.branches(&path("ada/shop"), &request).await.unwrap().unwrap();
    let page = bench.gitlab.branches(&path("ada/shop"), &next(&request, &page).unwrap()).await.unwrap().unwrap();
    assert_eq!(page.items[99].value.name.as_str(), "b198");
    {
        let mut state = bench.double.state();
        let branches = &mut state.projects.get_mut(&id).unwrap().branches;
        // The one where we stopped is gone, and so is all before it: what comes next is a page earlier now.
        (0..=198).for_each(|number| assert!(branches.remove(&format!("b{number:03}")).is_some()));
    }
    bench.clock.wait(TimeDelta::seconds(31));
    let rest = all(&bench, next(&request, &page).unwrap()).await;
    assert_eq!((rest.len(), rest[0].as_str(), rest[100].as_str()), (101, "b199", "b299"));
    {
        let mut state = bench.double.state();
        let branches = &mut state.projects.get_mut(&id).unwrap().branches;
        branches.extend((0..250).map(|number| (format!("a{number:03}"), false)));
    }
    bench.clock.wait(TimeDelta::seconds(31));
    let rest = all(&bench, next(&request, &page).unwrap()).await;
    assert_eq!((rest.len(), rest[0].as_str(), rest[100].as_str()), (101, "b199", "b299"));
}

#[tokio::test]
async fn a_search_means_its_text() {
    let names = ["feature", "feature/a", "my-feature", "feat*", "cost$", "cost$s", "co$t", "^x"];
    let (bench, _) = shop(names.map(str::to_owned)).await;
    assert_eq!(
        all(&bench, ListRequest { first: 1, ..search("feature") }).await,
        ["feature", "feature/a", "my-feature"]
    );
    assert_eq!(all(&bench, ListRequest { first: 1, ..search("my-FEATURE") }).await, ["my-feature"]);
    assert_eq!(all(&bench, search("cost$")).await, ["cost$", "cost$s"]);
    assert_eq!(all(&bench, search("$")).await, ["co$t", "cost$", "cost$s"]);
    assert_eq!(all(&bench, search("o$t")).await, ["co$t"]);
    assert_eq!(all(&bench, search("st$S")).await, ["cost$s"]);
    // What GitLab would read as a pattern, and no branch can contain.
    bench.asked();
    for pattern in ["^x", "feat*"] {
        assert_eq!(all(&bench, search(pattern)).await, [""; 0]);
    }
    assert!(bench.asked().is_empty(), "the project is remembered, and no branch is asked for");
    // Names that Git itself refuses are left out.
    assert!(!all(&bench, first(100)).await.iter().any(|name| name.contains(['^', '*'])));
    for forged in ["", "x", "99.feature", "999999999999.x", "0.x", "1.\0"] {
        let request = ListRequest { after: Some(forged.to_owned()), ..first(2) };
        assert!(bench.gitlab.branches(&path("ada/shop"), &request).await.unwrap().is_some(), "{forged}");
    }
}

#[tokio::test]
async fn a_moved_and_an_empty_project_have_their_branches() {
    let (bench, id) = shop(["b".to_owned()]).await;
    bench.double.state().transfer(id, "ada/store");
    assert_eq!(all(&bench, first(1)).await, ["main", "b"]);
    assert!(bench.gitlab.branch(&path("ada/shop"), &branch("b")).await.unwrap().is_some());
    let id = bench.double.state().project("ada/empty", "main");
    bench.double.state().projects.get_mut(&id).unwrap().branches.clear();
    let page = bench.gitlab.branches(&known(id, "ada/empty"), &first(5)).await.unwrap().unwrap();
    assert_eq!((page.items.len(), page.has_next), (0, false));
}

const PAGING: [BranchPages; 3] = [BranchPages::Gitaly, BranchPages::Refs, BranchPages::Numbered];

#[tokio::test]
async fn each_branch_is_listed_once_however_the_server_pages() {
    for pages in PAGING {
        let names =
            (0..250).map(|number| format!("b{number:03}")).chain((0..100).map(|number| format!("c{number:02}")));
        let (bench, id) = shop(names).await;
        bench.double.state().branch_pages = pages;
        for request in [
            first(7),
            first(100),
            // More than a page, which some servers give at once; just a page; and one more than that.
            search("b"),
            ListRequest { first: 30, ..search("b") },
            search("c"),
            ListRequest { first: 7, ..search("c") },
            search("b1"),
        ] {
            let found = all(&bench, request.clone()).await;
            let mut once = found.clone();
            once.sort_unstable();
            once.dedup();
            assert_eq!(once.len(), found.len(), "{pages:?} {request:?}: some twice");
            let text = request.search.unwrap_or_default();
            let names = bench.double.state().projects[&id].branches.clone();
            let wanted: Vec<&String> = names.keys().filter(|name| name.contains(&text)).collect();
            assert_eq!(once.iter().collect::<Vec<_>>(), wanted, "{pages:?} {text}");
        }
        let asked = bench.asked();
        let tokens = asked.iter().any(|asked| asked.contains("page_token="));
        assert_eq!(tokens, pages != BranchPages::Numbered, "{asked:#?}");
    }
}

#[tokio::test]
async fn a_list_goes_on_where_its_branches_have_gone() {
    for pages in PAGING {
        let (bench, id) = shop((0..300).map(|number| format!("b{number:03}"))).await;
        bench.double.state().branch_pages = pages;
        let request = first(100);
        let page = bench.gitlab.branches(&path("ada/shop"), &request).await.unwrap().unwrap();
        let second = bench.gitlab.branches(&path("ada/shop"), &next(&request, &page).unwrap()).await.unwrap().unwrap();
        // Of the third page, which is asked for next, the place where it begins goes.
        bench.double.state().projects.get_mut(&id).unwrap().branches.remove("b199");
        let rest = all(&bench, next(&request, &second).unwrap()).await;
        // A page that is remembered has it for as long as that.
        let remembered = usize::from(pages != BranchPages::Numbered);
        assert_eq!(rest.len(), 100 + remembered, "{pages:?}");
        assert!(rest.is_sorted() && rest[remembered] == "b200", "{pages:?}");
        bench.double.state().projects.get_mut(&id).unwrap().branches.retain(|name, _| name.as_str() > "b150");
        bench.clock.wait(TimeDelta::seconds(31));
        let rest = all(&bench, next(&request, &second).unwrap()).await;
        assert_eq!((rest.len(), rest[0].as_str()), (100, "b200"), "{pages:?}");
    }
}

#[tokio::test]
async fn a_page_of_nothing_before_the_end_is_no_end() {
    let (bench, _) = shop((0..300).map(|number| format!("b{number:03}"))).await;
    bench.double.state().branch_pages = BranchPages::Numbered;
    let headers = vec![("x-page", "2".to_owned()), ("x-next-page", "3".to_owned())];
    bench.double.fail(Fault::always("&page=2", How::Answer(200, headers, "[]".to_owned())));
    let request = first(100);
    let page = bench.gitlab.branches(&path("ada/shop"), &request).await.unwrap().unwrap();
    let error = bench.gitlab.branches(&path("ada/shop"), &next(&request, &page).unwrap()).await.unwrap_err();
    assert!(matches!(error, GitError::Unreachable(_)), "{error}");
}

#[tokio::test]
async fn a_server_that_repeats_a_page_is_not_followed() {
    let (bench, _) = shop([]).await;
    let rows: Vec<_> = (0..100)
        .map(|number| serde_json::json!({ "name": format!("b{number:03}"), "commit": { "id": "1" } }))
        .collect();
    let link = format!("<{}/api/v4/x?page_token=b099&per_page=100>; rel=\"next\"", bench.double.url);
    let same = How::Answer(200, vec![("link", link)], serde_json::Value::from(rows).to_string());
    bench.double.fail(Fault::always("/branches?", same));
    let page = bench.gitlab.branches(&path("ada/shop"), &first(100)).await.unwrap().unwrap();
    assert_eq!((page.items.len(), page.has_next), (100, true), "main, and 99 of the page");
    bench.asked();
    let error = bench.gitlab.branches(&path("ada/shop"), &next(&first(100), &page).unwrap()).await.unwrap_err();
    assert!(matches!(error, GitError::Unreachable(_)), "{error}");
    assert!(bench.asked().len() < 5);
}

#[tokio::test]
async fn a_forged_cursor_costs_little() {
    for (pages, forged) in
        [(BranchPages::Numbered, "1000000.x"), (BranchPages::Numbered, "60.b"), (BranchPages::Gitaly, "t.x:y")]
    {
        let (bench, _) = shop((0..5000).map(|number| format!("b{number:04}"))).await;
        bench.double.state().branch_pages = pages;
        let request = ListRequest { after: Some(forged.to_owned()), ..first(5) };
        let found = bench.gitlab.branches(&path("ada/shop"), &request).await;
        let asked = bench.asked().len();
        assert!(asked <= 26, "{forged}: {asked}");
        if let Err(error) = found {
            assert!(matches!(&error, GitError::Invalid(said) if said.contains("begin at its start")), "{error}");
        }
    }
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    let (bench, id) = shop((0..250).map(|number| format!("b{number:03}"))).await;
    let before = all(&bench, first(100)).await;
    assert!(bench.double.asked().iter().all(|seen| seen.known.is_none()));
    bench.clock.wait(TimeDelta::seconds(31));
    assert_eq!(all(&bench, first(100)).await, before);
    let seen = bench.double.asked();
    assert!(seen.len() == 5 && seen.iter().all(|seen| seen.known.is_some()), "{seen:?}");
    bench.double.state().projects.get_mut(&id).unwrap().branches.insert("b2495".to_owned(), false);
    bench.clock.wait(TimeDelta::seconds(31));
    assert_eq!(all(&bench, first(100)).await.len(), before.len() + 1);
}

#[tokio::test]
async fn a_name_as_long_as_git_takes_is_gone_on_after() {
    let long = |number: u32| format!("{}{number:03}", "a/".repeat(350));
    let (bench, _) = shop((0..250).map(long).chain(["b".repeat(255)])).await;
    bench.double.state().projects.values_mut().for_each(|made| {
        made.branches.extend((0..5).map(|number| (format!("b{number}"), false)));
    });
    for pages in PAGING {
        bench.double.state().branch_pages = pages;
        let mut request = Some(first(2));
        let mut found = Vec::new();
        while let Some(asked) = request {
            let page = bench.gitlab.branches(&path("ada/shop"), &asked).await.unwrap().unwrap();
            let cursors = page.items.iter().map(|item| Cursor(vec![item.cursor.clone()]).encode());
            assert!(cursors.into_iter().all(|cursor| Cursor::decode(&cursor).is_some()), "{pages:?}");
            found.extend(page.items.iter().map(|item| item.value.name.to_string()));
            request = next(&asked, &page);
        }
        // Names of more than 255 bytes are left out.
        assert_eq!(found.len(), 7, "{pages:?}: {found:?}");
    }
}
