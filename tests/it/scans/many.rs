//! A report with 100,000 findings: seconds, bounded memory, and pages of it without a slow query. Where nothing is optimised,
//! SQLite neither, it has a fifth of that: `cargo nextest run --release --test it -E 'test(/^scans::many/)'` has all of it.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use sea_orm::{FromQueryResult as _, JsonValue, Statement};
use serde_json::{Value, json};

use super::Yard;

const MANY: usize = if cfg!(debug_assertions) { 20_000 } else { 100_000 };

/// A SARIF report with so many findings, each in a place of its own.
pub(super) fn large(findings: usize) -> String {
    let mut text =
        String::from("{\"version\":\"2.1.0\",\"runs\":[{\"tool\":{\"driver\":{\"name\":\"semgrep\",\"rules\":[");
    for rule in 0..100 {
        let comma = if rule == 0 { "" } else { "," };
        write!(text, "{comma}{{\"id\":\"rule.{rule}\",\"help\":{{\"text\":\"{}\"}}}}", "words ".repeat(100)).unwrap();
    }
    text.push_str("]}},\"results\":[");
    for n in 0..findings {
        let level = ["error", "warning", "note"][n % 3];
        let comma = if n == 0 { "" } else { "," };
        write!(
            text,
            "{comma}{{\"ruleId\":\"rule.{}\",\"level\":\"{level}\",\"message\":{{\"text\":\"finding {n} of many\"}},\
             \"locations\":[{{\"physicalLocation\":{{\"artifactLocation\":{{\"uri\":\"src/{}/file{}.py\"}},\
             \"region\":{{\"startLine\":{},\"snippet\":{{\"text\":\"call({n})\"}}}}}}}}]}}",
            n % 100,
            n % 37,
            n % 1000,
            n % 500 + 1,
        )
        .unwrap();
    }
    text.push_str("]}]}");
    text
}

/// The most memory that this process has taken, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_findings_are_stored_and_listed() {
    let yard = Yard::new(&["semgrep"]).await;
    yard.tell("semgrep", &large(MANY));
    let before = peak();
    let begun = Instant::now();
    let scan = yard.scan("main").await;
    let (first, memory) = (begun.elapsed(), peak() - before);
    assert_eq!((&scan["status"], &scan["newFindings"]), (&json!("SUCCEEDED"), &json!(MANY)), "{}", scan["message"]);
    let begun = Instant::now();
    let scan = yard.scan("main").await;
    let again = begun.elapsed();
    assert_eq!((&scan["newFindings"], &scan["fixedFindings"]), (&json!(0), &json!(0)));
    // A page from the middle, of the service and of the organization, and the counts.
    let document = "query($id: ID!, $a: String) {
        service(id: $id) { risk findingCounts { high medium low } findings(first: 100, after: $a) {
            pageInfo { endCursor } nodes { id rule location } } }
        findings(first: 100, after: $a) { nodes { id } } }";
    let mut after = Value::Null;
    let mut slowest = Duration::ZERO;
    for _ in 0..20 {
        let begun = Instant::now();
        let page = yard.test.data(&yard.member, document, json!({ "id": yard.service, "a": after })).await;
        slowest = slowest.max(begun.elapsed());
        assert_eq!(page["service"]["findings"]["nodes"].as_array().unwrap().len(), 100);
        after = page["service"]["findings"]["pageInfo"]["endCursor"].clone();
    }
    let begun = Instant::now();
    yard.tell("semgrep", &large(10));
    let scan = yard.scan("main").await;
    let fixed = begun.elapsed();
    assert_eq!(scan["fixedFindings"], json!(MANY - 10));
    println!(
        "{MANY} findings: the first time {first:.1?}, again {again:.1?}, fixed {fixed:.1?}, {} MiB more, slowest page {slowest:.0?}",
        memory >> 20
    );
    // Generous: other tests run beside it.
    assert!(first < Duration::from_secs(120) && again < Duration::from_secs(120), "{first:?} {again:?}");
    assert!(memory < 768 << 20, "{memory}");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
}

#[tokio::test]
async fn lists_are_read_in_the_order_of_an_index() {
    let yard = Yard::new(&["semgrep"]).await;
    if yard.test.app.db.is_postgres() {
        // It chooses by how many rows there are, and here are none.
        return;
    }
    let db = yard.test.app.db.read();
    for (sql, index) in [
        (
            "SELECT * FROM finding WHERE organization_id = 'x' AND state = 'OPEN' \
             ORDER BY rank ASC, id DESC LIMIT 101",
            "finding_listed",
        ),
        (
            "SELECT * FROM finding WHERE organization_id = 'x' AND service_id = 'y' AND state = 'OPEN' \
             ORDER BY rank ASC, id DESC LIMIT 101",
            "finding_service",
        ),
        (
            "SELECT rank, COUNT(*) FROM finding WHERE organization_id = 'x' AND service_id IN ('y') AND state = 'OPEN' \
             GROUP BY service_id, rank",
            "COVERING INDEX finding_service",
        ),
        (
            "SELECT id, (SELECT MIN(rank) FROM finding WHERE finding.service_id = service.id \
             AND finding.organization_id = service.organization_id AND state = 'OPEN') FROM service WHERE id = 'y'",
            "COVERING INDEX finding_service",
        ),
        (
            "SELECT * FROM scan_finding WHERE scan_id = 'x' ORDER BY rank ASC, finding_id DESC LIMIT 101",
            "scan_finding_listed",
        ),
    ] {
        let explain = Statement::from_string(db.get_database_backend(), format!("EXPLAIN QUERY PLAN {sql}"));
        let plan = JsonValue::find_by_statement(explain).all(db).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|row| row["detail"].as_str().unwrap().to_owned()).collect();
        assert!(plan.iter().any(|line| line.contains(index)), "{plan:?}");
        assert!(!plan.iter().any(|line| line.contains("TEMP B-TREE")), "{plan:?}");
    }
}
