//! A command in a pod of the built image.

use async_trait::async_trait;
use chrono::DateTime;
use tokio::time::Instant;

use super::ClusterBuilder;
use super::manifest::{Stage, test_job, test_secret};
use super::run::{Lines, Run};
use crate::builder::{BuilderError, Journal, Output, TestEnd, TestRequest};
use crate::cluster::log::Printed;
use crate::cluster::pod::{self, NotStarted};
use crate::engine::{LineAssembler, neutralise};

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
        run.have_ground().await?;
        run.begin(test_job(request, &self.place), |owner| test_secret(request, owner)).await?;
        let ended = run.follow(None, &mut Printer(LineAssembler::default())).await?;
        if let Some(why) = pod::put_out(&ended.pod) {
            return Err(BuilderError::Engine(format!("the cluster ended the test command: {why}")));
        }
        let Some(end) = pod::end_of(&ended.pod, Stage::Test.as_str()) else {
            return Err(BuilderError::Engine("the cluster does not say how the test command ended".to_owned()));
        };
        if let Some(why) = end.not_started() {
            return Err(not_started(&request.command[0], why));
        }
        Ok(TestEnd { exit_code: end.exit_code, out_of_memory: end.is_out_of_memory() })
    }
}

/// A program that could not be started.
fn not_started(program: &str, why: NotStarted) -> BuilderError {
    let program = neutralise(program);
    match why {
        NotStarted::NoProgram => BuilderError::Refused(format!("the image has no program `{program}`")),
        NotStarted::NotRun(said) => {
            BuilderError::Refused(format!("the program `{program}` of the image cannot be run: {said}"))
        }
        NotStarted::Other(said) => BuilderError::Engine(format!("the test command could not be started: {said}")),
    }
}
