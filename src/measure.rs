//! What is counted while the server works, for `/metrics`. Every label has few values, none of which a stranger makes up.
//! Where nobody has called [`Exporter::install`], as in a command, counting is nothing.

pub mod spans;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};

/// Names of operations that have lines of their own; what comes later is `other`.
const NAMES: usize = 200;

/// Upper bounds of durations, in seconds.
const SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

const OPERATIONS: &str = "kiops_graphql_operations_total";
const OPERATION_SECONDS: &str = "kiops_graphql_operation_seconds";
const REQUESTS: &str = "kiops_http_requests_total";
const GIVEN_AGAIN: &str = "kiops_graphql_answers_given_again_total";
const REQUEST_SECONDS: &str = "kiops_http_request_seconds";
const SOCKETS: &str = "kiops_graphql_sockets";
const SUBSCRIPTIONS: &str = "kiops_graphql_subscriptions";
const LEASES_LOST: &str = "kiops_job_leases_lost_total";
const ENDED: &str = "kiops_runs_ended_total";
const OUTBOUND: &str = "kiops_outbound_requests_total";
const OUTBOUND_SECONDS: &str = "kiops_outbound_request_seconds";
const JOBS: &str = "kiops_jobs";
const OLDEST: &str = "kiops_jobs_oldest_seconds";
const CONNECTIONS: &str = "kiops_database_connections";

/// How often samples of durations are put into their buckets.
pub const UPKEEP: Duration = Duration::from_secs(5);

/// What was counted, as Prometheus reads it. Clones share it.
#[derive(Clone)]
pub struct Exporter(PrometheusHandle);

impl Exporter {
    /// Begins to count, once a process.
    ///
    /// # Errors
    /// When it was begun before.
    pub fn install() -> Result<Self, BuildError> {
        let handle = PrometheusBuilder::new().set_buckets(&SECONDS)?.install_recorder()?;
        describe();
        Ok(Self(handle))
    }

    /// Puts samples into their buckets. To be called every [`UPKEEP`], or they are kept one by one until somebody reads.
    pub fn upkeep(&self) {
        self.0.run_upkeep();
    }

    /// The text format 0.0.4.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.render()
    }
}

fn describe() {
    describe_counter!(
        OPERATIONS,
        "GraphQL operations that were executed, by name, type and the code of the first error; not those refused before"
    );
    describe_histogram!(OPERATION_SECONDS, Unit::Seconds, "How long GraphQL operations took");
    describe_counter!(
        GIVEN_AGAIN,
        "Answers of before that were given again, because nothing in the database had changed"
    );
    describe_counter!(REQUESTS, "HTTP requests, by route and status");
    describe_histogram!(REQUEST_SECONDS, Unit::Seconds, "How long HTTP requests took, until their answer began");
    describe_gauge!(SOCKETS, "WebSockets that are open");
    describe_gauge!(SUBSCRIPTIONS, "Subscriptions that are open");
    describe_counter!(LEASES_LOST, "Jobs whose lease was lost while they were worked on here");
    describe_counter!(
        ENDED,
        "Deployments, pipelines and scans that ended, by status; counted just before it is written"
    );
    describe_counter!(OUTBOUND, "Requests to Git providers and registries, by what they go to and how they ended");
    describe_histogram!(OUTBOUND_SECONDS, Unit::Seconds, "How long those took");
    describe_gauge!(JOBS, "Jobs in the queue, of all servers, by kind and whether they are worked on");
    describe_gauge!(OLDEST, Unit::Seconds, "Age of the oldest job of a kind that waits");
    describe_gauge!(CONNECTIONS, "Connections to the database, by pool and whether they are in use");
}

/// Who asked for an operation: a stranger's names are nobody's lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// Somebody with a token that is valid.
    Known,
    /// Anybody.
    Stranger,
}

/// An operation was executed. `name` is empty for one without, `code` that of its first error, none where all is well.
/// A subscription is counted with its first event, and takes no time.
pub fn operation(asker: Asker, (name, kind): (&str, &'static str), code: Option<&str>, took: Option<Duration>) {
    let name = label(asker, name);
    let code = code.unwrap_or("OK").to_owned();
    counter!(OPERATIONS, "operation" => name.clone(), "type" => kind, "code" => code).increment(1);
    if let Some(took) = took {
        histogram!(OPERATION_SECONDS, "operation" => name, "type" => kind).record(took);
    }
}

/// An answer of before was given again, because nothing in the database had changed.
pub fn given_again() {
    counter!(GIVEN_AGAIN).increment(1);
}

/// A request was answered. `route` is as it was declared.
pub fn answered(route: &str, status: u16, took: Duration) {
    counter!(REQUESTS, "route" => route.to_owned(), "status" => status.to_string()).increment(1);
    histogram!(REQUEST_SECONDS, "route" => route.to_owned()).record(took);
}

/// Something that is open, until it is dropped.
pub struct Open(&'static str);

impl Open {
    /// A WebSocket.
    #[must_use]
    pub fn socket() -> Self {
        Self::one(SOCKETS)
    }

    /// A subscription.
    #[must_use]
    pub fn subscription() -> Self {
        Self::one(SUBSCRIPTIONS)
    }

    fn one(name: &'static str) -> Self {
        gauge!(name).increment(1.0);
        Self(name)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        gauge!(self.0).decrement(1.0);
    }
}

/// A job is another server's.
pub fn lease_lost() {
    counter!(LEASES_LOST).increment(1);
}

/// Something has come to its end: `what` is `deployment`, `pipeline` or `scan`, `status` that of the contract.
pub fn ended(what: &'static str, status: String) {
    counter!(ENDED, "what" => what, "status" => status).increment(1);
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With this status of HTTP.
    Answered(u16),
    /// Without an answer, for which there is a word.
    Failed(&'static str),
}

/// A request has gone out: what to, and how it ended.
pub fn outbound(target: &'static str, ended: Ended, took: Duration) {
    let status = match ended {
        Ended::Answered(status)
            if axum::http::StatusCode::from_u16(status).is_ok_and(|s| s.canonical_reason().is_some()) =>
        {
            status.to_string()
        }
        // Whoever is asked could make them up.
        Ended::Answered(_) => "other".to_owned(),
        Ended::Failed(word) => word.to_owned(),
    };
    counter!(OUTBOUND, "target" => target, "status" => status).increment(1);
    histogram!(OUTBOUND_SECONDS, "target" => target).record(took);
}

/// What there is of a kind of job now.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Jobs {
    /// How many wait.
    pub waiting: u64,
    /// How many are worked on.
    pub at_work: u64,
    /// The age of the oldest that waits, in seconds.
    pub oldest: f64,
}

/// All the jobs that there are now, by kind. Of kinds that are not among them, and were before, there are none.
pub fn jobs(mut now: BTreeMap<String, Jobs>) {
    static KINDS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut kinds = KINDS.lock().unwrap_or_else(PoisonError::into_inner);
    kinds.extend(now.keys().cloned());
    for kind in kinds.iter() {
        let of = now.remove(kind).unwrap_or_default();
        for (state, count) in [("waiting", of.waiting), ("at_work", of.at_work)] {
            #[expect(clippy::cast_precision_loss, reason = "nobody has that many jobs")]
            gauge!(JOBS, "kind" => kind.clone(), "state" => state).set(count as f64);
        }
        gauge!(OLDEST, "kind" => kind.clone()).set(of.oldest);
    }
}

/// How many connections a pool of the database has now.
pub fn connections(pool: &'static str, [in_use, idle]: [u32; 2]) {
    for (state, count) in [("in_use", in_use), ("idle", idle)] {
        gauge!(CONNECTIONS, "pool" => pool, "state" => state).set(f64::from(count));
    }
}

fn label(asker: Asker, name: &str) -> String {
    static SEEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    if name.is_empty() {
        return "anonymous".to_owned();
    }
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    if seen.contains(name) {
        return name.to_owned();
    }
    if asker == Asker::Stranger || seen.len() >= NAMES {
        return "other".to_owned();
    }
    seen.insert(name.to_owned());
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_a_strangers_are_nobodys() {
        assert_eq!(label(Asker::Known, ""), "anonymous");
        assert_eq!(label(Asker::Stranger, "Mine"), "other");
        assert_eq!(label(Asker::Known, "Mine"), "Mine");
        assert_eq!(label(Asker::Stranger, "Mine"), "Mine");
        let lines: BTreeSet<String> = (0..1000).map(|n| label(Asker::Known, &format!("N{n}"))).collect();
        assert_eq!(lines.len(), NAMES, "one was there before, and one is other");
        assert!(lines.contains("other"));
    }
}
