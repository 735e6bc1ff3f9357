//! What whoever runs KIOPS does to it beside the real server program, while it is used.
#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

mod answers;
mod audit;
mod backup;
mod metrics;
mod rotation;
mod slow;
mod traces;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::support::server::until;

/// Writes one thing after the other, twice at once, until a work is done; gives what came of it, and how many were written
/// before it began, and in all.
fn while_writing<T>(write: impl Fn(usize) + Sync, work: impl FnOnce() -> T) -> (T, [usize; 2]) {
    let (next, written, done) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let now = || written.load(Ordering::SeqCst);
    let (outcome, before) = std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    write(next.fetch_add(1, Ordering::SeqCst));
                    written.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        // Those threads end also when something panics here.
        let _told = Telling(&done);
        let least = |count: usize| until("more to be written", 60, || (now() >= count).then(now));
        let before = least(4);
        let outcome = work();
        least(now() + 4);
        (outcome, before)
    });
    (outcome, [before, now()])
}

/// Says in the end that a work is done.
struct Telling<'a>(&'a AtomicBool);

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
