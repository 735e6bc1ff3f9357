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

    /// What it comes to with a container's variables.
    pub fn resolved(&self, variables: &BTreeMap<String, String>) -> &Self {
        match self {
            Self::When { name, value, then, otherwise } => {
                if variables.get(name) == Some(value) {
                    then.resolved(variables)
                } else {
                    otherwise.resolved(variables)
                }
            }
            other => other,
        }
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

/// Whether an object may be written: `Some((status, why))` when not.
pub type Admission = Arc<dyn Fn(&Value) -> Option<(u16, String)> + Send + Sync>;

/// All of it.
#[derive(Clone)]
pub struct Knobs {
    pub images: BTreeMap<String, Image>,
    /// By bearer token.
    pub logins: BTreeMap<String, Login>,
    pub admission: Option<Admission>,
    /// How many seconds of the cluster are one of the world.
    pub speed: f64,
    /// How long a deleted namespace is Terminating.
    pub namespace_leaves: Duration,
    /// How long each answer takes.
    pub latency: Duration,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            images: BTreeMap::new(),
            logins: BTreeMap::new(),
            admission: None,
            speed: 1.0,
            namespace_leaves: Duration::from_millis(50),
            latency: Duration::ZERO,
        }
    }
}

impl Knobs {
    /// How long so many seconds of the cluster are.
    pub fn seconds(&self, seconds: f64) -> Duration {
        Duration::from_secs_f64((seconds / self.speed).max(0.001))
    }
}
