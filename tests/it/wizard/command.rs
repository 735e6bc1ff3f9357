//! `kiops plan`, the real program.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn kiops(folder: &Path, arguments: &[&str]) -> Output {
    // Neither a configuration nor a database is where it starts.
    let empty = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiops"));
    let ended = command.current_dir(empty.path()).arg("plan").arg(folder).args(arguments).output().unwrap();
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0, "it makes nothing");
    ended
}

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/wizard").join(name)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_owned()).unwrap()
}

#[test]
fn a_person_reads_the_plan() {
    let ended = kiops(&fixture("node-pnpm"), &[]);
    assert_eq!(ended.status.code(), Some(0));
    let said = text(&ended.stdout);
    assert!(
        said.starts_with(
            "language         node 24\nframework        hono\npackage manager  pnpm\nport             3000\n"
        ),
        "{said}"
    );
    assert!(said.contains("\n---- Dockerfile ----\nFROM node:24 AS base\n"), "{said}");
    assert!(ended.stderr.is_empty());
}

#[test]
fn a_program_reads_the_plan_alone() {
    let ended = kiops(&fixture("own-dockerfile"), &["--json"]);
    assert_eq!(ended.status.code(), Some(0));
    let plan: Value = serde_json::from_slice(&ended.stdout).unwrap();
    let keys: Vec<&String> = plan.as_object().unwrap().keys().collect();
    let contract = [
        "language",
        "framework",
        "version",
        "packageManager",
        "port",
        "evidence",
        "dockerfile",
        "dockerignore",
        "existingDockerfiles",
        "subfolders",
    ];
    assert!(contract.iter().all(|key| plan.get(key).is_some()) && keys.len() == contract.len(), "{keys:?}");
    assert_eq!(
        plan["existingDockerfiles"],
        serde_json::json!(["Dockerfile", "Dockerfile.dev", "docker/web.dockerfile"])
    );
    assert!(ended.stderr.is_empty());
}

#[test]
fn nothing_recognised_is_told_with_where_to_look() {
    for arguments in [&[][..], &["--json"]] {
        let ended = kiops(&fixture("monorepo-languages"), arguments);
        assert_eq!(ended.status.code(), Some(2));
        let said = text(&ended.stderr);
        assert!(
            said.contains("nothing in this folder itself is recognised") && said.contains("backend, frontend"),
            "{said}"
        );
        assert!(text(&ended.stdout).contains("services/mail"));
    }
    let empty = tempfile::tempdir().unwrap();
    let ended = kiops(empty.path(), &[]);
    assert_eq!((ended.status.code(), ended.stdout.len()), (Some(2), 0));

    let ended = kiops(&empty.path().join("none"), &["--json"]);
    assert_eq!((ended.status.code(), ended.stdout.len()), (Some(2), 0));
    assert!(text(&ended.stderr).contains("none"));
}

/// A Dockerfile of its own is enough: that is what would be built.
#[test]
fn an_own_dockerfile_is_recognised() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("Containerfile"), "FROM scratch\n").unwrap();
    let ended = kiops(folder.path(), &[]);
    assert_eq!(ended.status.code(), Some(0));
    assert!(text(&ended.stdout).contains("Containerfile is there and wins"));
}
