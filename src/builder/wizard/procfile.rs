//! A Procfile's web process, which says how a project of any language is started.

use super::dockerfile::words;
use super::tree::Tree;

/// Bytes of a command.
const MAX_COMMAND: usize = 4_096;

/// The command of the `web` process, as words to execute.
#[must_use]
pub fn web(tree: &Tree) -> Option<Vec<String>> {
    let text = tree.text("Procfile")?;
    let command = text.lines().find_map(|line| line.trim().strip_prefix("web:"))?.trim();
    // Heroku's own starters for PHP are in Heroku's images alone.
    let usable = !command.starts_with("vendor/bin/heroku-")
        && !command.is_empty()
        && command.len() <= MAX_COMMAND
        && !command.chars().any(char::is_control);
    usable.then(|| exec(command))
}

/// Plain words are executed as they are. Whatever a shell has to read (variables, quotes, pipes) is left to the shell
/// inside of the image, which `exec` replaces by the command, so that it gets the signals.
fn exec(command: &str) -> Vec<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || " ._@/+:,%-".contains(c);
    if command.chars().all(plain) {
        return command.split_whitespace().map(str::to_owned).collect();
    }
    // Where several commands are joined, exec would end with the first.
    let joined = command.contains(['&', ';', '|', '(', '{']) || command.starts_with("exec ");
    let assigns = command.split_whitespace().next().is_some_and(|word| word.contains('='));
    let line = if joined || assigns { command.to_owned() } else { format!("exec {command}") };
    words(&["/bin/sh", "-c", &line])
}
