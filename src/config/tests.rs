#![expect(clippy::unwrap_used, reason = "tests")]

use secrecy::ExposeSecret as _;

use super::runtimes::LocalEngine;
use super::*;

pub(super) fn load(file: &str, env: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("kiops.toml"), file).unwrap();
    std::fs::write(dir.path().join("password"), "from a file\n").unwrap();
    let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Config::load(&ConfigSource { file: None, env, dir: dir.path().to_owned() })
}

#[test]
fn the_defaults_stand_alone() {
    let config = load("", &[]).unwrap();
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.auth.session_ttl.as_secs(), 86_400);
    assert_eq!(config.build.profiles["medium"].memory.0, 4 << 30);
    assert!(config.net.ca_file.is_none() && config.telemetry.metrics_token.is_none());
}

#[test]
fn later_layers_win() {
    let env = [("KIOPS_SERVER__LISTEN", "0.0.0.0:2"), ("KIOPS_BUILD__PROFILES__SMALL__CPU", "3")];
    let config = load("server.listen = '0.0.0.0:1'\njobs.workers = 9", &env).unwrap();
    assert_eq!(config.server.listen.port(), 2);
    assert_eq!(config.jobs.workers, 9);
    assert!((config.build.profiles["small"].cpu - 3.0).abs() < f64::EPSILON);
}

#[test]
fn text_stays_text_and_never_shows() {
    for password in ["12345", "true", "[1]", "1e3", "{x=1}", "\"q\"", ""] {
        let config = load("", &[("KIOPS_BOOTSTRAP__ADMIN_PASSWORD", password)]).unwrap();
        assert_eq!(config.bootstrap.admin_password.as_ref().unwrap().expose_secret(), password);
    }
    let config = load("", &[("KIOPS_BOOTSTRAP__ADMIN_PASSWORD", "hush-hush")]).unwrap();
    assert!(!format!("{config:?}").contains("hush-hush"));
}

#[test]
fn lists_come_in_three_ways() {
    for text in ["a,b", " a , b ", r#"["a","b"]"#, "['a', 'b']"] {
        assert_eq!(load("", &[("KIOPS_NET__ALLOW", text)]).unwrap().net.allow, ["a", "b"], "{text}");
    }
    let engine = |text| load("", &[("KIOPS_RUNTIMES__LOCAL_ENGINE", text)]).unwrap().runtimes.local_engine;
    assert_eq!(engine("false"), LocalEngine::Switch(false));
    assert_eq!(engine("acme"), LocalEngine::Organizations(vec!["acme".to_owned()]));
}

#[test]
fn faults_name_key_and_origin() {
    for (file, env, key, origin) in [
        ("nope = 1", None, "nope", "kiops.toml"),
        ("server.lisen = ''", None, "server.lisen", "kiops.toml"),
        ("build.profiles.small.gpu = 1", None, "build.profiles.small.gpu", "kiops.toml"),
        ("auth.session_ttl = 'soon'", None, "auth.session_ttl", "kiops.toml"),
        ("limits.page_default = 500", None, "limits.page_default", "kiops.toml"),
        ("", Some(("KIOPS_JOBS__WORKRS", "1")), "jobs.workrs", "KIOPS_JOBS__WORKRS"),
        ("", Some(("KIOPS_JOBS__WORKERS", "many")), "jobs.workers", "KIOPS_JOBS__WORKERS"),
        ("", Some(("KIOPS_JOBS__WORKERS", "0")), "jobs.workers", "KIOPS_JOBS__WORKERS"),
    ] {
        let error = load(file, env.as_slice()).unwrap_err();
        assert_eq!(error.key, key, "{error}");
        assert!(error.origin.contains(origin), "{error}");
    }
}

#[test]
fn other_variables_disturb_nothing() {
    assert!(load("", &[("KIOPS_TEST_DOCKER_HOST", "x"), ("KIOPS_TEST__A", "x"), ("KIOPS_LISTEN", "x")]).is_ok());
}

#[test]
fn secrets_come_from_files() {
    let config = load("bootstrap.admin_password_file = 'password'", &[]).unwrap();
    assert_eq!(config.bootstrap.admin_password.unwrap().expose_secret(), "from a file");
    let both = load("bootstrap.admin_password_file = 'password'\nbootstrap.admin_password = 'x'", &[]).unwrap_err();
    assert_eq!(both.key, "bootstrap.admin_password_file");
}

#[test]
fn organizations_are_declared() {
    let text = "[[organizations]]\nslug = 'acme'\nname = 'Acme'\n[[organizations.users]]\nemail = 'a@b'\nname = 'A'\n\
                role = 'ADMIN'\npassword_file = 'password'\n[[organizations.runtimes]]\nname = 'local'\n\
                docker = { host = 'unix:///x' }";
    assert_eq!(load(text, &[]).unwrap().organizations[0].users.len(), 1);
    let error = load(&text.replace("docker =", "dcoker ="), &[]).unwrap_err();
    assert_eq!(error.key, "organizations.0.runtimes.0.dcoker");
}
