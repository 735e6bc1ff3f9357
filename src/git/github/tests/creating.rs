//! Making a repository and its first branch.

use std::time::Duration;

use super::github_double::Trouble;
use super::*;
use crate::git::{GitError, NewProject, Project, Visibility};

fn new(namespace: Option<&str>, name: &str, first: &str) -> NewProject {
    NewProject {
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
        branch: branch(first),
        visibility: Visibility::Private,
    }
}

async fn make(bench: &Bench, new: &NewProject) -> Project {
    let made = bench.github.create_project(new).await.unwrap();
    bench.github.first_branch(&made, &new.branch).await.unwrap();
    made
}

#[tokio::test]
async fn a_repository_is_made_where_it_was_wanted() {
    let bench = Bench::new().await;
    bench.double.with(|state| state.member("ada", "acme", "member"));
    let before = all_paths(&bench.github, 20, None).await;
    assert!(before.is_empty());
    for (namespace, expected) in [(None, "ada/one"), (Some("Ada"), "ada/two"), (Some("acme"), "acme/three")] {
        let made = make(&bench, &new(namespace, expected.split_once('/').unwrap().1, "main")).await;
        assert_eq!(made.path, path(expected));
        assert!(made.private);
    }
    assert_eq!(all_paths(&bench.github, 20, None).await.len(), 3, "what was remembered is forgotten");
    let open = NewProject { visibility: Visibility::Public, ..new(None, "open source", "main") };
    let made = make(&bench, &open).await;
    assert_eq!((made.path.as_str(), made.private), ("ada/open-source", false), "GitHub's own way with names");
}

#[tokio::test]
async fn the_first_branch_has_the_wanted_name() {
    let bench = Bench::new().await;
    for (n, name) in ["trunk", "feature/ä", "fix/#12", "release/1.0+rc", "a/b/c/d"].into_iter().enumerate() {
        let made = make(&bench, &new(None, &format!("shop-{n}"), name)).await;
        let project = bench.github.project(&at(made.path.as_str())).await.unwrap().unwrap();
        assert_eq!(project.default_branch.as_deref(), Some(name));
        let branches = bench.github.branches(&at(made.path.as_str()), &page(5, None, None)).await.unwrap().unwrap();
        assert_eq!(branches.items.len(), 1);
        // Once more changes nothing.
        bench.double.take_asked();
        bench.github.first_branch(&made, &branch(name)).await.unwrap();
        assert!(bench.double.take_asked().iter().all(|asked| asked.starts_with("GET ")));
    }
}

#[tokio::test]
async fn github_may_take_its_time() {
    let bench = Bench::new().await;
    bench.double.with(|state| (state.slow_readme, state.slow_rename) = (2, 3));
    let made = make(&bench, &new(None, "shop", "trunk")).await;
    assert_eq!(bench.github.project(&at("ada/shop")).await.unwrap().unwrap().default_branch.as_deref(), Some("trunk"));
    let renames = bench.double.asked().iter().filter(|asked| asked.path.ends_with("/rename")).count();
    assert_eq!(renames, 1);
    // It was moved since.
    bench.double.with(|state| {
        state.member("ada", "acme", "admin");
        state.move_to("ada/shop", "acme/store");
    });
    bench.github.first_branch(&made, &branch("trunk")).await.unwrap();
}

#[tokio::test]
async fn a_renaming_that_another_call_began_is_waited_for() {
    let bench = Bench::new().await;
    bench.double.with(|state| state.slow_rename = 6);
    let made = bench.github.create_project(&new(None, "shop", "trunk")).await.unwrap();
    let trunk = branch("trunk");
    let both = tokio::join!(bench.github.first_branch(&made, &trunk), bench.github.first_branch(&made, &trunk));
    assert_eq!(both, (Ok(()), Ok(())));
    // A name that another branch has is refused, in GitHub's words.
    bench.double.with(|state| {
        let shop = state.at("ada/shop").unwrap();
        shop.branches.insert("other".to_owned(), github_double::Branch::new(1));
    });
    let error = bench.github.first_branch(&made, &branch("other")).await.unwrap_err();
    assert!(matches!(&error, GitError::Invalid(said) if said.ends_with("Branch already exists")), "{error}");
}

#[tokio::test]
async fn a_branch_that_does_not_come_is_said_to_be_missing() {
    let bench = Bench::new().await;
    bench.double.with(|state| state.slow_readme = 1000);
    let made = bench.github.create_project(&new(None, "shop", "trunk")).await.unwrap();
    let error = bench.github.first_branch(&made, &branch("trunk")).await.unwrap_err();
    assert!(
        matches!(&error, GitError::Unreachable(said) if said.ends_with("ada/shop and not yet its branch trunk: try again")),
        "{error}"
    );
}

#[tokio::test]
async fn refusals_say_who_can_mend_them() {
    let bench = Bench::new().await;
    bench.double.with(|state| {
        state.member("ada", "closed", "member");
        state.organization("closed").members_can_create = Some(false);
        state.organization("strange");
        state.user("bob");
        state.add("ada/shop");
    });
    let taken = bench.github.create_project(&new(None, "Shop", "main")).await.unwrap_err();
    assert!(matches!(&taken, GitError::Taken(said) if said.contains("name already exists on this account")), "{taken}");
    let invalid = bench.github.create_project(&new(None, "", "main")).await.unwrap_err();
    assert!(matches!(&invalid, GitError::Invalid(said) if said.contains("name is too short")), "{invalid}");
    let forbidden = bench.github.create_project(&new(Some("closed"), "x", "main")).await.unwrap_err();
    assert!(matches!(&forbidden, GitError::Forbidden(said) if said.contains("You need admin access")), "{forbidden}");
    for namespace in ["strange", "bob", "nobody", "../user"] {
        let error = bench.github.create_project(&new(Some(namespace), "x", "main")).await.unwrap_err();
        assert!(matches!(error, GitError::NotFound(_)), "{namespace}: {error}");
    }
    assert_eq!(bench.double.with(|state| state.repositories.len()), 1);
}

#[tokio::test]
async fn a_slow_wait_for_a_branch_says_what_is_there_and_what_is_not() {
    let bench = Bench::new().await;
    bench.double.with(|state| state.slow_readme = 1000);
    let made = bench.github.create_project(&new(None, "shop", "trunk")).await.unwrap();
    bench.double.fail("GET /repos/ada/shop", 100, Trouble::Slow(Duration::from_millis(900)));
    let error = bench.github.first_branch(&made, &branch("trunk")).await.unwrap_err();
    assert!(error.to_string().ends_with("has made ada/shop and not yet its branch trunk: try again"), "{error}");
}

#[tokio::test]
async fn all_of_making_a_repository_ends_within_the_time_of_a_call() {
    let bench = Bench::new().await;
    bench.double.fail("GET /user", 1, Trouble::Slow(Duration::from_secs(4)));
    bench.double.fail("POST /user/repos", 1, Trouble::Silence(Duration::from_secs(60)));
    let began = std::time::Instant::now();
    let error = bench.github.create_project(&new(Some("ada"), "shop", "main")).await.unwrap_err();
    assert!(matches!(error, GitError::Unreachable(_)), "{error}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_attempt_whose_end_is_not_known_is_looked_for_at_once() {
    let bench = Bench::new().await;
    assert!(all_paths(&bench.github, 20, None).await.is_empty());
    bench.double.fail("POST /user/repos", 1, Trouble::Silence(Duration::from_secs(60)));
    let wanted = new(None, "shop", "main");
    let given_up = tokio::time::timeout(Duration::from_millis(500), bench.github.create_project(&wanted)).await;
    assert!(given_up.is_err());
    bench.double.with(|state| state.add("ada/shop"));
    assert_eq!(all_paths(&bench.github, 20, None).await, ["ada/shop"]);
}

#[tokio::test]
async fn what_makes_something_is_sent_once() {
    let bench = Bench::new().await;
    bench.double.fail_with("POST /user/repos", 1, 502, "Server Error");
    let error = bench.github.create_project(&new(None, "shop", "main")).await.unwrap_err();
    assert!(matches!(error, GitError::Unreachable(_)), "{error}");
    assert_eq!(bench.double.take_asked(), ["POST /user/repos"]);
}
