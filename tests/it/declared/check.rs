//! `kiops config check`: everything that is wrong, at once, by key and line.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

const WRONG: &str = r#"[server]
listen = "everywhere"
lisen = ""
public_url = "kiops.example.com"

[auth]
session_ttl = "soon"

[bootstrap]
admin_password = "sh0rt"

[net]
allow = ["10.0.0.0/8", "not a host", "300.0.0.0/99 "]
ca_file = "no-such-file.pem"

[limits]
page_default = 500

[telemetry]
log = "info,=="

[scan.tools.mine]
kind = "SAST"
command = ["mine", "{source}"]
format = "sarif"
cpu = 0.0

[[organizations]]
slug = "Acme"
name = ""

[[organizations.users]]
email = "ada"
name = "Ada"
role = "BOSS"
password = "hunter2"

[[organizations.users]]
email = "bob@acme.example"
name = "Bob"
role = "MEMBER"
password_file = "no-such-file"

[[organizations.users]]
email = "BOB@acme.example"
name = "Bob"
role = "MEMBER"
password = "one of two"
password_file = "password"

[[organizations.users]]
name = "Nobody"
role = "MEMBER"

[[organizations.runtimes]]
name = "both"
docker = { host = "unix:///var/run/docker.sock" }
kubernetes = { kubeconfig_file = "kubeconfig" }

[[organizations.runtimes]]
name = "none"

[[organizations.runtimes]]
name = "far"
docker = { host = "ssh://far" }

[[organizations.runtimes]]
name = "far"
kubernetes = { kubeconfig_file = "kubeconfig", context = "one" }

[[organizations.runtimes]]
name = "tls"
docker = { host = "tcp://far:2376", tls_ca_file = "password" }

[[organizations.registries]]
host = "ftp://registry"
username = "a:b"
token_file = "empty"

[[organizations.registries]]
host = "ghcr.io"
username = "robot"
repository_prefix = "docker.io/acme"

[[organizations.git]]
provider = "GITLAB"
base_url = "http://gitlab.example.com"
token = "with space"

[[organizations.git]]
provider = "GITLAB"
token_file = "password"

[[organizations]]
slug = "other"
name = "Other"
region = "eu"

[[organizations.users]]
email = "bob@acme.example"
name = "Robert"
role = "ADMIN"
password = "quite another"
"#;

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    write("password", "a password of a file\n");
    write("empty", "\n");
    write(
        "kubeconfig",
        "current-context: one\ncontexts: [{name: one, context: {cluster: c, user: u}}]\n\
         clusters: [{name: c, cluster: {server: 'https://c.example'}}]\nusers: [{name: u, user: {exec: {command: x}}}]\n",
    );
    folder
}

fn check(folder: &Path, file: &str, env: &[(&str, &str)]) -> (Option<i32>, String, String) {
    std::fs::write(folder.join("kiops.toml"), file).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_kiops"));
    let ended = program.current_dir(folder).envs(env.iter().copied()).args(["config", "check"]).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (ended.status.code(), text(&ended.stdout), text(&ended.stderr))
}

#[test]
fn everything_is_told_at_once() {
    let folder = folder();
    let env = [("KIOPS_JOBS__WORKERS", "many"), ("KIOPS_JOBS__WORKRS", "1")];
    let (code, said, faults) = check(folder.path(), WRONG, &env);
    assert_eq!((code, said.as_str()), (Some(2), ""));
    for secret in ["hunter2", "sh0rt", "with space", "one of two", "quite another", "a password of a file"] {
        assert!(!faults.contains(secret), "{faults}");
    }
    insta::assert_snapshot!(faults);
}

#[test]
fn what_is_no_toml_is_told_by_line() {
    let folder = folder();
    let (code, _, faults) = check(folder.path(), "[server\nlisten = 'x\n[auth]\nsession_ttl = soon\n", &[]);
    assert_eq!(code, Some(2));
    insta::assert_snapshot!(faults);
}

#[test]
fn what_is_right_is_said_and_what_would_be_better_otherwise() {
    let folder = folder();
    std::fs::set_permissions(folder.path().join("password"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let file = "[[organizations]]\nslug = 'acme'\nname = 'Acme'\n[[organizations.users]]\nemail = 'ada@acme.example'\n\
                name = 'Ada'\nrole = 'ADMIN'\npassword_file = 'password'\n[[organizations.git]]\nprovider = 'GITHUB'\n\
                token = 'ghp_hush'\n";
    let (code, said, warnings) = check(folder.path(), file, &[]);
    assert_eq!((code, said.as_str()), (Some(0), "the configuration is right\n"), "{warnings}");
    insta::assert_snapshot!(warnings, @"warning: kiops.toml:8: organizations.0.users.0.password_file: everybody on this machine may read password: take that away (chmod 600)");
}
