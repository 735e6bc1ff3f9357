//! `kiops doctor` beside the real server program.
#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

use serde_json::json;

use crate::support::gitlab_double::GitlabDouble;
use crate::support::server::Server;

const TOKEN: &str = "glpat-of-the-doctors-patient";

#[test]
fn it_says_what_fails_and_how_to_mend_it() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let gitlab = runtime.block_on(GitlabDouble::start(""));
    let me = gitlab.state().person("bot");
    gitlab.state().account(me).is_admin = true;
    gitlab.state().token(TOKEN, me, &["api"]);

    let server = Server::start();
    let (code, said) = server.run(&["doctor"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("ok       database: it answers and is up to date"), "{said}");
    assert!(said.contains("ok       secret key:"), "{said}");
    // Whether anything can be built from here: no failure, since all else works without it.
    assert!(said.contains("ok       sources: git is there") || said.contains("warning  sources:"), "{said}");
    assert!(said.contains("ok       builder: the engine") || said.contains("warning  builder:"), "{said}");

    let save = "mutation($i: SaveGitlabSettingsInput!) { saveGitlabSettings(input: $i) { gitSettings { id } } }";
    server.data(save, json!({ "i": { "baseUrl": gitlab.url, "token": TOKEN } }));
    let (code, said) = server.run(&["doctor"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&format!("ok       GitLab of default: {} takes the token of bot", gitlab.url)), "{said}");

    // An ordinary user's token: it works, and something is to be known.
    gitlab.state().account(me).is_admin = false;
    let (code, said) = server.run(&["doctor"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("warning  GitLab of default: the token lacks instance administrator"), "{said}");

    gitlab.state().tokens[0].revoked = true;
    let (code, said) = server.run(&["doctor"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("FAILED   GitLab of default:"), "{said}");
    assert!(said.contains("stores a new token under \"GitLab Settings\""), "{said}");
    assert!(!said.contains(TOKEN), "{said}");
    let menus = "{ registrationMenus { items { action reason } } }";
    assert!(!server.data(menus, json!({})).to_string().contains("GIT_TOKEN_REJECTED"), "looking changes nothing");

    // The key is away: what stands on it is not tried.
    let key = server.folder().join("data/secret.key");
    std::fs::rename(&key, key.with_extension("away")).unwrap();
    let (code, said) = server.run(&["doctor"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("FAILED   secret key: this database holds secrets, and its key is missing"), "{said}");
    assert!(!said.contains("GitLab") && !key.exists(), "{said}");
}

#[test]
fn before_the_first_start_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let ended = std::process::Command::new(env!("CARGO_BIN_EXE_kiops"))
        .current_dir(folder.path())
        .arg("doctor")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("FAILED   database: there is no database at data/kiops.db yet"), "{said}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
