//! What a scan saw as a document.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::connect_info::MockConnectInfo;
use axum::http::{Method, Request, StatusCode, header};
use entity::scan;
use futures_util::StreamExt as _;
use http_body_util::BodyExt as _;
use kiops::app::scans::report;
use kiops::domain::scan::ScanKind;
use kiops::domain::secret::ExposeSecret as _;
use kiops::graphql::ids::NodeKind;
use kiops::http::{Origins, reports};
use sea_orm::{ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, QueryFilter as _};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::many::large;
use super::{EVAL, Hit, PICKLE, Yard, lister, tool};
use crate::support::shop::{text, work};

/// Status, media type and body.
async fn fetch(yard: &Yard, (method, path): (Method, &str), token: Option<&str>) -> (StatusCode, String, Vec<u8>) {
    let origins = Origins::new("http://127.0.0.1:8080", &[]);
    let from: SocketAddr = "192.0.2.1:1".parse().unwrap();
    let routes = reports::routes(yard.test.app.clone(), origins).layer(MockConnectInfo(from));
    let mut request = Request::builder().method(method).uri(path);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let response = routes.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE).map(|v| v.to_str().unwrap().to_owned());
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, kind.unwrap_or_default(), body.to_vec())
}

async fn token(yard: &Yard, email: &str) -> String {
    yard.test.login(email, None).await.unwrap().token.expose_secret().to_owned()
}

fn path_of(scan: &Value) -> String {
    text(&scan["reportUrl"]).strip_prefix("http://127.0.0.1:8080").unwrap().to_owned()
}

#[tokio::test]
async fn a_member_gets_sarif_and_a_stranger_nothing() {
    let yard = Yard::new(&["semgrep", "bandit"]).await;
    yard.hits("semgrep", &[EVAL]);
    yard.hits("bandit", &[EVAL, PICKLE]);
    let path = path_of(&yard.scan("main").await);
    let member = token(&yard, "ada@acme.example").await;
    let (status, kind, body) = fetch(&yard, (Method::GET, &path), Some(&member)).await;
    assert_eq!((status, kind.as_str()), (StatusCode::OK, "application/sarif+json"));
    let document: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(document["version"], "2.1.0");
    let runs = document["runs"].as_array().unwrap();
    let results = |tool: &str| {
        let run = runs.iter().find(|run| run["tool"]["driver"]["name"] == tool).unwrap();
        run["results"].as_array().unwrap().len()
    };
    assert_eq!((results("semgrep"), results("bandit")), (1, 2));
    let head = fetch(&yard, (Method::HEAD, &path), Some(&member)).await;
    assert_eq!((head.0, head.2.len()), (StatusCode::OK, 0));

    assert_eq!(fetch(&yard, (Method::GET, &path), None).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(fetch(&yard, (Method::GET, &path), Some("nonsense")).await.0, StatusCode::UNAUTHORIZED);
    yard.test.organization("other").await;
    let stranger = token(&yard, "admin@other.example").await;
    let (status, _, hidden) = fetch(&yard, (Method::GET, &path), Some(&stranger)).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let never = format!("/reports/{}", NodeKind::Scan.id("01900000-0000-7000-8000-ffffffffffff").as_str());
    let (status, _, nothing) = fetch(&yard, (Method::GET, &never), Some(&stranger)).await;
    assert_eq!((status, nothing), (StatusCode::NOT_FOUND, hidden));
    for path in ["/reports/x", &format!("/reports/{}", yard.service)] {
        assert_eq!(fetch(&yard, (Method::GET, path), Some(&member)).await.0, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn what_has_no_result_has_no_document() {
    let yard = Yard::new(&["semgrep"]).await;
    yard.break_down("semgrep", 1);
    let scan = yard.scan("main").await;
    assert_eq!(scan["reportUrl"], Value::Null);
    let member = token(&yard, "ada@acme.example").await;
    let path = format!("/reports/{}", text(&scan["id"]));
    assert_eq!(fetch(&yard, (Method::GET, &path), Some(&member)).await.0, StatusCode::NOT_FOUND);
    // A clean one has, and it is valid.
    yard.hits("semgrep", &[]);
    let path = path_of(&yard.scan("main").await);
    let (status, _, body) = fetch(&yard, (Method::GET, &path), Some(&member)).await;
    assert_eq!(status, StatusCode::OK);
    let document: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(document["runs"][0]["results"], json!([]));
}

#[tokio::test]
async fn an_sbom_is_what_its_tool_wrote() {
    let yard = Yard::with(|told| vec![lister(told, "syft")]).await;
    // Larger than a part, compressed: numbers that don't repeat.
    let components: Vec<Value> = (0..60_000_u32)
        .map(|n| {
            let version = format!("{}.{:x}", n, u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            json!({ "type": "library", "name": format!("p{n}"), "version": version, "purl": format!("pkg:npm/p{n}@{version}") })
        })
        .collect();
    let sbom = json!({ "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": components });
    let sbom = sbom.to_string();
    yard.tell("syft", &sbom);
    let id = yard.start(json!({ "kind": "SBOM" })).await;
    work(&yard.test).await;
    let scan = yard.look(&id).await;
    assert_eq!(scan["status"], "SUCCEEDED", "{scan}");
    assert!(yard.test.rows().await["scan_document"].len() > 1, "it is kept in parts");
    let member = token(&yard, "ada@acme.example").await;
    let (status, kind, body) = fetch(&yard, (Method::GET, &path_of(&scan)), Some(&member)).await;
    assert_eq!((status, kind.as_str()), (StatusCode::OK, "application/vnd.cyclonedx+json"));
    assert!(body == sbom.as_bytes(), "it is not what the tool wrote");
}

#[tokio::test]
async fn what_is_forgotten_while_it_is_read_breaks_off() {
    let yard = Yard::with(|told| vec![tool(told, "semgrep", ScanKind::Sast), lister(told, "syft")]).await;
    yard.tell("semgrep", &large(1200));
    let scan = yard.scan("main").await;
    let components: Vec<Value> = (0..60_000_u32)
        .map(
            |n| json!({ "type": "library", "name": format!("{:x}", u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15)) }),
        )
        .collect();
    yard.tell("syft", &json!({ "bomFormat": "CycloneDX", "specVersion": "1.5", "components": components }).to_string());
    let sbom = yard.start(json!({ "kind": "SBOM" })).await;
    work(&yard.test).await;
    for id in [text(&scan["id"]), sbom] {
        let (_, row) = kiops::graphql::ids::decode(&id.as_str().into()).unwrap();
        // Whole when nobody forgets it.
        let whole = report::open(&yard.test.app, &yard.member, &row).await.unwrap();
        let whole: Vec<_> = whole.body.map(|piece| piece.unwrap()).collect().await;
        let read: Value = serde_json::from_slice(&whole.concat()).unwrap();
        assert!(read["version"] == "2.1.0" || read["bomFormat"] == "CycloneDX");

        let mut broken = report::open(&yard.test.app, &yard.member, &row).await.unwrap().body;
        let mut pieces = vec![broken.next().await.unwrap().unwrap()];
        let db = yard.test.app.db.read_write();
        scan::Entity::update_many()
            .col_expr(scan::Column::Pruned, true.into())
            .filter(scan::Column::Id.eq(&row))
            .exec(db)
            .await
            .unwrap();
        for (table, column) in [("scan_finding", "scan_id"), ("scan_document", "scan_id")] {
            db.execute_unprepared(&format!("DELETE FROM {table} WHERE {column} = '{row}'")).await.unwrap();
        }
        let ended = loop {
            match broken.next().await {
                Some(Ok(piece)) => pieces.push(piece),
                ended => break ended,
            }
        };
        assert!(ended.is_some_and(|ended| ended.is_err()), "it ended as if it were whole");
        assert!(serde_json::from_slice::<Value>(&pieces.concat()).is_err());
    }
}

#[tokio::test]
async fn a_document_says_what_its_scan_saw() {
    let yard = Yard::new(&["semgrep", "bandit"]).await;
    yard.hits("semgrep", &[EVAL]);
    yard.hits("bandit", &[EVAL, PICKLE]);
    let path = path_of(&yard.scan("main").await);
    // Later ones see it in another way.
    yard.hits("semgrep", &[Hit { level: "note", ..EVAL }]);
    yard.hits("bandit", &[]);
    yard.scan("main").await;
    let member = token(&yard, "ada@acme.example").await;
    let (_, _, body) = fetch(&yard, (Method::GET, &path), Some(&member)).await;
    let document: Value = serde_json::from_slice(&body).unwrap();
    let runs = document["runs"].as_array().unwrap();
    let levels = |tool: &str| -> Vec<String> {
        let run = runs.iter().find(|run| run["tool"]["driver"]["name"] == tool).unwrap();
        run["results"].as_array().unwrap().iter().map(|one| format!("{} {}", one["ruleId"], one["level"])).collect()
    };
    assert_eq!(levels("semgrep"), ["\"py.eval\" \"error\""]);
    let mut bandit = levels("bandit");
    bandit.sort();
    assert_eq!(bandit, ["\"py.eval\" \"error\"", "\"py.pickle\" \"warning\""]);
}
