//! BuildKit's account of a build, made into lines: the steps by name, and what each of them printed.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::failure::{Failure, single};
use crate::builder::{Journal, Output};
use crate::engine::messages::{Moment, Trace, Vertex, VertexLog};
use crate::engine::{LineAssembler, LogLine, MAX_LINE};
use crate::vault::Masker;

/// Longest name of a step that is shown.
const LONGEST_NAME: usize = 1000;
/// What the builder does for itself.
const OWN: &str = "[internal] ";
/// What it does with the cache in a registry. It does without where that fails.
const CACHE: [&str; 2] = ["importing cache manifest from ", "exporting cache to "];
/// And the one of these things that takes long and fails for reasons of the project.
const METADATA: &str = "[internal] load metadata for ";

/// Reads a build's account.
pub struct Account<'a> {
    /// Knows what must not be cut in two.
    masker: &'a Masker,
    steps: HashMap<String, Step>,
    /// The step whose name was the last one shown.
    shown: String,
    failed: Option<Failure>,
}

#[derive(Default)]
struct Step {
    name: String,
    is_known: bool,
    is_cached: bool,
    stdout: LineAssembler,
    stderr: LineAssembler,
    /// What it printed last; neither masked nor cut.
    last: String,
}

impl<'a> Account<'a> {
    /// Nothing was taken yet.
    pub fn new(masker: &'a Masker) -> Self {
        Self { masker, steps: HashMap::new(), shown: String::new(), failed: None }
    }

    /// Takes what the builder says beside the steps.
    pub async fn text(&mut self, text: &str, journal: &dyn Journal) {
        let text = single(text, MAX_LINE, self.masker);
        if !text.is_empty() {
            journal.line(Output::System, &text).await;
        }
    }

    /// Takes what the whole build failed of.
    pub fn error(&mut self, whole: String) {
        self.failed.get_or_insert_with(Failure::default).whole = whole;
    }

    /// Takes what is new of the steps.
    pub async fn trace(&mut self, mut trace: Trace, journal: &dyn Journal) {
        trace.vertexes.sort_by_key(|vertex| vertex.started.map(|at| (at.seconds, at.nanos)));
        // A step is over only when what it printed was taken.
        let (over, going): (Vec<_>, Vec<_>) = trace.vertexes.into_iter().partition(|vertex| vertex.completed.is_some());
        for vertex in going.iter().chain(&over) {
            self.step(vertex, journal).await;
        }
        for log in trace.logs {
            self.log(log, journal).await;
        }
        for vertex in &over {
            self.flush(&vertex.digest, journal).await;
        }
        for vertex in going.iter().chain(&over) {
            self.failure(vertex);
        }
        for warning in trace.warnings {
            let text = single(&String::from_utf8_lossy(&warning.short), MAX_LINE, self.masker);
            journal.line(Output::System, &format!("warning: {text}")).await;
        }
    }

    /// Gives what is left, and says why the build failed if it did.
    pub async fn end(mut self, journal: &dyn Journal) -> Option<Failure> {
        let digests: Vec<String> = self.steps.keys().cloned().collect();
        for digest in digests {
            self.flush(&digest, journal).await;
        }
        self.failed
    }

    async fn step(&mut self, vertex: &Vertex, journal: &dyn Journal) {
        let step = self.steps.entry(vertex.digest.clone()).or_default();
        if step.name.is_empty() {
            step.name = single(&vertex.name, LONGEST_NAME, self.masker);
        }
        let becomes_known = vertex.started.is_some() && !step.is_known;
        let becomes_cached = vertex.cached && !step.is_cached;
        step.is_known |= vertex.started.is_some();
        step.is_cached |= vertex.cached;
        if !(becomes_known || becomes_cached) || is_own(&step.name) {
            return;
        }
        let text = if step.is_cached { format!("{} (cached)", step.name) } else { step.name.clone() };
        self.shown.clone_from(&vertex.digest);
        journal.line(Output::System, &text).await;
    }

    async fn log(&mut self, log: VertexLog, journal: &dyn Journal) {
        let Some(step) = self.steps.get_mut(&log.vertex) else { return };
        let at = moment(log.at);
        let (output, lines) = match log.stream {
            2 => (Output::Stderr, step.stderr.push_at(at, &log.text)),
            _ => (Output::Stdout, step.stdout.push_at(at, &log.text)),
        };
        self.print(&log.vertex, output, lines, journal).await;
    }

    async fn flush(&mut self, digest: &str, journal: &dyn Journal) {
        let Some(step) = self.steps.get_mut(digest) else { return };
        let (stdout, stderr) = (step.stdout.flush(), step.stderr.flush());
        self.print(digest, Output::Stdout, stdout.into_iter().collect(), journal).await;
        self.print(digest, Output::Stderr, stderr.into_iter().collect(), journal).await;
    }

    async fn print(&mut self, digest: &str, output: Output, lines: Vec<LogLine>, journal: &dyn Journal) {
        let Some(step) = self.steps.get_mut(digest).filter(|_| !lines.is_empty()) else { return };
        // Steps of several stages run side by side: it is said again whose lines these are.
        if self.shown != digest {
            journal.line(Output::System, &step.name).await;
            digest.clone_into(&mut self.shown);
        }
        if let Some(last) = lines.iter().rev().find(|line| !line.text.trim().is_empty()) {
            step.last.clone_from(&last.text);
        }
        for line in lines {
            journal.line(output, &line.text).await;
        }
    }

    fn failure(&mut self, vertex: &Vertex) {
        // The others are stopped when one fails.
        if vertex.error.is_empty() || vertex.error.ends_with("context canceled") {
            return;
        }
        if CACHE.iter().any(|name| vertex.name.starts_with(name)) {
            return;
        }
        let failed = self.failed.get_or_insert_with(Failure::default);
        if failed.step.is_none() {
            let step = self.steps.get(&vertex.digest);
            failed.step = step.map(|step| step.name.clone());
            failed.reason.clone_from(&vertex.error);
            failed.last = step.map(|step| step.last.clone()).unwrap_or_default();
        }
    }
}

/// Whether a step is of no interest to a reader.
fn is_own(name: &str) -> bool {
    name.starts_with(OWN) && !name.starts_with(METADATA)
}

fn moment(at: Option<Moment>) -> DateTime<Utc> {
    let at = at.unwrap_or_default();
    DateTime::from_timestamp(at.seconds, at.nanos.unsigned_abs()).unwrap_or_default()
}
