//! What is there is found and written as it is.

use kiops::builder::source::{RefKind, SourceError, Sources as _};
use kiops::domain::names::CommitHash;

use super::*;
use crate::support::git_server::Change;

#[tokio::test]
async fn a_commit_is_written_with_its_modes_and_links_and_nothing_else() {
    let Some(house) = House::new("a_commit_is_written").await else { return };
    let repositories = house.repositories();
    let first = repositories.commit(
        SHOP,
        "main",
        &[
            Change::file("README", "hello"),
            Change::file("empty", ""),
            Change::program("bin/run", "#!/bin/sh\n"),
            Change::file("a/b c/ä.txt", "x"),
            Change::link("a/readme", "../README"),
            Change::link("dangling", "nowhere"),
            Change::file("crlf", "a\r\nb\r\n"),
            Change::file("big", vec![b'x'; 300_000]),
        ],
    );
    let fetched = house.fetch(&first).await.unwrap();
    assert_eq!((fetched.commit.as_str(), fetched.files, fetched.bytes), (first.as_str(), 8, 300_038));
    assert_eq!((fetched.message.as_str(), fetched.author_name.as_str()), ("Change a thing", "Ada Lovelace"));
    assert_eq!(fetched.committed_at.unwrap().timestamp(), 1_700_000_001);
    let mut found = tree(&house.place());
    assert_eq!(found.remove("big").unwrap().len(), 300_004);
    let expected = [
        ("README", "644 hello"),
        ("a/", "755"),
        ("a/b c/", "755"),
        ("a/b c/ä.txt", "644 x"),
        ("a/readme", "-> ../README"),
        ("bin/", "755"),
        ("bin/run", "755 #!/bin/sh\n"),
        ("crlf", "644 a\r\nb\r\n"),
        ("dangling", "-> nowhere"),
        ("empty", "644 "),
    ];
    assert_eq!(found, expected.map(|(a, b)| (a.to_owned(), b.to_owned())).into());
    let host = house.server.url.strip_prefix("http://").unwrap();
    assert_eq!(house.lines.all(), format!("Fetching {} from {host}\n8 files, 293 KiB", &first[..8]));

    // The next one replaces all of it; the same content is the same tree.
    let second = repositories.commit(SHOP, "other", &[Change::file("only", "x")]);
    let third = repositories.commit(SHOP, "third", &[Change::file("only", "x")]);
    let second = house.fetch(&second).await.unwrap();
    assert_eq!(tree(&house.place()).len(), 1);
    assert_ne!(second.tree, fetched.tree);
    assert_eq!(house.fetch(&third).await.unwrap().tree, second.tree);
}

#[tokio::test]
async fn names_are_branches_before_tags_before_nothing() {
    let Some(house) = House::new("names_are_branches").await else { return };
    let repositories = house.repositories();
    let mut hashes = Vec::new();
    for (at, branch) in
        ["main", "feature/ä", "fix/#12", "release/1.0+rc", "a;b$(x)", "refs/heads/main"].iter().enumerate()
    {
        let hash = repositories.commit(SHOP, branch, &[Change::file("n", format!("{at}"))]);
        hashes.push(((*branch).to_owned(), hash, RefKind::Branch));
    }
    let (main, other) = (hashes[0].1.clone(), hashes[1].1.clone());
    repositories.git(SHOP, &["tag", "light", &main], b"");
    repositories.git(SHOP, &["tag", "-a", "-m", "x", "v1", &main], b"");
    repositories.git(SHOP, &["tag", "main", &other], b"");
    hashes.push(("light".to_owned(), main.clone(), RefKind::Tag));
    hashes.push(("v1".to_owned(), main.clone(), RefKind::Tag));
    let missing = "f".repeat(40);
    hashes.push((missing.clone(), missing.clone(), RefKind::Commit));
    let origin = house.origin(SHOP);
    for (name, hash, kind) in hashes {
        let resolved = house.sources.resolve(&origin, &name).await.unwrap();
        assert_eq!((resolved.commit.as_str(), resolved.kind), (hash.as_str(), kind), "{name}");
        let fetched = house.fetch(&hash).await;
        assert_eq!(fetched.is_ok(), hash != missing, "{name}");
    }
    repositories.delete(SHOP, "fix/#12");
    for name in ["mai", "heads/main", "n", "fix/#12"] {
        let outcome = house.sources.resolve(&origin, name).await;
        assert!(matches!(outcome, Err(SourceError::NotFound(_))), "{name}: {outcome:?}");
    }
    for name in ["--upload-pack=touch x", "-x", "a..b", "@{-1}", "a\nb", "x.lock", "a\0b", "ma*n", "[m]ain", "HEAD", ""]
    {
        repositories.asked();
        let outcome = house.sources.resolve(&origin, name).await;
        assert!(matches!(outcome, Err(SourceError::Refused(_))), "{name}: {outcome:?}");
        assert!(repositories.asked().is_empty());
    }
}

#[tokio::test]
async fn a_commit_that_was_pushed_away_is_there_until_it_is_pruned() {
    let Some(house) = House::new("a_commit_that_was_pushed_away").await else { return };
    let repositories = house.repositories();
    let kept = repositories.commit(SHOP, "main", &[Change::file("a", "1")]);
    let gone = repositories.commit(SHOP, "main", &[Change::file("a", "2")]);
    repositories.force(SHOP, "main", &kept);
    assert_eq!(house.written(&gone).await["a"], "644 2");
    repositories.prune(SHOP);
    match house.fetch(&gone).await {
        Err(SourceError::NotFound(message)) => assert!(message.contains("forced push"), "{message}"),
        other => panic!("{other:?}"),
    }
    // What was there is still there.
    assert_eq!(tree(&house.place())["a"], "644 2");
    // A tree is no commit, and neither is a tag.
    let tree = repositories.git(SHOP, &["rev-parse", &format!("{kept}^{{tree}}")], b"");
    repositories.git(SHOP, &["tag", "-a", "-m", "x", "v1", &kept], b"");
    let tag = repositories.git(SHOP, &["rev-parse", "v1"], b"");
    for hash in [tree, tag] {
        assert!(matches!(house.fetch(&hash).await, Err(SourceError::Refused(_))), "{hash}");
    }
}

#[tokio::test]
async fn repositories_of_longer_hashes_are_fetched_too() {
    let Some(house) = House::new("repositories_of_longer_hashes").await else { return };
    house.repositories().create_with("shop/long", &["--object-format=sha256"]);
    let hash = house.repositories().commit("shop/long", "main", &[Change::file("a", "1")]);
    assert_eq!(hash.len(), 64);
    let origin = house.origin("shop/long");
    let resolved = house.sources.resolve(&origin, "main").await.unwrap();
    assert_eq!(resolved.commit, CommitHash::parse(&hash).unwrap());
    house.fetch_from(&origin, &hash).await.unwrap();
    assert_eq!(tree(&house.place())["a"], "644 1");
}

#[tokio::test]
async fn what_a_crash_left_beside_is_removed() {
    let Some(house) = House::new("what_a_crash_left_beside").await else { return };
    let hash = house.repositories().commit(SHOP, "main", &[Change::file("a", "1")]);
    let left = house.place().parent().unwrap().join(".tree.fetch-abc123/repository/x");
    std::fs::create_dir_all(&left).unwrap();
    let other = house.place().parent().unwrap().join(".tree2.fetch-abc123");
    std::fs::create_dir_all(&other).unwrap();
    std::fs::remove_dir(&other).unwrap();
    house.written(&hash).await;
    assert!(!left.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_pushes_to_the_server_of_the_tests() {
    let Some(house) = House::new("a_user_pushes").await else { return };
    let folder = tempfile::tempdir().unwrap();
    let remote = house.server.address(SHOP).replace("http://", "http://ada:SECRET@");
    let remote = remote.replace("SECRET", "glpat-0123456789-hunter2%2F%2B%3D");
    std::fs::write(folder.path().join("pushed"), "by hand").unwrap();
    for args in [
        &["init", "--quiet", "--initial-branch=main"][..],
        &["add", "."],
        &["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "commit", "--quiet", "-m", "By hand"],
        &["push", "--quiet", &remote, "main"],
    ] {
        let status = tokio::process::Command::new("git").args(args).current_dir(folder.path()).status().await.unwrap();
        assert!(status.success(), "{args:?}");
    }
    let resolved = house.sources.resolve(&house.origin(SHOP), "main").await.unwrap();
    assert_eq!(house.written(resolved.commit.as_str()).await["pushed"], "644 by hand");
    assert_eq!(house.fetch(resolved.commit.as_str()).await.unwrap().message, "By hand");
}

#[tokio::test]
async fn a_commit_comes_with_what_it_comes_from_where_that_is_wanted() {
    let Some(mut house) = House::new("a_commit_comes_with_what_it_comes_from").await else { return };
    let repositories = house.repositories();
    let first = repositories.commit(SHOP, "main", &[Change::file("secret", "hunter3")]);
    let second = repositories.commit(SHOP, "main", &[Change::file("README", "hello")]);
    repositories.commit(SHOP, "main", &[Change::file("later", "x")]);
    let (commit, place) = (CommitHash::parse(&second).unwrap(), house.place());
    let get = async |house: &House| {
        house.sources.fetch_with_history(&house.origin(SHOP), &commit, &place, house.limits, &house.lines).await
    };
    let fetched = get(&house).await.unwrap();
    assert_eq!(fetched.commit.as_str(), second);
    let git = |args: &[&str]| {
        let out = std::process::Command::new("git").arg("-C").arg(&place).args(args).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    };
    assert_eq!(git(&["log", "--format=%H"]), format!("{second}\n{first}\n"));
    assert!(git(&["log", "-p"]).contains("hunter3"));
    // It is ours: no hooks, nobody's address and no token.
    let all = tree(&place);
    assert!(all.contains_key("README") && all.contains_key(".git/HEAD"));
    for (name, text) in &all {
        assert!(!name.contains("hooks") && !name.ends_with("FETCH_HEAD"), "{name}");
        assert!(!text.contains("glpat-") && !text.contains(&house.server.url), "{name}");
    }
    assert!(!git(&["config", "--local", "--list"]).contains("remote"));
    // The limit is of the history too.
    house.repositories().commit(SHOP, "large", &[Change::file("big", noise(400_000))]);
    let after = house.repositories().commit(SHOP, "large", &[Change::file("big", "small")]);
    let commit = CommitHash::parse(&after).unwrap();
    house.limits.bytes = 200_000;
    let outcome =
        house.sources.fetch_with_history(&house.origin(SHOP), &commit, &place, house.limits, &house.lines).await;
    assert!(matches!(&outcome, Err(SourceError::Refused(why)) if why.contains("larger than")), "{outcome:?}");
}

/// Bytes that don't compress.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = |state: &mut u64| {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        (*state >> 32) as u8
    };
    (0..bytes).map(|_| next(&mut state)).collect()
}
