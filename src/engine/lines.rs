//! Frames of a container's log, made into lines.

use chrono::{DateTime, Utc};

pub use crate::domain::printed::neutralise;

/// Longest line in bytes; the rest of a longer one is dropped.
pub const MAX_LINE: usize = 16 * 1024;
/// What is dropped before the cut of a longer line: half a secret there would not be known as one.
const SEAM: usize = 512;

/// One line with the engine's time of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When its first part was printed.
    pub at: DateTime<Utc>,
    /// Without line end and control sequences, at most [`MAX_LINE`] bytes and the notice of the cut.
    pub text: String,
}

/// Puts the frames of one output (of one container) together. The engine cuts long lines into frames without a line
/// end, and begins each frame with its time.
#[derive(Debug, Default)]
pub struct LineAssembler {
    held: Vec<u8>,
    at: Option<DateTime<Utc>>,
    is_cut: bool,
}

impl LineAssembler {
    /// Takes a frame and gives the lines that it ends.
    pub fn push(&mut self, frame: &[u8]) -> Vec<LogLine> {
        let (at, rest) = split_time(frame);
        self.take(at, rest)
    }

    /// Takes what was printed at a time that is known otherwise, and gives the lines that it ends.
    pub fn push_at(&mut self, at: DateTime<Utc>, printed: &[u8]) -> Vec<LogLine> {
        self.take(Some(at), printed)
    }

    /// What is left when the log ends without a line end.
    pub fn flush(&mut self) -> Option<LogLine> {
        let at = self.at.take()?;
        let mut bytes = std::mem::take(&mut self.held);
        let is_cut = std::mem::take(&mut self.is_cut);
        if is_cut {
            bytes.truncate(MAX_LINE - SEAM);
        }
        let mut text = neutralise(&String::from_utf8_lossy(&bytes));
        if is_cut {
            text.push_str(" …");
        }
        Some(LogLine { at, text })
    }

    fn take(&mut self, at: Option<DateTime<Utc>>, printed: &[u8]) -> Vec<LogLine> {
        let mut lines = Vec::new();
        for part in printed.split_inclusive(|byte| *byte == b'\n') {
            if self.at.is_none() {
                self.at = at;
            }
            let (content, ends) = match part.strip_suffix(b"\n") {
                Some(content) => (content, true),
                None => (part, false),
            };
            let room = MAX_LINE - self.held.len();
            self.is_cut |= content.len() > room;
            self.held.extend_from_slice(&content[..content.len().min(room)]);
            if ends {
                lines.extend(self.flush());
            }
        }
        lines
    }
}

/// The time before the first space, when it is one.
fn split_time(frame: &[u8]) -> (Option<DateTime<Utc>>, &[u8]) {
    let space = frame.iter().take(40).position(|byte| *byte == b' ');
    let time = space.and_then(|at| {
        let text = std::str::from_utf8(&frame[..at]).ok()?;
        Some((DateTime::parse_from_rfc3339(text).ok()?.to_utc(), &frame[at + 1..]))
    });
    match time {
        Some((at, rest)) => (Some(at), rest),
        None => (None, frame),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const AT: &str = "2026-01-02T03:04:05.123456789Z ";

    fn frame(text: &str) -> Vec<u8> {
        [AT.as_bytes(), text.as_bytes()].concat()
    }

    #[test]
    fn frames_without_line_end_are_one_line() {
        let mut lines = LineAssembler::default();
        assert!(lines.push(&frame("ab")).is_empty());
        let got = lines.push(&frame("cd\n"));
        assert_eq!(got.len(), 1);
        assert_eq!(got[0].text, "abcd");
        assert_eq!(got[0].at.timestamp_subsec_nanos(), 123_456_789);
        assert!(lines.push(&frame("tail")).is_empty());
        assert_eq!(lines.flush().map(|l| l.text).as_deref(), Some("tail"));
        assert_eq!(lines.flush(), None);
    }

    #[test]
    fn long_lines_are_cut() {
        let mut lines = LineAssembler::default();
        for _ in 0..4 {
            assert!(lines.push(&frame(&"x".repeat(MAX_LINE / 2 + 1))).is_empty());
        }
        let got = lines.push(&frame("\nnext\n"));
        assert_eq!(got[0].text.len(), MAX_LINE - SEAM + " …".len());
        assert_eq!(got[1].text, "next");
        let secret = "hunter2-hunter2";
        lines.push(&frame(&"x".repeat(MAX_LINE - 5)));
        let got = lines.push(&frame(&format!("{secret}\n")));
        assert!(!got[0].text.contains("hunt"));
    }

    #[test]
    fn control_sequences_do_nothing() {
        assert_eq!(neutralise("\x1b[31mred\x1b[0m \x1b]0;title\x07x\x1b]8;;u\x1b\\y\r"), "red xy");
        assert_eq!(neutralise("a\x08b\u{202e}c\td"), "a\u{fffd}b\u{fffd}c\td");
    }

    proptest! {
        #[test]
        fn any_bytes_make_harmless_bounded_lines(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20)) {
            let mut lines = LineAssembler::default();
            let mut got = Vec::new();
            for chunk in &chunks {
                got.extend(lines.push(&[AT.as_bytes(), chunk].concat()));
            }
            got.extend(lines.flush());
            for line in got {
                prop_assert!(line.text.chars().all(|c| c == '\t' || !c.is_control()));
            }
        }
    }
}
