//! What a failure says, without a secret in it.

use secrecy::ExposeSecret as _;

use super::Rollout;

/// How many last lines of a container a failure quotes.
pub const QUOTED_LINES: u32 = 20;
/// How long they may be together, in bytes.
const QUOTED_BYTES: usize = 4_000;

/// Puts *** where a secret's value would be, longest values first.
pub fn mask(rollout: &Rollout, text: &str) -> String {
    let mut values: Vec<&str> = rollout.secrets.values().map(|s| s.expose_secret()).collect();
    values.extend(rollout.logins.values().map(|login| login.token.expose_secret()));
    values.retain(|value| value.trim().len() >= 3);
    values.sort_unstable_by_key(|value| std::cmp::Reverse(value.len()));
    values.iter().fold(text.to_owned(), |text, value| text.replace(value, "***"))
}

/// The last lines of a container, ready to be put after a message.
pub fn quoted(rollout: &Rollout, lines: &[String]) -> String {
    if lines.is_empty() {
        return "; it printed nothing".to_owned();
    }
    let text = mask(rollout, &lines.join("\n"));
    let from = text.len().saturating_sub(QUOTED_BYTES);
    let from = (from..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("; its last lines:\n{}", &text[from..])
}
