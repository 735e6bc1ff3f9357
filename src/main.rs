//! Parse the command line, run, exit code.

use std::process::ExitCode;

/// Work is made of futures within futures, which an unoptimised build polls with a deep stack. It is taken when it is needed.
const STACK: usize = 8 * 1024 * 1024;

fn main() -> ExitCode {
    match tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(STACK).build() {
        Ok(runtime) => runtime.block_on(kiops::cli::main()),
        Err(error) => {
            eprintln!("kiops: no threads can be started: {error}");
            ExitCode::FAILURE
        }
    }
}
