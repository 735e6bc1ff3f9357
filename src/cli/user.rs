//! `kiops user`

use std::path::PathBuf;

use clap::Subcommand;

use crate::app::identity::passwords;
use crate::boot;
use crate::config::Config;

/// What can be done to users.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Gives somebody a new password and ends their sessions. It is one line of standard input.
    SetPassword {
        /// Whose.
        #[arg(long)]
        email: String,
        /// Read the password from this file instead.
        #[arg(long)]
        password_file: Option<PathBuf>,
    },
}

/// Does it.
///
/// # Errors
/// When there is no such user, or the password is too short or too long.
pub async fn run(config: &Config, command: UserCommand) -> anyhow::Result<()> {
    let UserCommand::SetPassword { email, password_file } = command;
    let password = super::read_password(password_file.as_deref())?;
    let app = boot::app(config).await?;
    passwords::set(&app, &email, &password).await?;
    println!("{email} has a new password");
    Ok(())
}
