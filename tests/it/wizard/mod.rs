//! The Build Wizard: what it proposes for each fixture, and what no tree can make it do.
#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

mod command;
mod dockerfile;
mod hostile;
mod memory;
mod random;

use std::path::{Path, PathBuf};

use kiops::builder::wizard::{BuildPlan, Folder, Tree, plan};

/// The fixture trees, by name.
fn fixtures() -> Vec<(String, PathBuf)> {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/wizard");
    let entries = std::fs::read_dir(all).unwrap().map(|entry| entry.unwrap());
    let mut found: Vec<_> = entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.path())).collect();
    found.sort();
    found
}

fn plan_of(folder: &Path) -> BuildPlan {
    plan(&Tree::new(&Folder::open(folder).unwrap()))
}

/// Renew them with `INSTA_UPDATE=always cargo test --test it wizard::each_fixture` and read the difference.
#[test]
fn each_fixture_has_the_plan_of_its_snapshot() {
    let fixtures = fixtures();
    for (name, folder) in &fixtures {
        insta::assert_snapshot!(name.as_str(), shown(&plan_of(folder)));
    }
    let snapshots = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/wizard/snapshots");
    assert_eq!(std::fs::read_dir(snapshots).unwrap().count(), fixtures.len(), "a snapshot is of no fixture");
}

fn shown(plan: &BuildPlan) -> String {
    let mut facts = serde_json::to_value(plan).unwrap();
    let texts = facts.as_object_mut().unwrap();
    let dockerfile = texts.remove("dockerfile").unwrap();
    let ignore = texts.remove("dockerignore").unwrap();
    let facts = serde_json::to_string_pretty(&facts).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or("none\n").to_owned();
    format!("{facts}\n---- Dockerfile ----\n{}---- .dockerignore ----\n{}", text(&dockerfile), text(&ignore))
}

/// A tree in memory is read as one on disk, and a second look sees the same.
#[test]
fn the_same_tree_gives_the_same_bytes() {
    for (name, folder) in fixtures() {
        let first = plan_of(&folder);
        assert_eq!(first, plan_of(&folder), "{name}");
        assert_eq!(first, plan(&Tree::new(&memory::Memory::of_folder(&folder))), "{name}");
    }
}

/// What decides is in the root. A file of another language anywhere below it changes nothing.
#[test]
fn a_stray_file_in_a_subfolder_never_decides() {
    let strays = ["package.json", "go.mod", "Cargo.toml", "requirements.txt", "pom.xml", "composer.json", "index.html"];
    for (name, folder) in fixtures() {
        let mut tree = memory::Memory::of_folder(&folder);
        let before = plan(&Tree::new(&tree));
        if before.language.is_none() {
            continue;
        }
        for stray in strays {
            tree.insert(&format!("some/where/else/{stray}"), b"{}");
            tree.insert(&format!("stray/{stray}"), br#"{"scripts":{"start":"node x.js"}}"#);
        }
        assert_eq!(before, plan(&Tree::new(&tree)), "{name}");
    }
}
