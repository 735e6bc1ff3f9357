//! What a test tells the cluster to be like.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

/// What a container of an image does.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// Runs, and is ready after so long.
    Runs(Duration),
    /// Runs, and its readiness probe never succeeds.
    NeverReady,
    /// There is no such image.
    Missing,
    /// Ends with a code, again and again, after printing these lines.
    CrashLoop { exit_code: i32, lines: Vec<String> },
    /// Takes too much memory, again and again.
    OutOfMemory,
    /// No node will have it.
    Unschedulable,
    /// It can't be made from what the pod says.
    ConfigError(String),
    /// Works for so long, prints these lines and ends with a code: what a Job runs.
    Ends { after: Duration, exit_code: i32, lines: Vec<String> },
    /// Works until its standard input ends, unpacks that as `tar` does, and ends.
    Unpacks,
    /// Ends well, with this termination message.
    Tells(String),
    /// The program can't be started: what the container runtime says of it.
    NotStarted(String),
    /// One thing in the container of this name, another in the others.
    In { container: String, then: Box<Behaviour>, otherwise: Box<Behaviour> },
    /// One thing where the container has this variable with this value, else another.
    When { name: String, value: String, then: Box<Behaviour>, otherwise: Box<Behaviour> },
}

impl Behaviour {
    /// Runs and is ready at once.
    pub fn runs() -> Self {
        Self::Runs(Duration::from_millis(30))
    }

    /// As `self`, but `then` in a container with the variable.
    pub fn when(self, name: &str, value: &str, then: Self) -> Self {
        Self::When { name: name.to_owned(), value: value.to_owned(), then: Box::new(then), otherwise: Box::new(self) }
    }

    /// As `self`, but `then` in the container of this name.
    pub fn but_in(self, container: &str, then: Self) -> Self {
        Self::In { container: container.to_owned(), then: Box::new(then), otherwise: Box::new(self) }
    }

    /// What it comes to in a container with these variables.
    pub fn resolved(&self, container: &str, variables: &BTreeMap<String, String>) -> &Self {
        let (is, then, otherwise) = match self {
            Self::When { name, value, then, otherwise } => (variables.get(name) == Some(value), then, otherwise),
            Self::In { container: name, then, otherwise } => (name == container, then, otherwise),
            other => return other,
        };
        if is { then } else { otherwise }.resolved(container, variables)
    }
}

/// An image that exists.
#[derive(Debug, Clone)]
pub struct Image {
    pub behaviour: Behaviour,
    /// Whether its user is root.
    pub root: bool,
    /// Whether a pod needs a pull secret for it.
    pub private: bool,
}

/// What somebody may do: `verb resource.group`, with `*` for all of either.
#[derive(Debug, Clone)]
pub struct Login {
    pub user: String,
    pub may: Vec<(String, String)>,
}

/// What a container leaves in the folder that is at `/kiops/out` in it.
pub type Leaves = Arc<dyn Fn(&std::path::Path) + Send + Sync>;

/// Whether an object may be written: `Some((status, why))` when not.
pub type Admission = Arc<dyn Fn(&Value) -> Option<(u16, String)> + Send + Sync>;

/// All of it.
#[derive(Clone)]
pub struct Knobs {
    pub images: BTreeMap<String, Image>,
    /// What containers of an image leave.
    pub leaves: BTreeMap<String, Leaves>,
    /// How many connections to programs that are started in containers break before the program has said anything.
    pub broken_programs: u32,
    /// By bearer token.
    pub logins: BTreeMap<String, Login>,
    pub admission: Option<Admission>,
    /// How many seconds of the cluster are one of the world.
    pub speed: f64,
    /// What it says its version is.
    pub version: String,
    /// How long a deleted namespace is Terminating.
    pub namespace_leaves: Duration,
    /// How long each answer takes.
    pub latency: Duration,
    /// Of every kind of request each other one is answered 502, the first to begin with. None: of none.
    pub stumbles: Option<BTreeMap<(String, String), u32>>,
    /// After so many bytes a connection to a container's standard input breaks.
    pub input_breaks_after: Option<usize>,
    /// The next line of a log breaks off after so many bytes, and the log with it.
    pub tears: Option<usize>,
    /// The node does not answer any more: its pods are never gone.
    pub node_is_dead: bool,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            images: BTreeMap::new(),
            leaves: BTreeMap::new(),
            broken_programs: 0,
            logins: BTreeMap::new(),
            admission: None,
            speed: 1.0,
            version: "v1.37.0".to_owned(),
            namespace_leaves: Duration::from_millis(50),
            latency: Duration::ZERO,
            stumbles: None,
            input_breaks_after: None,
            tears: None,
            node_is_dead: false,
        }
    }
}

impl Knobs {
    /// Whether it is this request's turn to be answered 502.
    pub fn is_stumble(&mut self, verb: &str, resource: &str) -> bool {
        let Some(counts) = &mut self.stumbles else { return false };
        let count = counts.entry((verb.to_owned(), resource.to_owned())).or_default();
        *count += 1;
        *count % 2 == 1
    }

    /// How long so many seconds of the cluster are.
    pub fn seconds(&self, seconds: f64) -> Duration {
        Duration::from_secs_f64((seconds / self.speed).max(0.001))
    }
}
