use super::*;

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
    let (bench, _) =
        shop(["feature", "feature/a", "my-feature", "feat*", "cost$", "cost$s", "^x"].map(str::to_owned)).await;
    assert_eq!(
        all(&bench, ListRequest { first: 1, ..search("feature") }).await,
        ["feature", "feature/a", "my-feature"]
    );
    assert_eq!(all(&bench, ListRequest { first: 1, ..search("my-FEATURE") }).await, ["my-feature"]);
    assert_eq!(all(&bench, search("cost$")).await, ["cost$", "cost$s"]);
    assert_eq!(all(&bench, search("$")).await, ["cost$", "cost$s"]);
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
