//! Which scan has the word on what: the newest commit of a branch, and of branches the service's own.

use serde_json::json;

use super::{EVAL, Hit, PICKLE, SHELL, Yard};
use crate::support::builds::commit;
use crate::support::shop::{text, work};

impl Yard {
    /// A commit of a branch in which the tool sees this goes through a pipeline.
    async fn pushed(&self, (branch, n): (&str, u8), hits: &[Hit]) -> String {
        self.test.sources.push(branch, commit(n));
        self.hits("semgrep", hits);
        let id = self.start_pipeline(json!({ "ref": branch })).await;
        work(&self.test).await;
        id
    }

    /// A pipeline is run again, and the tool sees this.
    async fn retried(&self, id: &str, hits: &[Hit]) -> serde_json::Value {
        self.hits("semgrep", hits);
        let document = "mutation($id: ID!) { retryPipeline(input: { id: $id }) { pipeline { id } } }";
        let again = self.test.data(&self.member, document, json!({ "id": id })).await;
        work(&self.test).await;
        self.pipeline(&text(&again["retryPipeline"]["pipeline"]["id"])).await["scans"][0].clone()
    }
}

async fn yard() -> Yard {
    let yard = Yard::new(&["semgrep"]).await;
    yard.save_scans(&["SAST"]).await;
    yard
}

#[tokio::test]
async fn an_older_commit_says_nothing_of_a_newer_one() {
    let yard = yard().await;
    let first = yard.pushed(("main", 11), &[EVAL]).await;
    let second = yard.pushed(("main", 12), &[PICKLE]).await;
    assert_eq!(yard.states().await, ["py.eval FIXED", "py.pickle OPEN"]);
    let before = yard.finding("py.pickle").await;
    // Done again, it sees what it saw, and a thing that nobody looked for then: neither is in the newer one.
    let scan = yard.retried(&first, &[EVAL, SHELL]).await;
    assert_eq!((&scan["status"], &scan["fixedFindings"]), (&json!("SUCCEEDED"), &json!(0)), "{scan}");
    assert_eq!((&scan["newFindings"], &scan["findings"]["totalCount"]), (&json!(1), &json!(2)), "{scan}");
    assert_eq!(yard.states().await, ["py.eval FIXED", "py.pickle OPEN", "py.shell FIXED"]);
    assert_eq!(yard.finding("py.pickle").await, before);
    assert_eq!(yard.risk().await["risk"], "MEDIUM");
    // The newest is compared with the one before it, and not with what was done again.
    let third = yard.pushed(("main", 13), &[PICKLE, SHELL]).await;
    let scan = yard.pipeline(&third).await["scans"][0].clone();
    assert_eq!((&scan["newFindings"], &scan["fixedFindings"]), (&json!(1), &json!(0)), "{scan}");
    assert_eq!(yard.states().await, ["py.eval FIXED", "py.pickle OPEN", "py.shell OPEN"]);
    // So does a scan by hand of what the branch has.
    yard.hits("semgrep", &[SHELL]);
    yard.scan("main").await;
    assert_eq!(yard.states().await, ["py.eval FIXED", "py.pickle FIXED", "py.shell OPEN"]);
    yard.retried(&second, &[PICKLE]).await;
    assert_eq!(yard.states().await, ["py.eval FIXED", "py.pickle FIXED", "py.shell OPEN"]);
    // The newest may be done again.
    yard.retried(&third, &[]).await;
    assert_eq!(yard.states().await, ["py.eval FIXED", "py.pickle FIXED", "py.shell FIXED"]);
}

#[tokio::test]
async fn of_a_tool_that_had_no_result_since_an_older_commit_has_the_word() {
    let yard = Yard::new(&["semgrep", "bandit"]).await;
    yard.save_scans(&["SAST"]).await;
    yard.hits("bandit", &[]);
    let first = yard.pushed(("main", 11), &[]).await;
    yard.break_down("bandit", 2);
    yard.pushed(("main", 12), &[PICKLE]).await;
    // Nobody has looked with this tool at the newer one: what it sees is open.
    yard.hits("bandit", &[SHELL]);
    yard.retried(&first, &[EVAL]).await;
    assert_eq!(yard.states().await, ["py.eval FIXED", "py.pickle OPEN", "py.shell OPEN"]);
}

#[tokio::test]
async fn how_bad_it_is_elsewhere_is_said_elsewhere() {
    let yard = yard().await;
    let mild = Hit { level: "note", line: 3, ..EVAL };
    yard.pushed(("main", 11), &[mild, PICKLE]).await;
    yard.pushed(("main", 12), &[mild]).await;
    let before = yard.findings().await;
    let other = yard.pushed(("feature/x", 13), &[EVAL, PICKLE]).await;
    assert_eq!(yard.findings().await, before, "it is the own branch's to say");
    assert_eq!(yard.risk().await["risk"], "LOW");
    // The scan says what it saw.
    let scan = yard.pipeline(&other).await["scans"][0].clone();
    assert_eq!((&scan["counts"]["high"], &scan["counts"]["medium"]), (&json!(1), &json!(1)));
    assert_eq!(scan["findings"]["totalCount"], 2);
    let ids: Vec<String> = scan["findings"]["nodes"].as_array().unwrap().iter().map(|f| text(&f["rule"])).collect();
    assert_eq!(ids, ["py.eval", "py.pickle"], "as bad as it was there");
    // Merged: now it is so.
    yard.pushed(("main", 14), &[EVAL]).await;
    assert_eq!(yard.finding("py.eval").await["severity"], "HIGH");
    // What the own branch never had is said by whoever saw it last.
    yard.pushed(("feature/x", 15), &[EVAL, Hit { level: "error", ..SHELL }]).await;
    assert_eq!(yard.finding("py.shell").await["severity"], "HIGH");
    yard.pushed(("feature/x", 16), &[EVAL, SHELL]).await;
    assert_eq!(yard.finding("py.shell").await["severity"], "LOW");
}

#[tokio::test]
async fn what_was_seen_before_a_branch_became_the_services_own_is_looked_for() {
    let yard = yard().await;
    yard.pushed(("main", 11), &[]).await;
    yard.pushed(("feature/x", 12), &[EVAL]).await;
    assert_eq!(yard.states().await, ["py.eval OPEN"]);
    let update = "mutation($i: UpdateServiceInput!) { updateService(input: $i) { service { id } } }";
    yard.test.data(&yard.admin, update, json!({ "i": { "id": yard.service, "branch": "feature/x" } })).await;
    yard.pushed(("feature/x", 13), &[]).await;
    assert_eq!(yard.states().await, ["py.eval FIXED"]);
}
