//! A server that is killed while it brings the database in line leaves all of it or nothing, and the next one ends it.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use entity::{Db, audit_event, membership, registry, runtime, user};
use sea_orm::{EntityTrait as _, PaginatorTrait as _};
use tempfile::TempDir;

use crate::support::app::new_database;
use crate::support::server::until;

const PEOPLE: u64 = 12;

/// The program over this database, which tells what it does in the file `log` of the folder.
pub fn start(folder: &TempDir, database: &str) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(folder.path().join("log")).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_kiops"));
    program.current_dir(folder.path()).env("KIOPS_DATABASE__URL", database).env("KIOPS_SERVER__LISTEN", "127.0.0.1:0");
    program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

/// People, memberships, runtimes and registries.
pub async fn counts(database: &str) -> [u64; 4] {
    let db = Db::connect(database, 1).await.unwrap();
    let counts = [
        user::Entity::find().count(db.read()).await.unwrap_or(0),
        membership::Entity::find().count(db.read()).await.unwrap_or(0),
        runtime::Entity::find().count(db.read()).await.unwrap_or(0),
        registry::Entity::find().count(db.read()).await.unwrap_or(0),
    ];
    db.close().await.unwrap();
    counts
}

#[tokio::test]
async fn all_of_it_or_nothing_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let database = new_database(folder.path()).await;
    let mut file = "[[organizations]]\nslug = 'acme'\nname = 'Acme'\n".to_owned();
    for n in 0..PEOPLE {
        file += &format!(
            "[[organizations.users]]\nemail = 'p{n}@acme.example'\nname = 'P'\nrole = 'ADMIN'\npassword = 'password {n}'\n"
        );
    }
    file += "[[organizations.runtimes]]\nname = 'one'\ndocker = { host = 'tcp://127.0.0.1:1' }\n\
             [[organizations.registries]]\nhost = '127.0.0.1:1'\nusername = 'robot'\ntoken = 'hush'\n";
    std::fs::write(folder.path().join("kiops.toml"), file).unwrap();
    let whole = [PEOPLE, PEOPLE, 1, 1];
    let mut cut_short = 0;
    for round in 1..=8_u64 {
        let mut server = start(&folder, &database);
        tokio::time::sleep(Duration::from_millis(60 * round * round)).await;
        server.kill().unwrap();
        server.wait().unwrap();
        let found = counts(&database).await;
        assert!(found == whole || found == [0; 4], "after {round}: {found:?}");
        cut_short += usize::from(found == [0; 4]);
    }
    assert!(cut_short > 0, "some were killed before");
    let mut server = start(&folder, &database);
    let log = || std::fs::read_to_string(folder.path().join("log")).unwrap();
    until("the server", 60, || log().contains("KIOPS answers at").then_some(()));
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(counts(&database).await, whole);
    // Nobody beside those who are stated.
    assert!(!log().contains("first admin"));
    let db = Db::connect(&database, 1).await.unwrap();
    let events = audit_event::Entity::find().all(db.read()).await.unwrap();
    let made = events.iter().filter(|event| event.action == "user.created").count();
    assert_eq!(made as u64, PEOPLE, "each once");
}
