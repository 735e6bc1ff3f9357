//! The next step of a rollout, from what an engine holds: pure, so that every interruption can be tried.
//!
//! Nothing is remembered between two steps but what the engine itself shows: names (which carry the role), labels
//! and states. [`Seen`] only spares repeated proofs within one run; losing it costs a second proof and nothing else.

use std::collections::BTreeSet;

use crate::domain::spec::Strategy;

/// What a container is to its environment; its engine name tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The one that serves.
    Main,
    /// Started beside the main one, to become it.
    Candidate,
    /// Was the main one and waits, stopped, for `finish` or `undo`.
    Replaced,
}

/// One of our containers as an engine shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The engine's id.
    pub id: String,
    /// The service's name for it.
    pub container: String,
    /// From its name.
    pub role: Role,
    /// From its label.
    pub revision: i32,
    /// From its label.
    pub hash: String,
    /// From its label: it only proves that its like becomes healthy, and never serves.
    pub is_proof: bool,
    /// Its process runs.
    pub is_running: bool,
    /// The engine starts it again: it was proven healthy once.
    pub is_kept_up: bool,
    /// Its place in the environment's network.
    pub attached: Attached,
    /// The host port that it asks for.
    pub host_port: Option<u16>,
    /// It holds volumes.
    pub has_volumes: bool,
}

/// How a container is in the environment's network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attached {
    /// Not at all.
    No,
    /// Under its own name only.
    Plain,
    /// Also under the service's name for it.
    Alias,
}

/// One container that the revision wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name in the service.
    pub container: String,
    /// Of its configuration.
    pub hash: String,
    /// Its port is published.
    pub is_published: bool,
    /// The kept host port.
    pub host_port: Option<u16>,
    /// It wants volumes.
    pub has_volumes: bool,
    /// How it takes over from its predecessor.
    pub strategy: Strategy,
}

/// What this run did already to containers, by id.
#[derive(Debug, Default)]
pub struct Seen {
    /// Started.
    pub started: BTreeSet<String>,
    /// Became healthy.
    pub proven: BTreeSet<String>,
}

/// One call to the engine, or one wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Make a container of the wanted one, in a role; as a proof it asks for no fixed host port.
    Create { container: String, role: Role, is_proof: bool },
    /// Start it.
    Start { id: String },
    /// Wait until it is healthy; an error when it does not become so.
    Prove { id: String },
    /// Let the engine start it again from now on.
    KeepUp { id: String },
    /// Take it out of the network.
    Detach { id: String },
    /// Put it into the network under the service's name for it.
    Attach { id: String },
    /// Give it another role.
    Rename { id: String, role: Role },
    /// Stop it.
    Stop { id: String },
    /// Remove it, running or not.
    Remove { id: String },
}

/// The next step towards the revision; none when it is there.
#[must_use]
pub fn next_apply(wanted: &[Wanted], revision: i32, there: &[Observed], seen: &Seen) -> Option<Step> {
    let groups: Vec<Group<'_>> = wanted.iter().map(|w| Group::new(w, revision, there)).collect();
    let recreated = || groups.iter().filter(|g| g.wanted.strategy == Strategy::Recreate);
    // All that changes stops before anything new starts, and all that is new starts before its health is asked:
    // neighbours may wait for one another.
    if let Some(step) = recreated().find_map(Group::retire).or_else(|| recreated().find_map(|g| g.launch(seen))) {
        return Some(step);
    }
    let prepare = groups.iter().find_map(|group| group.prepare(seen));
    let switch = || groups.iter().filter(|g| !g.holds_volumes()).find_map(|group| group.switch(seen));
    let switch_volumes = || groups.iter().filter(|g| g.holds_volumes()).find_map(|group| group.switch(seen));
    prepare.or_else(switch).or_else(switch_volumes)
}

/// The next step back to what was there before the failed revision; none when it is there.
#[must_use]
pub fn next_undo(failed: i32, previous: Option<i32>, there: &[Observed]) -> Option<Step> {
    let replaced = |name: &str| there.iter().any(|o| o.role == Role::Replaced && o.container == name);
    let is_new = |o: &Observed| match o.role {
        Role::Candidate => true,
        Role::Replaced => false,
        Role::Main => replaced(&o.container) || (o.revision == failed && previous != Some(failed)),
    };
    // All that is new goes first: two containers may have exchanged a port.
    if let Some(new) = there.iter().find(|o| is_new(o)) {
        return Some(Step::Remove { id: new.id.clone() });
    }
    let old = there.iter().find(|o| o.role == Role::Replaced)?;
    // It keeps its role until it runs: the role is the memory of what has to be done.
    if old.attached != Attached::Alias {
        return Some(match old.attached {
            Attached::Plain => Step::Detach { id: old.id.clone() },
            _ => Step::Attach { id: old.id.clone() },
        });
    }
    if !old.is_running {
        return Some(Step::Start { id: old.id.clone() });
    }
    if !old.is_kept_up {
        return Some(Step::KeepUp { id: old.id.clone() });
    }
    Some(Step::Rename { id: old.id.clone(), role: Role::Main })
}

/// The next step of cleaning up after a success; none when nothing is left over.
#[must_use]
pub fn next_finish(wanted: &[String], there: &[Observed]) -> Option<Step> {
    let main = |name: &str| there.iter().any(|o| o.role == Role::Main && o.container == name);
    there
        .iter()
        .find(|o| !wanted.contains(&o.container) || (o.role != Role::Main && main(&o.container)))
        .map(|o| Step::Remove { id: o.id.clone() })
}

/// A wanted container with those that are there under its name.
struct Group<'a> {
    wanted: &'a Wanted,
    main: Option<&'a Observed>,
    candidates: Vec<&'a Observed>,
    replaced: Option<&'a Observed>,
    revision: i32,
}

impl<'a> Group<'a> {
    fn new(wanted: &'a Wanted, revision: i32, there: &'a [Observed]) -> Self {
        let of = |role: Role| there.iter().filter(move |o| o.container == wanted.container && o.role == role);
        Self {
            wanted,
            main: of(Role::Main).next(),
            candidates: of(Role::Candidate).collect(),
            replaced: of(Role::Replaced).next(),
            revision,
        }
    }

    /// The container is as wanted; who made it does not matter.
    fn fits(&self, o: &Observed) -> bool {
        let port = match (self.wanted.is_published, self.wanted.host_port) {
            (false, _) => o.host_port.is_none(),
            (true, None) => o.host_port.is_some(),
            (true, kept) => o.host_port == kept,
        };
        o.hash == self.wanted.hash && port
    }

    /// The one that is to be replaced, or was.
    fn old(&self) -> Option<&'a Observed> {
        self.replaced.or_else(|| self.main.filter(|main| !self.fits(main)))
    }

    /// The old one and the new one may not run at the same time.
    fn stops_first(&self) -> bool {
        self.wanted.strategy == Strategy::Recreate || self.holds_volumes()
    }

    fn holds_volumes(&self) -> bool {
        self.wanted.has_volumes || self.old().is_some_and(|old| old.has_volumes)
    }

    /// The new one must have the very host port that the old one has.
    fn takes_port(&self) -> bool {
        let Some(old) = self.old() else { return false };
        self.wanted.is_published
            && old.host_port.is_some()
            && (self.wanted.host_port.is_none() || self.wanted.host_port == old.host_port)
    }

    /// A candidate of this very rollout and of the right kind.
    fn candidate(&self) -> Option<&'a Observed> {
        self.candidates.iter().copied().find(|c| self.is_right(c))
    }

    fn is_right(&self, candidate: &Observed) -> bool {
        candidate.hash == self.wanted.hash
            && candidate.revision == self.revision
            && candidate.is_proof == self.takes_port()
            && !self.stops_first()
    }

    /// Takes the old one out of service, for one that is recreated.
    fn retire(&self) -> Option<Step> {
        if let Some(stray) = self.candidates.first() {
            return Some(Step::Remove { id: stray.id.clone() });
        }
        match (self.main, self.replaced) {
            (Some(_), Some(_)) => self.settle(),
            (Some(main), None) if !self.fits(main) => Some(Step::Rename { id: main.id.clone(), role: Role::Replaced }),
            (None, Some(replaced)) if replaced.is_running => Some(Step::Stop { id: replaced.id.clone() }),
            _ => None,
        }
    }

    /// Makes and starts the new one, for one that is recreated.
    fn launch(&self, seen: &Seen) -> Option<Step> {
        match self.main {
            None => Some(self.create(Role::Main)),
            Some(main) if !main.is_running && !seen.started.contains(&main.id) => {
                Some(Step::Start { id: main.id.clone() })
            }
            Some(_) => None,
        }
    }

    /// Which of a main and a replaced one goes, when this rollout did not leave them so.
    fn settle(&self) -> Option<Step> {
        match (self.main?, self.replaced?) {
            (main, _) if self.fits(main) && main.revision == self.revision => None,
            (main, replaced) if main.is_kept_up => Some(Step::Remove { id: replaced.id.clone() }),
            (main, _) => Some(Step::Remove { id: main.id.clone() }),
        }
    }

    /// Everything that does not touch what serves: containers without a predecessor, and healthy candidates.
    fn prepare(&self, seen: &Seen) -> Option<Step> {
        match (self.main, self.replaced) {
            // Taken over already, or left by a rollout that was never finished: the main one decides.
            (Some(_), Some(_)) => self.settle(),
            (None, Some(_)) => None,
            (None, None) => match self.candidates.first() {
                Some(stray) => Some(Step::Remove { id: stray.id.clone() }),
                None => Some(self.create(Role::Main)),
            },
            (Some(main), None) if self.fits(main) => match self.candidates.first() {
                Some(stray) => Some(Step::Remove { id: stray.id.clone() }),
                None => bring_up(main, seen),
            },
            (Some(_), None) => self.prepare_candidate(seen),
        }
    }

    fn prepare_candidate(&self, seen: &Seen) -> Option<Step> {
        if let Some(stale) = self.candidates.iter().find(|c| !self.is_right(c)) {
            return Some(Step::Remove { id: stale.id.clone() });
        }
        match self.candidate() {
            _ if self.stops_first() => None,
            None => Some(self.create(Role::Candidate)),
            // In between leaving the network and coming back into it under its alias.
            Some(candidate) if candidate.attached == Attached::No => None,
            Some(candidate) => prove(candidate, seen),
        }
    }

    /// From the old one to the new one.
    fn switch(&self, seen: &Seen) -> Option<Step> {
        if let Some(old) = self.main.filter(|main| !self.fits(main)) {
            // A candidate that will serve joins under the name before the old one leaves.
            let joins = self.candidate().filter(|c| !c.is_proof).and_then(join);
            return joins.or_else(|| Some(Step::Rename { id: old.id.clone(), role: Role::Replaced }));
        }
        let replaced = self.replaced?;
        if let Some(main) = self.main {
            return bring_up(main, seen).or_else(|| self.candidates.first().map(|c| Step::Remove { id: c.id.clone() }));
        }
        let successor = self.candidate().filter(|c| !c.is_proof);
        if let Some(step) = successor.and_then(|c| join(c).or_else(|| prove(c, seen))) {
            return Some(step);
        }
        if replaced.is_running {
            return Some(Step::Stop { id: replaced.id.clone() });
        }
        Some(match successor {
            Some(candidate) => Step::Rename { id: candidate.id.clone(), role: Role::Main },
            None => self.create(Role::Main),
        })
    }

    fn create(&self, role: Role) -> Step {
        let is_proof = role == Role::Candidate && self.takes_port();
        Step::Create { container: self.wanted.container.clone(), role, is_proof }
    }
}

/// Into the network under the alias, out of it first where it is in without.
fn join(candidate: &Observed) -> Option<Step> {
    match candidate.attached {
        Attached::Alias => None,
        Attached::Plain => Some(Step::Detach { id: candidate.id.clone() }),
        Attached::No => Some(Step::Attach { id: candidate.id.clone() }),
    }
}

fn prove(new: &Observed, seen: &Seen) -> Option<Step> {
    if seen.proven.contains(&new.id) {
        return None;
    }
    if !new.is_running && !seen.started.contains(&new.id) {
        return Some(Step::Start { id: new.id.clone() });
    }
    Some(Step::Prove { id: new.id.clone() })
}

/// Running, healthy and kept up.
fn bring_up(main: &Observed, seen: &Seen) -> Option<Step> {
    if main.is_kept_up && main.is_running && !seen.started.contains(&main.id) {
        return None;
    }
    prove(main, seen).or_else(|| (!main.is_kept_up).then(|| Step::KeepUp { id: main.id.clone() }))
}
