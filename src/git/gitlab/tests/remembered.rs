//! What is remembered is asked about by its ETag: <https://docs.gitlab.com/development/polling/>.

use wiremock::matchers::{header, path as on};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    let server = MockServer::start().await;
    let row = serde_json::json!({ "id": 7, "name": "shop", "path_with_namespace": "ada/shop",
        "web_url": "https://example.com/ada/shop", "default_branch": "main" });
    let list = ResponseTemplate::new(200).insert_header("etag", "W/\"1\"").set_body_json([row.clone(), row]);
    let projects = || Mock::given(on("/api/v4/projects"));
    projects().and(header("if-none-match", "W/\"1\"")).respond_with(ResponseTemplate::new(304)).mount(&server).await;
    projects().respond_with(list).with_priority(9).mount(&server).await;
    let (gitlab, clock) = client(&server.uri(), TOKEN);
    let page = gitlab.projects(&first(1)).await.unwrap();
    assert_eq!((page.items.len(), page.has_next), (1, true));
    // Fresh for half a minute; a 304 makes it so once more, and leaves what it is asked about by.
    for (seconds, asked) in [(0, 1), (31, 2), (0, 2), (31, 3)] {
        clock.wait(TimeDelta::seconds(seconds));
        assert_eq!(gitlab.projects(&first(1)).await.unwrap(), page);
        let seen = server.received_requests().await.unwrap();
        assert_eq!(seen.len(), asked);
        assert_eq!(seen.iter().filter(|seen| seen.headers.contains_key("if-none-match")).count(), asked - 1);
    }
}
