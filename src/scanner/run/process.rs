//! A tool as a process of this server: no shell, no environment but PATH, HOME and TMPDIR, a process group of its own.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, prlimit, setpriority_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tokio::process::{Child, Command};
use tokio::time::{timeout, timeout_at};

use super::said::Listener;
use super::watch::{Watched, watch};
use super::{LAST_WORDS, Ran, Run, Said, ended_badly, late, left};
use crate::engine::neutralise;
use crate::scanner::{ScanError, Tool};

/// Behind everything that the server itself does.
const NICE: i32 = 10;
/// The signal for a file that grew beyond its limit.
const XFSZ: i32 = Signal::XFSZ.as_raw();

/// Runs it, with programs looked for in `path`.
pub(super) async fn run(run: &Run<'_>, path: &OsStr, said: &dyn Said) -> Result<Ran, ScanError> {
    let (tool, folder) = (run.job.tool, run.folder);
    for (name, text) in run.places.files(tool) {
        let written = tokio::fs::write(folder.files().join(name), text).await;
        written.map_err(|error| ScanError::Failed(format!("the files of {} can't be written: {error}", tool.name)))?;
    }
    let mut listener = Listener::new(tool.kind, said);
    let outcome = match Running::start(run, path) {
        Ok(mut running) => {
            let ended = timeout_at(run.end, running.listen(run, &mut listener)).await;
            // Nothing of it goes on while its report is looked at.
            running.stop().await;
            ended.unwrap_or_else(|_| Err(late(tool)))
        }
        Err(failure) => Err(failure),
    };
    listener.end().await;
    match outcome {
        Ok(status) => {
            let exit_code = exit_code(tool, status).map_err(|failure| quoting(&listener, failure))?;
            let report_bytes = run.deliver().await.map_err(|failure| quoting(&listener, failure))?;
            Ok(Ran { exit_code, report_bytes })
        }
        Err(failure) => Err(quoting(&listener, failure)),
    }
}

fn exit_code(tool: &Tool, status: ExitStatus) -> Result<i64, ScanError> {
    let Some(code) = status.code() else {
        let signal = status.signal().unwrap_or_default();
        let why = match signal {
            XFSZ => ": it wrote a file that was too large",
            _ => "",
        };
        return Err(ScanError::Failed(format!("{} was ended by signal {signal}{why}", tool.name)));
    };
    match ended_badly(tool, i64::from(code)) {
        Some(failure) => Err(failure),
        None => Ok(i64::from(code)),
    }
}

/// The failure with the tool's own last words, where they may tell why.
fn quoting(listener: &Listener<'_>, failure: ScanError) -> ScanError {
    match failure {
        ScanError::Failed(text) => ScanError::Failed(listener.quoting(text)),
        other => other,
    }
}

/// A run that goes on. When it is dropped, neither the tool nor what it has started goes on.
struct Running {
    child: Child,
    /// None once the tool has ended: the number may be another's from then on.
    group: Option<Pid>,
    below: Vec<u8>,
    watched: Watched,
}

impl Running {
    fn start(run: &Run<'_>, path: &OsStr) -> Result<Self, ScanError> {
        let (tool, folder) = (run.job.tool, run.folder);
        let words = run.places.command(tool);
        let Some((program, arguments)) = words.split_first() else {
            return Err(ScanError::Failed(format!("scan.tools.{}.command is empty", tool.name)));
        };
        let spawned = Command::new(program)
            .args(arguments)
            .env_clear()
            .env("PATH", path)
            .env("HOME", folder.home())
            .env("TMPDIR", folder.temporary())
            .current_dir(folder.home())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        let child = spawned.map_err(|error| not_started(tool, program, &error))?;
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let most_scratch = run.most_scratch;
        let running = Self {
            child,
            group,
            below: [folder.path().as_os_str().as_bytes(), b"/"].concat(),
            watched: Watched {
                folder: folder.path().to_owned(),
                report: PathBuf::from(&run.places.report),
                most_scratch,
            },
        };
        if let Some(pid) = group {
            limit(pid, tool, most_scratch.max(tool.max_report_bytes));
        }
        Ok(running)
    }

    /// Hears it to its end, or until it takes more than it may.
    async fn listen(&mut self, run: &Run<'_>, listener: &mut Listener<'_>) -> Result<ExitStatus, ScanError> {
        let tool = run.job.tool;
        let (Some(stdout), Some(stderr)) = (self.child.stdout.take(), self.child.stderr.take()) else {
            return Err(ScanError::Failed(format!("{} has no output", tool.name)));
        };
        let lost = |error| ScanError::Failed(format!("{} can't be waited for: {error}", tool.name));
        let (child, below, group) = (&mut self.child, self.below.clone(), &mut self.group);
        let ended = async {
            let hearing = listener.listen(stdout, stderr);
            tokio::pin!(hearing);
            let status = tokio::select! {
                status = child.wait() => status,
                // Both outputs are closed, and it may go on.
                () = &mut hearing => {
                    let status = child.wait().await.map_err(lost);
                    *group = None;
                    return status;
                }
            };
            *group = None;
            // What it has left behind may hold its outputs open.
            kill(below).await;
            let _ = timeout(LAST_WORDS, hearing).await;
            status.map_err(lost)
        };
        tokio::select! {
            status = ended => status,
            failure = watch(self.watched.clone(), tool) => Err(failure),
        }
    }

    /// Ends all of it, and returns when it has ended.
    async fn stop(&mut self) {
        self.kill_group();
        kill(self.below.clone()).await;
        // It was killed, so that this takes no time; only a process in the kernel's hands stays.
        let _ = timeout(LAST_WORDS, self.child.wait()).await;
        self.group = None;
    }

    fn kill_group(&self) {
        if let Some(pid) = self.group {
            // All of it may have ended by itself.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill_group();
        // What is in another group ends with the folder.
    }
}

async fn kill(below: Vec<u8>) {
    // It only ends with the program otherwise.
    let _ = tokio::task::spawn_blocking(move || left::kill(&below)).await;
}

/// The tool's children, which it has not started yet, inherit these.
fn limit(pid: Pid, tool: &Tool, file_bytes: u64) {
    for (resource, most) in [(Resource::Fsize, file_bytes), (Resource::Data, tool.memory), (Resource::Core, 0)] {
        let limit = Rlimit { current: Some(most), maximum: Some(most) };
        if let Err(error) = prlimit(Some(pid), resource, limit) {
            tracing::debug!(tool = tool.name, %error, "a tool runs without a limit");
        }
    }
    let behind = setpriority_process(Some(pid), NICE);
    let put = sched_getaffinity(None).and_then(|all| sched_setaffinity(Some(pid), &some(&all, tool.cpu, pid)));
    if let Err(error) = behind.and(put) {
        tracing::debug!(tool = tool.name, %error, "a tool runs on all cores");
    }
}

/// As many of the cores as it may use, in whole ones. Which ones differs from run to run.
fn some(all: &CpuSet, cpu: f64, pid: Pid) -> CpuSet {
    let there: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| all.is_set(*core)).collect();
    // A float becomes the nearest whole number, and at least one core is needed.
    let count = (cpu.ceil() as usize).max(1);
    let first = usize::try_from(pid.as_raw_pid()).unwrap_or_default();
    let mut some = CpuSet::new();
    for core in there.iter().cycle().skip(first % there.len().max(1)).take(count.min(there.len())) {
        some.set(*core);
    }
    some
}

fn not_started(tool: &Tool, program: &str, error: &std::io::Error) -> ScanError {
    let (name, program) = (&tool.name, neutralise(program));
    match error.kind() {
        std::io::ErrorKind::NotFound => ScanError::Missing(format!(
            "there is no program {program} on this server for scan.tools.{name}: install it, or name an image"
        )),
        _ => ScanError::Failed(format!("the program {program} of scan.tools.{name} can't be run: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_put_on_some_of_the_cores() {
        let mut all = CpuSet::new();
        for core in [1, 3, 5] {
            all.set(core);
        }
        for (cpu, count) in [(0.1, 1), (1.0, 1), (1.5, 2), (2.0, 2), (8.0, 3)] {
            for pid in 1..9 {
                let got = some(&all, cpu, Pid::from_raw(pid).unwrap_or(Pid::INIT));
                assert_eq!(got.count(), count, "{cpu}");
                assert!((0..CpuSet::MAX_CPU).all(|core| !got.is_set(core) || all.is_set(core)));
            }
        }
    }
}
