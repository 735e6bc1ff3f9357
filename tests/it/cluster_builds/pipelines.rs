//! Whole pipelines whose builder is a cluster, through the API.

use std::sync::Arc;

use async_graphql::Response;
use kiops::app::Actor;
use kiops::app::settings::{Builds, Settings};
use kiops::builder::kubernetes::ClusterBuilders;
use kiops::builder::{Builder, BuilderConnection, BuilderError, Builders, ClusterPlace};
use kiops::domain::git::Provider;
use kiops::scanner::Tool;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};
use serde_json::{Value, json};

use super::{BUILDKIT, NAMESPACE, REPOSITORY, begins, buildkit, ends, image, prints};
use crate::support::app::TestApp;
use crate::support::builds::commit;
use crate::support::cluster::{ADMIN, Behaviour, ClusterDouble};
use crate::support::git::GOOD_TOKEN;
use crate::support::shop::{mutate, shared_engine, text, work};

/// What builds is a cluster, and nothing else.
struct OnlyClusters(ClusterBuilders);

impl Builders for OnlyClusters {
    fn connect(&self, connection: &BuilderConnection) -> Result<Arc<dyn Builder>, BuilderError> {
        match connection {
            BuilderConnection::Cluster(cluster) => self.0.connect(cluster),
            BuilderConnection::Engine(_) => Err(BuilderError::Unreachable("there is no engine".to_owned())),
        }
    }
}

/// An organization whose cluster builds for everybody, with a GitLab service named shop.
pub struct Yard {
    pub test: TestApp,
    pub double: ClusterDouble,
    pub admin: Actor,
    pub member: Actor,
    pub service: String,
}

impl Yard {
    pub async fn new(build: Behaviour) -> Self {
        Self::with(build, Vec::new()).await
    }

    /// With these tools of scans.
    pub async fn with(build: Behaviour, scanners: Vec<Tool>) -> Self {
        let double = ClusterDouble::start();
        double.image(BUILDKIT, buildkit(build));
        let settings = shared_engine(&["acme"]);
        let builds = Builds {
            runtime: Some(("acme".to_owned(), "cluster".to_owned())),
            work_dir: tempfile::tempdir().unwrap().keep(),
            cluster: ClusterPlace {
                namespace: NAMESPACE.to_owned(),
                image: BUILDKIT.to_owned(),
                disk: 1 << 30,
                plain_http: Vec::new(),
                platform: None,
                scans: false,
            },
            ..settings.builds.clone()
        };
        let builders = Arc::new(OnlyClusters(ClusterBuilders::default()));
        let test = TestApp::with_builders(Settings { builds, scanners, ..settings }, builders).await;
        let admin = test.organization("acme").await;
        let member = test.member(&admin, "ada@acme.example").await;
        test.runtimes.another(&double.url());
        let cluster = json!({ "name": "cluster", "kubernetes": { "kubeconfig": double.kubeconfig() } });
        mutate(&test, &admin, "registerRuntime", cluster).await;
        let engine = json!({ "name": "engine", "docker": { "host": "tcp://192.0.2.1:2375" } });
        let engine = mutate(&test, &admin, "registerRuntime", engine).await;
        let gitlab = json!({ "baseUrl": "https://gitlab.example", "token": GOOD_TOKEN });
        mutate(&test, &admin, "saveGitlabSettings", gitlab).await;
        test.gits.of(Provider::Gitlab).add("team/shop", &["main"]);
        let input = json!({
            "provider": "GITLAB", "project": "team/shop", "branch": "main", "name": "shop", "runtimeId": engine,
            "containers": [{ "name": "web", "port": 80 }],
        });
        let service = mutate(&test, &admin, "registerGitProject", input).await;
        test.sources.push("main", commit(1));
        test.sources.files.lock().unwrap().insert("Dockerfile".to_owned(), "FROM scratch\n".to_owned());
        Self { test, double, admin, member, service }
    }

    pub async fn save(&self, mut settings: Value) {
        settings["serviceId"] = json!(self.service);
        let document = "mutation($i: SaveBuildSettingsInput!) { saveBuildSettings(input: $i) { service { id } } }";
        self.test.data(&self.member, document, json!({ "i": settings })).await;
    }

    async fn ask(&self) -> Response {
        let document = "mutation($i: StartPipelineInput!) { startPipeline(input: $i) { pipeline { id } } }";
        self.test.run(Some(&self.member), document, json!({ "i": { "serviceId": self.service } })).await
    }

    pub async fn start(&self) -> String {
        let answer = self.ask().await;
        assert!(answer.errors.is_empty(), "{:?}", answer.errors);
        text(&answer.data.into_json().unwrap()["startPipeline"]["pipeline"]["id"])
    }

    pub async fn look(&self, id: &str) -> Value {
        let document = "query($id: ID!) { node(id: $id) { ... on Pipeline { status image imageDigest
            stages { kind status message } log(first: 200) { nodes { stage stream text } } } } }";
        self.test.data(&self.member, document, json!({ "id": id })).await["node"].clone()
    }

    /// Has its job taken up again after so many tries.
    async fn take_up(&self, attempts: i32) {
        let db = self.test.app.db.read_write();
        let now = self.test.app.clock.now();
        let change = entity::job::Entity::update_many()
            .col_expr(entity::job::Column::Attempts, Expr::value(attempts - 1))
            .col_expr(entity::job::Column::RunAfter, Expr::value(now))
            .filter(entity::job::Column::Kind.eq(kiops::app::pipelines::RUN));
        change.exec(db).await.unwrap();
        work(&self.test).await;
    }

    /// Runs what is queued to its end.
    pub async fn run(&self) -> Value {
        let id = self.start().await;
        work(&self.test).await;
        self.look(&id).await
    }
}

pub fn stages(pipeline: &Value) -> String {
    let all = pipeline["stages"].as_array().unwrap();
    all.iter().map(|stage| stage["status"].as_str().unwrap()).collect::<Vec<_>>().join(" ")
}

pub fn message(pipeline: &Value, kind: &str) -> String {
    let all = pipeline["stages"].as_array().unwrap();
    let stage = all.iter().find(|stage| stage["kind"] == kind).unwrap();
    stage["message"].as_str().unwrap_or_default().to_owned()
}

/// The reason of the first error.
fn reason(answer: &Response) -> String {
    let error = answer.errors.first().unwrap_or_else(|| panic!("{:?}", answer.data));
    let extensions = serde_json::to_value(error.extensions.as_ref().unwrap()).unwrap();
    format!("{} {}", text(&extensions["code"]), text(&extensions["reason"]))
}

#[tokio::test]
async fn a_pipeline_goes_from_commit_to_tested_image() {
    let yard =
        Yard::new(ends(0, &[begins("a", "[1/1] RUN make"), prints("a", "made with a build's own secret\n")])).await;
    yard.double.image(&image(), ends(0, &["7 passed".to_owned()]));
    yard.save(json!({
        "imageRepository": REPOSITORY, "testCommand": ["make", "test"],
        "registryAuth": { "username": "robot", "token": "a registry's own secret" },
        "buildArgs": [{ "name": "NPM_TOKEN", "value": "a build's own secret", "secret": true }],
    }))
    .await;
    let done = yard.run().await;
    assert_eq!(done["status"], "SUCCEEDED", "{done:#}");
    assert_eq!(stages(&done), "SUCCEEDED SUCCEEDED SKIPPED SUCCEEDED SKIPPED");
    assert_eq!(done["imageDigest"], format!("sha256:{}", "d".repeat(64)));
    let digest = format!("sha256:{}", "d".repeat(64));
    assert_eq!(done["image"], format!("{REPOSITORY}:01010101-1@{digest}"), "{done}");
    let log = done["log"]["nodes"].to_string();
    for line in ["[1/1] RUN make", "made with ***", "Pushed registry.test/acme/shop", "7 passed"] {
        assert!(log.contains(line), "{line}: {log}");
    }
    for kind in ["Job", "Pod", "Secret"] {
        assert!(yard.double.list(kind, NAMESPACE).is_empty(), "{kind}");
    }
    let rows = format!("{:?}", yard.test.rows().await);
    for secret in ["a build's own secret", "a registry's own secret", ADMIN] {
        assert!(!rows.contains(secret) && !done.to_string().contains(secret), "{secret}");
    }

    // The same again is not built again, as long as the registry has it.
    let digest = kiops::domain::image::Digest::parse(&digest).unwrap();
    yard.test.registries.tags.lock().unwrap().insert(format!("{REPOSITORY}:01010101-1"), digest);
    let again = yard.run().await;
    assert_eq!(again["image"], done["image"], "{again:#}");
    assert!(message(&again, "BUILD").contains("built by pipeline 1"), "{again:#}");
    assert_eq!(yard.double.inputs("source").len(), 1);
    yard.test.registries.tags.lock().unwrap().clear();
    let anew = yard.run().await;
    assert_eq!(anew["image"], format!("{REPOSITORY}:01010101-3@sha256:{}", "d".repeat(64)), "{anew:#}");
}

#[tokio::test]
async fn without_a_repository_nothing_begins() {
    let yard = Yard::new(ends(0, &[])).await;
    let answer = yard.ask().await;
    assert_eq!(reason(&answer), "FAILED_PRECONDITION IMAGE_REPOSITORY_NEEDED");
    assert!(answer.errors[0].message.contains("saveBuildSettings"), "{:?}", answer.errors);

    // A prefix of the organization's is as good; once it is gone, the stage says what is missing.
    let registry = json!({
        "host": "registry.test", "username": "robot", "token": "a-registrys-own", "repositoryPrefix": "registry.test/acme",
    });
    mutate(&yard.test, &yard.admin, "saveRegistry", registry).await;
    let id = yard.start().await;
    let remove = "mutation($i: DeleteRegistryInput!) { deleteRegistry(input: $i) { host } }";
    yard.test.data(&yard.admin, remove, json!({ "i": { "host": "registry.test" } })).await;
    work(&yard.test).await;
    let failed = yard.look(&id).await;
    assert_eq!(failed["status"], "FAILED", "{failed:#}");
    assert!(message(&failed, "BUILD").contains("which keeps no images"), "{failed:#}");
    assert!(yard.double.list("Namespace", "").iter().all(|one| one["metadata"]["name"] != NAMESPACE));
}

#[tokio::test]
async fn a_push_that_is_refused_fails_the_build_with_the_registrys_words() {
    let said = "failed to push registry.test/acme/shop:01010101-1: denied: requested access to the resource is denied";
    let yard = Yard::new(ends(1, &[format!("error: failed to solve: {said}")])).await;
    yard.save(json!({ "imageRepository": REPOSITORY })).await;
    let failed = yard.run().await;
    assert_eq!(stages(&failed).split(' ').take(2).collect::<Vec<_>>(), ["SUCCEEDED", "FAILED"]);
    let why = message(&failed, "BUILD");
    assert!(
        why.starts_with("the image was built, and registry.test/acme/shop:01010101-1 could not be pushed"),
        "{why}"
    );
    assert!(why.contains("with no login") && why.contains("denied"), "{why}");
}

#[tokio::test]
async fn a_pipeline_that_is_canceled_leaves_nothing_on_the_cluster() {
    let yard = Yard::new(Behaviour::Runs(std::time::Duration::from_secs(600))).await;
    yard.save(json!({ "imageRepository": REPOSITORY })).await;
    let id = yard.start().await;
    let canceling = async {
        let begun = std::time::Instant::now();
        while yard.double.inputs("source").is_empty() {
            assert!(begun.elapsed() < std::time::Duration::from_secs(20), "it never begins");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let cancel = "mutation($i: CancelPipelineInput!) { cancelPipeline(input: $i) { pipeline { status } } }";
        yard.test.data(&yard.member, cancel, json!({ "i": { "id": id } })).await;
    };
    tokio::join!(work(&yard.test), canceling);
    assert_eq!(yard.look(&id).await["status"], "CANCELED");
    for kind in ["Job", "Pod", "Secret"] {
        assert!(yard.double.list(kind, NAMESPACE).is_empty(), "{kind}");
    }
}

#[tokio::test]
async fn it_is_not_said_to_be_canceled_while_it_may_be_at_work() {
    let yard = Yard::new(Behaviour::Runs(std::time::Duration::from_secs(600))).await;
    yard.save(json!({ "imageRepository": REPOSITORY })).await;
    let id = yard.start().await;
    let canceling = async {
        let begun = std::time::Instant::now();
        while yard.double.inputs("source").is_empty() {
            assert!(begun.elapsed() < std::time::Duration::from_secs(20), "it never begins");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        yard.double.go_away();
        let cancel = "mutation($i: CancelPipelineInput!) { cancelPipeline(input: $i) { pipeline { status } } }";
        yard.test.data(&yard.member, cancel, json!({ "i": { "id": id } })).await;
    };
    tokio::join!(work(&yard.test), canceling);
    for attempts in [10, 20] {
        assert_eq!(yard.look(&id).await["status"], "RUNNING");
        yard.take_up(attempts).await;
    }
    yard.double.come_back();
    assert_eq!(yard.look(&id).await["status"], "RUNNING");
    yard.take_up(21).await;
    assert_eq!(yard.look(&id).await["status"], "CANCELED");
    assert!(yard.double.list("Job", NAMESPACE).is_empty());
}

#[tokio::test]
async fn the_namespace_of_builds_is_nobody_elses() {
    let yard = Yard::new(ends(0, &[])).await;
    yard.test.registries.push("nginx:1.27", 1);
    let runtime = {
        let document = "{ runtimes { nodes { id name } } }";
        let all = yard.test.data(&yard.admin, document, json!({})).await;
        let all = all["runtimes"]["nodes"].as_array().unwrap().clone();
        text(&all.iter().find(|one| one["name"] == "cluster").unwrap()["id"])
    };
    let containers = json!([{ "name": "web", "image": "nginx", "tag": "1.27", "port": 80 }]);
    let service = json!({ "name": NAMESPACE, "runtimeId": runtime, "containers": containers });
    let service = mutate(&yard.test, &yard.admin, "registerDockerHubService", service).await;
    let document = "mutation($i: DeployServiceInput!) { deployService(input: $i) { deployment { id } } }";
    let answer = yard.test.run(Some(&yard.admin), document, json!({ "i": { "serviceId": service } })).await;
    assert_eq!(reason(&answer), "FAILED_PRECONDITION NAMESPACE_NOT_OWNED");
    assert!(answer.errors[0].message.contains("kept for builds"), "{:?}", answer.errors);
}
