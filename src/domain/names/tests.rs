use proptest::prelude::*;

use super::*;

/// Texts that no name takes.
fn hostile() -> Vec<String> {
    let mut texts: Vec<String> = [
        "",
        " ",
        "../x",
        "a b",
        "a\n",
        "\na",
        "a\0b",
        "-x",
        "--upload-pack=touch x",
        "a;b",
        "a|b",
        "a&b",
        "$(id)",
        "`id`",
        "a>b",
        "a<b",
        "a'b",
        "a\"b",
        "a\\b",
        "a#b",
        "a*b",
        "%0a",
        "\u{202e}abc",
        "аpple",
        "ａbc",
        "a\u{200b}b",
        "a=b",
        "a\r",
        "a\t",
        "---\nkind: ClusterRoleBinding",
    ]
    .map(str::to_owned)
    .into();
    texts.push("a".repeat(10 * 1024));
    texts
}

#[test]
fn labels_refuse_what_is_hostile() {
    for text in hostile() {
        assert!(ServiceName::parse(&text).is_err(), "service {text:?}");
        assert!(Namespace::parse(&text).is_err(), "namespace {text:?}");
        assert!(EnvironmentName::parse(&text).is_err(), "environment {text:?}");
        assert!(ContainerName::parse(&text).is_err(), "container {text:?}");
        assert!(RuntimeName::parse(&text).is_err(), "runtime {text:?}");
        assert!(OrganizationSlug::parse(&text).is_err(), "slug {text:?}");
        assert!(EnvName::parse(&text).is_err(), "variable {text:?}");
        assert!(IngressPath::parse(&text).is_err(), "path {text:?}");
        assert!(MountPath::parse(&text).is_err(), "mount {text:?}");
        assert!(Email::parse(&text).is_err(), "e-mail {text:?}");
    }
}

#[test]
fn labels_have_edges() {
    for good in ["a", "0", "shop", "shop-api", "3scale", "a--b", "kubernetes", "defaults", &"a".repeat(63)] {
        assert!(ServiceName::parse(good).is_ok(), "{good}");
    }
    for bad in ["A", "Shop", "a_b", "a.b", "-a", "a-", "-", "default", "kube-system", "kube-", &"a".repeat(64)] {
        assert!(ServiceName::parse(bad).is_err(), "{bad}");
    }
    assert!(OrganizationSlug::parse("default").is_ok());
    assert!(EnvironmentName::parse("default").is_ok());
    assert!(ContainerName::parse("a").is_err());
    assert!(ContainerName::parse("9a").is_err());
    assert!(ContainerName::parse("ab").is_ok());
}

#[test]
fn variables() {
    for good in ["A", "_", "DATABASE_URL", "a.b-c", "x9", &"A".repeat(255)] {
        assert!(EnvName::parse(good).is_ok(), "{good}");
    }
    for bad in ["9A", ".a", "A=B", "A\0", "ä", &"A".repeat(256)] {
        assert!(EnvName::parse(bad).is_err(), "{bad}");
    }
    assert!(EnvText::parse("a\nb=c: yes").is_ok());
    assert!(EnvText::parse("").is_ok());
    assert!(EnvText::parse("a\0").is_err());
    assert!(EnvText::parse(&"a".repeat(65_536)).is_ok());
    assert!(EnvText::parse(&"a".repeat(65_537)).is_err());
}

#[test]
fn mount_paths() {
    for good in ["/data", "/var/lib/mysql", "/run/app", "/processes", "/devices/x", "/a b", "/..a", "/ä"] {
        assert!(MountPath::parse(good).is_ok(), "{good}");
    }
    for bad in [
        "/",
        "//",
        "data",
        "./data",
        "../..",
        "/a/../b",
        "/a/./b",
        "/a//b",
        "/a/",
        "/proc",
        "/proc/1",
        "/sys",
        "/sys/fs/cgroup",
        "/dev",
        "/dev/shm",
        "/var/run/docker.sock",
        "/run/docker.sock",
        "/run",
        "/var/run",
        "/var/run/docker.sock/x",
        "/a:ro",
        "/a\nb",
        "/a\0",
        "/\u{202e}a",
        "C:\\data",
    ] {
        assert!(MountPath::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn ingress_paths() {
    for good in ["/", "/api", "/api/", "/api/v1.2/~x", "/a-b_c"] {
        assert!(IngressPath::parse(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "api",
        "/api; return 200",
        "/../",
        "/..",
        "/a/../b",
        "//evil",
        "/a//b",
        "/#",
        "/?a",
        "/{x}",
        "/%2e%2e",
        "/./",
    ] {
        assert!(IngressPath::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn emails() {
    for good in ["admin@localhost", "ada@example.com", "a.b+c@x-y.example", "o'neil@example.org"] {
        assert!(Email::parse(good).is_ok(), "{good}");
    }
    for bad in [
        "ada",
        "@x",
        "a@",
        "a@b@c",
        "a..b@x",
        ".a@x",
        "a@-x",
        "a@x..y",
        "\"a b\"@x",
        "a@x\n",
        "a@[127.0.0.1]",
        "a@x,b@y",
    ] {
        assert!(Email::parse(bad).is_err(), "{bad}");
    }
    assert_eq!(Email::parse("Ada@Example.COM").map(|e| e.key()), Ok("ada@example.com".to_owned()));
}

#[test]
fn display_names() {
    for good in ["Ada", "Ada Lovelace", "李雷", "O'Neil; DROP", &"ä".repeat(100)] {
        assert!(DisplayName::parse(good).is_ok(), "{good}");
    }
    for bad in ["", "  ", " a", "a ", "a\nb", "\u{202e}a", &"a".repeat(101)] {
        assert!(DisplayName::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn passwords_are_refused_by_length() {
    assert!(check_password("1234567").is_err());
    assert!(check_password("12345678").is_ok());
    assert!(check_password(&"a".repeat(1024)).is_ok());
    assert!(check_password(&"a".repeat(1025)).is_err());
    assert!(check_password(&"a".repeat(10 << 20)).is_err());
}

#[test]
fn serde_checks_too() {
    assert!(serde_json::from_str::<ServiceName>("\"shop\"").is_ok());
    assert!(serde_json::from_str::<ServiceName>("\"Shop\"").is_err());
}

proptest! {
    #[test]
    fn a_label_that_is_taken_is_one(text in "\\PC{0,70}|[a-z0-9-]{0,70}") {
        if let Ok(name) = ServiceName::parse(&text) {
            prop_assert_eq!(name.as_str(), &text);
            prop_assert!(text.len() <= 63 && !text.is_empty());
            prop_assert!(text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-')));
            prop_assert!(!text.starts_with('-') && !text.ends_with('-') && !text.starts_with("kube-"));
        }
    }

    #[test]
    fn a_mount_path_that_is_taken_stays_where_it_says(text in "(/(\\.|\\.\\.|proc|dev|run|[a-z:]{0,3})){0,4}") {
        if let Ok(path) = MountPath::parse(&text) {
            let normal: std::path::PathBuf = std::path::Path::new(path.as_str()).components().collect();
            prop_assert_eq!(normal.to_str(), Some(text.as_str()));
            prop_assert!(!text.starts_with("/proc/") && text != "/proc" && text != "/dev" && text != "/run");
        }
    }

    #[test]
    fn nothing_panics(text in any::<String>()) {
        let _ = (EnvName::parse(&text), EnvText::parse(&text), MountPath::parse(&text), IngressPath::parse(&text));
        let _ = (Email::parse(&text), DisplayName::parse(&text), ContainerName::parse(&text));
    }
}
