//! What every runtime has to do.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use kiops::domain::spec::EnvValue;
use kiops::runtime::{InstanceState, LogQuery, RuntimeError, Volumes};

use super::{Lines, Place, db, deploy, plain, rollout, web};

/// Takes everything away, twice: nothing left is no error.
pub async fn end(place: &dyn Place) {
    place.runtime().remove(place.target(), Volumes::Delete).await.unwrap();
    assert!(place.is_empty().await);
    place.runtime().remove(place.target(), Volumes::Delete).await.unwrap();
}

async fn instances(place: &dyn Place) -> Vec<InstanceState> {
    place.runtime().instances(place.target()).await.unwrap()
}

pub async fn environment_values_arrive(place: &dyn Place) {
    let mut front = web(place, "web", "$(HOME) a$b $$ \"x\"\n---\nkind: Namespace");
    front.env.insert("TOKEN".into(), EnvValue::Secret("row-1".into()));
    front.env.insert("HOME".into(), plain("/"));
    deploy(place, &rollout(place, 1, vec![front.clone()])).await;
    let text = place.variable("web", "TEXT").await.unwrap();
    assert_eq!(text, "$(HOME) a$b $$ \"x\"\n---\nkind: Namespace");
    assert_eq!(place.variable("web", "TOKEN").await.as_deref(), Some("s3cret-one"));
    // Another secret makes another container; one that is gone is gone.
    let before = place.identity("web").await;
    front.env.insert("TOKEN".into(), EnvValue::Secret("row-2".into()));
    front.env.remove("HOME");
    deploy(place, &rollout(place, 2, vec![front])).await;
    assert_ne!(place.identity("web").await, before);
    assert_eq!(place.variable("web", "TOKEN").await.as_deref(), Some("s3cret-two"));
}

pub async fn neighbours_are_reached_by_name_and_internal_ports_are_closed(place: &dyn Place) {
    let mut front = web(place, "web", "front");
    front.is_internal = false;
    let applied = deploy(place, &rollout(place, 1, vec![front, web(place, "db", "data")])).await;
    assert!(place.reaches("web", "db").await && place.reaches("db", "web").await);
    assert!(place.is_published("web").await);
    assert!(!place.is_published("db").await);
    let reached: BTreeSet<&String> = applied.host_ports.keys().chain(applied.addresses.keys()).collect();
    assert_eq!(reached.into_iter().collect::<Vec<_>>(), ["web"]);
    let endpoints: Vec<usize> = instances(place).await.iter().map(|i| i.endpoints.len()).collect();
    assert_eq!(endpoints.iter().sum::<usize>(), 1, "{endpoints:?}");
}

pub async fn volumes_are_kept_over_revisions(place: &dyn Place) {
    deploy(place, &rollout(place, 1, vec![db(place, "db", "one")])).await;
    place.write("db", "/data", "kept").await;
    let before = place.identity("db").await;
    deploy(place, &rollout(place, 2, vec![db(place, "db", "two")])).await;
    assert_ne!(place.identity("db").await, before);
    assert_eq!(place.read("db", "/data").await.as_deref(), Some("kept"));
    // Removing keeps it unless it is asked for.
    place.runtime().remove(place.target(), Volumes::Keep).await.unwrap();
    assert!(instances(place).await.is_empty());
    assert_eq!(place.volumes().await, 1);
    deploy(place, &rollout(place, 3, vec![db(place, "db", "three")])).await;
    assert_eq!(place.read("db", "/data").await.as_deref(), Some("kept"));
}

pub async fn a_failed_revision_is_undone_and_the_old_one_serves_throughout(place: &dyn Place) {
    let good = rollout(place, 1, vec![web(place, "web", "good"), db(place, "db", "data")]);
    deploy(place, &good).await;
    let (front, data) = (place.identity("web").await, place.identity("db").await);
    let mut broken = web(place, "web", "bad");
    broken.env.insert("FAIL".into(), plain("1"));
    broken.env.insert("TOKEN".into(), EnvValue::Secret("row-1".into()));
    let bad = rollout(place, 2, vec![broken, db(place, "db", "data"), web(place, "more", "new")]);
    let over = AtomicBool::new(false);
    let serves = async {
        let mut looks = 0;
        while !over.load(Ordering::Relaxed) {
            let ready = instances(place).await.iter().any(|i| i.container == "web" && i.ready);
            assert!(ready, "nobody serves any more: {:#?}", instances(place).await);
            looks += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        looks
    };
    let fails = async {
        let failure = place.runtime().apply(&bad, &Lines::default()).await.unwrap_err();
        let text = failure.to_string();
        assert!(matches!(failure, RuntimeError::Failed(_)), "{text}");
        assert!(text.contains("container web") && text.contains("code 7"), "{text}");
        assert!(text.contains("broken") && !text.contains("s3cret"), "{text}");
        // Twice: a crash in the middle makes the same call again.
        place.runtime().undo(&bad, Some(&good), &Lines::default()).await.unwrap();
        place.runtime().undo(&bad, Some(&good), &Lines::default()).await.unwrap();
        over.store(true, Ordering::Relaxed);
    };
    let (looks, ()) = futures_util::join!(serves, fails);
    assert!(looks > 3);
    assert_eq!((place.identity("web").await, place.identity("db").await), (front, data));
    let left: BTreeSet<String> = instances(place).await.into_iter().map(|i| i.container).collect();
    assert_eq!(left.into_iter().collect::<Vec<_>>(), ["db", "web"]);
    assert_eq!(place.variable("web", "TEXT").await.as_deref(), Some("good"));
}

pub async fn a_first_revision_that_fails_leaves_nothing(place: &dyn Place) {
    let mut broken = web(place, "web", "bad");
    broken.env.insert("FAIL".into(), plain("1"));
    let bad = rollout(place, 1, vec![broken]);
    assert!(place.runtime().apply(&bad, &Lines::default()).await.is_err());
    place.runtime().undo(&bad, None, &Lines::default()).await.unwrap();
    place.runtime().undo(&bad, None, &Lines::default()).await.unwrap();
    assert!(instances(place).await.is_empty());
}

pub async fn a_rollback_restores_all_of_a_revision(place: &dyn Place) {
    let mut front = web(place, "web", "one");
    front.env.insert("TOKEN".into(), EnvValue::Secret("row-1".into()));
    let first = vec![front.clone(), web(place, "worker", "w")];
    deploy(place, &rollout(place, 1, first.clone())).await;
    front.env.insert("TEXT".into(), plain("two"));
    front.env.insert("TOKEN".into(), EnvValue::Secret("row-2".into()));
    deploy(place, &rollout(place, 2, vec![front, web(place, "other", "o")])).await;
    let names = |all: Vec<InstanceState>| all.into_iter().map(|i| i.container).collect::<BTreeSet<_>>();
    assert_eq!(names(instances(place).await), BTreeSet::from(["web".to_owned(), "other".to_owned()]));
    assert_eq!(place.variable("web", "TOKEN").await.as_deref(), Some("s3cret-two"));
    deploy(place, &rollout(place, 3, first)).await;
    assert_eq!(names(instances(place).await), BTreeSet::from(["web".to_owned(), "worker".to_owned()]));
    assert_eq!(place.variable("web", "TEXT").await.as_deref(), Some("one"));
    assert_eq!(place.variable("web", "TOKEN").await.as_deref(), Some("s3cret-one"));
}

pub async fn unchanged_containers_are_left_running(place: &dyn Place) {
    deploy(place, &rollout(place, 1, vec![web(place, "web", "one"), db(place, "db", "data")])).await;
    let (front, data) = (place.identity("web").await, place.identity("db").await);
    deploy(place, &rollout(place, 2, vec![web(place, "web", "two"), db(place, "db", "data")])).await;
    assert_ne!(place.identity("web").await, front);
    assert_eq!(place.identity("db").await, data);
    // The same once more changes nothing, not even when it is applied twice.
    let front = place.identity("web").await;
    let again = rollout(place, 3, vec![web(place, "web", "two"), db(place, "db", "data")]);
    place.runtime().apply(&again, &Lines::default()).await.unwrap();
    deploy(place, &again).await;
    assert_eq!((place.identity("web").await, place.identity("db").await), (front, data));
}

pub async fn stopped_restarted_removed(place: &dyn Place) {
    deploy(place, &rollout(place, 1, vec![web(place, "web", "x")])).await;
    place.runtime().stop(place.target()).await.unwrap();
    place.runtime().stop(place.target()).await.unwrap();
    until(place, |all| all.iter().all(|i| !i.ready)).await;
    place.runtime().restart(place.target()).await.unwrap();
    until(place, |all| all.len() == 1 && all[0].ready).await;
    let started = instances(place).await;
    place.runtime().restart(place.target()).await.unwrap();
    // Another container, or the same one started anew.
    let run = |i: &InstanceState| (i.name.clone(), i.started_at);
    until(place, |all| all.len() == 1 && all[0].ready && run(&all[0]) != run(&started[0])).await;
    // A deployment starts what was stopped.
    place.runtime().stop(place.target()).await.unwrap();
    deploy(place, &rollout(place, 2, vec![web(place, "web", "x")])).await;
    until(place, |all| all.len() == 1 && all[0].ready).await;
}

async fn until(place: &dyn Place, is_so: impl Fn(&[InstanceState]) -> bool) {
    for _ in 0..300 {
        if is_so(&instances(place).await) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it never came to that: {:#?}", instances(place).await);
}

pub async fn logs_are_followed_over_revisions(place: &dyn Place) {
    deploy(place, &rollout(place, 1, vec![web(place, "web", "x"), web(place, "db", "y")])).await;
    place.print("web", "first").await;
    place.print("web", "\u{1b}[31msecond\u{1b}[0m").await;
    place.print("db", "other").await;
    let query = || LogQuery { container: Some("web".to_owned()), ..Default::default() };
    let texts = |lines: Vec<Result<kiops::runtime::InstanceLine, RuntimeError>>| {
        lines.into_iter().map(|line| line.unwrap().text).collect::<Vec<_>>()
    };
    let mut stored = Vec::new();
    for _ in 0..50 {
        stored = texts(place.runtime().logs(place.target(), query()).await.unwrap().collect().await);
        if stored.iter().any(|text| text == "second") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let at = |wanted: &str| stored.iter().position(|text| text == wanted);
    assert!(at("first").is_some() && at("first") < at("second") && at("other").is_none(), "{stored:?}");
    let last = LogQuery { tail: Some(1), ..query() };
    assert_eq!(texts(place.runtime().logs(place.target(), last).await.unwrap().collect().await), ["second"]);

    let mut lines = place.runtime().logs(place.target(), LogQuery { follow: true, ..query() }).await.unwrap();
    let mut seen = Vec::new();
    follow_to(&mut lines, &mut seen, "second").await;
    place.print("web", "third").await;
    follow_to(&mut lines, &mut seen, "third").await;
    // Its successor is followed too.
    let next = rollout(place, 2, vec![web(place, "web", "changed"), web(place, "db", "y")]);
    deploy(place, &next).await;
    place.print("web", "successor").await;
    follow_to(&mut lines, &mut seen, "successor").await;
    for wanted in ["first", "second", "third", "successor"] {
        assert_eq!(seen.iter().filter(|text| *text == wanted).count(), 1, "{seen:?}");
    }
}

type Follow = futures_util::stream::BoxStream<'static, Result<kiops::runtime::InstanceLine, RuntimeError>>;

async fn follow_to(lines: &mut Follow, seen: &mut Vec<String>, wanted: &str) {
    while seen.last().map(String::as_str) != Some(wanted) {
        let line = tokio::time::timeout(Duration::from_secs(30), lines.next()).await;
        let line = line.unwrap_or_else(|_| panic!("no {wanted:?} after {seen:?}"));
        seen.push(line.unwrap().unwrap().text);
    }
}
