//! Running `git`: no shell, no environment but what is said here, a process group of its own that ends with the call.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, prlimit};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

use super::SourceError;
use super::home::Home;

/// The first release that can be told where a host is (`http.curloptResolve`).
const LEAST: (u32, u32) = (2, 37);
/// Address space of one process of `git`, in bytes. What does not fit is a hostile repository: large files pass in
/// pieces.
const MEMORY: u64 = 2 * 1024 * 1024 * 1024;
/// Bytes of what `git` says of its troubles that are listened to.
const HEARD: usize = 16 * 1024;

/// What is wrong with the program.
const INSTALL: &str = "the server needs the program git, 2.37 or later, in its PATH: install it";

/// Where programs are.
#[expect(clippy::disallowed_methods, reason = "where programs are is said by the environment alone")]
pub(super) fn search_path() -> OsString {
    std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into())
}

/// Sees that `git` is there and can what is asked of it.
///
/// # Errors
/// [`SourceError::Broken`], which says what to install.
pub(super) async fn examine(path: &OsStr) -> Result<(), SourceError> {
    let broken = |_| SourceError::Broken(INSTALL.to_owned());
    let output = Command::new("git")
        .arg("version")
        .env_clear()
        .env("PATH", path)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(broken)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    match version(&text) {
        Some(version) if version >= LEAST => Ok(()),
        Some((major, minor)) => Err(SourceError::Broken(format!("{INSTALL}; what is there is {major}.{minor}"))),
        None => Err(SourceError::Broken(INSTALL.to_owned())),
    }
}

/// `git version 2.47.3`, `git version 2.39.5 (Apple Git-154)`.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.strip_prefix("git version ")?.split(['.', ' ', '\n']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// How `git` is run for one call.
pub(super) struct Git<'a> {
    /// Where programs are.
    pub(super) path: &'a OsStr,
    /// Its configuration.
    pub(super) home: &'a Home,
    /// `https`, or `https:http` where that is allowed.
    pub(super) protocols: &'static str,
    /// Bytes of a file that it writes, at most.
    pub(super) file_bytes: u64,
}

/// How a run ended.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) stdout: Vec<u8>,
    /// The end of what it said; not for people as it is.
    pub(super) stderr: Vec<u8>,
}

impl Git<'_> {
    /// Runs it to its end and takes at most `most` bytes of what it prints.
    ///
    /// # Errors
    /// [`SourceError::Broken`] when it can't be run, [`SourceError::Refused`] when it prints more.
    pub(super) async fn run<A: AsRef<OsStr>>(&self, args: &[A], most: usize) -> Result<Ended, SourceError> {
        let mut command = self.command(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = self.start(command)?;
        let (mut out, mut err) = (running.child.stdout.take(), running.child.stderr.take());
        // Who prints too much is not waited for.
        let said = async { Ok(last(err.as_mut(), HEARD).await) };
        let (stdout, stderr) = tokio::try_join!(first(out.as_mut(), most), said)?;
        let status = running.end().await?;
        Ok(Ended { status, stdout, stderr })
    }

    /// Starts it for a conversation. What it says of its troubles is not listened to.
    ///
    /// # Errors
    /// [`SourceError::Broken`] when it can't be run.
    pub(super) fn talk<A: AsRef<OsStr>>(&self, args: &[A], stdin: Stdio) -> Result<Running, SourceError> {
        let mut command = self.command(args);
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::null());
        self.start(command)
    }

    fn command<A: AsRef<OsStr>>(&self, args: &[A]) -> Command {
        let mut command = Command::new("git");
        command
            .args(args)
            .env_clear()
            .env("PATH", self.path)
            .env("HOME", self.home.path())
            .env("LC_ALL", "C")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", self.home.config())
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "")
            .env("GIT_ALLOW_PROTOCOL", self.protocols)
            .current_dir(self.home.path())
            .process_group(0)
            .kill_on_drop(true);
        command
    }

    fn start(&self, mut command: Command) -> Result<Running, SourceError> {
        let child = command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => SourceError::Broken(INSTALL.to_owned()),
            _ => SourceError::Broken(format!("git can't be run: {error}")),
        })?;
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let running = Running { child, group: Group(group) };
        // Its children, which it has not started yet, inherit these.
        for (resource, most) in [(Resource::As, MEMORY), (Resource::Fsize, self.file_bytes), (Resource::Core, 0)] {
            let limit = Rlimit { current: Some(most), maximum: Some(most) };
            if let (Some(pid), Err(error)) = (group, prlimit(group, resource, limit)) {
                tracing::debug!(?pid, %error, "git runs without a limit");
            }
        }
        Ok(running)
    }
}

/// A run that goes on. When it is dropped, neither `git` nor what it has started goes on.
pub(super) struct Running {
    pub(super) child: Child,
    group: Group,
}

impl Running {
    /// Waits for its end.
    ///
    /// # Errors
    /// [`SourceError::Broken`] when that can't be waited for.
    pub(super) async fn end(mut self) -> Result<ExitStatus, SourceError> {
        let status = self.child.wait().await;
        let status = status.map_err(|error| SourceError::Broken(format!("git can't be waited for: {error}")))?;
        // Its number may be another's from now on.
        self.group.0 = None;
        Ok(status)
    }
}

struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // All of it may have ended by itself.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// Everything that is printed, if that is at most `most` bytes.
async fn first<R: AsyncRead + Unpin>(from: Option<&mut R>, most: usize) -> Result<Vec<u8>, SourceError> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
        // A pipe that breaks ends what is printed.
        let _ = from.take(limit).read_to_end(&mut bytes).await;
    }
    if bytes.len() > most {
        return Err(SourceError::Refused(format!("there are more than {} KiB of names", most / 1024)));
    }
    Ok(bytes)
}

/// The last of what is printed; all of it is taken, so that nothing waits.
async fn last<R: AsyncRead + Unpin>(from: Option<&mut R>, most: usize) -> Vec<u8> {
    let mut kept = Vec::new();
    let Some(from) = from else { return kept };
    let mut chunk = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut chunk).await {
        kept.extend_from_slice(&chunk[..count]);
        if kept.len() > 2 * most {
            kept.drain(..kept.len() - most);
        }
    }
    kept.drain(..kept.len().saturating_sub(most));
    kept
}

/// The argument that says where the repository is.
pub(super) fn in_repository(folder: &Path) -> OsString {
    let mut argument = OsString::from("--git-dir=");
    argument.push(folder);
    argument
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_apart() {
        assert_eq!(version("git version 2.47.3\n"), Some((2, 47)));
        assert_eq!(version("git version 2.39.5 (Apple Git-154)\n"), Some((2, 39)));
        assert_eq!(version("git version 3.0\n"), Some((3, 0)));
        assert_eq!(version("gut version 2.1"), None);
    }

    #[tokio::test]
    async fn a_missing_program_is_said_to_be_missing() {
        let message = examine(OsStr::new("/nowhere")).await.expect_err("there is none").to_string();
        assert!(message.contains("git, 2.37 or later"), "{message}");
    }
}
