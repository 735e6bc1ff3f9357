//! Submodules: of the same server alone, with the same limits.

use kiops::builder::source::SourceError;

use super::*;
use crate::support::git_server::Change;

fn gitmodules(modules: &[(&str, &str, &str)]) -> Change {
    let text: String = modules
        .iter()
        .map(|(name, path, url)| {
            format!("[submodule \"{name}\"]\n\tpath = {path}\n\turl = {url}\n\tupdate = !touch x\n")
        })
        .collect();
    Change::file(".gitmodules", text)
}

#[tokio::test]
async fn submodules_of_the_same_server_are_written_where_they_belong() {
    let Some(house) = House::new("submodules_of_the_same_server").await else { return };
    let repositories = house.repositories();
    repositories.create("shop/lib");
    repositories.create("shop/back/deep");
    let deep =
        repositories.commit("shop/back/deep", "main", &[Change::file("d", "deep"), Change::link("up", "../../api")]);
    let lib = repositories.commit(
        "shop/lib",
        "main",
        &[
            Change::program("run", "x"),
            gitmodules(&[("deep", "in/deep", &house.server.address("shop/back/deep"))]),
            Change::module("in/deep", &deep),
        ],
    );
    let changes = [
        Change::file("api", "x"),
        gitmodules(&[
            ("a", "vendor/lib", "../../lib.git"),
            ("b", "other", "https://other.example/x.git"),
            ("c", "port", "http://127.0.0.1:1/shop/lib.git"),
            ("d", "ssh", "git@127.0.0.1:shop/lib.git"),
            ("--upload-pack=touch marker", "dash", "--upload-pack=touch marker"),
            ("../../../x", "ext", "ext::sh -c touch% marker"),
            ("f", "../outside", "../../lib.git"),
            ("g", "file", "file:///etc"),
        ]),
        Change::module("vendor/lib", &lib),
        Change::module("other", &lib),
        Change::module("port", &lib),
        Change::module("ssh", &lib),
        Change::module("dash", &lib),
        Change::module("ext", &lib),
        Change::module("file", &lib),
        Change::module("unknown", &lib),
    ];
    let root = repositories.commit(SHOP, "main", &changes);
    let mut found = house.written(&root).await;
    found.retain(|name, _| !name.ends_with(".gitmodules"));
    let mut expected = vec![
        ("api".to_owned(), "644 x".to_owned()),
        ("vendor/lib/run".to_owned(), "755 x".to_owned()),
        ("vendor/lib/in/deep/d".to_owned(), "644 deep".to_owned()),
        ("vendor/lib/in/deep/up".to_owned(), "-> ../../api".to_owned()),
    ];
    let folders = ["vendor", "vendor/lib", "vendor/lib/in", "vendor/lib/in/deep", "other", "port", "ssh", "dash"];
    for folder in folders.iter().chain(&["ext", "file", "unknown"]) {
        expected.push((format!("{folder}/"), "755".to_owned()));
    }
    assert_eq!(found, expected.into_iter().collect());
    let lines = house.lines.all();
    for left_out in ["other", "port", "ssh", "dash", "ext", "file", "unknown"] {
        assert!(lines.contains(&format!("The submodule \"{left_out}\" is left out: ")), "{lines}");
    }
    assert!(lines.contains("it is on other.example, not on 127.0.0.1"), "{lines}");

    // The tree is another one when a submodule is.
    let before = house.fetch(&root).await.unwrap().tree;
    let lib = repositories.commit("shop/lib", "main", &[Change::file("new", "x")]);
    let next = repositories.commit(SHOP, "main", &[Change::module("vendor/lib", &lib)]);
    assert_ne!(house.fetch(&next).await.unwrap().tree, before);
}

#[tokio::test]
async fn a_submodule_that_is_not_there_is_named() {
    let Some(house) = House::new("a_submodule_that_is_not_there").await else { return };
    let repositories = house.repositories();
    let missing = "a".repeat(40);
    for url in ["../nothing.git", "./../api.git"] {
        let changes = [gitmodules(&[("a", "lib", url)]), Change::module("lib", &missing)];
        let root = repositories.commit(SHOP, "main", &changes);
        match house.fetch(&root).await {
            Err(SourceError::NotFound(message)) => assert!(message.contains("the submodule \"lib\": "), "{message}"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn bombs_of_submodules_end() {
    let Some(house) = House::new("bombs_of_submodules").await else { return };
    let repositories = house.repositories();
    // Each holds the one before: seven deep.
    let mut inner = repositories.commit(SHOP, "level", &[Change::file("x", "x")]);
    for level in 0..7 {
        let changes = [gitmodules(&[("a", "in", "../api.git")]), Change::module("in", &inner)];
        inner = repositories.commit(SHOP, &format!("level{level}"), &changes);
    }
    assert!(house.refusal(&inner).await.contains("submodules"));
    // Each holds the one before twice, four deep: eight at the end, fourteen in all, which is let through.
    // Eight times makes more than fifty.
    for (count, fits) in [(2, true), (8, false)] {
        let mut inner = repositories.commit(SHOP, &format!("wide{count}"), &[Change::file("x", "x")]);
        for level in 0..3 {
            let names: Vec<String> = (0..count).map(|at| format!("m{at}")).collect();
            let modules: Vec<_> = names.iter().map(|name| (name.as_str(), name.as_str(), "../api.git")).collect();
            let mut changes = vec![gitmodules(&modules)];
            changes.extend(names.iter().map(|name| Change::module(name, &inner)));
            inner = repositories.commit(SHOP, &format!("wide{count}-{level}"), &changes);
        }
        let outcome = house.fetch(&inner).await;
        assert_eq!(outcome.is_ok(), fits, "{outcome:?}");
    }
}

#[tokio::test]
async fn limits_hold_for_all_submodules_together() {
    let Some(mut house) = House::new("limits_hold_for_all_submodules").await else { return };
    let repositories = house.repositories();
    repositories.create("shop/lib");
    let lib = repositories.commit("shop/lib", "main", &[Change::file("a", "1"), Change::file("b", "1")]);
    let changes = [gitmodules(&[("a", "lib", "../../lib.git")]), Change::module("lib", &lib), Change::file("own", "x")];
    let root = repositories.commit(SHOP, "main", &changes);
    house.limits.files = 4;
    assert_eq!(house.fetch(&root).await.unwrap().files, 4);
    std::fs::remove_dir_all(house.place()).unwrap();
    house.limits.files = 3;
    assert!(house.refusal(&root).await.contains("more than 3 files"));
}
