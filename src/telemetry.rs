//! Log lines: how they look, and what never gets into them. Traces: where they go ([`traces`]).

mod traces;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::config::telemetry::{LogFormat, Telemetry};
use crate::measure::spans;

pub use traces::{Destination, Traces};

/// Crates that print payloads at debug (bollard its whole requests): info at most, whatever the filter says.
const CLAMPED: [&str; 19] = [
    "bollard",
    "hyper",
    "hyper_rustls",
    "hyper_util",
    "kube",
    "kube_core",
    "kube_runtime",
    "h2",
    "reqwest",
    "rustls",
    "rustls_platform_verifier",
    "sqlx",
    "sea_orm",
    "sea_orm_migration",
    "tungstenite",
    "tokio_tungstenite",
    "tower",
    "tower_http",
    "async_graphql",
];

/// Crates that print payloads even at warn: kube the answers that it can't read, secrets among them.
const SILENCED: [&str; 1] = ["kube_client"];

/// Starts logging to stderr, once a process, and sending traces where there is somewhere to send them.
///
/// # Errors
/// When the filter can't be read, or logging was started before.
pub fn init(
    config: &Telemetry,
    destination: Option<Destination>,
) -> Result<Option<Traces>, Box<dyn std::error::Error + Send + Sync>> {
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match config.format {
        LogFormat::Pretty => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let lines = lines.with_filter(filter(&config.log)?);
    let traces = destination.map(Traces::start);
    let exported = traces.as_ref().map(|traces| {
        tracing_opentelemetry::layer()
            .with_tracer(traces.tracer())
            .with_context_activation(false)
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            // Neither other crates' spans nor any log line: nobody has looked at what is in them.
            .with_filter(Targets::new().with_target(spans::TARGET, LevelFilter::INFO))
    });
    tracing_subscriber::registry().with(lines).with(exported).try_init()?;
    Ok(traces)
}

/// Has a command say on stderr what fails and why. A message that gives the id of a log line has that line there.
pub fn of_command() {
    let errors = tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing::Level::ERROR);
    // Whoever has started logging before has said where it goes.
    let _ = errors.try_init();
}

/// Whether the filter can be read.
///
/// # Errors
/// Why not, in words.
pub fn check(config: &Telemetry) -> Result<(), String> {
    filter(&config.log).map(drop).map_err(|why| format!("this is no filter of log lines: {why}"))
}

/// The filter of log lines, with the clamped crates' own directives replaced.
///
/// # Errors
/// When it can't be read.
pub fn filter(text: &str) -> Result<EnvFilter, tracing_subscriber::filter::ParseError> {
    let of_clamped = |part: &&str| {
        let target = part.split(['=', '[']).next().unwrap_or_default().trim();
        let name = target.split("::").next().unwrap_or_default();
        // Any span directive could lift a whole call tree, theirs included.
        CLAMPED.contains(&name) || SILENCED.contains(&name) || part.contains('[') || target == spans::TARGET
    };
    let kept: Vec<&str> = text.split(',').filter(|part| !of_clamped(part)).collect();
    let clamp = CLAMPED.map(|name| format!("{name}=info"));
    let silence = SILENCED.map(|name| format!("{name}=error"));
    // Spans for a collector are in no line.
    let apart = [format!("{}=off", spans::TARGET)];
    let parts = kept.into_iter().map(str::to_owned).chain(clamp).chain(silence).chain(apart);
    EnvFilter::try_new(parts.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_stay_out() {
        for text in [
            "trace",
            "info,bollard=trace",
            "bollard::docker=debug,hyper=trace",
            "[{x}]=trace",
            "kube_client::client=trace,kube=debug",
            "kiops::traces=info",
        ] {
            let filter = filter(text).map(|f| f.to_string()).unwrap_or_default();
            assert!(filter.contains("bollard=info") && filter.contains("hyper=info"), "{filter}");
            assert!(filter.contains("kube_client=error") && filter.contains("kube=info"), "{filter}");
            assert!(!filter.contains("kube_client::client") && !filter.contains("kube=debug"), "{filter}");
            assert!(filter.contains("kiops::traces=off") && !filter.contains("kiops::traces=info"), "{filter}");
            assert!(!filter.contains("bollard=trace") && !filter.contains("bollard::docker"), "{filter}");
        }
    }
}
