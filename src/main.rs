//! Parse the command line, run, exit code.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    kiops::cli::main().await
}
