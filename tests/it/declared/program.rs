//! The real program with a file, from start to start.

use serde_json::{Value, json};

use crate::support::gitlab_double::GitlabDouble;
use crate::support::server::{Server, until};

const PASSWORD: &str = "the password of ada";
const TOKEN: &str = "glpat-of-the-declared-gitlab";

fn log_in(server: &Server, email: &str, password: &str) -> Option<String> {
    let login = "mutation($e: String!, $p: String!) { login(input: { email: $e, password: $p }) { token } }";
    let answer = server.ask(login, json!({ "e": email, "p": password }));
    answer["data"]["login"]["token"].as_str().map(str::to_owned)
}

/// As ada of acme.
fn as_ada(server: &mut Server, document: &str) -> Value {
    server.token = log_in(server, "ada@acme.example", PASSWORD).unwrap();
    server.data(document, json!({}))
}

fn write(server: &Server, file: &str) {
    std::fs::write(server.folder().join("kiops.toml"), file).unwrap();
}

#[test]
fn from_start_to_start() {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let gitlab = tokio.block_on(GitlabDouble::start(""));
    let me = gitlab.state().person("bot");
    gitlab.state().token(TOKEN, me, &["api"]);

    // Nothing of this may be named by a user: the file's addresses pass all the same.
    let mut server = Server::start_with(&[("RUNTIMES__LOCAL_ENGINE", "false"), ("NET__ALLOW", "")]);
    std::fs::write(server.folder().join("ada"), PASSWORD).unwrap();
    std::fs::write(server.folder().join("gitlab"), format!("{TOKEN}\n")).unwrap();
    let acme = "[[organizations]]\nslug = 'acme'\nname = 'Acme'\n[[organizations.users]]\n\
        email = 'ada@acme.example'\nname = 'Ada'\nrole = 'ADMIN'\npassword_file = 'ada'\n";
    let rest = format!(
        "[[organizations.runtimes]]\nname = 'local'\ndocker = {{ host = 'tcp://127.0.0.1:1' }}\n\
         [[organizations.registries]]\nhost = '127.0.0.1:1'\nusername = 'robot'\ntoken = 'hush-of-the-robot'\n\
         [[organizations.git]]\nprovider = 'GITLAB'\nbase_url = '{}'\ntoken_file = 'gitlab'\n",
        gitlab.url
    );
    write(&server, &format!("{acme}{rest}"));
    server.stop();
    server.restart();
    let shown = "{ viewer { organization { slug name } } runtimes { nodes { name status statusMessage declared } } \
        registries { host statusMessage declared } gitSettings { account statusMessage declared } }";
    // Nobody answers on port 1: all of it is stored, and what was tried is told.
    let tried = until("what was stored to be tried", 30, || {
        let shown = as_ada(&mut server, shown);
        let is_tried = shown["gitSettings"][0]["account"] == "bot"
            && shown["runtimes"]["nodes"][0]["status"] == "UNREACHABLE"
            && shown["registries"][0]["statusMessage"] != "the login was not tried yet";
        is_tried.then_some(shown)
    });
    assert_eq!(tried["viewer"]["organization"], json!({ "slug": "acme", "name": "Acme" }));
    for row in [&tried["runtimes"]["nodes"][0], &tried["registries"][0], &tried["gitSettings"][0]] {
        assert_eq!(row["declared"], true, "{row}");
    }
    assert!(!tried.to_string().contains("local_engine") && !tried.to_string().contains("net.allow"), "{tried}");
    let log = server.log();
    assert!(log.contains("brought in line with kiops.toml") && log.contains("runtime.registered"), "{log}");
    let refused = server.ask("mutation { deleteRegistry(input: { host: \"127.0.0.1:1\" }) { host } }", json!({}));
    assert_eq!(refused["errors"][0]["extensions"]["reason"], "DECLARED", "{refused}");

    // The same file once more: nothing is done.
    let lines = log.matches("brought in line").count();
    let kept = server.token.clone();
    server.stop();
    server.restart();
    server.token = kept;
    server.data("{ viewer { organization { slug } } }", json!({}));
    assert_eq!(server.log().matches("brought in line").count(), lines, "{}", server.log());

    // What is out of the file is the API's.
    write(&server, acme);
    server.stop();
    server.restart();
    let log = server.log();
    for released in ["runtime.released", "registry.released", "git_settings.released"] {
        assert_eq!(log.matches(released).count(), 1, "{log}");
    }
    as_ada(&mut server, "mutation { deleteRegistry(input: { host: \"127.0.0.1:1\" }) { host } }");
    for secret in [PASSWORD, TOKEN, "hush-of-the-robot"] {
        assert!(!server.log().contains(secret));
    }
}

/// A fault that only the database knows of ends the start with the words and the exit code of a wrong file.
#[test]
fn a_start_with_a_wrong_file_is_refused() {
    let mut server = Server::start();
    server.stop();
    write(
        &server,
        "[[organizations]]\nslug = 'acme'\nname = 'Acme'\n\n[[organizations.users]]\nemail = 'ada@acme.example'\n\
         name = 'Ada'\nrole = 'MEMBER'\n\n[[organizations]]\nslug = 'Acme'\nname = ' '\n",
    );
    let (code, _, said) = server.run_whole(&["serve"]);
    assert_eq!(
        (code, said.as_str()),
        (
            Some(2),
            "kiops: there are 2 mistakes in the configuration:\n  \
        kiops.toml:11: organizations.1.slug: an organization's short name is made of lower-case letters a to z, digits and hyphens\n  \
        kiops.toml:12: organizations.1.name: a name is needed\n"
        )
    );
    let (code, _, checked) = server.run_whole(&["config", "check"]);
    assert_eq!((code, checked), (Some(2), said));

    let mended = std::fs::read_to_string(server.folder().join("kiops.toml")).unwrap();
    write(&server, mended.split("\n\n[[organizations]]").next().unwrap());
    assert_eq!(server.run(&["config", "check"]).0, Some(0));
    let (code, _, said) = server.run_whole(&["serve"]);
    assert_eq!(code, Some(2), "{said}");
    let told = "there are 2 mistakes in the configuration:\n  \
        kiops.toml:5: organizations.0.users.0.password: nobody has this address yet: give password or password_file, to make \
        the account with\n  kiops.toml:5: organizations.0.users: nobody is an admin of this organization: state one";
    assert!(said.contains(told), "{said}");
    std::fs::remove_file(server.folder().join("kiops.toml")).unwrap();
    server.restart();
    server.data("{ viewer { organization { slug } } }", json!({}));
}
