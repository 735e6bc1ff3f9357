use super::*;
use crate::git::{NewProject, Visibility};

async fn all(gitlab: &Gitlab, request: ListRequest) -> Vec<String> {
    let mut found = Vec::new();
    let mut request = Some(request);
    while let Some(asked) = request {
        let page = gitlab.projects(&asked).await.unwrap();
        assert!(page.items.len() <= asked.first as usize);
        found.extend(page.items.iter().map(|item| item.value.path.to_string()));
        request = next(&asked, &page);
    }
    found
}

fn new(name: &str) -> NewProject {
    NewProject { namespace: None, name: name.to_owned(), branch: branch("main"), visibility: Visibility::Private }
}

#[tokio::test]
async fn ten_thousand_projects_are_listed_page_by_page_each_once() {
    let bench = Bench::new().await;
    for number in 1..=10_000 {
        bench.double.state().project(&format!("ada/project-{number:05}"), "main");
    }
    let page = bench.gitlab.projects(&first(20)).await.unwrap();
    assert_eq!(page.items.len(), 20);
    assert_eq!(page.items[0].value.path.as_str(), "ada/project-10000");
    assert!(page.has_next);
    let asked = bench.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0], "GET /api/v4/projects?membership=true&pagination=keyset&order_by=id&sort=desc&per_page=21");

    // While somebody pages, others make projects and remove them.
    let mut found: Vec<String> = page.items.iter().map(|item| item.value.path.to_string()).collect();
    bench.double.state().project("ada/brand-new", "main");
    let last = page.items[19].cursor.parse::<u64>().unwrap();
    bench.double.state().projects.remove(&last);
    let rest = ListRequest { first: 100, ..next(&first(20), &page).unwrap() };
    found.extend(all(&bench.gitlab, rest).await);
    let expected: Vec<String> = (1..=10_000).rev().map(|number| format!("ada/project-{number:05}")).collect();
    assert_eq!(found, expected);
    // A hundred pages, each with one look at whether there is another.
    let asked = bench.asked().len();
    assert!((100..=201).contains(&asked), "{asked}");

    assert_eq!(all(&bench.gitlab, ListRequest { first: 7, ..search("project-0012") }).await.len(), 10);
    assert!(bench.asked().len() <= 2);
}

#[tokio::test]
async fn the_end_of_a_list_is_known_at_every_page_size() {
    let bench = Bench::new().await;
    for number in 0..200 {
        bench.double.state().project(&format!("ada/p{number}"), "main");
    }
    for size in [1, 40, 99, 100] {
        assert_eq!(all(&bench.gitlab, first(size)).await.len(), 200, "{size}");
    }
    let page = bench.gitlab.projects(&ListRequest { after: Some("103".to_owned()), ..first(100) }).await.unwrap();
    assert_eq!((page.items.len(), page.has_next), (100, false));
    for forged in ["", "-1", "99999999999999999999999", "../..", "1&membership=false", "\0"] {
        let request = ListRequest { after: Some(forged.to_owned()), ..first(5) };
        assert_eq!(bench.gitlab.projects(&request).await.unwrap().items.len(), 5, "{forged:?}");
    }
    assert!(bench.asked().iter().all(|asked| asked.contains("membership=true")));
}

#[tokio::test]
async fn only_what_one_takes_part_in_is_listed_and_searched() {
    let bench = Bench::new().await;
    let bob = bench.double.state().person("bob");
    bench.double.state().group("acme", bench.me, 30);
    let shop = bench.double.state().project("acme/web/shop", "main");
    bench.double.state().project("bob/secret", "main");
    let open = bench.double.state().project("bob/open", "main");
    {
        let mut state = bench.double.state();
        let made = state.projects.get_mut(&shop).unwrap();
        made.archived = true;
        made.description = Some("The shop\n of   Acme ".to_owned());
        state.projects.get_mut(&open).unwrap().visibility = "public".to_owned();
    }
    let page = bench.gitlab.projects(&first(5)).await.unwrap();
    assert_eq!(page.items.len(), 1);
    let row = &page.items[0].value;
    assert_eq!((row.path.as_str(), row.private, row.archived), ("acme/web/shop", true, true));
    assert_eq!(row.description.as_deref(), Some("The shop of Acme"));
    assert_eq!(row.web_url, format!("{}/acme/web/shop", bench.double.url));
    for (text, found) in [("SHOP", 1), ("web/sh", 1), ("acme", 1), ("secret", 0), ("a&b=c#d", 0)] {
        assert_eq!(bench.gitlab.projects(&search(text)).await.unwrap().items.len(), found, "{text}");
    }
    // As GitLab searches: in descriptions too, and for fewer than three characters as for the whole of a name.
    for (text, found) in [("of acme", 1), ("sh", 0), ("shop zz", 1)] {
        assert_eq!(bench.gitlab.projects(&search(text)).await.unwrap().items.len(), found, "{text}");
    }
    let asked = bench.asked();
    assert!(asked.iter().any(|asked| asked.ends_with("&search=web%2Fsh&search_namespaces=true")), "{asked:?}");
    let public = bench.gitlab.project(&path("bob/open")).await.unwrap().unwrap();
    assert!(!public.private);
    assert_eq!(bench.gitlab.project(&path("bob/secret")).await.unwrap(), None);
    let bobs = bench.with("glpat-bob", bob, &["read_api"]);
    assert_eq!(bobs.projects(&first(5)).await.unwrap().items.len(), 2);
}

#[tokio::test]
async fn a_project_is_found_by_path_by_id_and_by_the_path_that_it_had() {
    let bench = Bench::new().await;
    let id = bench.double.state().project("ada/shop", "main");
    bench.double.state().group("acme", bench.me, 50);
    bench.double.state().transfer(id, "acme/store");
    let expected = bench.gitlab.project(&path("acme/store")).await.unwrap().unwrap();
    assert_eq!(expected.external_id, id.to_string());
    for reference in [path("ada/shop"), known(id, "ada/shop"), known(id, "any/thing")] {
        assert_eq!(bench.gitlab.project(&reference).await.unwrap().as_ref(), Some(&expected), "{reference:?}");
    }
    assert_eq!(bench.gitlab.project(&path("ada/gone")).await.unwrap(), None);
    for forged in ["", "x", "1/../2", "1%2F2", "-1"] {
        let reference = ProjectRef::Known { external_id: forged.to_owned(), path: expected.path.clone() };
        assert_eq!(bench.gitlab.project(&reference).await.unwrap(), None, "{forged}");
    }
    assert!(bench.asked().iter().all(|asked| !asked.contains("..")));
}

#[tokio::test]
async fn what_was_listed_is_remembered_for_half_a_minute_and_then_asked_after() {
    let bench = Bench::new().await;
    bench.double.state().project("ada/one", "main");
    for _ in 0..3 {
        assert_eq!(bench.gitlab.projects(&first(5)).await.unwrap().items.len(), 1);
    }
    assert_eq!(bench.asked().len(), 1);
    bench.double.state().project("ada/two", "main");
    bench.clock.wait(TimeDelta::seconds(31));
    assert_eq!(bench.gitlab.projects(&first(5)).await.unwrap().items.len(), 2);
    // What one makes oneself is listed at once.
    let made = bench.gitlab.create_project(&new("three")).await.unwrap();
    assert_eq!(bench.gitlab.projects(&first(5)).await.unwrap().items[0].value, made);
    assert!(bench.gitlab.project(&path("ada/three")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_project_is_made_where_it_was_wanted_with_its_branch() {
    let bench = Bench::new().await;
    let id = bench.double.state().group("acme/web", bench.me, 30).to_string();
    let wanted = NewProject {
        namespace: Some("acme/web".to_owned()),
        branch: branch("release/1.0+rc"),
        visibility: Visibility::Public,
        ..new("shop")
    };
    let made = bench.gitlab.create_project(&wanted).await.unwrap();
    assert_eq!((made.path.as_str(), made.private), ("acme/web/shop", false));
    assert_eq!(made.default_branch.as_deref(), Some("release/1.0+rc"));
    bench.asked();
    for _ in 0..2 {
        bench.gitlab.first_branch(&made, &wanted.branch).await.unwrap();
    }
    assert!(bench.asked().iter().all(|asked| asked.starts_with("GET")), "nothing was to be mended");

    let again = bench.gitlab.create_project(&wanted).await.unwrap_err();
    assert!(matches!(&again, GitError::Taken(said) if said.contains("path has already been taken")), "{again}");
    // A path of digits alone is read as an id by GitLab, and would be another namespace.
    for missing in ["nobody", "acme", &id, "", ".", "..", "acme/web/../x"] {
        let new = NewProject { namespace: Some(missing.to_owned()), ..new("x") };
        let error = bench.gitlab.create_project(&new).await.unwrap_err();
        assert!(matches!(error, GitError::NotFound(_)), "{missing}: {error}");
    }
    bench.double.state().account(bench.me).can_create_project = false;
    let refused = bench.gitlab.create_project(&new("mine")).await.unwrap_err();
    assert!(matches!(&refused, GitError::Invalid(said) if said.contains("namespace is not valid")), "{refused}");
    let reader = bench.with("glpat-reader", bench.me, &["read_api"]);
    assert!(matches!(reader.create_project(&new("mine")).await.unwrap_err(), GitError::Forbidden(_)));
    let asked = bench.double.asked();
    assert_eq!(asked.iter().filter(|seen| seen.method == "POST").count(), 3);
}

#[tokio::test]
async fn a_server_that_ignores_the_branch_is_mended() {
    let bench = Bench::new().await;
    bench.double.state().ignores_default_branch = true;
    let made = bench.gitlab.create_project(&NewProject { branch: branch("fix/#12"), ..new("shop") }).await.unwrap();
    assert_eq!(made.default_branch.as_deref(), Some("main"));
    for _ in 0..2 {
        bench.gitlab.first_branch(&made, &branch("fix/#12")).await.unwrap();
    }
    let now = bench.gitlab.project(&path("ada/shop")).await.unwrap().unwrap();
    assert_eq!(now.default_branch.as_deref(), Some("fix/#12"));
    assert!(bench.gitlab.branch(&path("ada/shop"), &branch("fix/#12")).await.unwrap().unwrap().is_default);
    let writes: Vec<String> = bench.asked().into_iter().filter(|asked| !asked.starts_with("GET")).collect();
    let id = &made.external_id;
    assert_eq!(
        writes,
        [
            "POST /api/v4/projects".to_owned(),
            format!("POST /api/v4/projects/{id}/repository/branches"),
            format!("PUT /api/v4/projects/{id}"),
        ]
    );

    // One without any branch gets a README, by which it comes to be.
    let id = bench.double.state().project("ada/empty", "main");
    bench.double.state().projects.get_mut(&id).unwrap().branches.clear();
    let empty = bench.gitlab.project(&path("ada/empty")).await.unwrap().unwrap();
    assert_eq!(empty.default_branch, None);
    bench.gitlab.first_branch(&empty, &branch("trunk")).await.unwrap();
    assert!(bench.gitlab.branch(&known(id, "ada/empty"), &branch("trunk")).await.unwrap().unwrap().is_default);
    bench.double.state().projects.remove(&id);
    assert!(matches!(bench.gitlab.first_branch(&empty, &branch("trunk")).await, Err(GitError::NotFound(_))));
}
