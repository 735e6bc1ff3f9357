//! The command line, one file a sub-command.

mod backup;
mod config_check;
mod doctor;
mod migrate;
mod organization;
mod plan;
mod ready;
mod schema;
mod secrets;
mod serve;
mod user;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{ConfigFaults, ConfigSource, Draft};

/// A self-hosted DevSecOps server behind one GraphQL API.
#[derive(Debug, Parser)]
#[command(name = "kiops", version, disable_help_subcommand = true)]
struct Cli {
    /// The configuration file; ./kiops.toml when it is there.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The API and the workers (what runs when no command is named).
    Serve {
        /// Only the API; `kiops worker` does the work.
        #[arg(long)]
        no_workers: bool,
    },
    /// Only the workers.
    Worker,
    /// Brings the database up to date and exits.
    Migrate,
    /// Prints the GraphQL schema; needs no database.
    Schema,
    /// What the Build Wizard proposes for a source tree. Reads files only; needs no configuration.
    Plan {
        /// The root of the source tree.
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// The plan alone, as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Looks at the configuration.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Tries the database, the secret key, each runtime and each Git provider, and says what fails and how to mend it.
    Doctor,
    /// Asks the server of this configuration, on this machine, whether it is ready, and exits with 0 or 1: for health checks.
    Ready,
    /// Writes a consistent copy of the SQLite database to a file, while it is in use. The secret key is not in it.
    Backup {
        /// Where to; it must not be there yet.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Puts a backup back as the SQLite database, while no server uses it. What was there is kept beside it.
    Restore {
        /// What `kiops backup` wrote.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// What is sealed in the database.
    Secrets {
        #[command(subcommand)]
        command: SecretsCommand,
    },
    /// Organizations.
    Organization {
        #[command(subcommand)]
        command: organization::OrganizationCommand,
    },
    /// Users.
    User {
        #[command(subcommand)]
        command: user::UserCommand,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Reads the configuration and says everything that is wrong with it, by key and line.
    Check,
}

#[derive(Debug, Subcommand)]
enum SecretsCommand {
    /// Writes every stored secret anew with the current key, while servers run. Where secrets.key_file is not there, and one
    /// of secrets.previous_key_files is the database's key, a new key is made.
    Rotate,
}

/// Why a command did not do what was asked.
enum Failure {
    /// Exit code 2: arguments or configuration.
    AskedWrongly(anyhow::Error),
    /// Exit code 1.
    WhileRunning(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        // Some of it shows only beside the database.
        if error.is::<ConfigFaults>() { Self::AskedWrongly(error) } else { Self::WhileRunning(error) }
    }
}

/// Reads the command line and does what it says. Exit codes: 0 done, 1 failed while running, 2 asked wrongly.
pub async fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are errors to clap, and printed on standard output.
            let code = u8::from(error.use_stderr()) * 2;
            return match error.print() {
                Ok(()) => ExitCode::from(code),
                Err(_) => ExitCode::FAILURE,
            };
        }
    };
    match run(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::AskedWrongly(error)) => {
            eprintln!("kiops: {error:#}");
            ExitCode::from(2)
        }
        Err(Failure::WhileRunning(error)) => {
            eprintln!("kiops: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<(), Failure> {
    use crate::boot::Part;
    match &cli.command {
        Some(Command::Schema) => return Ok(schema::run()?),
        Some(Command::Plan { folder, json }) => {
            let form = if *json { plan::Form::Json } else { plan::Form::Text };
            return plan::run(folder, form);
        }
        _ => {}
    }
    let source = ConfigSource::of_process(cli.config);
    if matches!(cli.command, Some(Command::Ready)) {
        // Of a server that runs well with what it has read: a mistake in what it will read next says nothing of that.
        let draft = Draft::read(&source).map_err(|faults| Failure::WhileRunning(faults.into()))?;
        return Ok(ready::run(draft.config()).await?);
    }
    let config = crate::boot::configuration(&source).map_err(|e| Failure::AskedWrongly(e.into()))?;
    let command = cli.command.unwrap_or(Command::Serve { no_workers: false });
    if !matches!(command, Command::Serve { .. } | Command::Worker) {
        crate::telemetry::of_command();
    }
    match command {
        Command::Serve { no_workers: false } => serve::run(&config, Part::Everything).await?,
        Command::Serve { no_workers: true } => serve::run(&config, Part::Api).await?,
        Command::Worker => serve::run(&config, Part::Workers).await?,
        Command::Migrate => migrate::run(&config).await?,
        Command::Schema | Command::Plan { .. } | Command::Ready => {}
        Command::Config { command: ConfigCommand::Check } => config_check::run(&config)?,
        Command::Doctor => doctor::run(&config).await?,
        Command::Backup { file } => backup::backup(&config, &file).await?,
        Command::Restore { file } => backup::restore(&config, &file).await?,
        Command::Secrets { command: SecretsCommand::Rotate } => secrets::rotate(&config).await?,
        Command::Organization { command } => organization::run(&config, command).await?,
        Command::User { command } => user::run(&config, command).await?,
    }
    Ok(())
}

/// A password from a file or from one line of standard input; the line end is cut.
fn read_password(file: Option<&std::path::Path>) -> anyhow::Result<crate::domain::secret::SecretString> {
    use std::io::BufRead as _;
    let text = match file {
        Some(path) => std::fs::read_to_string(path).map_err(|e| anyhow::anyhow!("{}: {e}", path.display()))?,
        None => {
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line)?;
            line
        }
    };
    Ok(text.trim_end_matches(['\r', '\n']).into())
}
