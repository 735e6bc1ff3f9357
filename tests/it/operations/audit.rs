//! The audit trail is kept as long as the configuration says.

use std::time::Duration;

use chrono::TimeDelta;
use kiops::app::Actor;
use kiops::app::audit::{self, Entry, retention};
use kiops::app::settings::Settings;
use serde_json::json;

use crate::support::app::{TestApp, settings};

async fn write(test: &TestApp, admin: &Actor, count: usize) {
    let tx = test.app.begin().await.unwrap();
    for n in 0..count {
        let name = format!("s{n}");
        let (subject_id, subject_name) = (name.as_str(), name.as_str());
        let entry = Entry { action: "thing.made", subject_kind: "Thing", subject_id, subject_name, detail: json!({}) };
        audit::record(&test.app, &tx, admin, entry).await.unwrap();
    }
    tx.commit().await.unwrap();
}

async fn kept(test: &TestApp) -> usize {
    test.rows().await["audit_event"].iter().filter(|row| row.contains("thing.made")).count()
}

async fn kept_for(retention: Option<Duration>) -> Vec<usize> {
    let test = TestApp::with(Settings { audit_retention: retention, ..settings() }).await;
    let admin = test.organization("acme").await;
    let mut counts = Vec::new();
    for _ in 0..3 {
        write(&test, &admin, 1).await;
        retention::forget_old(&test.app).await.unwrap();
        counts.push(kept(&test).await);
        test.clock.advance(TimeDelta::days(20));
    }
    counts
}

#[tokio::test]
async fn entries_go_when_they_are_old_enough_and_only_where_that_is_asked_for() {
    assert_eq!(kept_for(None).await, [1, 2, 3]);
    assert_eq!(kept_for(Some(Duration::from_secs(30 * 86_400))).await, [1, 2, 2], "the first one is 40 days old");
    assert_eq!(kept_for(Some(Duration::from_secs(u64::MAX))).await, [1, 2, 3], "longer than there have been times");
}

#[tokio::test]
async fn very_many_go_in_slices() {
    let test = TestApp::with(Settings { audit_retention: Some(Duration::from_secs(60)), ..settings() }).await;
    let admin = test.organization("acme").await;
    write(&test, &admin, 2_300).await;
    retention::forget_old(&test.app).await.unwrap();
    assert_eq!(kept(&test).await, 2_300);
    test.clock.advance(TimeDelta::minutes(2));
    retention::forget_old(&test.app).await.unwrap();
    assert_eq!(kept(&test).await, 0);
}
