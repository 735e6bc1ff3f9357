//! The plan against an engine in memory that is killed after every call.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::Strategy as _;

use crate::domain::spec::Strategy;

use super::plan::{Attached, Observed, Role, Seen, Step, Wanted, next_apply, next_finish, next_undo};

/// What an engine would do.
#[derive(Debug, Clone, Default)]
struct Fake {
    there: Vec<Observed>,
    next_id: u32,
    /// Configurations that never become healthy.
    sick: Vec<String>,
    /// Names that were at some moment without a running container under them.
    gaps: Vec<String>,
}

/// A step failed for good.
struct Failed;

impl Fake {
    fn of(&mut self, id: &str) -> &mut Observed {
        self.there.iter_mut().find(|o| o.id == id).expect("steps name what is there")
    }

    fn take(&mut self, wanted: &[Wanted], revision: i32, step: &Step, seen: &mut Seen) -> Result<(), Failed> {
        match step {
            Step::Create { container, role, is_proof } => {
                let w = wanted.iter().find(|w| w.container == *container).expect("wanted");
                assert!(!self.there.iter().any(|o| o.container == *container && o.role == *role), "name is taken");
                let old = self.there.iter().find_map(|o| o.host_port.filter(|_| o.container == *container));
                let port = w.is_published.then(|| w.host_port.or(old).unwrap_or(80)).filter(|_| !is_proof);
                self.next_id += 1;
                self.there.push(Observed {
                    id: self.next_id.to_string(),
                    container: container.clone(),
                    role: *role,
                    revision,
                    hash: w.hash.clone(),
                    is_proof: *is_proof,
                    is_running: false,
                    is_kept_up: false,
                    attached: if *role == Role::Main { Attached::Alias } else { Attached::Plain },
                    host_port: port,
                    has_volumes: w.has_volumes,
                });
            }
            Step::Start { id } => {
                let me = self.of(id).clone();
                let clash = |o: &&Observed| {
                    let port = o.host_port.is_some() && o.host_port == me.host_port && o.container == me.container;
                    o.is_running && o.id != me.id && (port || (o.has_volumes && o.container == me.container))
                };
                assert!(!self.there.iter().any(|o| clash(&o)), "port or volume is held by another one");
                self.of(id).is_running = true;
                seen.started.insert(id.clone());
            }
            Step::Prove { id } => {
                let me = self.of(id).clone();
                if !me.is_running || self.sick.contains(&me.hash) {
                    return Err(Failed);
                }
                seen.proven.insert(id.clone());
            }
            Step::KeepUp { id } => self.of(id).is_kept_up = true,
            Step::Detach { id } => self.of(id).attached = Attached::No,
            Step::Attach { id } => self.of(id).attached = Attached::Alias,
            Step::Rename { id, role } => {
                let name = self.of(id).container.clone();
                assert!(!self.there.iter().any(|o| o.container == name && o.role == *role), "name is taken");
                self.of(id).role = *role;
            }
            Step::Stop { id } => self.of(id).is_running = false,
            Step::Remove { id } => self.there.retain(|o| o.id != *id),
        }
        for w in wanted {
            let serves = |o: &Observed| o.container == w.container && o.is_running && o.attached == Attached::Alias;
            if !self.there.iter().any(serves) {
                self.gaps.push(w.container.clone());
            }
        }
        Ok(())
    }

    /// Applies, forgetting everything after each `every` steps as a killed server does.
    fn apply(&mut self, wanted: &[Wanted], revision: i32, every: usize) -> Result<(), Failed> {
        let mut seen = Seen::default();
        for count in 1..500 {
            let Some(step) = next_apply(wanted, revision, &self.there, &seen) else { return Ok(()) };
            self.take(wanted, revision, &step, &mut seen)?;
            // A proof has to be repeated after a kill, so that killing after each one would never end.
            if count % every == 0 && !matches!(step, Step::Prove { .. }) {
                seen = Seen::default();
            }
        }
        panic!("no end: {:?}", self.there);
    }

    fn undo(&mut self, failed: i32, previous: Option<i32>, steps: usize) {
        for _ in 0..steps {
            let Some(step) = next_undo(failed, previous, &self.there) else { return };
            assert!(self.take(&[], failed, &step, &mut Seen::default()).is_ok());
        }
    }

    fn finish(&mut self, wanted: &[Wanted]) {
        let names: Vec<String> = wanted.iter().map(|w| w.container.clone()).collect();
        while let Some(step) = next_finish(&names, &self.there) {
            assert!(self.take(&[], 0, &step, &mut Seen::default()).is_ok());
        }
    }

    /// What serves: name to hash and id, when all is as it should be.
    fn serving(&self) -> BTreeMap<String, (String, String)> {
        for o in &self.there {
            assert!(o.role == Role::Main && o.is_running && o.is_kept_up && o.attached == Attached::Alias, "{o:?}");
        }
        self.there.iter().map(|o| (o.container.clone(), (o.hash.clone(), o.id.clone()))).collect()
    }
}

fn wanted(name: &str, hash: &str, is_published: bool, has_volumes: bool) -> Wanted {
    let strategy = Strategy::RollingUpdate;
    Wanted { container: name.into(), hash: hash.into(), is_published, host_port: None, has_volumes, strategy }
}

/// Four containers at most, all with one strategy, as in a spec.
fn any_wanted(round: char) -> impl proptest::strategy::Strategy<Value = Vec<Wanted>> {
    let any_strategy = prop_oneof![Just(Strategy::RollingUpdate), Just(Strategy::Recreate)];
    let all = prop::collection::vec(prop::option::of((0..2u8, any::<bool>(), prop::bool::weighted(0.3))), 4);
    (all, any_strategy).prop_map(move |(all, strategy)| {
        all.into_iter()
            .enumerate()
            .filter_map(|(n, some)| {
                let (kind, published, volumes) = some?;
                // The hash stands for all that a container is, and so for publication and volumes too.
                let hash = match kind {
                    0 => format!("same-{published}-{volumes}"),
                    _ => format!("{round}-{published}-{volumes}"),
                };
                Some(Wanted { strategy, ..wanted(&format!("c{n}"), &hash, published, volumes) })
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn kills_change_nothing(first in any_wanted('a'), second in any_wanted('b'), every in 1..6usize) {
        let mut fake = Fake::default();
        prop_assert!(fake.apply(&first, 1, every).is_ok());
        fake.finish(&first);
        let before = fake.serving();
        prop_assert!(fake.apply(&second, 2, every).is_ok());
        fake.finish(&second);
        let after = fake.serving();
        let hashes: BTreeMap<_, _> = after.iter().map(|(name, (hash, _))| (name.clone(), hash.clone())).collect();
        prop_assert_eq!(hashes, second.iter().map(|w| (w.container.clone(), w.hash.clone())).collect::<BTreeMap<_, _>>());
        for (name, (hash, id)) in &after {
            // What did not change was not touched.
            if let Some((old_hash, old_id)) = before.get(name) {
                prop_assert_eq!(hash == old_hash, id == old_id);
            }
        }
    }

    #[test]
    fn a_failure_leaves_the_old_ones_serving(
        first in any_wanted('a'), second in any_wanted('b'), every in 1..6usize, sick in 0..4usize, cut in 0..12usize,
    ) {
        let mut fake = Fake::default();
        prop_assert!(fake.apply(&first, 1, every).is_ok());
        fake.finish(&first);
        let before = fake.serving();
        let Some(victim) = second.iter().map(|w| w.hash.clone()).filter(|h| h.starts_with('b')).nth(sick % 2) else {
            return Ok(());
        };
        fake.sick.push(victim);
        prop_assert!(fake.apply(&second, 2, every).is_err());
        // The undo is killed too, and called again.
        fake.undo(2, Some(1), cut);
        fake.undo(2, Some(1), 500);
        prop_assert_eq!(fake.serving(), before);
    }

    #[test]
    fn an_undo_at_any_moment_brings_back_the_old_ones(
        first in any_wanted('a'), second in any_wanted('b'), steps in 0..60usize, cut in 0..12usize,
    ) {
        let mut fake = Fake::default();
        prop_assert!(fake.apply(&first, 1, 500).is_ok());
        fake.finish(&first);
        let before = fake.serving();
        let mut seen = Seen::default();
        for _ in 0..steps {
            let Some(step) = next_apply(&second, 2, &fake.there, &seen) else { break };
            prop_assert!(fake.take(&second, 2, &step, &mut seen).is_ok());
        }
        fake.undo(2, Some(1), cut);
        fake.undo(2, Some(1), 500);
        prop_assert_eq!(fake.serving(), before);
    }
}

#[test]
fn without_a_port_or_a_volume_there_is_no_gap() {
    let mut fake = Fake::default();
    assert!(fake.apply(&[wanted("web", "a", false, false)], 1, 500).is_ok());
    fake.gaps.clear();
    assert!(fake.apply(&[wanted("web", "b", false, false)], 2, 1).is_ok());
    assert!(fake.gaps.is_empty());
}

#[test]
fn a_first_deployment_that_fails_leaves_nothing() {
    let mut fake = Fake { sick: vec!["b".into()], ..Default::default() };
    let both = [wanted("db", "a", false, true), wanted("web", "b", true, false)];
    assert!(fake.apply(&both, 1, 500).is_err());
    fake.undo(1, None, 500);
    assert!(fake.there.is_empty());
}

/// Of one revision, in the spec's order.
fn all(hash: &str, strategy: Strategy) -> Vec<Wanted> {
    let one = |name: &str, volumes| Wanted { strategy, ..wanted(name, &format!("{name}-{hash}"), true, volumes) };
    vec![one("web", false), one("db", true), one("cache", false)]
}

#[test]
fn recreating_never_runs_two_revisions_at_once_and_asks_for_health_last() {
    let mut fake = Fake::default();
    assert!(fake.apply(&all("a", Strategy::RollingUpdate), 1, 500).is_ok());
    fake.finish(&all("a", Strategy::RollingUpdate));
    let second = all("b", Strategy::Recreate);
    let (mut seen, mut steps) = (Seen::default(), Vec::new());
    while let Some(step) = next_apply(&second, 2, &fake.there, &seen) {
        assert!(fake.take(&second, 2, &step, &mut seen).is_ok());
        let running = |end: &str| fake.there.iter().any(|o| o.is_running && o.hash.ends_with(end));
        assert!(!running("-a") || !running("-b"), "{step:?}: {:?}", fake.there);
        assert!(!fake.there.iter().any(|o| o.role == Role::Candidate), "{step:?}");
        steps.push(step);
    }
    let proof = steps.iter().position(|step| matches!(step, Step::Prove { .. })).expect("health is asked");
    let start = steps.iter().rposition(|step| matches!(step, Step::Start { .. })).expect("all are started");
    assert!(start < proof, "{steps:?}");
    fake.finish(&second);
    assert!(fake.serving().values().all(|(hash, _)| hash.ends_with("-b")));
}

#[test]
fn what_did_not_change_is_not_recreated() {
    let mut fake = Fake::default();
    assert!(fake.apply(&all("a", Strategy::Recreate), 1, 500).is_ok());
    fake.finish(&all("a", Strategy::Recreate));
    let before = fake.serving();
    let mut second = all("a", Strategy::Recreate);
    second[0].hash = "web-b".into();
    assert!(fake.apply(&second, 2, 1).is_ok());
    fake.finish(&second);
    let after = fake.serving();
    assert_eq!((&after["db"], &after["cache"]), (&before["db"], &before["cache"]));
    assert_ne!(after["web"], before["web"]);
}

#[test]
fn a_recreated_one_that_fails_brings_all_the_old_ones_back() {
    let mut fake = Fake { sick: vec!["db-b".into()], ..Default::default() };
    assert!(fake.apply(&all("a", Strategy::Recreate), 1, 500).is_ok());
    fake.finish(&all("a", Strategy::Recreate));
    let before = fake.serving();
    assert!(fake.apply(&all("b", Strategy::Recreate), 2, 1).is_err());
    fake.undo(2, Some(1), 500);
    assert_eq!(fake.serving(), before);
}
