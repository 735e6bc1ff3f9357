//! Sealed values of builds stay for as long as something refers to them.

use chrono::TimeDelta;
use entity::{pipeline, service};
use kiops::app::secrets;
use kiops::domain::secret::SecretString;
use sea_orm::{ActiveModelTrait as _, EntityTrait as _, PaginatorTrait as _, Set};
use serde_json::json;

use crate::support::pipelines::{Yard, store};

impl Yard {
    async fn seal(&self) -> String {
        let tx = self.test.app.begin().await.unwrap();
        let value = SecretString::from("a build argument");
        let id = secrets::store(&self.test.app, &tx, &self.admin.scope, &value).await.unwrap();
        tx.commit().await.unwrap();
        id
    }

    async fn sealed_after_a_sweep(&self) -> u64 {
        let tx = self.test.app.begin().await.unwrap();
        secrets::sweep(&self.test.app, &tx, &self.admin.scope).await.unwrap();
        tx.commit().await.unwrap();
        self.admin.scope.secrets().count(self.test.app.db.read()).await.unwrap()
    }

    async fn refer(&self, build: Option<serde_json::Value>, webhook: Option<String>) {
        let mut change: service::ActiveModel = self.row().await.into();
        change.build = Set(build);
        change.webhook_secret_id = Set(webhook);
        let tx = self.test.app.begin().await.unwrap();
        change.update(&tx).await.unwrap();
        tx.commit().await.unwrap();
    }
}

#[tokio::test]
async fn what_builds_and_webhooks_refer_to_is_kept() {
    let yard = Yard::new().await;
    let before = yard.sealed_after_a_sweep().await;
    let (argument, webhook, old) = (yard.seal().await, yard.seal().await, yard.seal().await);
    let build = |id: &str| json!({ "args": [{ "name": "TOKEN", "value": { "secret": id } }] });
    yard.refer(Some(build(&argument)), Some(webhook)).await;
    // More pipelines than are read at once, and the last one is the one that counts.
    for number in 1..=201 {
        let mut row = yard.pipeline(number).await;
        if number == 201 {
            row.settings = json!({ "build": build(&old), "context_path": "." });
        }
        store(&yard.test, row).await;
    }
    yard.test.clock.advance(TimeDelta::hours(2));
    assert_eq!(yard.sealed_after_a_sweep().await, before + 3);
    yard.refer(Some(build(&argument)), None).await;
    assert_eq!(yard.sealed_after_a_sweep().await, before + 2);
    yard.refer(None, None).await;
    assert_eq!(yard.sealed_after_a_sweep().await, before + 1);
    pipeline::Entity::delete_many().exec(yard.test.app.db.read_write()).await.unwrap();
    assert_eq!(yard.sealed_after_a_sweep().await, before);
}
