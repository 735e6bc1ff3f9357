//! Images that are on the engine and in no registry, and deployments that are ended in the middle.

use std::time::{Duration, Instant};

use entity::{SourceKind, deployment, pipeline, service};
use kiops::graphql::ids::NodeKind;
use sea_orm::{ActiveModelTrait as _, EntityTrait as _, IntoActiveModel as _, Set};
use serde_json::{Value, json};

use super::{PAGE, Shop, health, text};
use crate::support::server::until;
use crate::support::{engine, pipelines};

impl Shop {
    /// From now on the service is one of a project that pipelines build.
    fn becomes_a_project(&self) {
        self.server.with_database(async |db| {
            let tx = db.begin().await.unwrap();
            let row = service::Entity::find().one(&tx).await.unwrap().unwrap();
            let mut containers = row.containers.clone();
            for part in ["repository", "tag"] {
                assert!(containers[0].as_object_mut().unwrap().remove(part).is_some());
            }
            let mut change = row.into_active_model();
            change.source = Set(SourceKind::Gitlab);
            change.git_branch = Set(Some("main".to_owned()));
            change.containers = Set(containers);
            change.update(&tx).await.unwrap();
            tx.commit().await.unwrap();
        });
    }

    /// Builds an image of the service's own, writes the pipeline that did, and gives the engine's id of it.
    fn build(&self, number: i32) -> String {
        let name = format!("kiops.internal/{}/web:{number}", self.name);
        let lines = format!("{PAGE}\nENV VERSION=built-{number}\nLABEL of={}", self.name);
        engine::build(&self.host, &name, &lines);
        let id = self.docker(&["image", "inspect", "--format", "{{.Id}}", &name]);
        let engine = self.docker(&["info", "--format", "{{.ID}}"]);
        let image_id = id.clone();
        self.server.with_database(async move |db| {
            let tx = db.begin().await.unwrap();
            let service = service::Entity::find().one(&tx).await.unwrap().unwrap();
            let mut row = pipelines::of(&service, number, format!("01900000-0000-7000-8000-{number:012x}"));
            row.image = Some(name);
            row.image_digest = None;
            row.image_id = Some(image_id);
            row.engine_id = Some(engine);
            row.into_active_model().reset_all().insert(&tx).await.unwrap();
            tx.commit().await.unwrap();
        });
        id
    }

    /// Wants a deployment ended, as another server would write it.
    fn cancel(&self, id: &str) {
        let id = NodeKind::Deployment.row(&id.to_owned().into()).unwrap();
        self.server.with_database(async move |db| {
            let change = deployment::ActiveModel {
                id: Set(id),
                cancel_requested: Set(true),
                message: Set(Some("canceled: the pipeline was canceled".to_owned())),
                ..Default::default()
            };
            let tx = db.begin().await.unwrap();
            change.update(&tx).await.unwrap();
            tx.commit().await.unwrap();
        });
    }
}

#[test]
fn an_image_that_only_the_engine_has_is_deployed_by_its_id_and_never_pulled() {
    let Some(mut shop) = Shop::open("an_image_that_only_the_engine_has") else { return };
    shop.register(&[shop.web("1")], json!({}));
    shop.becomes_a_project();
    let first = shop.build(1);
    let deployed = shop.deploy_well(None);
    let name = format!("kiops.internal/{}/web", shop.name);
    assert_eq!(deployed["images"], json!([format!("{name}:1@{first}")]));
    assert_eq!(shop.page().unwrap(), "vbuilt-1 hello");
    let manifest = text(&shop.preview(None)["manifest"]);
    assert!(manifest.contains(&format!("image: {name}:1\n")), "{manifest}");
    let before = shop.containers();
    // Its name may mean something else by now: the id is what runs.
    let second = shop.build(2);
    shop.docker(&["tag", &second, &format!("{name}:1")]);
    let again = "mutation($input: DeployServiceInput!) { deployService(input: $input) { deployment { id } } }";
    let pipeline = NodeKind::Pipeline.id("01900000-0000-7000-8000-000000000001");
    let input = json!({ "input": { "serviceId": shop.service, "pipelineId": pipeline } });
    let again = shop.server.data(again, input);
    let again = shop.ended(&text(&again["deployService"]["deployment"]["id"]));
    assert_eq!(again["status"], "SUCCEEDED", "{again:#}");
    assert_eq!(shop.containers(), before, "nothing changed");

    shop.deploy_well(None);
    assert_eq!(shop.page().unwrap(), "vbuilt-2 hello");
    let back = shop.roll_back(Some(1));
    assert_eq!((&back["status"], &back["images"]), (&json!("SUCCEEDED"), &json!([format!("{name}:1@{first}")])));
    assert_eq!(shop.page().unwrap(), "vbuilt-1 hello");
    let log = shop.lines(&text(&back["id"])).join("\n");
    assert!(!log.contains("Pulling"), "{log}");

    shop.deploy_well(None);
    shop.docker(&["image", "rm", "--force", &first]);
    let lost = shop.roll_back(Some(1));
    let sentence = format!(
        "the image of web ({name}:1) is no longer on the engine: build it again, or give the service an image repository"
    );
    assert_eq!((&lost["status"], &lost["message"]), (&json!("FAILED"), &json!(sentence)));
    assert_eq!(shop.page().unwrap(), "vbuilt-2 hello");
    let host = shop.host.clone();
    // They were written by hand, and go by hand.
    shop.server.with_database(async |db| {
        pipeline::Entity::delete_many().exec(db.read_write()).await.unwrap();
    });
    shop.close();
    super::docker(&host, &["image", "rm", "--force", &second]);
}

#[test]
fn what_is_ended_while_it_does_not_become_healthy_leaves_the_old_one_as_it_was() {
    for volumes in [json!([]), json!([{ "mountPath": "/kept" }])] {
        let Some(mut shop) = Shop::open("what_is_ended_while_it_does_not_become_healthy") else { return };
        let mut web = shop.web("1");
        web["volumes"] = volumes.clone();
        let mut patient = health("/health");
        patient["retries"] = json!(100);
        web["healthCheck"] = patient;
        shop.register(&[web], json!({}));
        shop.deploy_well(None);
        let before = shop.containers();
        let id = shop.queue(Some("sick"));
        let waits = "Waiting for container web to become healthy.";
        until("the wait", 60, || shop.lines(&id).iter().any(|line| line == waits).then_some(()));
        let began = Instant::now();
        shop.cancel(&id);
        let ended = shop.ended(&id);
        assert_eq!(ended["status"], "CANCELED", "{ended:#}");
        assert_eq!(ended["message"], "canceled: the pipeline was canceled");
        assert!(began.elapsed() < Duration::from_secs(5), "{volumes}: {:?}", began.elapsed());
        assert_eq!(until("the page", 10, || shop.page()), "v1 hello");
        assert_eq!(shop.containers(), before);
        let state: Value = shop.becomes("RUNNING", 10);
        assert_eq!(state["environments"][0]["currentDeployment"]["revision"], 1);
        shop.deploy_well(Some("2"));
        assert_eq!(shop.page().unwrap(), "v2 hello");
        shop.close();
    }
}
