//! One project and one branch, whatever became of them.

use super::*;

#[tokio::test]
async fn a_renamed_or_transferred_project_is_still_the_same() {
    let bench = Bench::new().await;
    let id = bench.double.with(|state| {
        state.member("ada", "acme", "admin");
        state.repository("ada/shop").id
    });
    let github = &bench.github;
    bench.double.with(|state| state.move_to("ada/shop", "acme/store"));
    for project in [at("ada/shop"), at("acme/store"), known(id, "ada/shop"), known(id, "acme/store")] {
        let found = github.project(&project).await.unwrap().unwrap();
        assert_eq!((found.path.as_str(), found.external_id), ("acme/store", id.to_string()));
        assert_eq!(github.branch(&project, &branch("main")).await.unwrap().unwrap().name, branch("main"));
        let listed = github.branches(&project, &page(5, None, None)).await.unwrap().unwrap();
        assert_eq!(listed.items.len(), 1);
    }

    // Another takes the old path.
    let other = bench.double.with(|state| state.repository("ada/shop").id);
    bench.later(31);
    assert_eq!(github.project(&at("ada/shop")).await.unwrap().unwrap().external_id, other.to_string());
    assert_eq!(github.project(&known(id, "ada/shop")).await.unwrap().unwrap().path, path("acme/store"));
    let listed = github.branches(&known(id, "ada/shop"), &page(5, None, None)).await.unwrap().unwrap();
    assert!(listed.items[0].value.commit.web_url.as_ref().unwrap().contains("/acme/store/commit/"));

    bench.double.with(|state| state.repositories.remove(&id));
    assert_eq!(github.project(&known(id, "ada/shop")).await, Ok(None));
    assert_eq!(github.branch(&known(id, "ada/shop"), &branch("main")).await, Ok(None));
}

#[tokio::test]
async fn what_is_not_there_is_none() {
    let bench = Bench::new().await;
    bench.double.with(|state| {
        state.user("bob");
        state.repository("bob/secret");
        state.repository("ada/shop");
    });
    let github = &bench.github;
    for project in [at("ada/none"), at("bob/secret"), at("group/sub/shop"), known(99, "ada/none")] {
        assert_eq!(github.project(&project).await, Ok(None), "{project:?}");
    }
    let odd = ProjectRef::Known { external_id: "../../user".to_owned(), path: path("ada/shop") };
    assert_eq!(github.project(&odd).await, Ok(None));
    for name in ["none", "main/x", "Main"] {
        assert_eq!(github.branch(&at("ada/shop"), &branch(name)).await, Ok(None));
    }
}

#[tokio::test]
async fn odd_branches_have_their_own_address() {
    let bench = Bench::new().await;
    let names = ["feature/ä", "fix/#12", "release/1.0+rc", "a/b/c/d", "100%", "%2e%2e", "a&b=c", "$(id);`x`", "a@b"];
    bench.double.with(|state| {
        let shop = state.repository("ada/shop");
        for (seed, name) in names.iter().enumerate() {
            shop.branches.insert((*name).to_owned(), github_double::Branch::new(100 + seed as u64));
        }
    });
    for (seed, name) in names.iter().enumerate() {
        let found = bench.github.branch(&at("ada/shop"), &branch(name)).await.unwrap().unwrap();
        assert_eq!((found.name.as_str(), found.commit.sha), (*name, format!("{:040x}", 100 + seed)));
        assert_eq!(found.commit.author_name.as_deref(), Some("Ada Lovelace"));
    }
    let asked = bench.double.take_asked();
    assert!(asked.contains(&"GET /repos/ada/shop/branches/a%2Fb%2Fc%2Fd".to_owned()), "{asked:?}");
    assert!(asked.contains(&"GET /repos/ada/shop/branches/fix%2F%2312".to_owned()), "{asked:?}");
}

#[tokio::test]
async fn an_empty_repository_has_no_default_branch() {
    let bench = Bench::new().await;
    bench.double.with(|state| state.repository("ada/empty").branches.clear());
    assert_eq!(bench.github.project(&at("ada/empty")).await.unwrap().unwrap().default_branch, None);
    let listed = bench.github.branches(&at("ada/empty"), &page(5, None, None)).await.unwrap().unwrap();
    assert_eq!((listed.items, listed.has_next), (Vec::new(), false));
}

#[tokio::test]
async fn an_empty_repository_has_no_default_branch_in_a_list_either() {
    let bench = Bench::new().await;
    bench.double.with(|state| {
        state.add("ada/full");
        state.repository("ada/empty").branches.clear();
    });
    for search in [None, Some("ada/")] {
        let listed = bench.github.projects(&page(5, None, search)).await.unwrap();
        let rows: Vec<_> =
            listed.items.iter().map(|i| (i.value.name.as_str(), i.value.default_branch.as_deref())).collect();
        assert_eq!(rows, [("empty", None), ("full", Some("main"))]);
    }
    // Only what may be empty is looked at.
    assert_eq!(bench.double.take_asked(), ["GET /user/repos", "GET /repos/ada/empty/branches"]);
}

#[tokio::test]
async fn an_enterprise_server_below_a_prefix_is_the_same() {
    let bench = Bench::on(GithubDouble::below("/api/v3").await);
    bench.double.with(|state| {
        state.member("ada", "acme", "admin");
        (0..150).for_each(|n| state.add(&format!("acme/part-{n}")));
        state.move_to("acme/part-7", "ada/seven");
    });
    assert_eq!(bench.github.identify().await.unwrap().account.as_deref(), Some("ada"));
    assert_eq!(all_paths(&bench.github, 40, None).await.len(), 150);
    assert_eq!(bench.github.project(&at("acme/part-7")).await.unwrap().unwrap().path, path("ada/seven"));
    assert_eq!(bench.github.namespaces(&page(5, None, None)).await.unwrap().items.len(), 2);
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    let bench = Bench::new().await;
    bench.double.with(|state| state.add("ada/shop"));
    for _ in 0..2 {
        assert!(bench.github.project(&at("ada/shop")).await.unwrap().is_some());
    }
    let asked = bench.double.asked();
    assert_eq!(asked.len(), 2, "one project is always asked for");
    assert!(asked[1].headers.contains_key("if-none-match"));
    // The second was answered 304, and so is what is asked after it.
    assert!(bench.github.project(&at("ada/shop")).await.unwrap().is_some());
    assert_eq!(bench.double.asked()[2].headers["if-none-match"], asked[1].headers["if-none-match"]);
    bench.double.with(|state| state.at("ada/shop").unwrap().archived = true);
    assert!(bench.github.project(&at("ada/shop")).await.unwrap().unwrap().archived);
}

#[tokio::test]
async fn what_is_remembered_for_one_organization_is_not_given_to_another() {
    let bench = Bench::new().await;
    const BOBS: &str = "ghp_bob456789abcdefghijABCDEFGHIJ";
    bench.double.with(|state| {
        state.add("ada/shop");
        state.classic(BOBS, "bob", "repo, read:org");
        state.add("bob/secret");
    });
    let (shared, url) = (shared(&bench.clock), bench.double.url());
    let first = of_organization(&shared, &url, TOKEN, "o1");
    assert_eq!(all_paths(&first, 20, None).await, ["ada/shop"]);
    bench.double.take_asked();
    // The same token: the answer is the same, and yet it is asked for.
    let second = of_organization(&shared, &url, TOKEN, "o2");
    assert_eq!(all_paths(&second, 20, None).await, ["ada/shop"]);
    assert!(!bench.double.asked()[0].headers.contains_key("if-none-match"));
    assert_eq!(bench.double.take_asked().len(), 1);
    // Another token, of another organization and of the same one.
    for organization in ["o2", "o1"] {
        let other = of_organization(&shared, &url, BOBS, organization);
        assert_eq!(all_paths(&other, 20, None).await, ["bob/secret"]);
        assert_eq!(bench.double.take_asked().len(), 1);
    }
    // A client of the same organization and token is given what is remembered.
    assert_eq!(all_paths(&of_organization(&shared, &url, TOKEN, "o1"), 20, None).await, ["ada/shop"]);
    assert_eq!(bench.double.take_asked(), [""; 0]);
    // One's spent limit is not the other's.
    bench.double.with(|state| state.left = Some(0));
    bench.later(31);
    assert!(first.projects(&page(20, None, None)).await.is_err());
    bench.double.with(|state| state.left = None);
    assert_eq!(all_paths(&second, 20, None).await, ["ada/shop"]);
}
