//! What kiops.toml states is brought in line by one server after the other: each thing is done by the first, and once.

use std::process::Child;

use crate::declared::killed::{counts, start};
use crate::support::app::{is_postgres, new_database};
use crate::support::server::until;
use crate::support::skip;

#[tokio::test]
async fn programs_that_start_at_once_do_it_once() {
    if !is_postgres() {
        return skip("programs_that_start_at_once_do_it_once", "postgres");
    }
    let folder = tempfile::tempdir().unwrap();
    let database = new_database(folder.path()).await;
    let log = || std::fs::read_to_string(folder.path().join("log")).unwrap();
    let ready = |many: usize| {
        until("the servers", 120, || (log().matches("KIOPS answers at").count() == many).then_some(()));
    };
    // The key is there before several servers need it.
    let mut first = start(&folder, &database);
    ready(1);
    first.kill().unwrap();
    first.wait().unwrap();
    let before = counts(&database).await;
    let file = "[[organizations]]\nslug = 'acme'\nname = 'Acme'\n[[organizations.users]]\nemail = 'ada@acme.example'\n\
                name = 'Ada'\nrole = 'ADMIN'\npassword = 'a password of ada'\n[[organizations.runtimes]]\nname = 'one'\n\
                docker = { host = 'tcp://127.0.0.1:1' }\n";
    std::fs::write(folder.path().join("kiops.toml"), file).unwrap();
    let mut servers: Vec<Child> = (0..4).map(|_| start(&folder, &database)).collect();
    ready(5);
    for server in &mut servers {
        server.kill().unwrap();
        server.wait().unwrap();
    }
    assert_eq!(counts(&database).await, [before[0] + 1, before[1] + 1, 1, 0]);
    assert_eq!(log().matches("brought in line with kiops.toml").count(), 4, "{}", log());
}
