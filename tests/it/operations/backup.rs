//! `kiops backup` and `kiops restore`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use sea_orm::{EntityTrait as _, PaginatorTrait as _};
use serde_json::json;

use super::while_writing;
use crate::support::app::is_postgres;
use crate::support::server::Server;

fn token(server: &Server, number: usize) {
    let create = "mutation($i: CreateApiTokenInput!) { createApiToken(input: $i) { token } }";
    server.data(create, json!({ "i": { "name": format!("token {number}") } }));
}

/// How many API tokens there are.
fn tokens(server: &Server) -> usize {
    let count = server.with_database(async |db| entity::token::Entity::find().count(db.read()).await.unwrap());
    usize::try_from(count).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_log_that_is_left_is_not_written_into_what_is_put_back() {
    if is_postgres() {
        return;
    }
    let mut server = Server::start();
    let copy = server.folder().join("copy.db");
    let restore = |server: &Server| {
        let (code, _, error) = server.run_whole(&["restore", copy.to_str().unwrap()]);
        assert_eq!(code, Some(0), "{error}");
    };
    token(&server, 1);
    assert_eq!(server.run(&["backup", copy.to_str().unwrap()]).0, Some(0));
    let before = tokens(&server);
    let database = server.database_file();
    let log = || std::fs::metadata(format!("{}-wal", database.display())).map_or(0, |log| log.len());
    for (number, gone) in [(2, false), (3, true)] {
        token(&server, number);
        // As a power cut leaves it.
        server.kill9();
        assert!(log() > 0);
        if gone {
            std::fs::remove_file(&database).unwrap();
        }
        restore(&server);
        assert_eq!(log(), 0);
        server.restart();
        assert_eq!(tokens(&server), before, "a token that was made after the copy is not in it");
        let (code, said) = server.run(&["doctor"]);
        assert_eq!(code, Some(0), "{said}");
    }
    // What was there is whole, with what was in its log.
    server.stop();
    let kept = names(database.parent().unwrap()).into_iter().find(|name| name.contains(".before-")).unwrap();
    let kept = database.with_file_name(kept);
    let (code, _, error) = server.run_whole(&["restore", kept.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{error}");
    server.restart();
    assert_eq!(tokens(&server), before + 1);
}

#[test]
fn a_copy_that_is_made_under_load_is_put_back_whole() {
    let mut server = Server::start();
    let copies = server.folder().join("copies");
    std::fs::create_dir(&copies).unwrap();
    let file = copies.join("one.db");
    let copy = file.to_str().unwrap();
    if is_postgres() {
        for command in ["backup", "restore"] {
            let (code, said, error) = server.run_whole(&[command, copy]);
            assert_eq!((code, said.as_str()), (Some(1), ""));
            assert!(error.contains("use pg_dump and pg_restore for PostgreSQL"), "{error}");
        }
        return;
    }
    let ((code, said, error), [before, _]) =
        while_writing(|number| token(&server, number), || server.run_whole(&["backup", copy]));
    assert_eq!(code, Some(0), "{said}{error}");
    assert!(said.contains("was copied to") && said.contains("secret.key"), "{said}");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(names(&copies), ["one.db"], "and nothing else is left");
    let now = tokens(&server);

    // What is there is not overwritten, and a running server's database is not replaced.
    let (code, _, error) = server.run_whole(&["backup", copy]);
    assert_eq!(code, Some(1));
    assert!(error.contains("one.db is there already"), "{error}");
    let (code, _, error) = server.run_whole(&["restore", copy]);
    assert_eq!(code, Some(1));
    assert!(error.contains("another KIOPS server or worker is using"), "{error}");
    assert_eq!(tokens(&server), now);

    server.stop();
    let data = server.database_file();
    // What can't be a backup of it changes nothing.
    let refused = |name: &str, content: &[u8], why: &str| {
        let file = copies.join(name);
        std::fs::write(&file, content).unwrap();
        let (before, there) = (std::fs::read(&data).unwrap(), names(data.parent().unwrap()));
        let (code, said, error) = server.run_whole(&["restore", file.to_str().unwrap()]);
        assert_eq!((code, said.as_str()), (Some(1), ""), "{name}: {error}");
        assert!(error.contains(name) && error.contains(why), "{name}: {error}");
        assert!(std::fs::read(&data).unwrap() == before && names(data.parent().unwrap()) == there, "{name}");
    };
    let whole = std::fs::read(&file).unwrap();
    refused("empty.db", b"", "it is empty");
    refused(
        "text.db",
        b"this is no database, and it is longer than a header of SQLite would be, which has 100 bytes and more",
        "no database of SQLite",
    );
    refused("short.db", &whole[..whole.len() / 2], "damaged");
    let mut flipped = whole.clone();
    // The pages in the middle.
    for byte in &mut flipped[whole.len() / 2..whole.len() / 2 + 9000] {
        *byte = !*byte;
    }
    refused("flipped.db", &flipped, "damaged");
    let key = server.folder().join("data/secret.key");
    let own = std::fs::read(&key).unwrap();
    std::fs::write(&key, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n").unwrap();
    refused("of-another-key.db", &whole, "is not the key of this database");
    std::fs::write(&key, own).unwrap();
    let (code, _, error) = server.run_whole(&["restore", copies.join("none.db").to_str().unwrap()]);
    assert!(code == Some(1) && error.contains("none.db"), "{error}");

    let (code, said, error) = server.run_whole(&["restore", copy]);
    assert_eq!(code, Some(0), "{said}{error}");
    let kept = said.lines().find_map(|line| line.strip_prefix("What was there is kept as ")).unwrap().to_owned();
    server.restart();
    let then = tokens(&server);
    assert!(before <= then && then <= now, "{before} {then} {now}");
    token(&server, 0);
    assert_eq!(tokens(&server), then + 1);
    let (code, said) = server.run(&["doctor"]);
    assert_eq!(code, Some(0), "{said}");
    // What was there before can be put back in the same way.
    server.stop();
    let (code, _, error) = server.run_whole(&["restore", server.folder().join(kept).to_str().unwrap()]);
    assert_eq!(code, Some(0), "{error}");
    server.restart();
    assert_eq!(tokens(&server), now);
}
