//! `kiops schema`

use std::io::Write as _;

/// Prints the SDL that an admin sees. Needs no database.
///
/// # Errors
/// When standard output can't be written.
pub fn run() -> anyhow::Result<()> {
    Ok(std::io::stdout().write_all(crate::graphql::sdl().as_bytes())?)
}
