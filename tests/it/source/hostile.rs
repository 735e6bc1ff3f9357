//! Sources that somebody made to do harm. Each ends with a sentence, within its limits, and nothing is written.

use std::time::Instant;

use kiops::builder::source::SourceError;

use super::*;
use crate::support::git_server::Change;

#[tokio::test]
async fn links_that_leave_the_tree_are_refused() {
    let Some(house) = House::new("links_that_leave_the_tree").await else { return };
    let repositories = house.repositories();
    let cases: [(&str, &[(&str, &str)]); 7] = [
        ("\"Dockerfile\"", &[("Dockerfile", "/etc/passwd")]),
        ("\"x\"", &[("x", "..")]),
        ("\"a/x\"", &[("a/x", "../../etc/passwd")]),
        ("\"x\"", &[("x", "a/../../etc")]),
        ("\"x\"", &[("a/b/up", "../.."), ("x", "a/b/up/../etc")]),
        ("\"x\"", &[("a/b/one", "../../a/b/two"), ("a/b/two", ".."), ("x", "a/b/one/../../etc")]),
        ("\"a\\u{fffd}b\"", &[("a\u{202e}b", "/")]),
    ];
    for (at, (named, links)) in cases.into_iter().enumerate() {
        let mut changes = vec![Change::file("a/b/file", "x")];
        changes.extend(links.iter().map(|(path, target)| Change::link(path, target)));
        let commit = repositories.commit(SHOP, &format!("case{at}"), &changes);
        let message = house.refusal(&commit).await;
        assert!(message.contains(&named.replace("\\u{fffd}", "\u{fffd}")) && message.contains("link"), "{message}");
    }
}

#[tokio::test]
async fn names_that_lead_elsewhere_are_refused() {
    let Some(house) = House::new("names_that_lead_elsewhere").await else { return };
    let repositories = house.repositories();
    let blob = repositories.blob(SHOP, b"x");
    let long = "x".repeat(256);
    let names = [
        "..",
        ".",
        ".git",
        ".GIT",
        ".Git ",
        "git~1",
        "GIT~1",
        ".g\u{200c}it",
        "a/b",
        "/etc/passwd",
        "../x",
        "x\ny",
        "\x1b[31m",
        &long,
    ];
    for (at, name) in names.into_iter().enumerate() {
        for (kind, mode) in ["100644", "40000", "120000"].into_iter().enumerate() {
            let hash = match mode {
                "40000" => repositories.tree(SHOP, &[("100644", "config", &blob)]),
                _ => blob.clone(),
            };
            let bad = repositories.tree(SHOP, &[(mode, name, &hash)]);
            let root = repositories.tree(SHOP, &[("40000", "inner", &bad)]);
            let commit = repositories.commit_tree(SHOP, &format!("case{at}-{kind}"), &root);
            let message = house.refusal(&commit).await;
            assert!(!message.contains(['\n', '\x1b']) && message.len() < 500, "{name}: {message}");
            assert!(message.contains("\"inner/") || message.contains("malformed"), "{name}: {message}");
        }
    }
}

#[tokio::test]
async fn trees_that_say_two_things_are_refused() {
    let Some(house) = House::new("trees_that_say_two_things").await else { return };
    let repositories = house.repositories();
    let blob = repositories.blob(SHOP, b"x");
    let out = repositories.blob(SHOP, b"/etc");
    let inner = repositories.tree(SHOP, &[("100644", "passwd", &blob)]);
    let trees: [&[(&str, &str, &str)]; 10] = [
        // A link and a folder of one name: what is in the folder would be written through the link.
        &[("120000", "x", &out), ("40000", "x", &inner)],
        &[("100644", "x", &blob), ("40000", "x", &inner)],
        &[("100644", "x", &blob), ("100644", "x", &blob)],
        &[("40000", "x", &inner), ("40000", "x", &inner)],
        // Something in a link, and in a file.
        &[("120000", "x", &out), ("100644", "x/passwd", &blob)],
        &[("100644", "x", &blob), ("100644", "x/y", &blob)],
        // Things that are not what they are said to be.
        &[("40000", "x", &blob)],
        &[("100644", "x", &inner)],
        &[("120000", "x", &inner)],
        &[("100644", "", &blob)],
    ];
    for (at, entries) in trees.into_iter().enumerate() {
        let tree = repositories.tree(SHOP, entries);
        let commit = repositories.commit_tree(SHOP, &format!("case{at}"), &tree);
        let outcome = house.fetch(&commit).await;
        // Some of them the server itself does not want to send.
        assert!(matches!(outcome, Err(SourceError::Refused(_) | SourceError::Unreachable(_))), "{at}: {outcome:?}");
        assert!(!house.place().exists());
    }
    // Devices and pipes of other systems' making are no files: what Git takes such a mode for holds nothing.
    for (at, mode) in ["60000", "20000", "10000", "140000"].into_iter().enumerate() {
        let tree = repositories.tree(SHOP, &[(mode, "x", &blob)]);
        let commit = repositories.commit_tree(SHOP, &format!("mode{at}"), &tree);
        if house.fetch(&commit).await.is_ok() {
            assert_eq!(tree_of(&house), [("x/".to_owned(), "755".to_owned())]);
            std::fs::remove_dir_all(house.place()).unwrap();
        }
    }
}

fn tree_of(house: &House) -> Vec<(String, String)> {
    tree(&house.place()).into_iter().collect()
}

#[tokio::test]
async fn bombs_of_files_folders_and_bytes_end_soon() {
    let Some(mut house) = House::new("bombs").await else { return };
    house.limits.files = 20_000;
    let repositories = house.repositories();
    let wide = |kind: &str, hash: &str, count: usize| {
        let names: Vec<String> = (0..count).map(|at| format!("n{at:03}")).collect();
        let entries: Vec<_> = names.iter().map(|name| (kind, name.as_str(), hash)).collect();
        repositories.tree(SHOP, &entries)
    };
    // 2 097 152 files out of four objects.
    let blob = repositories.blob(SHOP, b"x");
    let mut files = wide("100644", &blob, 128);
    for _ in 0..2 {
        files = wide("40000", &files, 128);
    }
    // 10^30 folders without a file.
    let mut folders = repositories.tree(SHOP, &[]);
    for _ in 0..15 {
        folders = wide("40000", &folders, 100);
    }
    // 20 GiB of zeros.
    let zeros = repositories.blob(SHOP, &vec![0; 64 << 20]);
    let zeros = wide("100644", &zeros, 320);
    for (name, tree, why) in [
        ("files", files, "more than 20000 files"),
        ("folders", folders, "more than 20000 folders"),
        ("zeros", zeros, "larger than 50 MiB"),
    ] {
        let commit = repositories.commit_tree(SHOP, name, &tree);
        let begun = Instant::now();
        let message = house.refusal(&commit).await;
        assert!(message.contains(why), "{message}");
        assert!(begun.elapsed() < Duration::from_secs(20), "{name}: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn what_is_too_large_to_be_fetched_is_stopped() {
    let Some(mut house) = House::new("what_is_too_large").await else { return };
    // Noise, which no compression makes smaller.
    let mut state = 1_u64;
    let noise: Vec<u8> = (0..2_500_000)
        .flat_map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_le_bytes()
        })
        .collect();
    let commit = house.repositories().commit(SHOP, "main", &[Change::file("noise", noise)]);
    house.limits.bytes = 1 << 20;
    let message = house.refusal(&commit).await;
    assert!(message.contains("the source is larger than"), "{message}");
    house.limits.bytes = 21 << 20;
    assert_eq!(house.fetch(&commit).await.unwrap().bytes, 20_000_000);
}

#[tokio::test]
async fn nothing_in_a_tree_is_obeyed() {
    let Some(house) = House::new("nothing_in_a_tree_is_obeyed").await else { return };
    let marker = house.folder.path().join("marker");
    let touch = format!("touch {}", marker.display());
    let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 12345\n", "a".repeat(64));
    let config = format!("[filter \"lfs\"]\n\tsmudge = {touch}\n\tprocess = {touch}\n[core]\n\thooksPath = hooks\n");
    let files = [
        (
            ".gitattributes",
            "* text eol=crlf ident filter=lfs diff=lfs export-subst working-tree-encoding=UTF-16\n".to_owned(),
        ),
        (".gitconfig", config.clone()),
        (".lfsconfig", config.clone()),
        ("config", config),
        ("hooks/post-checkout", format!("#!/bin/sh\n{touch}\n")),
        ("hooks/reference-transaction", format!("#!/bin/sh\n{touch}\n")),
        ("id.txt", "$Id$ $Format:%H$\n".to_owned()),
        ("movie.bin", pointer.clone()),
        ("info/attributes", "* filter=lfs\n".to_owned()),
        ("$(touch marker);`touch marker`", touch.clone()),
        ("--upload-pack=touch marker", touch),
    ];
    let changes: Vec<Change> = files.iter().map(|(path, content)| Change::program(path, content)).collect();
    let commit = house.repositories().commit(SHOP, "main", &changes);
    let found = house.written(&commit).await;
    for (path, content) in &files {
        assert_eq!(found[*path], format!("755 {content}"), "{path}");
    }
    assert!(!marker.exists() && !std::path::Path::new("marker").exists());
    assert!(house.lines.all().contains("1 files are kept in Git LFS"), "{}", house.lines.all());
}
