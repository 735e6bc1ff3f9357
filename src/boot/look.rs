//! What rooms that know better than the configuration's own say of its values, before anything is started.

use std::sync::Arc;

use super::{SystemClock, declared, parts};
use crate::app::declared::faults;
use crate::app::identity::bootstrap;
use crate::config::{Config, ConfigFaults, ConfigSource, Draft};
use crate::git::{GitClientSettings, GitClients, GitProviders};
use crate::net::{Outbound, Policy, Timeouts};
use crate::telemetry;

/// Reads the configuration and looks at all of it. No database and no other server is asked.
///
/// # Errors
/// Everything that is wrong, by key and by where that stands.
pub fn configuration(source: &ConfigSource) -> Result<Config, ConfigFaults> {
    let mut draft = Draft::read(source)?;
    let found = look(draft.config());
    found.into_iter().for_each(|(key, message)| draft.note(key, message));
    draft.finish()
}

fn look(config: &Config) -> Vec<(String, String)> {
    let mut found = net(config);
    if let Err(why) = telemetry::check(&config.telemetry) {
        found.push(("telemetry.log".to_owned(), why));
    }
    let first = &config.bootstrap;
    let first = bootstrap::faults(&first.organization, &first.admin_email, first.admin_password.as_ref());
    let gits = addresses_of_gits(config);
    let gits = gits.as_ref().map(|gits| gits as &dyn GitProviders);
    let stated = faults(gits, &declared::declarations(config));
    // Neither docker nor kubernetes, no token, a file that is not there: that was said where the file was read.
    found.extend(first.into_iter().chain(stated).map(|fault| (fault.field, fault.message)));
    found
}

/// What knows how providers' addresses look, from as much of the sections for it as is right.
fn addresses_of_gits(config: &Config) -> Option<GitClients> {
    let is_right = |entry: &&String| Policy::new(&[], std::slice::from_ref(entry), None, Timeouts::default()).is_ok();
    let plain: Vec<String> = config.net.plain_http.iter().filter(is_right).cloned().collect();
    let outbound = Outbound::new(Policy::new(&[], &plain, None, Timeouts::default()).ok()?).ok()?;
    let stated = parts::gits(config, outbound.clone());
    stated.ok().or_else(|| {
        let public = GitClientSettings { github_api_url: "https://api.github.com".to_owned() };
        GitClients::new(outbound, &public, Arc::new(SystemClock)).ok()
    })
}

/// Each entry by itself, so that all that are wrong are told.
fn net(config: &Config) -> Vec<(String, String)> {
    let net = &config.net;
    let mut found = Vec::new();
    let mut note = |key: &str, checked: Result<Policy, String>| {
        if let Err(why) = checked {
            // The policy names the key itself.
            let why =
                why.split_once(": ").filter(|(before, _)| before.starts_with("net.")).map_or(&*why, |(_, why)| why);
            found.push((key.to_owned(), why.to_owned()));
        }
    };
    for (i, entry) in net.allow.iter().enumerate() {
        note(&format!("net.allow.{i}"), Policy::new(std::slice::from_ref(entry), &[], None, Timeouts::default()));
    }
    for (i, entry) in net.plain_http.iter().enumerate() {
        note(&format!("net.plain_http.{i}"), Policy::new(&[], std::slice::from_ref(entry), None, Timeouts::default()));
    }
    if let Some(path) = &net.ca_file {
        let read = std::fs::read_to_string(path).map_err(|why| format!("{}: {why}", path.display()));
        note("net.ca_file", read.and_then(|pem| Policy::new(&[], &[], Some(&pem), Timeouts::default())));
    }
    found
}
