//! Logs are kept as long as the configuration says.

use chrono::TimeDelta;
use kiops::app::log::retention;
use serde_json::json;

use super::{Yard, lines};
use crate::support::shop::work;

#[tokio::test]
async fn old_logs_are_one_line_that_says_so_and_others_are_whole() {
    let yard = Yard::new().await;
    let old = yard.start(json!({})).await;
    work(&yard.test).await;
    let whole = lines(&yard.look(&old).await);
    assert!(whole.len() > 2, "{whole:?}");
    yard.test.clock.advance(TimeDelta::days(29));
    let young = yard.start(json!({})).await;
    work(&yard.test).await;
    retention::forget_old(&yard.test.app).await.unwrap();
    assert_eq!(lines(&yard.look(&old).await), whole, "it is not old enough");

    yard.test.clock.advance(TimeDelta::days(2));
    let waiting = yard.start(json!({})).await;
    retention::forget_old(&yard.test.app).await.unwrap();
    let done = yard.look(&old).await;
    assert_eq!(lines(&done), ["SOURCE SYSTEM this log was kept for 30days, and is gone"]);
    assert_eq!(done["status"], "SUCCEEDED");
    assert!(lines(&yard.look(&young).await).len() > 2);
    // Again it does nothing, and whoever is at work goes on.
    retention::forget_old(&yard.test.app).await.unwrap();
    assert_eq!(lines(&yard.look(&old).await).len(), 1);
    work(&yard.test).await;
    assert!(lines(&yard.look(&waiting).await).len() > 2);
}
