//! Log lines: how they look, and what never gets into them.

use tracing_subscriber::EnvFilter;

use crate::config::telemetry::{LogFormat, Telemetry};

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

/// Starts logging to stderr, once a process.
///
/// # Errors
/// When the filter can't be read, or logging was started before.
pub fn init(config: &Telemetry) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let builder = tracing_subscriber::fmt().with_env_filter(filter(&config.log)?).with_writer(std::io::stderr);
    match config.format {
        LogFormat::Pretty => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    }
}

/// The filter with the clamped crates' own directives replaced.
///
/// # Errors
/// When it can't be read.
pub fn filter(text: &str) -> Result<EnvFilter, tracing_subscriber::filter::ParseError> {
    let of_clamped = |part: &&str| {
        let target = part.split(['=', '[']).next().unwrap_or_default().trim();
        let name = target.split("::").next().unwrap_or_default();
        // Any span directive could lift a whole call tree, theirs included.
        CLAMPED.contains(&name) || SILENCED.contains(&name) || part.contains('[')
    };
    let kept: Vec<&str> = text.split(',').filter(|part| !of_clamped(part)).collect();
    let clamp = CLAMPED.map(|name| format!("{name}=info"));
    let silence = SILENCED.map(|name| format!("{name}=error"));
    EnvFilter::try_new(kept.into_iter().map(str::to_owned).chain(clamp).chain(silence).collect::<Vec<_>>().join(","))
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
        ] {
            let filter = filter(text).map(|f| f.to_string()).unwrap_or_default();
            assert!(filter.contains("bollard=info") && filter.contains("hyper=info"), "{filter}");
            assert!(filter.contains("kube_client=error") && filter.contains("kube=info"), "{filter}");
            assert!(!filter.contains("kube_client::client") && !filter.contains("kube=debug"), "{filter}");
            assert!(!filter.contains("bollard=trace") && !filter.contains("bollard::docker"), "{filter}");
        }
    }
}
