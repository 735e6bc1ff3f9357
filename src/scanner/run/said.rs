//! What a tool says: told line by line up to a limit, and its end kept for the message of a failure.

use std::io;

use chrono::DateTime;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::Said;
use crate::domain::scan::ScanKind;
use crate::engine::{LineAssembler, neutralise};

/// Bytes of a run that are told.
const MOST_TOLD: usize = 4 * 1024 * 1024;
/// Bytes of the end that are kept, and how many lines of it are quoted.
const KEPT: usize = 2048;
const QUOTED: usize = 5;
/// Longest quotation in characters.
const LONGEST: usize = 600;

/// Which output something was printed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    Stdout,
    Stderr,
}

/// Hears one run. What tools say that look for secrets is neither told nor kept: many print those that they find.
pub(super) struct Listener<'a> {
    kind: ScanKind,
    said: &'a dyn Said,
    stdout: Ear,
    stderr: Ear,
    told: usize,
}

#[derive(Default)]
struct Ear {
    lines: LineAssembler,
    end: Vec<u8>,
}

impl<'a> Listener<'a> {
    pub(super) fn new(kind: ScanKind, said: &'a dyn Said) -> Self {
        Self { kind, said, stdout: Ear::default(), stderr: Ear::default(), told: 0 }
    }

    /// Takes what was printed. While whoever is told is busy, the tool has to wait.
    pub(super) async fn hear(&mut self, from: From, printed: &[u8]) {
        if self.kind == ScanKind::Secret {
            return;
        }
        let ear = match from {
            From::Stdout => &mut self.stdout,
            From::Stderr => &mut self.stderr,
        };
        ear.keep(printed);
        if self.told > MOST_TOLD {
            return;
        }
        // Nobody asks when these lines were printed.
        for line in ear.lines.push_at(DateTime::UNIX_EPOCH, printed) {
            self.told += line.text.len() + 1;
            if self.told > MOST_TOLD {
                self.said.line(&format!("… more than {} MiB are not shown", MOST_TOLD >> 20)).await;
                return;
            }
            self.said.line(&line.text).await;
        }
    }

    /// Hears both outputs of a process until both have ended.
    pub(super) async fn listen<O, E>(&mut self, mut stdout: O, mut stderr: E)
    where
        O: AsyncRead + Unpin,
        E: AsyncRead + Unpin,
    {
        let (mut out, mut err) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
        let (mut out_goes_on, mut err_goes_on) = (true, true);
        // A pipe that breaks ends what is printed.
        let count = |read: io::Result<usize>| read.unwrap_or_default();
        while out_goes_on || err_goes_on {
            tokio::select! {
                read = stdout.read(&mut out), if out_goes_on => {
                    let count = count(read);
                    out_goes_on = count > 0;
                    self.hear(From::Stdout, &out[..count]).await;
                }
                read = stderr.read(&mut err), if err_goes_on => {
                    let count = count(read);
                    err_goes_on = count > 0;
                    self.hear(From::Stderr, &err[..count]).await;
                }
            }
        }
    }

    /// Tells what has no line end.
    pub(super) async fn end(&mut self) {
        for ear in [&mut self.stdout, &mut self.stderr] {
            if let Some(line) = ear.lines.flush().filter(|_| self.told <= MOST_TOLD) {
                self.said.line(&line.text).await;
            }
        }
    }

    /// A message with the last that the tool said, if it said anything.
    pub(super) fn quoting(&self, message: String) -> String {
        let last = [&self.stderr, &self.stdout].into_iter().map(Ear::last).find(|last| !last.is_empty());
        match last {
            Some(last) => format!("{message}; it said: {last}"),
            None => message,
        }
    }
}

impl Ear {
    fn keep(&mut self, printed: &[u8]) {
        self.end.extend_from_slice(&printed[printed.len().saturating_sub(KEPT)..]);
        let over = self.end.len().saturating_sub(KEPT);
        self.end.drain(..over);
    }

    fn last(&self) -> String {
        let text = String::from_utf8_lossy(&self.end);
        let lines: Vec<String> = text.lines().map(neutralise).filter(|line| !line.trim().is_empty()).collect();
        let quoted = lines[lines.len().saturating_sub(QUOTED)..].join(" | ");
        let over = quoted.chars().count().saturating_sub(LONGEST);
        match over {
            0 => quoted,
            over => format!("…{}", quoted.chars().skip(over).collect::<String>()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;

    #[derive(Default)]
    struct Lines(Mutex<Vec<String>>);

    #[async_trait::async_trait]
    impl Said for Lines {
        async fn line(&self, text: &str) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_owned());
        }
    }

    #[tokio::test]
    async fn a_flood_is_told_up_to_a_limit_and_its_end_is_known() {
        let lines = Lines::default();
        let mut listener = Listener::new(ScanKind::Sast, &lines);
        let flood = [b"y".repeat(99), b"\n".to_vec()].concat().repeat(80_000);
        listener.listen(&[flood.as_slice(), b"the \x1b[31mend\n\nof it"].concat()[..], &b""[..]).await;
        listener.end().await;
        let told = lines.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: usize = told.iter().map(String::len).sum();
        assert!(bytes <= MOST_TOLD + 100, "{bytes}");
        assert!(told.last().is_some_and(|line| line.contains("4 MiB")), "{:?}", told.last());
        let message = listener.quoting("x".to_owned());
        assert!(message.ends_with("the end | of it") && message.chars().count() < 650, "{message}");
    }

    #[tokio::test]
    async fn troubles_come_before_results() {
        let lines = Lines::default();
        let mut listener = Listener::new(ScanKind::Sast, &lines);
        assert_eq!(listener.quoting("x".to_owned()), "x");
        listener.listen(&b"a\nb"[..], &b"bad\n"[..]).await;
        listener.end().await;
        assert_eq!(listener.quoting("x".to_owned()), "x; it said: bad");
        assert_eq!(lines.0.lock().unwrap_or_else(PoisonError::into_inner).len(), 3);
    }

    #[tokio::test]
    async fn what_looks_for_secrets_is_not_quoted() {
        let lines = Lines::default();
        let mut listener = Listener::new(ScanKind::Secret, &lines);
        listener.listen(&b"password = hunter2\n"[..], &b"hunter2"[..]).await;
        listener.end().await;
        assert_eq!(listener.quoting("x".to_owned()), "x");
        assert!(lines.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty());
    }
}
