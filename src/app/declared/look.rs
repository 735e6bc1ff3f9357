//! Trying what was stored without asking: the engines, registries and providers of the file.

use std::time::Duration;

use crate::app::registries::declare::try_out;
use crate::app::{App, git, runtimes};

/// Tries what is due, in every organization: runtimes that were not checked for so long, Git tokens, and the logins of the file
/// that no registry took yet. What does not answer says so in its status.
pub async fn look(app: &App, every: Duration) {
    let (runtimes, tokens, logins) =
        futures_util::join!(runtimes::check_due(app, every), git::check::check_due(app), try_out(app));
    for (what, tried) in [("runtimes", runtimes), ("Git tokens", tokens), ("logins to registries", logins)] {
        if let Err(error) = tried {
            tracing::warn!(%error, "the {what} of kiops.toml could not be tried");
        }
    }
}
