#![expect(clippy::unwrap_used, reason = "tests")]

use secrecy::ExposeSecret as _;

use super::runtimes::LocalEngine;
use super::*;

pub(super) fn load(file: &str, env: &[(&str, &str)]) -> Result<Config, ConfigFaults> {
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
        ("limits.page_max = 5000", None, "limits.page_max", "kiops.toml"),
        ("telemetry.otlp_endpoint = 'collector:4318'", None, "telemetry.otlp_endpoint", "kiops.toml"),
        ("telemetry.otlp_endpoint = 'ftp://collector'", None, "telemetry.otlp_endpoint", "kiops.toml"),
        ("telemetry.otlp_endpoint = 'http://a:hush@collector'", None, "telemetry.otlp_endpoint", "kiops.toml"),
        (
            "server.allowed_origins = ['https://a.example', 'b.example']",
            None,
            "server.allowed_origins.1",
            "kiops.toml:1",
        ),
        ("server.allowed_origins = ['*']", None, "server.allowed_origins.0", "kiops.toml:1"),
        ("server.allowed_origins = ['https://*.a.example']", None, "server.allowed_origins.0", "kiops.toml:1"),
        ("server.allowed_origins = ['https://u:p@a.example/#x']", None, "server.allowed_origins.0", "kiops.toml:1"),
        ("secrets.key_file = ''", None, "secrets.key_file", "kiops.toml"),
        ("telemetry.slow_query = 'often'", None, "telemetry.slow_query", "kiops.toml"),
        ("limits.page_default = 500", None, "limits.page_default", "kiops.toml"),
        ("", Some(("KIOPS_JOBS__WORKRS", "1")), "jobs.workrs", "KIOPS_JOBS__WORKRS"),
        ("", Some(("KIOPS_JOBS__WORKERS", "many")), "jobs.workers", "KIOPS_JOBS__WORKERS"),
        ("", Some(("KIOPS_JOBS__WORKERS", "0")), "jobs.workers", "KIOPS_JOBS__WORKERS"),
    ] {
        let ConfigFaults(faults) = load(file, env.as_slice()).unwrap_err();
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert_eq!(faults[0].key, key, "{faults:?}");
        assert!(faults[0].place.contains(origin), "{faults:?}");
        assert!(!format!("{faults:?}").contains("hush"), "{faults:?}");
    }
}

#[test]
fn an_address_that_is_none_is_found_before_the_driver_says_it_with_its_password() {
    for wrong in ["postgres://kiops:aB/hush#9@db/kiops", "postgresql://kiops:hush?x@db/kiops"] {
        let error = load(&format!("database.url = '{wrong}'"), &[]).unwrap_err();
        assert_eq!(keys(&error), ["database.url"], "{error}");
        assert!(!error.to_string().contains("hush"), "{error}");
    }
    load("database.url = 'postgres://kiops:aB%2Fhush%239@db/kiops'", &[]).unwrap();
}

#[test]
fn the_databases_password_may_stand_beside_its_address() {
    let address = |url: &str| {
        let text = format!("database.url = '{url}'\ndatabase.password = 'a/b@c: %41hush'");
        load(&text, &[]).map(|config| {
            assert!(!format!("{config:?}").contains("hush"));
            config.database.address().expose_secret().to_owned()
        })
    };
    assert_eq!(address("postgres://kiops@db:5/kiops").unwrap(), "postgres://kiops:a%2Fb%40c%3A%20%2541hush@db:5/kiops");
    for wrong in ["sqlite://data/kiops.db", "postgres://kiops:other@db/kiops", "postgres://db/kiops"] {
        let error = address(wrong).unwrap_err();
        assert_eq!(keys(&error), ["database.password"], "{error}");
        assert!(!error.to_string().contains("hush"), "{error}");
    }
    let file = "database.url = 'postgres://kiops@db/kiops'\ndatabase.password_file = 'password'";
    assert_eq!(
        load(file, &[]).unwrap().database.address().expose_secret(),
        "postgres://kiops:from%20a%20file@db/kiops"
    );
}

#[test]
fn traces_are_posted_below_the_endpoint() {
    let url = |text: &str| {
        let config = load(&format!("telemetry.otlp_endpoint = '{text}'"), &[]).unwrap();
        config.telemetry.traces_url().unwrap().map(|url| url.to_string())
    };
    assert_eq!(url(""), None);
    for text in ["http://collector:4318", "http://collector:4318/", "http://collector:4318/v1/traces"] {
        assert_eq!(url(text).as_deref(), Some("http://collector:4318/v1/traces"), "{text}");
    }
    assert_eq!(url("https://x.example/otlp/").as_deref(), Some("https://x.example/otlp/v1/traces"));
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
    assert_eq!(keys(&both), ["bootstrap.admin_password_file"]);
}

#[test]
fn organizations_are_declared() {
    let text = "[[organizations]]\nslug = 'acme'\nname = 'Acme'\n[[organizations.users]]\nemail = 'a@b'\nname = 'A'\n\
                role = 'ADMIN'\npassword_file = 'password'\n[[organizations.runtimes]]\nname = 'local'\n\
                docker = { host = 'unix:///x' }";
    assert_eq!(load(text, &[]).unwrap().organizations[0].users.len(), 1);
    let error = load(&text.replace("docker =", "dcoker ="), &[]).unwrap_err();
    assert_eq!(keys(&error), ["organizations.0.runtimes.0.docker", "organizations.0.runtimes.0.dcoker"]);
}

#[test]
fn every_mistake_is_told_at_once_by_key_and_line() {
    let text = "server.lisen = 1\n\n[auth]\nsession_ttl = 5\nlogin_attempts_per_minute = 'ten'\n\n[jobs]\nworkers = 0\n\
                [runtimes]\nlocal_engine = 7\n[build]\nprofiles = 1\n[build.cache]\n[[organizations]]\nslug = 'acme'\n\
                [[organizations.users]]\nemail = 7\nrole = 'BOSS'\n[[organizations.users]]\nemail = 'a@b'\nname = 'A'\n\
                role = 'ADMIN'\npassword = 12345\n[[organizations.git]]\n";
    let faults = load(text, &[("KIOPS_LIMITS__PAGE_MAX", "lots")]).unwrap_err();
    let told: Vec<String> =
        faults.0.iter().map(|f| format!("{} {}", f.place.rsplit('/').next().unwrap(), f.key)).collect();
    let expected = [
        "kiops.toml:1 server.lisen",
        "kiops.toml:4 auth.session_ttl",
        "kiops.toml:5 auth.login_attempts_per_minute",
        "kiops.toml:8 jobs.workers",
        "kiops.toml:10 runtimes.local_engine",
        "kiops.toml:12 build.profiles",
        "kiops.toml:13 build.cache",
        "kiops.toml:14 organizations.0.name",
        "kiops.toml:17 organizations.0.users.0.email",
        "kiops.toml:16 organizations.0.users.0.name",
        "kiops.toml:18 organizations.0.users.0.role",
        "kiops.toml:23 organizations.0.users.1.password",
        "kiops.toml:24 organizations.0.git.0.provider",
        "kiops.toml:24 organizations.0.git.0.token",
        "KIOPS_LIMITS__PAGE_MAX limits.page_max",
    ];
    let (mut told, mut expected) = (told, expected.map(str::to_owned).to_vec());
    told.sort();
    expected.sort();
    assert_eq!(told, expected);
    assert!(!faults.to_string().contains("12345"), "{faults}");
}

#[test]
fn what_is_no_toml_is_told_without_its_text() {
    let faults = load("[server]\nlisten = \"hunter2\nintrospection = maybe\n[jobs\nworkers = 3\n", &[]).unwrap_err();
    let places: Vec<_> = faults.0.iter().map(|f| f.place.rsplit(':').next().unwrap()).collect();
    assert_eq!(places, ["2", "3", "4"], "{faults}");
    assert!(!faults.to_string().contains("hunter2"), "{faults}");
    let twice = load("[jobs]\nworkers = 3\nworkers = 4\n", &[]).unwrap_err();
    assert!(twice.0.len() == 1 && twice.0[0].place.ends_with("kiops.toml:3"), "{twice}");
}

fn keys(faults: &ConfigFaults) -> Vec<&str> {
    faults.0.iter().map(|fault| fault.key.as_str()).collect()
}
