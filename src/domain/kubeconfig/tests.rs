//! What kubeconfigs give, and what they don't get.

use base64::Engine as _;
use proptest::prelude::*;

use super::*;

const CERT: &str = "-----BEGIN CERTIFICATE-----\nMIIBfjCC\n-----END CERTIFICATE-----\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMIIBfjCC\n-----END PRIVATE KEY-----\n";

fn base64(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// A kubeconfig with these lines in its cluster and its user.
fn file(cluster: &str, user: &str) -> String {
    format!(
        "apiVersion: v1
kind: Config
preferences: {{}}
current-context: here
clusters:
- name: one
  cluster:
    {cluster}
contexts:
- name: here
  context:
    cluster: one
    user: me
    namespace: default
users:
- name: me
  user:
    {user}
"
    )
}

const SERVER: &str = "server: https://cluster.example:6443";

fn refusal(text: &str) -> String {
    match ClusterLogin::read(text, None) {
        Ok(_) => panic!("it was taken:\n{text}"),
        Err(why) => why,
    }
}

#[test]
fn a_login_is_read() {
    let cluster =
        format!("{SERVER}/\n    certificate-authority-data: {}\n    tls-server-name: api.example", base64(CERT));
    let user =
        format!("token: abc\n    client-certificate-data: {}\n    client-key-data: {}", base64(CERT), base64(KEY));
    let login = ClusterLogin::read(&file(&cluster, &user), None).unwrap();
    let again = ClusterLogin::from_secret(&login.to_secret()).unwrap();
    for login in [login, again] {
        assert_eq!(login.server, "https://cluster.example:6443");
        assert_eq!(login.ca.as_deref(), Some(CERT));
        assert_eq!(login.tls_server_name.as_deref(), Some("api.example"));
        assert_eq!(login.token.unwrap().expose_secret(), "abc");
        let (cert, key) = login.certificate.unwrap();
        assert_eq!((cert.as_str(), key.expose_secret()), (CERT, KEY));
        assert_eq!(login.namespace.as_deref(), Some("default"));
    }
    assert!(ClusterLogin::from_secret(&"{}".to_owned().into()).is_none());
    assert!(ClusterLogin::from_secret(&r#"{"server":"https://x","key":"k"}"#.to_owned().into()).is_none());
}

#[test]
fn what_runs_programs_or_reads_files_is_refused_by_its_key() {
    for (user, path, word) in [
        ("exec: {command: touch, args: [/tmp/x]}", "users.0.user.exec", "program"),
        ("auth-provider: {name: gcp, config: {cmd-path: /bin/sh}}", "users.0.user.auth-provider", "program"),
        ("tokenFile: /etc/passwd", "users.0.user.tokenFile", "file"),
        ("client-certificate: /etc/x", "users.0.user.client-certificate", "client-certificate-data"),
        ("client-key: /etc/x", "users.0.user.client-key", "client-key-data"),
        ("username: me\n    password: hunter2", "users.0.user.username", "passwords"),
        ("token: t\n    as: root", "users.0.user.as", "itself"),
        ("token: t\n    new-thing: 1", "users.0.user.new-thing", "not one of the keys"),
        ("token: t\n    1: 1", "users.0.user.1", "not one of the keys"),
    ] {
        let why = refusal(&file(SERVER, user));
        assert!(why.starts_with(&format!("{path} is not accepted")) && why.contains(word), "{why}");
        assert!(!why.contains("hunter2") && !why.contains("/etc/"), "{why}");
    }
    for (line, path, word) in [
        ("proxy-url: http://proxy", "clusters.0.cluster.proxy-url", "server itself"),
        ("certificate-authority: /etc/x", "clusters.0.cluster.certificate-authority", "--flatten"),
        ("insecure-skip-tls-verify: true", "clusters.0.cluster.insecure-skip-tls-verify", "certificate-authority-data"),
        ("insecure-skip-tls-verify: 'false'", "clusters.0.cluster.insecure-skip-tls-verify", "not accepted"),
        ("disable-compression: true", "clusters.0.cluster.disable-compression", "not accepted"),
    ] {
        let why = refusal(&file(&format!("{SERVER}\n    {line}"), "token: t"));
        assert!(why.starts_with(path) && why.contains(word), "{why}");
    }
    let harmless = file(&format!("{SERVER}\n    insecure-skip-tls-verify: false"), "token: t");
    assert!(ClusterLogin::read(&harmless, None).is_ok());
}

#[test]
fn a_merge_key_or_an_alias_smuggles_nothing() {
    let anchored = file(SERVER, "<<: {exec: {command: touch}}\n    token: t");
    assert!(refusal(&anchored).starts_with("users.0.user.exec is not accepted"), "{}", refusal(&anchored));
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        let alias = format!("*a{}", n - 1);
        bomb += &format!("a{n}: &a{n} [{}]\n", [alias.as_str(); 9].join(", "));
    }
    assert!(refusal(&bomb).contains("unfold"), "{}", refusal(&bomb));
    assert!(refusal(&format!("{}---\na: 1\n", file(SERVER, "token: t"))).contains("more than one"));
    assert!(refusal(&" ".repeat(300 * 1024)).contains("256 KiB"));
    assert!(refusal(&file(SERVER, "token: t\n    token: u")).contains("twice"));
    assert!(refusal("- 1").contains("mapping"));
}

#[test]
fn only_the_chosen_context_is_held_to_the_list() {
    let text = "
current-context: here
clusters: [{name: one, cluster: {server: 'https://a.example'}}]
contexts:
- {name: here, context: {cluster: one, user: me}}
- {name: there, context: {cluster: one, user: other}}
- {name: '1', context: {cluster: one, user: 7}}
- {name: lost, context: {cluster: two, user: me}}
users:
- {name: me, user: {token: t}}
- {name: other, user: {exec: {command: x}}}
- {name: 7, user: {token: 123}}
";
    assert!(ClusterLogin::read(text, None).is_ok());
    assert!(ClusterLogin::read(text, Some("here")).is_ok());
    assert_eq!(ClusterLogin::read(text, Some("1")).unwrap().token.unwrap().expose_secret(), "123");
    let why = |context: &str| ClusterLogin::read(text, Some(context)).err().unwrap();
    assert!(why("there").starts_with("users.1.user.exec is not accepted"), "{}", why("there"));
    assert_eq!(why("nowhere"), r#"contexts has no "nowhere"; there is "here", "there", "1", "lost""#);
    assert_eq!(why("lost"), r#"clusters has no "two"; there is "one""#);
    let without = text.replace("current-context: here", "");
    let why = refusal(&without);
    assert!(why.contains("choose a context of \"here\", \"there\""), "{why}");
    let twice = text.replace("name: other,", "name: me,");
    assert!(refusal(&twice).contains("stands twice"));
}

#[test]
fn a_server_is_https_and_somewhere_else_than_metadata() {
    let read = |server: &str| ClusterLogin::read(&file(&format!("server: '{server}'"), "token: t"), None);
    for (given, kept) in [
        ("https://cluster.example", "https://cluster.example"),
        ("https://Cluster.Example:443/", "https://cluster.example"),
        ("https://10.0.0.1:6443", "https://10.0.0.1:6443"),
        ("https://127.0.0.1:6443", "https://127.0.0.1:6443"),
        ("https://[fd00::1]:6443", "https://[fd00::1]:6443"),
        ("https://rancher.example/k8s/clusters/c-m-x7/", "https://rancher.example/k8s/clusters/c-m-x7"),
    ] {
        assert_eq!(read(given).map(|login| login.server).unwrap(), kept);
    }
    for bad in [
        "",
        "cluster.example:6443",
        "http://cluster.example",
        "unix:///run/x",
        "https://",
        "https://u:p@cluster.example",
        "https://cluster.example?x=1",
        "https://cluster.example#x",
        "https://cluster.example/a/../b",
        "https://cluster.example/a/..",
        "https://cluster.example/%2e%2e",
        "https://cluster.example//x",
        "https://cluster.example:70000",
        "https://cluster.example/a b",
        "https://169.254.169.254",
        "https://0xa9fea9fe/",
        "https://[::ffff:169.254.169.254]",
        "https://metadata.google.internal",
        "https://224.0.0.1",
    ] {
        let why = read(bad).err().unwrap_or_else(|| panic!("{bad} was taken"));
        assert!(why.starts_with("clusters.0.cluster.server "), "{bad}: {why}");
    }
}

#[test]
fn what_is_no_pem_and_no_login_is_said() {
    let with = |name: &str, text: &str| format!("{SERVER}\n    {name}: {text}");
    let no_pem = base64("secret words");
    for (cluster, user, path) in [
        (with("certificate-authority-data", "'!!'"), "token: t".to_owned(), "clusters.0.cluster.certificate"),
        (with("certificate-authority-data", &no_pem), "token: t".to_owned(), "clusters.0.cluster.certificate"),
        (with("certificate-authority-data", &base64(KEY)), "token: t".to_owned(), "clusters.0.cluster.certificate"),
        (with("tls-server-name", "'a b'"), "token: t".to_owned(), "clusters.0.cluster.tls-server-name"),
        (SERVER.to_owned(), "{}".to_owned(), "users.0.user has neither"),
        (SERVER.to_owned(), "token: ''".to_owned(), "users.0.user.token"),
        (SERVER.to_owned(), "token: \"a\\nb\"".to_owned(), "users.0.user.token"),
        (SERVER.to_owned(), "token: [a]".to_owned(), "users.0.user.token"),
        (SERVER.to_owned(), format!("client-certificate-data: {}", base64(CERT)), "users.0.user.client-key-data"),
        (SERVER.to_owned(), format!("client-key-data: {}", base64(KEY)), "users.0.user.client-certificate-data"),
        (
            SERVER.to_owned(),
            format!("client-certificate-data: {}\n    client-key-data: {no_pem}", base64(CERT)),
            "users.0.user.client-key-data",
        ),
    ] {
        let why = refusal(&file(&cluster, &user));
        assert!(why.starts_with(path) && !why.contains("secret"), "{path}: {why}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,300}") {
        let _ = ClusterLogin::read(&text, None);
    }

    #[test]
    fn no_key_gets_through(key in "[a-zA-Z-]{1,20}", value in "[a-z]{1,8}") {
        prop_assume!(!["token", "extensions", "client-certificate-data", "client-key-data"].contains(&key.as_str()));
        let text = file(SERVER, &format!("token: t\n    \"{key}\": \"{value}\""));
        let why = ClusterLogin::read(&text, None).err().unwrap_or_default();
        prop_assert!(why.starts_with(&format!("users.0.user.{key} is not accepted")), "{}", why);
    }

    #[test]
    fn what_is_sealed_comes_back(server in "https://[a-z]{1,9}", token in "\\PC{1,40}", ca in proptest::option::of("\\PC*")) {
        let login = ClusterLogin {
            server,
            ca,
            tls_server_name: None,
            token: Some(token.into()),
            certificate: Some(("c".to_owned(), "k".to_owned().into())),
            namespace: None,
        };
        let again = ClusterLogin::from_secret(&login.to_secret()).unwrap();
        prop_assert_eq!(&again.server, &login.server);
        prop_assert_eq!(&again.ca, &login.ca);
        prop_assert_eq!(again.token.unwrap().expose_secret().to_owned(), login.token.unwrap().expose_secret().to_owned());
        let key = again.certificate.map(|(_, key)| key.expose_secret().to_owned());
        prop_assert_eq!(key.as_deref(), Some("k"));
    }
}
