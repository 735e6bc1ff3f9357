//! A Git service with pipelines that are written by hand, for what comes after a build.

use entity::{PipelineTrigger, RunStatus, environment, job, pipeline, service};
use kiops::app::Actor;
use kiops::app::pipelines::definition::{BuildDefinition, Snapshot};
use kiops::domain::git::Provider;
use kiops::domain::stage::{StageKind, Stages};
use kiops::domain::status;
use kiops::graphql::ids::NodeKind;
use sea_orm::{ActiveModelTrait as _, ColumnTrait as _, EntityTrait as _, IntoActiveModel as _, QueryFilter as _};
use serde_json::{Value, json};

use super::app::TestApp;
use super::git::GOOD_TOKEN;
use super::shop::{mutate, shared_engine, text, work};

/// An organization with a service from GitLab that serves nothing yet, its admin and a member.
pub struct Yard {
    pub test: TestApp,
    pub admin: Actor,
    pub member: Actor,
    /// Node ids.
    pub runtime: String,
    pub service: String,
}

impl Yard {
    pub async fn new() -> Self {
        let test = TestApp::with(shared_engine(&["acme", "other"])).await;
        let admin = test.organization("acme").await;
        let member = test.member(&admin, "ada@acme.example").await;
        let gitlab = json!({ "baseUrl": "https://gitlab.example", "token": GOOD_TOKEN });
        mutate(&test, &admin, "saveGitlabSettings", gitlab).await;
        let runtime = json!({ "name": "engine", "docker": { "host": "tcp://192.0.2.1:2375" } });
        let runtime = mutate(&test, &admin, "registerRuntime", runtime).await;
        let service = git_service(&test, &admin, "shop", &runtime).await;
        Self { test, admin, member, runtime, service }
    }

    /// The row of the service.
    pub async fn row(&self) -> service::Model {
        service_row(&self.test, &self.service).await
    }

    /// A pipeline of `main` that succeeded, its image in a registry, not stored yet.
    pub async fn pipeline(&self, number: i32) -> pipeline::Model {
        succeeded(&self.test, &self.row().await, number)
    }

    /// As [`Yard::pipeline`], stored; its node id.
    pub async fn built(&self, number: i32) -> String {
        node(&store(&self.test, self.pipeline(number).await).await)
    }

    /// As [`Yard::built`], of an image that stays on the engine that calls itself `engine`.
    pub async fn built_on(&self, number: i32, engine: &str) -> String {
        let mut row = self.pipeline(number).await;
        row.image = Some(format!("kiops.internal/acme/shop:{number}"));
        row.image_digest = None;
        row.engine_id = Some(engine.to_owned());
        node(&store(&self.test, row).await)
    }

    /// Saves an environment as the admin.
    pub async fn save(&self, name: &str, more: Value) {
        let answer = self.try_save(&self.admin, name, more).await;
        assert!(answer.errors.is_empty(), "{:?}", answer.errors);
    }

    pub async fn try_save(&self, actor: &Actor, name: &str, more: Value) -> async_graphql::Response {
        let save = "mutation($input: SaveEnvironmentInput!) { saveEnvironment(input: $input) { environment { id } } }";
        let mut input = json!({ "serviceId": self.service, "name": name });
        input.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        self.test.run(Some(actor), save, json!({ "input": input })).await
    }

    /// Asks for a deployment, with more of its input.
    pub async fn try_deploy(&self, more: Value) -> async_graphql::Response {
        let deploy = "mutation($input: DeployServiceInput!) { deployService(input: $input) { deployment { id } } }";
        self.test.run(Some(&self.member), deploy, json!({ "input": self.input(more) })).await
    }

    /// Asks what a deployment would change.
    pub async fn try_preview(&self, more: Value) -> async_graphql::Response {
        let preview = "query($input: DeployServiceInput!) { deploymentPreview(input: $input) { planHash manifest } }";
        self.test.run(Some(&self.member), preview, json!({ "input": self.input(more) })).await
    }

    fn input(&self, more: Value) -> Value {
        let mut input = json!({ "serviceId": self.service });
        input.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        input
    }

    /// Queues a deployment to production; its id.
    pub async fn queue(&self) -> String {
        mutate(&self.test, &self.member, "deployService", json!({ "serviceId": self.service })).await
    }

    /// Deploys to production, and gives what came of it.
    pub async fn deploy(&self) -> Value {
        let id = self.queue().await;
        work(&self.test).await;
        self.deployment(&id).await
    }

    /// A deployment, as the admin sees it.
    pub async fn deployment(&self, id: &str) -> Value {
        self.deployment_for(&self.admin, id).await
    }

    pub async fn deployment_for(&self, actor: &Actor, id: &str) -> Value {
        let one = "query($id: ID!) { node(id: $id) { ... on Deployment { revision status message trigger images current
            finishedAt triggeredBy { email }
            approval { requestedAt resolvedAt resolvedBy { email } approved comment canResolve } } } }";
        self.test.data(actor, one, json!({ "id": id })).await["node"].take()
    }

    /// The service and its production.
    pub async fn state(&self) -> Value {
        let state = "query($id: ID!) { service(id: $id) { status statusMessage
            environment(name: \"production\") { status statusMessage undeployedChanges
                latestDeployment { revision } currentDeployment { revision } } } }";
        self.test.data(&self.admin, state, json!({ "id": self.service })).await["service"].take()
    }

    pub async fn environments(&self) -> Vec<environment::Model> {
        environment::Entity::find().all(self.test.app.db.read()).await.unwrap()
    }

    /// Kinds and subjects of what is queued.
    pub async fn jobs(&self) -> Vec<(String, String)> {
        let all = job::Entity::find().all(self.test.app.db.read()).await.unwrap();
        all.into_iter().map(|job| (job.kind, job.subject)).collect()
    }
}

/// Registers a project of GitLab; its node id.
pub async fn git_service(test: &TestApp, admin: &Actor, name: &str, runtime: &str) -> String {
    let path = format!("group/{name}");
    test.gits.of(Provider::Gitlab).add(&path, &["main"]);
    let project = json!({
        "provider": "GITLAB", "project": path, "branch": "main", "name": name, "runtimeId": runtime,
        "containers": [{ "name": "app", "port": 8080 }],
    });
    mutate(test, admin, "registerGitProject", project).await
}

/// The row of a service, by its node id.
pub async fn service_row(test: &TestApp, id: &str) -> service::Model {
    let id = NodeKind::Service.row(&id.to_owned().into()).unwrap();
    service::Entity::find_by_id(id).one(test.app.db.read()).await.unwrap().unwrap()
}

/// A pipeline's node id.
pub fn node(row: &pipeline::Model) -> String {
    text(&json!(NodeKind::Pipeline.id(&row.id)))
}

/// Writes a pipeline.
pub async fn store(test: &TestApp, row: pipeline::Model) -> pipeline::Model {
    let tx = test.app.begin().await.unwrap();
    let row = row.into_active_model().reset_all().insert(&tx).await.unwrap();
    tx.commit().await.unwrap();
    row
}

/// The pipeline of a service with this number, as it is stored now.
pub async fn read(test: &TestApp, number: i32) -> pipeline::Model {
    let found = pipeline::Entity::find().filter(pipeline::Column::Number.eq(number)).one(test.app.db.read()).await;
    found.unwrap().unwrap()
}

/// Stages of which all before one have ended well, and that one came to this.
pub fn stages(at: StageKind, came_to: status::RunStatus, message: Option<&str>) -> Value {
    let mut stages = Stages::default();
    let now = chrono::DateTime::UNIX_EPOCH;
    for kind in StageKind::ALL.into_iter().take_while(|kind| *kind <= at) {
        stages.advance(kind, status::RunStatus::Running, None, now).unwrap();
        let (end, message) = match kind == at {
            true => (came_to, message.map(str::to_owned)),
            false => (status::RunStatus::Succeeded, None),
        };
        stages.advance(kind, end, message, now).unwrap();
    }
    if came_to.is_final() {
        stages.close(now);
    }
    serde_json::to_value(stages).unwrap()
}

/// A pipeline of `main` that succeeded, its image in a registry.
pub fn succeeded(test: &TestApp, service: &service::Model, number: i32) -> pipeline::Model {
    of(service, number, test.app.ids.id())
}

/// As [`succeeded`], by an id.
pub fn of(service: &service::Model, number: i32, id: String) -> pipeline::Model {
    let now = service.created_at;
    pipeline::Model {
        id,
        organization_id: service.organization_id.clone(),
        service_id: service.id.clone(),
        number,
        trigger: PipelineTrigger::Push,
        triggered_by: None,
        ref_name: "main".to_owned(),
        lane: format!("{}:main", service.id),
        commit_sha: Some("0123456789".repeat(4)),
        commit: None,
        status: RunStatus::Succeeded,
        stages: stages(StageKind::Deploy, status::RunStatus::Succeeded, None),
        settings: serde_json::to_value(Snapshot { build: BuildDefinition::default(), context_path: ".".to_owned() })
            .unwrap(),
        deploy_to: None,
        idempotency_key: None,
        retry_of: None,
        source_tree: None,
        build_key: None,
        image: Some(format!("registry.example/shop:{number}")),
        image_digest: Some(format!("sha256:{}", format!("{number:02x}").repeat(32))),
        image_id: Some(id_of(number)),
        engine_id: Some("fake".to_owned()),
        gate: None,
        cancel_requested: false,
        reported: None,
        created_at: now,
        started_at: Some(now),
        finished_at: Some(now),
    }
}

/// What the engine calls the image of a number.
pub fn id_of(number: i32) -> String {
    format!("sha256:{}", format!("e{number:01x}").repeat(32))
}
