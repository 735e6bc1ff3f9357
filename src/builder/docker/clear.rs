//! The end of builds that are given up, and the removal of what a run left.
//!
//! An engine gives a build up when it is told to and when its client is gone, but it says only in the build's own
//! answer when nothing of it is at work any more. So the answer of a build that is given up is read to its end at the
//! side, and `clear` waits for that. After a crash nobody can read it: `clear` then waits for the steps that were at
//! work when it was called, as far as the engine's list of its build cache tells.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bollard::query_parameters::{ListContainersOptions, ListNetworksOptions, RemoveContainerOptions};
use serde::Deserialize;
use tokio::task::JoinHandle;
use url::form_urlencoded::Serializer;

use super::{DockerBuilder, error, sdk};
use crate::builder::{BuilderError, RUN};
use crate::engine::{Engine, EngineError, Exchange, Line};

/// How long a build that was given up may take to end. Its programs are killed at once; the rest is clearing up.
const END: Duration = Duration::from_secs(20);
/// How long steps of a build that nobody can read any more are waited for, and how often they are looked at.
const UNREAD: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(200);
/// How many builds that ended by themselves are remembered.
const REMEMBERED: usize = 500;

/// How the builds of this process ended.
#[derive(Default)]
pub struct Endings(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// Those that were given up, by run.
    given_up: HashMap<String, JoinHandle<()>>,
    /// Those that are over.
    over: VecDeque<String>,
}

impl Endings {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add_over(&self, run_id: &str) {
        let mut known = self.known();
        if known.over.len() == REMEMBERED {
            known.over.pop_front();
        }
        known.over.push_back(run_id.to_owned());
    }

    fn add_given_up(&self, run_id: &str, ending: JoinHandle<()>) {
        let mut known = self.known();
        known.given_up.retain(|_, ending| !ending.is_finished());
        known.over.retain(|over| over != run_id);
        known.given_up.insert(run_id.to_owned(), ending);
    }
}

/// A build that is at work. When it is dropped the engine is told to give it up, and its answer is read to its end.
pub struct Going {
    engine: Engine,
    endings: Arc<Endings>,
    run_id: String,
    answer: Option<Exchange>,
}

impl Going {
    pub fn new(builder: &DockerBuilder, run_id: &str) -> Self {
        // What an earlier try of the same run left is of no meaning for this one.
        builder.endings.known().over.retain(|over| over != run_id);
        Self {
            engine: builder.engine.clone(),
            endings: Arc::clone(&builder.endings),
            run_id: run_id.to_owned(),
            answer: None,
        }
    }

    /// The engine takes it.
    pub fn begin(&mut self, answer: Exchange) {
        self.answer = Some(answer);
    }

    /// The next line of its answer. The build is over when there is none.
    pub async fn line(&mut self) -> Result<Option<Line>, EngineError> {
        let Some(answer) = &mut self.answer else { return Ok(None) };
        let line = answer.line().await;
        if let Ok(None) = line {
            self.answer = None;
            self.endings.add_over(&self.run_id);
        }
        line
    }

    /// Makes an end, if there is none yet.
    pub async fn end(&mut self) {
        // Kept in place while it is waited for: when this is dropped too, the rest is done at the side.
        if let Some(answer) = &mut self.answer {
            end(&self.engine, &self.run_id, answer).await;
            self.answer = None;
            self.endings.add_over(&self.run_id);
        }
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        let Some(mut answer) = self.answer.take() else { return };
        // Without a runtime the connection just closes, which the engine understands as well.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (engine, run_id) = (self.engine.clone(), self.run_id.clone());
        let ending = runtime.spawn(async move { end(&engine, &run_id, &mut answer).await });
        self.endings.add_given_up(&self.run_id, ending);
    }
}

/// Takes twenty seconds at most; then the connection is closed.
async fn end(engine: &Engine, run_id: &str, answer: &mut Exchange) {
    let orderly = async {
        // Either may fail only with the connection, and then there is nobody to be told.
        let _ = give_up(engine, run_id).await;
        let _ = answer.drain().await;
    };
    let _ = tokio::time::timeout(END, orderly).await;
}

/// Tells the engine to give a build up; one that it does not know is given up already.
async fn give_up(engine: &Engine, run_id: &str) -> Result<(), EngineError> {
    let path = Serializer::new(String::from("/build/cancel?")).append_pair("id", run_id).finish();
    match engine.tell(&path).await {
        Ok(_) | Err(EngineError::Answer { .. }) => Ok(()),
        Err(failure) => Err(failure),
    }
}

impl DockerBuilder {
    pub(super) async fn clear_run(&self, run_id: &str) -> Result<(), BuilderError> {
        give_up(&self.engine, run_id).await.map_err(error)?;
        let (ending, is_over) = {
            let mut known = self.endings.known();
            (known.given_up.remove(run_id), known.over.iter().any(|over| over == run_id))
        };
        match ending {
            // It ends by itself after twenty seconds; only the end of the program ends it otherwise.
            Some(ending) => {
                let _ = ending.await;
                self.endings.add_over(run_id);
            }
            None if is_over => {}
            None => {
                // It takes as long as it takes: other builds may be at work, and they are not waited for.
                let _ = tokio::time::timeout(UNREAD, self.wait_for_steps()).await;
            }
        }
        self.remove_left(run_id).await
    }

    /// Removes containers and networks of a run.
    pub(super) async fn remove_left(&self, run_id: &str) -> Result<(), BuilderError> {
        let api = self.engine.api().await.map_err(error)?;
        let filters = Some(HashMap::from([("label".to_owned(), vec![format!("{RUN}={run_id}")])]));
        let options = ListContainersOptions { all: true, filters: filters.clone(), ..Default::default() };
        for container in api.list_containers(Some(options)).await.map_err(sdk)? {
            let options = RemoveContainerOptions { force: true, v: true, ..Default::default() };
            let removed = api.remove_container(&container.id.unwrap_or_default(), Some(options)).await;
            gone(removed.map_err(EngineError::from))?;
        }
        for network in api.list_networks(Some(ListNetworksOptions { filters })).await.map_err(sdk)? {
            gone(api.remove_network(&network.id.unwrap_or_default()).await.map_err(EngineError::from))?;
        }
        Ok(())
    }

    /// Waits until none of the steps that are at work now is at work.
    async fn wait_for_steps(&self) -> Result<(), BuilderError> {
        let mut waited_for = self.steps_at_work().await?;
        while !waited_for.is_empty() {
            tokio::time::sleep(LOOK).await;
            let now = self.steps_at_work().await?;
            waited_for.retain(|step| now.contains(step));
        }
        Ok(())
    }

    /// What the engine's build cache is used for at this moment.
    async fn steps_at_work(&self) -> Result<HashSet<String>, BuilderError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Usage {
            build_cache: Option<Vec<Record>>,
            build_cache_usage: Option<Records>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Records {
            items: Option<Vec<Record>>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Record {
            #[serde(rename = "ID")]
            id: String,
            in_use: bool,
        }
        // Old engines know no types and give everything; new ones give single records only when asked for them.
        let path = "/system/df?type=build-cache&verbose=1";
        let mut answer = self.engine.get(path).await.map_err(error)?;
        let Some(Line::Text(text)) = answer.line().await.map_err(error)? else { return Ok(HashSet::new()) };
        let usage: Usage = serde_json::from_slice(&text).map_err(|_| error(EngineError::Garbled))?;
        let newer = usage.build_cache_usage.and_then(|records| records.items);
        let records = usage.build_cache.or(newer).into_iter().flatten();
        Ok(records.filter(|record| record.in_use).map(|record| record.id).collect())
    }
}

/// What is gone already, or is being removed by somebody else, is removed.
fn gone(removed: Result<(), EngineError>) -> Result<(), BuilderError> {
    match removed {
        Err(failure) if !failure.is_missing() && !failure.is_conflict() => Err(error(failure)),
        _ => Ok(()),
    }
}
