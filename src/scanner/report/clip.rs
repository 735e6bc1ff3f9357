//! The bytes of a JSON file, without what would fill memory or can't be JSON.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

/// Bytes that are kept of a string. The longest that is of use is a message, which is cut far below.
const LONGEST: usize = 64 * 1024;

/// A reader that cuts long strings of JSON, so that a parser that reads a whole string at once takes little memory. An
/// escape sequence, a pair of them and a character of UTF-8 are never cut in the middle. What is no JSON goes through
/// as it is: the parser says what is wrong with it.
pub struct Clip<R> {
    inner: R,
    state: State,
    kept: usize,
    longest: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Outside of strings.
    Outside,
    /// In a string, between two characters.
    Inside,
    /// After a backslash.
    Escape,
    /// In `\uXXXX`: digits that are still to come, and what the first two were.
    Unicode { left: u8, first: u8, second: u8 },
    /// After the first half of a pair: the second must not be parted from it.
    Half,
    /// After the backslash of that second half.
    HalfEscape,
    /// In what is cut.
    Dropping,
    /// After a backslash in what is cut.
    DroppingEscape,
}

/// Opens a report for a parser: long strings cut, a byte order mark skipped.
///
/// # Errors
/// In words, when it can't be read, is empty or is in UTF-16 or UTF-32.
pub fn open(path: &Path) -> Result<BufReader<Clip<File>>, String> {
    let cannot = |error: io::Error| format!("the report can't be read: {}", error.kind());
    let mut file = File::open(path).map_err(cannot)?;
    let mut head = Vec::with_capacity(4);
    Read::by_ref(&mut file).take(4).read_to_end(&mut head).map_err(cannot)?;
    let skip = match head.as_slice() {
        [] => return Err("the report is empty".to_owned()),
        [0xef, 0xbb, 0xbf, ..] => 3,
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..] => {
            return Err("the report is written in UTF-16 or UTF-32; JSON is UTF-8".to_owned());
        }
        _ => 0,
    };
    io::Seek::seek(&mut file, io::SeekFrom::Start(skip)).map_err(cannot)?;
    Ok(BufReader::with_capacity(64 * 1024, Clip::new(file, LONGEST)))
}

impl<R: Read> Clip<R> {
    /// Cuts strings after `longest` bytes.
    pub fn new(inner: R, longest: usize) -> Self {
        Self { inner, state: State::Outside, kept: 0, longest }
    }

    /// Moves on by a byte and says whether it is kept.
    fn step(&mut self, byte: u8) -> bool {
        let was = self.state;
        self.state = match (was, byte) {
            (State::Outside, b'"') => {
                self.kept = 0;
                State::Inside
            }
            (State::Outside, _) => State::Outside,
            (State::Inside | State::Half | State::Dropping, b'"') => State::Outside,
            (State::Inside, _) if self.kept >= self.longest && byte & 0xc0 != 0x80 => match byte {
                b'\\' => State::DroppingEscape,
                _ => State::Dropping,
            },
            (State::Inside, b'\\') => State::Escape,
            (State::Half, b'\\') => State::HalfEscape,
            (State::Inside | State::Half, _) => State::Inside,
            (State::Escape | State::HalfEscape, b'u') => State::Unicode { left: 4, first: 0, second: 0 },
            (State::Escape | State::HalfEscape, _) => State::Inside,
            (State::Unicode { left: 4, .. }, _) => State::Unicode { left: 3, first: byte, second: 0 },
            (State::Unicode { left: 3, first, .. }, _) => State::Unicode { left: 2, first, second: byte },
            (State::Unicode { left: 2, first, second }, _) => State::Unicode { left: 1, first, second },
            (State::Unicode { first: b'd' | b'D', second: b'8' | b'9' | b'a'..=b'b' | b'A'..=b'B', .. }, _) => {
                State::Half
            }
            (State::Unicode { .. }, _) => State::Inside,
            (State::Dropping, b'\\') => State::DroppingEscape,
            (State::Dropping | State::DroppingEscape, _) => State::Dropping,
        };
        self.kept += usize::from(was != State::Outside);
        !matches!(self.state, State::Dropping | State::DroppingEscape)
    }
}

impl<R: Read> Read for Clip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.inner.read(buffer)?;
            if read == 0 {
                return Ok(0);
            }
            let mut kept = 0;
            for at in 0..read {
                let byte = buffer[at];
                if self.step(byte) {
                    buffer[kept] = byte;
                    kept += 1;
                }
            }
            if kept > 0 {
                return Ok(kept);
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn clipped(text: &[u8], longest: usize) -> Vec<u8> {
        let mut out = Vec::new();
        Clip::new(text, longest).read_to_end(&mut out).unwrap();
        out
    }

    #[test]
    fn long_strings_are_cut_between_characters() {
        let cut = |text: &str| String::from_utf8(clipped(text.as_bytes(), 4)).unwrap();
        assert_eq!(cut(r#"{"a":"abcdef","b":1234567}"#), r#"{"a":"abcd","b":1234567}"#);
        assert_eq!(cut(r#"["abcäöü",2]"#), r#"["abcä",2]"#);
        assert_eq!(cut(r#"["ab\"\\\"cd",2]"#), r#"["ab\"",2]"#);
        assert_eq!(cut(r#"["\uD83D\uDE00xyz"]"#), r#"["\uD83D\uDE00"]"#);
        assert_eq!(cut(r#"["abcd\uD83D\uDE00\"z",1]"#), r#"["abcd",1]"#);
    }

    proptest! {
        #[test]
        fn what_is_json_stays_json(texts in prop::collection::vec("\\PC{0,40}|[\"\\\\\n\u{1F600}]{0,20}", 0..8), longest in 1_usize..30) {
            let json = serde_json::to_string(&texts).unwrap();
            let cut: Vec<String> = serde_json::from_slice(&clipped(json.as_bytes(), longest)).unwrap();
            prop_assert_eq!(cut.len(), texts.len());
            for (cut, whole) in cut.iter().zip(&texts) {
                prop_assert!(whole.starts_with(cut.as_str()));
            }
        }

        #[test]
        fn what_is_short_stays_as_it_is(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(clipped(&bytes, 1000), bytes);
        }
    }
}
