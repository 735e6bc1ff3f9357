//! `/metrics` of the real program.

use serde_json::json;

use crate::support::server::{Server, talk};

/// The status, and the text.
fn read(server: &Server, authorization: &str) -> (u16, String) {
    let answer = talk(&server.address, &format!("GET /metrics HTTP/1.0\r\n{authorization}\r\n")).unwrap();
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), text.to_owned())
}

#[test]
fn what_happened_is_counted_and_only_for_who_may_read_it() {
    let mut server = Server::start_with(&[("TELEMETRY__METRICS_TOKEN", "the watchers token")]);
    for wrong in ["", "Authorization: Bearer another\r\n", &format!("Authorization: Bearer {}\r\n", server.token)] {
        assert_eq!(read(&server, wrong).0, 401, "{wrong}");
    }
    server.data("query Mine { viewer { role } }", json!({}));
    server.data("query Mine { viewer { role } }", json!({}));
    server.ask("query Mine { node(id: \"bm8gc3VjaCB0aGluZw\") { id } service(id: \"x\") { id } }", json!({}));
    let token = std::mem::take(&mut server.token);
    server.ask("query NobodysName { viewer { role } }", json!({}));
    server.token = token;
    let (status, text) = read(&server, "Authorization: Bearer the watchers token\r\n");
    assert_eq!(status, 200);
    let value = |start: &str| {
        let line = text.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start}\n{text}"));
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    let mine = "kiops_graphql_operations_total{operation=\"Mine\",type=\"query\",code=";
    assert!(value(&format!("{mine}\"OK\"}}")) >= 2.0, "{text}");
    assert!(!text.contains("NobodysName") && text.contains("operation=\"other\""), "{text}");
    assert!(value("kiops_graphql_operation_seconds_count{operation=\"Mine\"") >= 2.0);
    assert!(value("kiops_http_requests_total{route=\"/graphql\",status=\"200\"}") >= 3.0, "{text}");
    assert!(value("kiops_http_requests_total{route=\"/metrics\",status=\"401\"}") >= 3.0, "{text}");
    assert!(text.contains("kiops_database_connections{pool="), "{text}");
    assert!(!text.contains(&server.token));
    // Without a token everybody may read it.
    assert_eq!(read(&Server::start(), "").0, 200);
}
