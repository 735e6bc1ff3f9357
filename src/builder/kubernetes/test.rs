//! A command in a pod of the built image.

use async_trait::async_trait;
use chrono::DateTime;
use tokio::time::Instant;

use super::ClusterBuilder;
use super::manifest::{Stage, test_job, test_secret};
use super::pod::{self, End};
use super::run::{Lines, Run};
use crate::builder::{BuilderError, Journal, Output, TestEnd, TestRequest};
use crate::cluster::log::Printed;
use crate::engine::{LineAssembler, neutralise};

/// What container runtimes call the end of a container that could not be started.
const NOT_STARTED: [&str; 2] = ["StartError", "ContainerCannotRun"];

/// Gives lines as they come: what goes to which of a container's outputs a cluster does not tell.
struct Printer(LineAssembler);

#[async_trait]
impl Lines for Printer {
    async fn take(&mut self, line: Printed, journal: &dyn Journal) {
        // Nobody asks when these lines were printed.
        for line in self.0.push_at(DateTime::UNIX_EPOCH, &[line.text.as_slice(), b"\n"].concat()) {
            journal.line(Output::Stdout, &line.text).await;
        }
    }
}

impl ClusterBuilder {
    pub(super) async fn run_test(&self, request: &TestRequest, journal: &dyn Journal) -> Result<TestEnd, BuilderError> {
        if request.command.is_empty() {
            return Err(BuilderError::Refused("the test command is empty".to_owned()));
        }
        // A try that was given up may have left its own.
        self.remove(Stage::Test, &request.mark.run_id).await?;
        let outcome = self.run_command(request, journal).await;
        // How it ended is known. What is left when this fails the cluster removes later.
        self.remove_quietly(Stage::Test, &request.mark.run_id).await;
        outcome
    }

    async fn run_command(&self, request: &TestRequest, journal: &dyn Journal) -> Result<TestEnd, BuilderError> {
        let run = Run {
            builder: self,
            stage: Stage::Test,
            mark: &request.mark,
            journal,
            time: request.limits.time,
            deadline: Instant::now() + request.limits.time,
        };
        self.have_ground(&run).await?;
        run.begin(test_job(request, &self.place), |owner| test_secret(request, owner)).await?;
        let ended = run.follow(None, &mut Printer(LineAssembler::default())).await?;
        if let Some(why) = pod::put_out(&ended.pod) {
            return Err(BuilderError::Engine(format!("the cluster ended the test command: {why}")));
        }
        let Some(end) = pod::end_of(&ended.pod, Stage::Test.as_str()) else {
            return Err(BuilderError::Engine("the cluster does not say how the test command ended".to_owned()));
        };
        if NOT_STARTED.contains(&end.reason.as_str()) {
            return Err(not_started(&request.command[0], &end));
        }
        Ok(TestEnd { exit_code: end.exit_code, out_of_memory: end.reason == "OOMKilled" })
    }
}

/// What a container runtime says of a program that it could not start.
fn not_started(program: &str, end: &End) -> BuilderError {
    let (program, said) = (neutralise(program), neutralise(&end.message));
    if said.contains("executable file not found") || said.contains("no such file or directory") {
        return BuilderError::Refused(format!("the image has no program `{program}`"));
    }
    if said.contains("permission denied") || said.contains("exec format error") {
        return BuilderError::Refused(format!("the program `{program}` of the image cannot be run: {said}"));
    }
    BuilderError::Engine(format!("the test command could not be started: {said}"))
}
