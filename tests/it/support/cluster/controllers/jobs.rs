//! Jobs: one pod that ends, tried again as often as the job says.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::events::event;
use super::super::pods::seconds;
use super::super::store::{Store, now, text};
use super::{make_pod, owned, remove, tell_to_go};

/// How long after a pod could not be made the next one is tried.
const PAUSE: Duration = Duration::from_secs(1);

/// Takes every job a step on.
pub fn step(store: &mut Store, at: Instant) -> Option<Instant> {
    store.list("Job", "").iter().filter_map(|job| one(store, job, at)).min()
}

fn one(store: &mut Store, job: &Value, at: Instant) -> Option<Instant> {
    if !job["metadata"]["deletionTimestamp"].is_null() || job["spec"]["suspend"] == true {
        return None;
    }
    let uid = text(&job["metadata"]["uid"]);
    let (since, _) = store.progress.entry(uid).or_insert((at, Vec::new())).clone();
    let pods = owned(store, "Pod", job);
    let phase = |word: &str| pods.iter().filter(|pod| pod["status"]["phase"] == word).count() as i64;
    let (succeeded, failed) = (phase("Succeeded"), phase("Failed"));
    if let Some(done) = job["status"]["conditions"].as_array().and_then(|all| all.last()) {
        return clean_up(store, job, done, at);
    }
    let active: Vec<Value> = pods
        .iter()
        .filter(|pod| !["Succeeded", "Failed"].iter().any(|word| pod["status"]["phase"] == *word))
        .cloned()
        .collect();
    let deadline = job["spec"]["activeDeadlineSeconds"].as_f64().map(|limit| since + store.knobs.seconds(limit));
    let end = if succeeded >= job["spec"]["completions"].as_i64().unwrap_or(1) {
        Some(("Complete", "CompletionsReached", "Reached expected number of succeeded pods"))
    } else if failed > job["spec"]["backoffLimit"].as_i64().unwrap_or(6) {
        Some(("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit"))
    } else if deadline.is_some_and(|deadline| deadline <= at) {
        Some(("Failed", "DeadlineExceeded", "Job was active longer than specified deadline"))
    } else {
        None
    };
    // A controller that got no pod waits before it tries again.
    let refused = format!("{} refused", text(&job["metadata"]["uid"]));
    let mut again = store.progress.get(&refused).map(|(since, _)| *since + PAUSE);
    let mut running = active.len();
    if end.is_some() {
        active.iter().for_each(|pod| tell_to_go(store, pod));
        running = 0;
    } else if active.is_empty() && again.is_none_or(|again| again <= at) {
        match make_pod(store, job, &text(&job["metadata"]["name"])) {
            Ok(()) => running = 1,
            Err(why) => {
                event(store, job, ("Warning", "FailedCreate"), &format!("Error creating: {why}"));
                store.progress.insert(refused.clone(), (at, Vec::new()));
                again = Some(at + PAUSE);
            }
        }
    }
    store.change("Job", (&text(&job["metadata"]["namespace"]), &text(&job["metadata"]["name"])), |job| {
        let status = &mut job["status"];
        if status["startTime"].is_null() {
            status["startTime"] = now().into();
        }
        status["active"] = running.into();
        status["succeeded"] = succeeded.into();
        status["failed"] = failed.into();
        if let Some((kind, reason, message)) = end {
            if kind == "Complete" {
                status["completionTime"] = now().into();
            }
            status["conditions"] = json!([{
                "type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now(),
            }]);
        }
    });
    [deadline, again].into_iter().flatten().filter(|due| *due > at).min()
}

/// A job that is done goes after its time.
fn clean_up(store: &mut Store, job: &Value, _done: &Value, at: Instant) -> Option<Instant> {
    let limit = &job["spec"]["ttlSecondsAfterFinished"];
    if limit.is_null() {
        return None;
    }
    let key = format!("{} done", text(&job["metadata"]["uid"]));
    let (since, _) = store.progress.entry(key).or_insert((at, Vec::new())).clone();
    let due = since + seconds(&store.knobs, limit, 0.0);
    if due > at {
        return Some(due);
    }
    remove(store, "Job", job);
    None
}
