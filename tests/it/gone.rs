//! A runtime that can't be used any more: nothing stays at work for ever.
#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

use std::sync::Arc;

use chrono::TimeDelta;
use entity::runtime;
use kiops::app::App;
use kiops::app::settings::{LocalEngine, Settings};
use sea_orm::EntityTrait as _;
use sea_orm::sea_query::Expr;
use serde_json::json;

use crate::support::app::TestApp;
use crate::support::shop::{Shop, mutate, shared_engine, work};

const STATUS: &str = "query($id: ID!) { node(id: $id) { ... on Deployment { status message finishedAt } } }";

#[tokio::test]
async fn a_deployment_to_a_runtime_that_is_not_let_through_any_more_fails_in_the_end() {
    let mut test = TestApp::with(shared_engine(&["acme"])).await;
    let shop = Shop::open(&test, "acme").await;
    let input = json!({ "serviceId": shop.service });
    let id = mutate(&test, &shop.admin, "deployService", input).await;
    runtime::Entity::update_many()
        .col_expr(runtime::Column::Endpoint, Expr::value("unix:///var/run/docker.sock"))
        .col_expr(runtime::Column::TlsCa, Expr::value(Option::<String>::None))
        .exec(test.app.db.read_write())
        .await
        .unwrap();
    let nobody = Settings { local_engine: LocalEngine::Nobody, ..(*test.app.settings).clone() };
    test.app = App { settings: Arc::new(nobody), ..test.app };
    let mut tries = 0;
    let ended = loop {
        work(&test).await;
        let seen = test.data(&shop.admin, STATUS, json!({ "id": id })).await["node"].clone();
        if !seen["finishedAt"].is_null() {
            break seen;
        }
        tries += 1;
        assert!(tries < 20, "it is still at work: {seen}");
        test.clock.advance(TimeDelta::hours(2));
    };
    assert_eq!(ended["status"], "FAILED");
    assert!(ended["message"].as_str().unwrap().contains("engine"), "{ended}");
}
