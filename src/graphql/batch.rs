//! One load of what many fields of a request ask for.

use std::collections::{HashMap, HashSet};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use futures_util::task::AtomicWaker;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use crate::app::{Error, Result};

/// More ids than these make several statements.
const AT_ONCE: usize = 1000;

/// Gathers ids until nothing else of the request can go on, and then loads what stands for them, at once. The loader of the
/// library gathers for a while instead: a page took more statements the slower the machine was.
///
/// Nothing is kept: what is asked again after a load is loaded again.
pub struct Batch<V> {
    open: Open<V>,
}

type Open<V> = Arc<Mutex<Option<Gathering<V>>>>;
type Loaded<V> = Shared<BoxFuture<'static, Result<Arc<HashMap<String, V>>>>>;

struct Gathering<V> {
    ids: HashSet<String>,
    /// How often somebody asked, for whatever id.
    asked: usize,
    loaded: Loaded<V>,
}

impl<V> Default for Batch<V> {
    fn default() -> Self {
        Self { open: Arc::default() }
    }
}

impl<V: Clone + Send + Sync + 'static> Batch<V> {
    /// What stands for this id, once it is loaded with those of others.
    ///
    /// # Errors
    /// The load's, for all who asked.
    pub async fn one<L>(&self, id: &str, load: L) -> Result<Option<V>>
    where
        L: FnMut(Vec<String>) -> BoxFuture<'static, Result<HashMap<String, V>>> + Send + 'static,
    {
        let loaded = {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            let gathering = open.get_or_insert_with(|| Gathering::begin(&self.open, load));
            gathering.asked += 1;
            if !gathering.ids.contains(id) {
                gathering.ids.insert(id.to_owned());
            }
            gathering.loaded.clone()
        };
        Ok(loaded.await?.get(id).cloned())
    }
}

impl<V: Send + Sync + 'static> Gathering<V> {
    fn begin<L>(open: &Open<V>, mut load: L) -> Self
    where
        L: FnMut(Vec<String>) -> BoxFuture<'static, Result<HashMap<String, V>>> + Send + 'static,
    {
        let open: Weak<_> = Arc::downgrade(open);
        let loaded = async move {
            let ids: Vec<String> = gathered(&open).await.into_iter().collect();
            let loading = async move {
                let mut found = HashMap::with_capacity(ids.len());
                for some in ids.chunks(AT_ONCE) {
                    found.extend(load(some.to_vec()).await?);
                }
                Ok(Arc::new(found))
            };
            // A task of its own, which goes with who waits for it: all who wait would be woken each time it goes on, and each
            // would go on with it.
            let loading = AbortOnDropHandle::new(tokio::spawn(loading.in_current_span()));
            loading.await.unwrap_or_else(|broken| Err(Error::internal(format!("a loader broke: {broken}"))))
        };
        Self { ids: HashSet::new(), asked: 0, loaded: loaded.boxed().shared() }
    }
}

/// The ids that were asked for once nobody has asked for two turns: a request of many rows asks over several of them, since it
/// gives way to others in between.
async fn gathered<V>(open: &Weak<Mutex<Option<Gathering<V>>>>) -> HashSet<String> {
    let mut quiet = 0;
    let mut asked = 0;
    loop {
        {
            // Not held over a turn: it has what holds this.
            let Some(open) = open.upgrade() else { return HashSet::new() };
            let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
            let now = open.as_ref().map_or(0, |gathering| gathering.asked);
            quiet = if now == asked { quiet + 1 } else { 0 };
            asked = now;
            if quiet == 2 {
                return open.take().map(|gathering| gathering.ids).unwrap_or_default();
            }
        }
        turn().await;
    }
}

/// Comes back when the task that asks first has nothing left to do, however often it is polled before: those who share it poll
/// it each.
async fn turn() {
    let turn = Arc::new(Turn::default());
    poll_fn(|context| {
        turn.waker.register(context.waker());
        if !turn.is_awaited.swap(true, Ordering::Relaxed) {
            // What yields is woken after the task was polled, and wakes what is handed to it.
            let waker = Waker::from(turn.clone());
            let yielded = pin!(tokio::task::yield_now()).poll(&mut Context::from_waker(&waker));
            debug_assert!(yielded.is_pending(), "it yields once");
        }
        if turn.has_come.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

#[derive(Default)]
struct Turn {
    is_awaited: AtomicBool,
    has_come: AtomicBool,
    waker: AtomicWaker,
}

impl Wake for Turn {
    fn wake(self: Arc<Self>) {
        self.has_come.store(true, Ordering::Release);
        self.waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::future::join_all;

    use super::*;

    type Loads = Arc<Mutex<Vec<usize>>>;

    /// Says of each id how long it is, and notes how many ids were asked at once.
    fn length(
        loads: &Loads,
    ) -> impl FnMut(Vec<String>) -> BoxFuture<'static, Result<HashMap<String, usize>>> + Send + 'static {
        let loads = loads.clone();
        move |ids| {
            loads.lock().unwrap_or_else(PoisonError::into_inner).push(ids.len());
            async move { Ok(ids.into_iter().filter(|id| id != "none").map(|id| (id.clone(), id.len())).collect()) }
                .boxed()
        }
    }

    fn seen(loads: &Loads) -> Vec<usize> {
        std::mem::take(&mut loads.lock().unwrap_or_else(PoisonError::into_inner))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn all_that_a_request_asks_is_one_load_however_long_it_takes_to_ask() {
        // A request is a task of its own.
        let request = tokio::spawn(async {
            let (batch, loads) = (Batch::default(), Loads::default());
            let slowly = async |id: &str| {
                std::thread::sleep(Duration::from_millis(5));
                batch.one(id, length(&loads)).await
            };
            let found = join_all(["a", "bb", "a", "none", "ccc"].map(slowly)).await;
            let found: Vec<_> = found.into_iter().map(|one| one.expect("it is loaded")).collect();
            assert_eq!(found, [Some(1), Some(2), Some(1), None, Some(3)]);
            assert_eq!(seen(&loads), [4]);
            assert_eq!(batch.one("a", length(&loads)).await.expect("it is loaded"), Some(1));
            assert_eq!(seen(&loads), [1], "it may be another by now");
        });
        request.await.expect("it ends");
    }

    #[tokio::test]
    async fn who_leaves_first_leaves_nobody_waiting() {
        let (batch, loads) = (Batch::default(), Loads::default());
        {
            let mut first = pin!(batch.one("a", length(&loads)));
            assert!(matches!(first.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending));
        }
        assert_eq!(batch.one("bb", length(&loads)).await.expect("it is loaded"), Some(2));
        assert_eq!(seen(&loads), [2]);
    }

    #[tokio::test]
    async fn nothing_is_left_of_a_request_that_was_dropped() {
        let (batch, loads) = (Batch::default(), Loads::default());
        {
            let mut first = pin!(batch.one("a", length(&loads)));
            assert!(matches!(first.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending));
        }
        let open = Arc::downgrade(&batch.open);
        drop(batch);
        assert!(open.upgrade().is_none());
        assert_eq!(Arc::strong_count(&loads), 1, "nor of what it was to load with");
    }

    #[tokio::test]
    async fn a_failure_is_everybodys_and_not_the_next_ones() {
        let (batch, loads) = (Batch::<usize>::default(), Loads::default());
        let fails = |_: Vec<String>| async { Err(Error::internal("away")) }.boxed();
        let found = join_all(["a", "b"].map(|id| batch.one(id, fails))).await;
        assert!(found.iter().all(Result::is_err));
        assert_eq!(batch.one("a", length(&loads)).await.expect("it is loaded"), Some(1));
    }

    #[tokio::test]
    async fn very_many_are_loaded_in_parts() {
        let (batch, loads) = (Batch::default(), Loads::default());
        let ids: Vec<String> = (0..2500).map(|n| n.to_string()).collect();
        let found = join_all(ids.iter().map(|id| batch.one(id, length(&loads)))).await;
        assert!(found.iter().zip(&ids).all(|(one, id)| one.as_ref().is_ok_and(|found| *found == Some(id.len()))));
        assert_eq!(seen(&loads), [1000, 1000, 500]);
    }
}
