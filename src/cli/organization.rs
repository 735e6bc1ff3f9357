//! `kiops organization`

use std::path::PathBuf;

use clap::Subcommand;

use crate::app::identity::organizations;
use crate::boot;
use crate::config::Config;

/// What can be done to organizations.
#[derive(Debug, Subcommand)]
pub enum OrganizationCommand {
    /// Makes another organization with its first admin. The password is one line of standard input.
    Create {
        /// Its short name: lower-case letters, digits, hyphens.
        #[arg(long)]
        slug: String,
        /// Its name for people.
        #[arg(long)]
        name: String,
        /// Its first admin.
        #[arg(long)]
        admin_email: String,
        /// Read the password from this file instead.
        #[arg(long)]
        password_file: Option<PathBuf>,
    },
}

/// Does it.
///
/// # Errors
/// What is wrong with the names, or the database.
pub async fn run(config: &Config, command: OrganizationCommand) -> anyhow::Result<()> {
    let OrganizationCommand::Create { slug, name, admin_email, password_file } = command;
    let password = super::read_password(password_file.as_deref())?;
    let app = boot::app(config).await?;
    organizations::create(&app, &slug, &name, &admin_email, &password).await?;
    println!("organization {slug} is there; {admin_email} is its admin");
    Ok(())
}
