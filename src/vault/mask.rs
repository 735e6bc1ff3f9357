//! Hides secrets in text that is stored or shown: known values in three spellings, and what looks like a secret.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use memchr::memchr_iter;
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

const STARS: &[u8] = b"***";
const PEM: (&[u8], &[u8], &[u8]) = (b"-----BEGIN ", b"PRIVATE KEY-----", b"-----END ");
/// Beginnings of tokens, and the fewest characters that must follow.
const TOKENS: [(&[u8], usize); 9] = [
    (b"ghp_", 20),
    (b"gho_", 20),
    (b"ghu_", 20),
    (b"ghs_", 20),
    (b"github_pat_", 20),
    (b"glpat-", 16),
    (b"AKIA", 16),
    (b"dckr_pat_", 16),
    (b"eyJ", 20),
];
/// Held back at least, so that a pattern split over chunks is seen whole.
const HOLD: usize = 256;
/// Held back at most.
const MOST: usize = 64 * 1024;

/// Knows what to hide. Values of fewer than 4 bytes are left alone: hiding them would hide everything.
pub struct Masker {
    needles: Vec<Zeroizing<Vec<u8>>>,
    longest: usize,
}

impl Masker {
    /// Hides these values and each of their longer lines; raw, base64 at any offset, and URL-encoded.
    #[must_use]
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a SecretString>) -> Self {
        let mut needles = Vec::new();
        for secret in secrets {
            let whole = secret.expose_secret();
            let lines = whole.lines().map(str::trim).filter(|line| line.len() >= 8);
            for text in [whole, whole.trim()].into_iter().chain(lines).filter(|t| t.len() >= 4) {
                spellings(text.as_bytes(), &mut needles);
            }
        }
        needles.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        needles.dedup();
        let longest = needles.first().map_or(0, |n| n.len());
        Self { needles, longest }
    }

    /// A whole text, masked.
    #[must_use]
    pub fn mask(&self, text: &str) -> String {
        let mut stream = self.stream();
        let mut out = stream.push(text.as_bytes());
        out.extend(stream.finish());
        String::from_utf8_lossy(&out).into_owned()
    }

    /// For a text that comes in chunks.
    #[must_use]
    pub fn stream(&self) -> MaskStream<'_> {
        MaskStream { masker: self, held: Vec::new(), swallow: Swallow::Nothing }
    }

    /// What to hide, merged and in order.
    fn spans(&self, text: &[u8]) -> Vec<(usize, usize)> {
        let mut spans: Vec<_> = self.needles.iter().flat_map(|n| find_all(text, n)).collect();
        for (start, least) in TOKENS {
            let mut run = Run::default();
            for (from, body) in find_all(text, start) {
                run.reach(text, body);
                let jwt = start != b"eyJ" || run.second_last_dot.is_some_and(|dot| dot >= body);
                if run.end - body >= least && jwt {
                    spans.push((from, run.end));
                }
            }
        }
        let (mut end, mut tail) = (Ahead::of(text, PEM.2), Ahead::of(text, PEM.1));
        for (from, after) in find_all(text, PEM.0) {
            let head = &text[after..text.len().min(after + 48)];
            if let Some((_, body)) = find_all(head, PEM.1).next() {
                let to = end.after(after + body).and_then(|end| tail.after(end));
                spans.push((from, to.unwrap_or(text.len())));
            }
        }
        spans.sort_unstable();
        let mut merged: Vec<(usize, usize)> = Vec::new();
        for (from, to) in spans {
            match merged.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ => merged.push((from, to)),
            }
        }
        merged
    }
}

/// Masks a text that comes in chunks, holding back as much as a secret at their seam could need.
pub struct MaskStream<'a> {
    masker: &'a Masker,
    held: Vec<u8>,
    swallow: Swallow,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Swallow {
    Nothing,
    Token,
    Pem,
}

impl MaskStream<'_> {
    /// Takes a chunk, gives what can be shown already.
    pub fn push(&mut self, chunk: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(chunk);
        self.release(self.masker.longest.max(HOLD))
    }

    /// Gives the rest.
    pub fn finish(&mut self) -> Vec<u8> {
        self.release(0)
    }

    fn release(&mut self, hold: usize) -> Vec<u8> {
        if !self.swallowed() {
            return Vec::new();
        }
        let spans = self.masker.spans(&self.held);
        let mut safe = self.held.len().saturating_sub(hold);
        if hold > 0
            && let Some((from, to)) = spans.iter().copied().find(|(from, to)| *from < safe && *to > safe)
        {
            safe = if self.held.len() - from < MOST { from } else { to };
            if safe == self.held.len() {
                let pem = find_all(&self.held[from..], PEM.0).next().is_some();
                self.swallow = if pem { Swallow::Pem } else { Swallow::Token };
            }
        }
        let mut out = Vec::new();
        let mut at = 0;
        for (from, to) in spans.into_iter().take_while(|(from, _)| *from < safe) {
            out.extend_from_slice(&self.held[at..from]);
            out.extend_from_slice(STARS);
            at = to;
        }
        if at < safe {
            out.extend_from_slice(&self.held[at..safe]);
        }
        self.held.drain(..safe.max(at));
        out
    }

    /// Drops the rest of a secret whose beginning was longer than what is held back; false while it goes on.
    fn swallowed(&mut self) -> bool {
        let end = match self.swallow {
            Swallow::Nothing => return true,
            Swallow::Token => self.held.iter().position(|b| !is_token(*b)),
            Swallow::Pem => pem_end(&self.held, 0),
        };
        match end {
            Some(end) => {
                self.held.drain(..end);
                self.swallow = Swallow::Nothing;
                true
            }
            None => {
                let keep = if self.swallow == Swallow::Pem { self.held.len().min(HOLD) } else { 0 };
                self.held.drain(..self.held.len() - keep);
                false
            }
        }
    }
}

fn spellings(text: &[u8], into: &mut Vec<Zeroizing<Vec<u8>>>) {
    into.push(Zeroizing::new(text.to_vec()));
    into.push(Zeroizing::new(url::form_urlencoded::byte_serialize(text).collect::<String>().into_bytes()));
    let percent = |b: &u8| match b {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(*b).to_string(),
        _ => format!("%{b:02X}"),
    };
    let encoded = text.iter().map(percent).collect::<String>();
    into.push(Zeroizing::new(encoded.to_ascii_lowercase().into_bytes()));
    into.push(Zeroizing::new(encoded.into_bytes()));
    // A value inside a longer text has one of three offsets; only characters that depend on it alone are sought.
    for offset in 0..3 {
        let shifted = Zeroizing::new([&[0; 2][..offset], text].concat());
        let skip = (offset * 8).div_ceil(6);
        let take = shifted.len() * 8 / 6;
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let encoded = Zeroizing::new(engine.encode(&*shifted).into_bytes());
            if take >= skip + 5 {
                into.push(Zeroizing::new(encoded[skip..take].to_vec()));
            }
        }
    }
}

/// Where a needle is, also where two of them overlap. An empty one is nowhere.
fn find_all<'a>(text: &'a [u8], needle: &'a [u8]) -> impl Iterator<Item = (usize, usize)> + 'a {
    let places = (text.len() + 1).saturating_sub(needle.len());
    let beginnings = needle.first().into_iter().flat_map(move |first| memchr_iter(*first, &text[..places]));
    beginnings.filter(move |at| text[*at..].starts_with(needle)).map(move |at| (at, at + needle.len()))
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-.".contains(&byte)
}

/// The characters of a token that follow one another. However many beginnings of tokens are in them, they are walked
/// once: a text of nothing else must not take the square of its length.
#[derive(Default)]
struct Run {
    end: usize,
    second_last_dot: Option<usize>,
}

impl Run {
    /// Goes on to the one that `at` is in, which is no earlier one.
    fn reach(&mut self, text: &[u8], at: usize) {
        if at <= self.end && self.end > 0 {
            return;
        }
        self.end = at + text[at..].iter().take_while(|b| is_token(**b)).count();
        let dots = text[at..self.end].iter().rposition(|b| *b == b'.');
        let before = dots.and_then(|last| text[at..at + last].iter().rposition(|b| *b == b'.'));
        self.second_last_dot = before.map(|dot| at + dot);
    }
}

/// Where a needle is next, for places that only grow: the text is walked once.
struct Ahead<'a> {
    text: &'a [u8],
    needle: &'a [u8],
    /// Begin and end; none where there is no further one.
    next: Option<(usize, usize)>,
}

impl<'a> Ahead<'a> {
    fn of(text: &'a [u8], needle: &'a [u8]) -> Self {
        let next = find_all(text, needle).next();
        Self { text, needle, next }
    }

    /// The end of the first one that begins at `at` or later.
    fn after(&mut self, at: usize) -> Option<usize> {
        if self.next.is_some_and(|(from, _)| from < at) {
            self.next = find_all(&self.text[at..], self.needle).next().map(|(from, to)| (at + from, at + to));
        }
        self.next.map(|(_, to)| to)
    }
}

/// The end of END's line.
fn pem_end(text: &[u8], after: usize) -> Option<usize> {
    let (_, end) = find_all(&text[after..], PEM.2).next()?;
    let (_, tail) = find_all(&text[after + end..], PEM.1).next()?;
    Some(after + end + tail)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns() {
        let masker = Masker::new([]);
        for (text, masked) in [
            ("x ghp_0123456789abcdefghij y", "x *** y"),
            ("glpat-0123456789abcdefghij", "***"),
            ("AKIAABCDEFGHIJKLMNOP", "***"),
            ("eyJhbGciOi.eyJzdWIiOi.c2lnbmF0dXJl!", "***!"),
            ("a -----BEGIN RSA PRIVATE KEY-----\nx\n-----END RSA PRIVATE KEY----- b", "a *** b"),
            ("a -----BEGIN PRIVATE KEY-----\nx", "a ***"),
            ("ghp_short eyJ.x", "ghp_short eyJ.x"),
        ] {
            assert_eq!(masker.mask(text), masked);
        }
    }

    /// As long as it takes to the square of a megabyte nobody waits.
    #[test]
    fn a_megabyte_of_beginnings_is_masked_at_once() {
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let key = "-----BEGIN RSA PRIVATE KEY-----";
            for text in ["eyJ", "eyJ.", "ghp_", "glpat-", "github_pat_", key, "-----BEGIN x PRIVATE KEY----------END "]
            {
                let masked = Masker::new([]).mask(&text.repeat(1024 * 1024 / text.len()));
                tell.send((text, masked.len())).ok();
            }
        });
        for hidden in [false, true, true, true, true, true, true] {
            let (text, length) = told.recv_timeout(std::time::Duration::from_secs(60)).expect("it ends soon");
            assert_eq!(length < 1024, hidden, "{text}: {length}");
        }
    }

    /// What is hidden where beginnings stand inside of one another.
    #[test]
    fn beginnings_inside_of_a_secret_end_with_it() {
        let masker = Masker::new([]);
        let jwt = "eyJhbGciOi.eyJzdWIiOi.c2lnbmF0dXJl";
        for (text, masked) in [
            // Only with two dots after it is it a JSON web token, so the second one here is none.
            (format!("{jwt} eyJ.eyJhbGciOieyJhbGciOieyJhbGciOi"), "*** eyJ.eyJhbGciOieyJhbGciOieyJhbGciOi"),
            (format!("{jwt}eyJ {jwt}"), "*** ***"),
            ("ghp_ghp_0123456789abcdefghij ghp_x".to_owned(), "*** ghp_x"),
            // The end that the first key seems to have is the beginning of a second.
            (
                "-----BEGIN PRIVATE KEY-----a-----END -----BEGIN PRIVATE KEY-----b-----END PRIVATE KEY-----c"
                    .to_owned(),
                "***c",
            ),
            ("-----BEGIN PRIVATE KEY-----a-----BEGIN PRIVATE KEY-----b-----END PRIVATE KEY-----c".to_owned(), "***c"),
        ] {
            assert_eq!(masker.mask(&text), masked, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_spelling_gets_through(secret in "[ -~]{8,40}", before in "[a-z]{0,9} ", cuts in prop::collection::vec(1usize..9, 0..40)) {
            let masker = Masker::new([&SecretString::from(secret.clone())]);
            let base64 = base64::engine::general_purpose::STANDARD.encode(format!("{before}{secret}"));
            let url: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
            let text = format!("{before}{secret} {base64} {url} {}", "z".repeat(400));
            let mut stream = masker.stream();
            let (mut out, mut rest) = (Vec::new(), text.as_bytes());
            for cut in cuts {
                let (chunk, tail) = rest.split_at(cut.min(rest.len()));
                out.extend(stream.push(chunk));
                rest = tail;
            }
            out.extend(stream.push(rest));
            out.extend(stream.finish());
            let out = String::from_utf8_lossy(&out).into_owned();
            prop_assert_eq!(&out, &masker.mask(&text));
            prop_assert!(out.starts_with(&before) || secret.trim().len() < 8);
            if secret.trim() == secret && secret != "***" {
                prop_assert!(!out.contains(&secret) && !out.contains(&base64) && !out.contains(&url));
            }
        }
    }
}
