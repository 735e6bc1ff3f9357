#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use entity::{ServiceStatus, environment, runtime, service};
use sea_orm::{EntityTrait as _, PaginatorTrait as _};
use serde_json::json;

use super::input::{ContainerInput, EnvVarInput, HealthInput, RegistryAuth, VolumeInput};
use super::*;
use crate::app::change::Change;
use crate::app::deployments::environments;
use crate::app::testing::{World, container, world};
use crate::app::{Actor, Code, Error, Precondition, Result, registries, runtimes, secrets};
use crate::domain::paging::{PageLimits, PageRequest};
use crate::domain::secret::{ExposeSecret as _, SecretString};
use crate::domain::spec::{EnvValue, Resources};

async fn engine(w: &World, actor: &Actor) -> runtime::Model {
    let docker = runtimes::DockerInput { host: Change::Set("tcp://192.0.2.1".to_owned()), ..Default::default() };
    let new = runtimes::RegisterRuntime { name: "far".to_owned(), docker: Some(docker), ..Default::default() };
    runtimes::register(&w.app, actor, new).await.unwrap()
}

async fn register(w: &World, runtime: &str, name: &str, containers: Vec<ContainerInput>) -> Result<service::Model> {
    let new = RegisterImages {
        name: name.to_owned(),
        runtime_id: runtime.to_owned(),
        containers,
        registry_auth: None,
        namespace: None,
    };
    register_images(&w.app, &w.member, new).await
}

fn env(name: &str, value: Option<&str>, secret: Option<bool>) -> EnvVarInput {
    EnvVarInput { name: name.to_owned(), value: value.map(str::to_owned), secret }
}

fn fields(error: &Error) -> Vec<&str> {
    error.violations.iter().map(|v| v.field.as_str()).collect()
}

fn page(first: i32, after: Option<String>) -> PageRequest {
    let limits = PageLimits { default: 20, max: 100 };
    PageRequest::new(Some(first), after.as_deref(), None, None, limits).unwrap()
}

#[tokio::test]
async fn every_fault_at_once() {
    let w = world().await;
    let runtime = engine(&w, &w.admin).await;
    let good = container("web", "nginx");
    let bad = ContainerInput {
        tag: Some("-x".to_owned()),
        port: Some(70_000),
        env: vec![env("A=B", Some("x"), None), env("A", None, None), env("A", Some("\0"), None)],
        volumes: vec![
            VolumeInput { mount_path: "/var/run/docker.sock".to_owned(), size: None },
            VolumeInput { mount_path: "/data".to_owned(), size: Some("lots".to_owned()) },
            VolumeInput { mount_path: "/data".to_owned(), size: None },
        ],
        ingress_path: Some("/".to_owned()),
        restricted: true,
        health: Some(HealthInput {
            path: Some("x".to_owned()),
            interval_seconds: 0,
            timeout_seconds: 3,
            retries: 3,
            start_seconds: -1,
        }),
        command: Some(Vec::new()),
        resources: Some(Resources {
            cpu_request: Some("2".to_owned()),
            cpu_limit: Some("1".to_owned()),
            memory_limit: Some("x".to_owned()),
            ..Resources::default()
        }),
        ..container("web", "x:$(id)")
    };
    let error = register(&w, &runtime.id, "Bad Name", vec![good, bad]).await.unwrap_err();
    assert_eq!(error.code, Code::BadUserInput);
    assert_eq!(
        fields(&error),
        [
            "input.name",
            "input.containers.1.name",
            "input.containers.1.image",
            "input.containers.1.tag",
            "input.containers.1.port",
            "input.containers.1.env.0.name",
            "input.containers.1.env.1.value",
            "input.containers.1.env.2.name",
            "input.containers.1.env.2.value",
            "input.containers.1.volumes.0.mountPath",
            "input.containers.1.volumes.1.size",
            "input.containers.1.volumes.2.mountPath",
            "input.containers.1.ingressPath",
            "input.containers.1.restricted",
            "input.containers.1.healthCheck.path",
            "input.containers.1.healthCheck.intervalSeconds",
            "input.containers.1.healthCheck.startSeconds",
            "input.containers.1.command",
            "input.containers.1.resources.cpuRequest",
            "input.containers.1.resources.memoryLimit",
        ]
    );
    assert_eq!(service::Entity::find().count(w.app.db.read()).await.unwrap(), 0);
    assert_eq!(w.admin.scope.secrets().count(w.app.db.read()).await.unwrap(), 0);
    assert_eq!(fields(&register(&w, &runtime.id, "a", Vec::new()).await.unwrap_err()), ["input.containers"]);
    let many = (0..21).map(|i| container(&format!("c{i}"), "nginx")).collect();
    assert_eq!(fields(&register(&w, &runtime.id, "a", many).await.unwrap_err()), ["input.containers"]);
}

#[tokio::test]
async fn of_fifty_at_once_one_wins() {
    let w = world().await;
    let runtime = engine(&w, &w.admin).await;
    let tries = (0..50).map(|_| register(&w, &runtime.id, "shop", vec![container("web", "nginx")]));
    let answers = futures_util::future::join_all(tries).await;
    assert_eq!(answers.iter().filter(|a| a.is_ok()).count(), 1);
    for error in answers.into_iter().filter_map(Result::err) {
        assert_eq!((error.code, fields(&error)), (Code::Conflict, vec!["input.name"]));
    }
    let foreign = engine(&w, &w.stranger).await;
    let error = register(&w, &foreign.id, "other", vec![container("web", "nginx")]).await.unwrap_err();
    assert_eq!(error.code, Code::NotFound);
}

#[tokio::test]
async fn secrets_stay_unless_given() {
    let w = world().await;
    let runtime = engine(&w, &w.admin).await;
    let web = ContainerInput {
        env: vec![env("KEY", Some("s3cret"), Some(true)), env("MODE", Some("live"), None)],
        ..container("web", "nginx")
    };
    let stored = register(&w, &runtime.id, "shop", vec![web]).await.unwrap();
    assert!(!stored.containers.to_string().contains("s3cret"));
    let key = |s: &service::Model, name: &str| {
        containers_of(s).unwrap()[0].env.iter().find(|e| e.name == name).map(|e| e.value.clone())
    };
    let Some(EnvValue::Secret(id)) = key(&stored, "KEY") else { panic!("not sealed") };
    assert_eq!(secrets::open(&w.app, &w.member.scope, &id).await.unwrap().expose_secret(), "s3cret");

    let save = |vars: Vec<EnvVarInput>| {
        let web = ContainerInput { env: vars, ..container("web", "nginx") };
        UpdateService { id: stored.id.clone(), containers: Change::Set(vec![web]), ..Default::default() }
    };
    let kept = update(&w.app, &w.member, save(vec![env("MODE", None, None), env("KEY", None, None)])).await.unwrap();
    assert_eq!(key(&kept, "KEY"), Some(EnvValue::Secret(id.clone())));
    assert_eq!(key(&kept, "MODE"), Some(EnvValue::Plain("live".to_owned())));
    assert_eq!(kept.definition_version, 2);

    let error = update(&w.app, &w.member, save(vec![env("KEY", None, Some(false))])).await.unwrap_err();
    assert_eq!(fields(&error), ["input.containers.0.env.0.value"]);
    let error = update(&w.app, &w.member, save(vec![env("NEW", None, Some(true))])).await.unwrap_err();
    assert_eq!(fields(&error), ["input.containers.0.env.0.value"]);

    let renewed = update(&w.app, &w.member, save(vec![env("KEY", Some("new"), None), env("MODE", None, Some(true))]));
    let renewed = renewed.await.unwrap();
    assert!(matches!(key(&renewed, "KEY"), Some(EnvValue::Secret(new)) if new != id));
    assert!(matches!(key(&renewed, "MODE"), Some(EnvValue::Secret(_))));
    let open = update(&w.app, &w.member, save(vec![env("KEY", Some("seen"), Some(false))])).await.unwrap();
    assert_eq!(key(&open, "KEY"), Some(EnvValue::Plain("seen".to_owned())));
    // An old revision still restores its secrets.
    assert!(secrets::open(&w.app, &w.member.scope, &id).await.is_ok());
    let mine = UpdateService { id: stored.id.clone(), ..Default::default() };
    assert_eq!(update(&w.app, &w.stranger, mine).await.unwrap_err().code, Code::NotFound);
}

#[tokio::test]
async fn its_own_login() {
    let w = world().await;
    let runtime = engine(&w, &w.admin).await;
    let stored = register(&w, &runtime.id, "shop", vec![container("web", "ghcr.io/ada/shop")]).await.unwrap();
    let auth = RegistryAuth { username: "ada".to_owned(), token: SecretString::from("own".to_owned()) };
    let change = UpdateService { id: stored.id.clone(), registry_auth: Change::Set(auth), ..Default::default() };
    let saved = update(&w.app, &w.member, change).await.unwrap();
    assert_eq!((saved.registry_username.as_deref(), saved.definition_version), (Some("ada"), 1));
    let scope = &w.member.scope;
    let login = registries::login_for(&w.app, scope, Some(&saved), "ghcr.io").await.unwrap().unwrap();
    assert_eq!(login.token.expose_secret(), "own");
    assert!(registries::login_for(&w.app, scope, Some(&saved), "docker.io").await.unwrap().is_none());
    let change = UpdateService { id: stored.id, registry_auth: Change::Clear, ..Default::default() };
    let cleared = update(&w.app, &w.member, change).await.unwrap();
    assert_eq!((cleared.registry_username, cleared.registry_secret_id), (None, None));
    assert_eq!(scope.secrets().count(w.app.db.read()).await.unwrap(), 0);
}

#[tokio::test]
async fn removing_is_a_job() {
    let w = world().await;
    let runtime = engine(&w, &w.admin).await;
    let stored = register(&w, &runtime.id, "shop", vec![container("web", "nginx")]).await.unwrap();
    let all = Removal { delete_volumes: true, keep_deployments: false };
    assert_eq!(remove(&w.app, &w.member, &stored.id, all).await.unwrap_err().code, Code::Forbidden);
    assert_eq!(remove(&w.app, &w.stranger, &stored.id, all).await.unwrap_err().code, Code::NotFound);
    let both = Removal { delete_volumes: true, keep_deployments: true };
    let error = remove(&w.app, &w.admin, &stored.id, both).await.unwrap_err();
    assert_eq!(fields(&error), ["input.deleteVolumes"]);
    let going = remove(&w.app, &w.member, &stored.id, Removal::default()).await.unwrap();
    assert_eq!((going.status, going.removing), (ServiceStatus::Removing, true));
    let going = remove(&w.app, &w.admin, &stored.id, all).await.unwrap();
    assert_eq!(removal_of(&going).unwrap(), all);
    let jobs = entity::job::Entity::find().all(w.app.db.read()).await.unwrap();
    assert_eq!(jobs.len(), 1);
    assert_eq!((jobs[0].kind.as_str(), &jobs[0].lane, &jobs[0].subject), (REMOVE_JOB, &stored.id, &stored.id));
    let change = UpdateService { id: stored.id.clone(), ..Default::default() };
    let error = update(&w.app, &w.member, change).await.unwrap_err();
    assert_eq!(error.reason, Some(Precondition::InProgress));
}

#[tokio::test]
async fn lists_in_every_order() {
    let w = world().await;
    let runtime = engine(&w, &w.admin).await;
    let names = ["delta", "alpha", "charlie", "bravo", "a1b"];
    for name in names {
        register(&w, &runtime.id, name, vec![container("web", "nginx")]).await.unwrap();
    }
    let scope = &w.member.scope;
    let touched = by_name(&w.app, scope, "charlie").await.unwrap().unwrap();
    let change = UpdateService { id: touched.id, ..Default::default() };
    update(&w.app, &w.member, change).await.unwrap();
    let none = ServiceFilter::default();
    for (order, expected) in [
        (ServiceOrder::Name, ["a1b", "alpha", "bravo", "charlie", "delta"]),
        (ServiceOrder::Newest, ["a1b", "bravo", "charlie", "alpha", "delta"]),
        (ServiceOrder::LastChanged, ["charlie", "a1b", "bravo", "alpha", "delta"]),
    ] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let found = list(&w.app, scope, &none, order, &page(2, after)).await.unwrap();
            assert_eq!((found.count)().await.unwrap(), 5);
            after = found.items.last().map(|(c, _)| c.encode());
            seen.extend(found.items.into_iter().map(|(_, s)| s.name));
            if !found.has_next_page {
                break;
            }
        }
        assert_eq!(seen, expected, "{order:?}");
        let limits = PageLimits { default: 20, max: 100 };
        let before = PageRequest::new(None, None, Some(2), after.as_deref(), limits).unwrap();
        let found = list(&w.app, scope, &none, order, &before).await.unwrap();
        let back: Vec<_> = found.items.iter().map(|(_, s)| s.name.as_str()).collect();
        assert_eq!(back, expected[2..4], "{order:?}");
        assert!(found.has_previous_page && found.has_next_page);
        let other = if order == ServiceOrder::Name { ServiceOrder::Newest } else { ServiceOrder::Name };
        let error = list(&w.app, scope, &none, other, &before).await.err().unwrap();
        assert_eq!(fields(&error), ["before"]);
    }
    for (search, expected) in [("%", 0), ("_", 0), ("A", 5), ("a1", 1), ("\\", 0), ("'", 0), ("", 5), ("\0", 0)] {
        let filter = ServiceFilter { search: Some(search.to_owned()), ..Default::default() };
        let found = list(&w.app, scope, &filter, ServiceOrder::Name, &page(20, None)).await.unwrap();
        assert_eq!(found.items.len(), expected, "{search:?}");
    }
    let filter = ServiceFilter { runtime_id: Some(runtime.id.clone()), ..Default::default() };
    assert_eq!(list(&w.app, scope, &filter, ServiceOrder::Name, &page(20, None)).await.unwrap().items.len(), 5);
    let filter = ServiceFilter { status: Some(vec![ServiceStatus::Running]), ..Default::default() };
    assert_eq!(list(&w.app, scope, &filter, ServiceOrder::Name, &page(20, None)).await.unwrap().items.len(), 0);
    let theirs = list(&w.app, &w.stranger.scope, &none, ServiceOrder::Name, &page(20, None)).await.unwrap();
    assert!(theirs.items.is_empty());
}

#[tokio::test]
async fn a_spec_merges_the_environment_over_the_service() {
    let w = world().await;
    let runtime = engine(&w, &w.admin).await;
    let web = ContainerInput {
        port: Some(80),
        env: vec![env("A", Some("service"), None), env("B", Some("service"), None)],
        resources: Some(Resources { cpu_limit: Some("1".to_owned()), ..Resources::default() }),
        ..container("web", "nginx")
    };
    let db = ContainerInput { port: Some(3306), is_internal: true, ..container("db", "mysql") };
    let service = register(&w, &runtime.id, "shop", vec![web, db]).await.unwrap();
    let staging = environment::Model {
        env: json!([{ "name": "B", "value": { "plain": "environment" } }]),
        resources: json!({ "cpu_limit": "2", "memory_limit": "1Gi" }),
        host_ports: json!({ "web": 8080, "db": 3306 }),
        ..environments::fresh(&w.app, &service, "staging", runtime.id.clone())
    };
    let runtime = runtimes::by_id(&w.app, &w.admin.scope, &runtime.id).await.unwrap().unwrap();
    let tags = BTreeMap::from([("web".to_owned(), crate::domain::image::Tag::parse("1.27").unwrap())]);
    let spec = spec_of(&service, (&staging, &runtime), &tags, None).unwrap();
    assert_eq!((spec.target.service.as_str(), spec.target.namespace.as_str()), ("shop", "shop-staging"));
    let [web, db] = spec.containers.as_slice() else { panic!("two containers") };
    assert_eq!((web.tag.as_str(), web.host_port, db.tag.as_str(), db.host_port), ("1.27", Some(8080), "latest", None));
    assert_eq!(web.env.get("A"), Some(&EnvValue::Plain("service".to_owned())));
    assert_eq!(web.env.get("B"), Some(&EnvValue::Plain("environment".to_owned())));
    assert_eq!((web.resources.cpu_limit.as_deref(), web.resources.memory_limit.as_deref()), (Some("1"), Some("1Gi")));
}

#[tokio::test]
async fn menus_and_actions_say_why() {
    let w = world().await;
    let item = |menus: Vec<menus::Menu>| menus.last().unwrap().items[0].clone();
    let missing = item(menus::registration_menus(&w.app, &w.member).await.unwrap()).missing.unwrap();
    assert_eq!(missing.0, Precondition::NoRuntime);
    assert!(missing.1.contains("ask your admin"));
    let runtime = engine(&w, &w.admin).await;
    assert!(item(menus::registration_menus(&w.app, &w.member).await.unwrap()).missing.is_none());
    let service = register(&w, &runtime.id, "shop", vec![container("web", "nginx")]).await.unwrap();
    let states = actions::actions(&w.app, &w.member, &service, None).await.unwrap();
    let builds = |s: &&actions::ActionState| {
        matches!(s.action, actions::ServiceAction::StartPipeline | actions::ServiceAction::EnableAutoCi)
    };
    // A service of images is not built.
    assert!(states.iter().filter(builds).all(|s| s.obstacle.is_some()));
    let states: Vec<_> = states.iter().filter(|s| !builds(s)).collect();
    let reasons: Vec<_> = states.iter().map(|s| s.obstacle.as_ref().and_then(|o| o.reason)).collect();
    let nothing = Some(Precondition::NothingDeployed);
    let unscannable = Some(Precondition::ScannerNotConfigured);
    assert_eq!(reasons, [None, nothing, nothing, nothing, unscannable, None]);
}

#[tokio::test]
async fn exported_without_secrets() {
    let w = world().await;
    let runtime = engine(&w, &w.admin).await;
    let db = ContainerInput {
        tag: Some("8.0".to_owned()),
        port: Some(3306),
        is_internal: true,
        env: vec![env("KEY", Some("s3cret"), Some(true)), env("MODE", Some("no\n---\nkind: $x"), None)],
        volumes: vec![VolumeInput { mount_path: "/var/lib/mysql".to_owned(), size: None }],
        resources: Some(Resources {
            cpu_limit: Some("500m".to_owned()),
            memory_limit: Some("1Gi".to_owned()),
            ..Resources::default()
        }),
        ..container("db", "mysql")
    };
    let web = ContainerInput { port: Some(80), ..container("web", "nginx") };
    let service = register(&w, &runtime.id, "shop", vec![web, db]).await.unwrap();
    let file = export::export(&w.app, &w.member.scope, &service, export::ExportFormat::Compose).await.unwrap();
    let read: serde_json::Value = serde_norway::from_str(&file).unwrap();
    let db = &read["services"]["db"];
    assert_eq!(db["image"], "mysql:8.0");
    // The secret is masked; a dollar is doubled, since Compose would read it as a variable.
    assert_eq!(db["environment"], json!({ "KEY": "***", "MODE": "no\n---\nkind: $$x" }));
    assert_eq!(db["expose"], json!(["3306"]));
    assert_eq!(read["services"]["web"]["image"], "nginx:latest");
    assert!(!file.contains("s3cret"), "{file}");
}
