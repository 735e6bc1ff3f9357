use serde::Serialize;

use super::*;
use crate::builder::{BuildRequest, ClusterPlace, TestRequest};
use crate::cluster::ground::{namespace, network_policies};
use crate::cluster::job::owner;
use crate::domain::image::{Repository, Tag};
use crate::domain::secret::RegistryLogin;

fn place() -> ClusterPlace {
    ClusterPlace {
        namespace: "kiops-builds".to_owned(),
        image: "moby/buildkit:v0.32.2-rootless".to_owned(),
        disk: 20 << 30,
        plain_http: vec!["registry.lan:5000".to_owned()],
        platform: None,
        scans: false,
    }
}

fn mark() -> RunMark {
    RunMark {
        run_id: "0199c1a0-7c35-7d43-9d2f-3f6f0f6f9a01".to_owned(),
        service_id: "0199c1a0-0000-7000-8000-000000000002".to_owned(),
        organization_id: "0199c1a0-0000-7000-8000-000000000003".to_owned(),
    }
}

fn limits() -> RunLimits {
    RunLimits { profile: "small".to_owned(), cpu: 0.5, memory: 1 << 30, time: Duration::from_secs(1800) }
}

fn login() -> (String, RegistryLogin) {
    let login = RegistryLogin { username: "robot".to_owned(), token: "hush-of-the-registry".into(), trusted: false };
    ("registry.lan:5000".to_owned(), login)
}

fn build() -> BuildRequest {
    BuildRequest {
        mark: mark(),
        context: "/nowhere".into(),
        dockerfile: "FROM scratch\n".to_owned(),
        dockerignore: None,
        args: Vec::new(),
        secrets: Vec::new(),
        target: None,
        platforms: Vec::new(),
        logins: Vec::new(),
        repository: Repository::parse("registry.lan:5000/acme/shop").unwrap(),
        tag: Tag::parse("0123456-7").unwrap(),
        labels: Vec::new(),
        limits: limits(),
        max_context_bytes: 1 << 30,
    }
}

/// With everything that a service can say.
fn full() -> BuildRequest {
    let text = |text: &str| text.to_owned();
    BuildRequest {
        args: vec![(text("VERSION"), text("1.2, \"x\" $(DOCKER_CONFIG) $$ --metadata-file=/x\nthere"))],
        secrets: vec![(text("NPM_TOKEN"), "hush-of-npm".into()), (text("ODD,NAME\""), "hush-of-the-odd".into())],
        target: Some(text("release")),
        platforms: vec![text("linux/arm64")],
        logins: vec![
            login(),
            (
                text("docker.io"),
                RegistryLogin { username: text("ada"), token: "hush-of-the-hub".into(), trusted: false },
            ),
        ],
        labels: vec![(text("org.opencontainers.image.revision"), text("abc"))],
        ..build()
    }
}

fn test() -> TestRequest {
    TestRequest {
        mark: mark(),
        image_id: format!("registry.lan:5000/acme/shop@sha256:{}", "d".repeat(64)),
        platform: Some("linux/amd64".to_owned()),
        login: Some(login()),
        command: ["make", "test", "A=$(HOME)"].map(str::to_owned).to_vec(),
        limits: limits(),
    }
}

fn by(stage: Stage) -> OwnerReference {
    owner(&stage.name(&mark().run_id), "uid-of-the-job")
}

fn yaml(object: &impl Serialize) -> String {
    serde_norway::to_string(object).unwrap()
}

#[test]
fn a_build_is_one_job() {
    insta::assert_snapshot!(yaml(&build_job(&build(), &place(), AppArmor::Field)));
}

#[test]
fn all_that_a_service_says_is_in_it() {
    let job = build_job(&full(), &place(), AppArmor::Field);
    let pod = job.spec.unwrap().template.spec.unwrap();
    insta::assert_snapshot!(yaml(&pod.init_containers.unwrap()[1].args));
    assert_eq!(pod.node_selector.unwrap()["kubernetes.io/arch"], "arm64");
}

#[test]
fn what_is_built_on_one_kind_of_node_is_tested_on_the_same() {
    let place = ClusterPlace { platform: Some("linux/arm64".to_owned()), ..place() };
    let on = |job: Job| job.spec.unwrap().template.spec.unwrap().node_selector.unwrap()["kubernetes.io/arch"].clone();
    assert_eq!(on(build_job(&build(), &place, AppArmor::Field)), "arm64");
    assert_eq!(on(test_job(&TestRequest { platform: None, ..test() }, &place)), "arm64");
    // What a service asks for comes first.
    assert_eq!(on(test_job(&test(), &place)), "amd64");
}

#[test]
fn the_images_folders_are_the_sources() {
    // A group of the pod's own would be set on every folder, and so be in the image.
    let pod = build_job(&build(), &place(), AppArmor::Field).spec.unwrap().template.spec.unwrap();
    assert_eq!(pod.security_context.unwrap().fs_group, None);
    let secret = pod.volumes.unwrap().into_iter().find_map(|volume| volume.secret).unwrap();
    assert_eq!(secret.default_mode, Some(0o444));
}

#[test]
fn secrets_are_in_the_secret_and_nowhere_else() {
    let secret = build_secret(&full(), &place(), by(Stage::Build));
    let data = secret.data.clone().unwrap();
    let text = |key: &str| String::from_utf8(data[key].0.clone()).unwrap();
    assert_eq!((text("secret-0").as_str(), text("secret-1").as_str()), ("hush-of-npm", "hush-of-the-odd"));
    let logins: serde_json::Value = serde_json::from_str(&text("config.json")).unwrap();
    assert_eq!(logins["auths"]["https://index.docker.io/v1/"]["auth"], "YWRhOmh1c2gtb2YtdGhlLWh1Yg==");
    assert_eq!(logins["auths"]["registry.lan:5000"]["password"], "hush-of-the-registry");
    assert_eq!(text("buildkitd.toml"), "[registry.\"registry.lan:5000\"]\nhttp = true\n");
    assert_eq!(secret.metadata.owner_references.as_ref().unwrap()[0].uid, "uid-of-the-job");
    assert_eq!(secret.metadata.name, build_job(&full(), &place(), AppArmor::Field).metadata.name);
    for object in [yaml(&build_job(&full(), &place(), AppArmor::Field)), yaml(&test_job(&test(), &place()))] {
        assert!(!object.contains("hush"), "{object}");
    }
    let pull = test_secret(&test(), by(Stage::Test));
    assert_eq!(pull.type_.as_deref(), Some("kubernetes.io/dockerconfigjson"));
    assert!(String::from_utf8_lossy(&pull.data.unwrap()[".dockerconfigjson"].0).contains("hush-of-the-registry"));
}

#[test]
fn older_clusters_are_told_in_their_own_way() {
    let versions = ["1.25.0", "1.29.9", "1.30.0", "1.33.2-eks-1", "1.37.0", "2.0.0", "odd"];
    let told = versions.map(AppArmor::of);
    let (old, new) = (AppArmor::Annotation, AppArmor::Field);
    assert_eq!(told, [old, old, new, new, new, new, new]);
    let before = yaml(&build_job(&build(), &place(), old));
    assert!(before.contains("container.apparmor.security.beta.kubernetes.io/build: unconfined"), "{before}");
    assert!(!before.contains("appArmorProfile"), "{before}");
}

#[test]
fn a_test_is_one_job() {
    insta::assert_snapshot!(yaml(&test_job(&test(), &place())));
}

#[test]
fn the_ground_is_closed() {
    let policies = network_policies().map(|policy| yaml(&policy)).join("---\n");
    insta::assert_snapshot!(yaml(&namespace(&place().namespace)) + "---\n" + &policies);
}

#[test]
fn names_are_names_whatever_the_id() {
    let long = "x".repeat(200);
    for id in ["0199c1a0-7c35-7d43-9d2f-3f6f0f6f9a01", "Run_1", "", "-", "a/../b", long.as_str()] {
        for stage in [Stage::Build, Stage::Test] {
            let name = stage.name(id);
            let is_label = name.len() <= 63
                && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                && !name.ends_with('-');
            assert!(is_label, "{name}");
        }
    }
    assert_ne!(Stage::Build.name("Run_1"), Stage::Build.name("Run_2"));
}
