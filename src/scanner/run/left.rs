//! Processes of runs: found by where they live, and ended.
//!
//! Each process of a run has a HOME in the run's folder, or works there, and so has what it starts, whatever session or
//! group that makes itself a member of and whoever has become its parent. Only what was given another environment and
//! another working directory, and left the group too, is not found.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

/// How often it is looked again for what was started in the meantime, and how long is waited before it is.
const ROUNDS: u32 = 100;
const BETWEEN: Duration = Duration::from_millis(20);

/// Ends every process that lives below a path, and waits until there is none. Blocks; takes two seconds at most.
pub(super) fn kill(below: &[u8]) {
    for round in 0..ROUNDS {
        let mut found = false;
        for pid in living(below) {
            found = true;
            end(pid, below);
        }
        if !found {
            return;
        }
        // A process that was killed takes a moment to be gone.
        if round + 1 < ROUNDS {
            std::thread::sleep(BETWEEN);
        }
    }
    tracing::warn!(below = %String::from_utf8_lossy(below), "processes of a scan can't be ended");
}

/// Bytes of memory that the processes below a path have to themselves, shared pages in equal parts; without files that
/// are mapped, which the kernel can drop.
pub(super) fn memory(below: &[u8]) -> u64 {
    living(below).filter_map(|pid| anonymous(pid.as_raw_pid())).sum()
}

fn living(below: &[u8]) -> impl Iterator<Item = Pid> {
    let me = rustix::process::getpid();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
    pids.filter(move |pid| *pid != me && lives(*pid, below))
}

fn lives(pid: Pid, below: &[u8]) -> bool {
    let folder = format!("/proc/{}", pid.as_raw_pid());
    let is_home = |line: &[u8]| line.strip_prefix(b"HOME=").is_some_and(|home| home.starts_with(below));
    let environment = fs::read(Path::new(&folder).join("environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(is_home)
        || fs::read_link(Path::new(&folder).join("cwd")).is_ok_and(|cwd| cwd.as_os_str().as_bytes().starts_with(below))
}

/// A number may become another's at any moment, a handle may not.
fn end(pid: Pid, below: &[u8]) {
    let ended = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(handle) if lives(pid, below) => pidfd_send_signal(handle, Signal::KILL),
        Ok(_) => Ok(()),
        // Kernels before 5.3 have no handles.
        Err(rustix::io::Errno::NOSYS) => kill_process(pid, Signal::KILL),
        Err(error) => Err(error),
    };
    if let Err(error) = ended
        && error != rustix::io::Errno::SRCH
    {
        tracing::warn!(pid = pid.as_raw_pid(), %error, "a process of a scan can't be ended");
    }
}

fn anonymous(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()
    };
    // Kernels before 5.4 tell no shares of kinds.
    let kilobytes = field("Pss_Anon:").or_else(|| field("Pss:"))?;
    Some((kilobytes + field("Pss_Shmem:").unwrap_or_default()) * 1024)
}
