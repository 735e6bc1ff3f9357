//! What the list costs at the least in this language and with this library: one handler, one statement, one object of JSON
//! written as text, nobody asked who they are. Beside it `benches/list` puts the program.
//!
//! `bare FILE ORGANIZATION PORT`: the SQLite file, whose services are listed, and where it listens.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::{Router, routing::post};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sea_orm::{ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection, DbBackend, QueryResult, Statement};

const LIST: &str = "SELECT s.id, s.name, p.id, p.status, d.id, d.status, r.id, r.name FROM service s \
    LEFT JOIN environment e ON e.service_id = s.id AND e.name = 'production' \
    LEFT JOIN pipeline p ON p.id = s.latest_pipeline_id LEFT JOIN deployment d ON d.id = e.latest_deployment_id \
    LEFT JOIN runtime r ON r.id = coalesce(e.runtime_id, s.runtime_id) WHERE s.organization_id = ? ORDER BY s.name LIMIT 100";

#[derive(Clone)]
struct Bare {
    db: DatabaseConnection,
    organization: String,
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let [file, organization, port] = ["FILE", "ORGANIZATION", "PORT"].map(|name| arguments.next().context(name));
    let mut options = ConnectOptions::new(format!("sqlite://{}", file?));
    options.max_connections(16).sqlx_logging(false);
    let bare = Bare { db: Database::connect(options).await?, organization: organization? };
    let app = Router::new().route("/list", post(list)).with_state(bare);
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{}", port?)).await?;
    axum::serve(listener, app).await?;
    Ok(())
}

async fn list(State(bare): State<Bare>, _body: axum::body::Bytes) -> impl IntoResponse {
    let list = Statement::from_sql_and_values(DbBackend::Sqlite, LIST, [bare.organization.into()]);
    let rows = bare.db.query_all_raw(list).await.unwrap_or_default();
    let mut json = String::with_capacity(rows.len() * 320 + 64);
    json.push_str(r#"{"data":{"services":{"nodes":["#);
    for (n, row) in rows.iter().enumerate() {
        let comma = if n == 0 { "" } else { "," };
        let [id, name] = [0, 1].map(|at| text(row, at));
        let _written = write!(json, r#"{comma}{{"id":"{}","name":"{name}""#, node("Service", &id));
        for (field, kind, second, at) in [
            ("latestPipeline", "Pipeline", "status", 2),
            ("latestDeployment", "Deployment", "status", 4),
            ("runtime", "Runtime", "name", 6),
        ] {
            let [id, value] = [at, at + 1].map(|at| text(row, at));
            let _written = write!(json, r#","{field}":{{"id":"{}","{second}":"{value}"}}"#, node(kind, &id));
        }
        json.push('}');
    }
    json.push_str("]}}}");
    ([(header::CONTENT_TYPE, "application/json")], json)
}

fn text(row: &QueryResult, at: usize) -> String {
    row.try_get_by_index(at).unwrap_or_default()
}

fn node(kind: &str, id: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{kind}:{id}"))
}
