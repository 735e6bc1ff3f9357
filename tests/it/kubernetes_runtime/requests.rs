//! A rollout is heard of, and not asked for again and again.

use std::collections::BTreeMap;
use std::time::Duration;

use kiops::runtime::Runtime as _;

use super::place;
use crate::contract_runtime::{Lines, web};
use crate::support::cluster::{Asked, Behaviour};

fn count(asked: &[Asked]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for one in asked {
        *counts.entry(format!("{} {}", one.verb, one.resource)).or_default() += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_takes_a_bounded_number_of_requests_however_long_it_takes() {
    let Some(place) = place("a_rollout_takes_a_bounded_number_of_requests") else { return };
    let slow = |name: &str| place.of(name, "registry.test/slow:1");
    let mut totals = Vec::new();
    for (revision, time) in [(1, 50), (2, 4_000)] {
        place.cluster().image("registry.test/slow:1", Behaviour::Runs(Duration::from_millis(time)));
        let containers: Vec<_> = ["one", "two", "three"]
            .map(slow)
            .into_iter()
            .map(|mut c| {
                c.env = web(&place, "x", &revision.to_string()).env;
                c
            })
            .collect();
        let rollout = place.revision(revision, containers, Duration::from_secs(400));
        place.cluster().take_asked();
        place.runtime.apply(&rollout, &Lines::default()).await.unwrap();
        place.runtime.finish(&rollout, &Lines::default()).await.unwrap();
        let asked = place.cluster().take_asked();
        let counts = count(&asked);
        let watches: Vec<_> = counts.iter().filter(|(what, _)| what.starts_with("watch")).collect();
        assert!(watches.len() <= 3 && watches.iter().all(|(_, count)| **count == 1), "{counts:#?}");
        if time > 1_000 {
            let which: Vec<_> = watches.iter().map(|(what, _)| what.as_str()).collect();
            assert_eq!(which, ["watch deployments", "watch events", "watch pods"], "{counts:#?}");
        }
        // Three containers: a Service and a Deployment each, and the Secret of logins.
        let patches: usize = counts.iter().filter(|(what, _)| what.starts_with("patch")).map(|(_, count)| count).sum();
        assert_eq!(patches, 7, "{counts:#?}");
        assert!(asked.len() <= 30, "{counts:#?}");
        totals.push(asked.len());
    }
    assert!(totals[1] <= totals[0] + 3, "longer is not more: {totals:?}");
}
