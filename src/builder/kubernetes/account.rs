//! `buildctl`'s lines: the steps' account as JSON, and between them what it and its script say themselves.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::builder::Journal;
use crate::builder::buildkit::{Account, Failure};
use crate::cluster::log::Printed;
use crate::engine::messages::{Moment, Trace, Vertex, VertexLog, VertexWarning};
use crate::vault::Masker;

/// What `buildctl` ends a build with that failed.
const ERROR: &str = "error: ";

/// Reads the account of one build.
pub(super) struct Reader<'a> {
    account: Account<'a>,
}

impl<'a> Reader<'a> {
    pub fn new(masker: &'a Masker) -> Self {
        Self { account: Account::new(masker) }
    }

    pub async fn take(&mut self, line: &Printed, journal: &dyn Journal) {
        if line.is_cut {
            return self.account.text("A part of the builder's account was too long and is left out.", journal).await;
        }
        let text = String::from_utf8_lossy(&line.text);
        if let Some(trace) = trace(&text) {
            return self.account.trace(trace, journal).await;
        }
        if let Some(error) = text.strip_prefix(ERROR) {
            return self.account.error(error.to_owned());
        }
        self.account.text(&text, journal).await;
    }

    /// Gives what is left, and why the build failed, as far as it said so.
    pub async fn end(self, journal: &dyn Journal) -> Failure {
        self.account.end(journal).await.unwrap_or_default()
    }
}

/// <https://github.com/moby/buildkit/blob/v0.32.2/client/graph.go>
#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    vertexes: Vec<Step>,
    #[serde(default)]
    logs: Vec<Text>,
    #[serde(default)]
    warnings: Vec<Warning>,
}

#[derive(Deserialize)]
struct Step {
    #[serde(default)]
    digest: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    started: Option<DateTime<Utc>>,
    #[serde(default)]
    completed: Option<DateTime<Utc>>,
    #[serde(default)]
    cached: bool,
    #[serde(default)]
    error: String,
}

#[derive(Deserialize)]
struct Text {
    #[serde(default)]
    vertex: String,
    #[serde(default)]
    stream: i64,
    #[serde(default)]
    data: Base64,
    #[serde(default)]
    timestamp: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
struct Warning {
    #[serde(default)]
    vertex: String,
    #[serde(default)]
    short: Base64,
}

/// Bytes, as Go's JSON has them.
#[derive(Default)]
struct Base64(Bytes);

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use base64::Engine as _;
        // Nothing is null in Go.
        let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).map_err(serde::de::Error::custom)?;
        Ok(Self(bytes.into()))
    }
}

fn trace(line: &str) -> Option<Trace> {
    let status: Status = serde_json::from_str(line.trim()).ok()?;
    let vertexes = status.vertexes.into_iter().map(|step| Vertex {
        digest: step.digest,
        name: step.name,
        cached: step.cached,
        started: step.started.map(moment),
        completed: step.completed.map(moment),
        error: step.error,
    });
    let logs = status.logs.into_iter().map(|log| VertexLog {
        vertex: log.vertex,
        at: log.timestamp.map(moment),
        stream: log.stream,
        text: log.data.0,
    });
    let warnings =
        status.warnings.into_iter().map(|warning| VertexWarning { vertex: warning.vertex, short: warning.short.0 });
    Some(Trace { vertexes: vertexes.collect(), logs: logs.collect(), warnings: warnings.collect() })
}

fn moment(at: DateTime<Utc>) -> Moment {
    Moment { seconds: at.timestamp(), nanos: at.timestamp_subsec_nanos().cast_signed() }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_account_is_read_as_the_engines_is() {
        let line = r#"{"vertexes":[{"digest":"sha256:aa","name":"[2/2] RUN make","started":"2026-08-21T17:29:35.5Z"}],
            "statuses":[{"id":"x","current":0,"timestamp":"2026-08-21T17:29:35Z"}],
            "logs":[{"vertex":"sha256:aa","stream":2,"data":"aGkK","timestamp":"2026-08-21T17:29:36Z"}],
            "warnings":[{"vertex":"sha256:aa","level":1,"short":"b2xk","detail":null}]}"#;
        let trace = trace(&line.replace('\n', "")).unwrap();
        assert_eq!(trace.vertexes[0].name, "[2/2] RUN make");
        assert_eq!(trace.vertexes[0].started.unwrap().nanos, 500_000_000);
        assert!(trace.vertexes[0].completed.is_none());
        assert_eq!((trace.logs[0].stream, trace.logs[0].text.as_ref()), (2, b"hi\n".as_slice()));
        assert_eq!(trace.warnings[0].short.as_ref(), b"old");
        for other in ["", "could not connect to unix:///run/user/1000 after 10 trials", "{\"vertexes\":1}", "7"] {
            assert!(super::trace(other).is_none(), "{other}");
        }
    }
}
