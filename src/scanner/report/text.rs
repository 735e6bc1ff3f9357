//! Texts of others, made fit to be shown and stored.

use std::collections::HashMap;
use std::sync::Arc;

use crate::engine::neutralise;

/// Characters of a title at most.
pub const TITLE: usize = 200;
/// Bytes of a description at most.
pub const DESCRIPTION: usize = 8 * 1024;
/// Bytes of a name: of a rule, a package, a version.
pub const NAME: usize = 256;

/// A text in one line: control characters neutralised, every gap one space, at most so many characters.
#[must_use]
pub fn line(text: &str, longest: usize) -> String {
    let mut out = String::new();
    let mut count = 0;
    for word in cut(text, longest.saturating_mul(8)).split_whitespace() {
        let word = neutralise(word);
        if word.is_empty() {
            continue;
        }
        let space = usize::from(!out.is_empty());
        out.extend(std::iter::repeat_n(' ', space).chain(word.chars()));
        count += space + word.chars().count();
        if count > longest {
            let kept: String = out.chars().take(longest.saturating_sub(1)).collect();
            return format!("{}…", kept.trim_end());
        }
    }
    out
}

/// A text of many lines: control characters neutralised, at most so many bytes.
#[must_use]
pub fn body(text: &str, longest: usize) -> String {
    let kept = cut(text, longest);
    let lines: Vec<String> = kept.lines().map(neutralise).collect();
    let mut out = lines.join("\n");
    // What is neutralised may be longer than it was.
    let is_cut = kept.len() < text.len() || out.len() > longest;
    if is_cut {
        let end = cut(&out, longest.saturating_sub('…'.len_utf8())).len();
        out.truncate(end);
        out.push('…');
    }
    let end = out.trim_end().len();
    out.truncate(end);
    out
}

/// At most so many bytes of a text, cut between characters.
#[must_use]
pub fn cut(text: &str, longest: usize) -> &str {
    &text[..text.floor_char_boundary(longest)]
}

/// An address to read more at: http or https, of a sane length; else none.
#[must_use]
pub fn help(address: &str) -> Option<String> {
    let address = address.trim();
    let url = url::Url::parse(address).ok().filter(|_| address.len() <= 2048)?;
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then(|| url.to_string())
}

/// Texts that are made of others, once for equal ones, which are one in memory.
#[derive(Default)]
pub struct Shared {
    made: HashMap<Box<str>, Arc<str>>,
    bytes: usize,
}

impl Shared {
    /// Bytes that are remembered; beyond that it forgets and begins anew.
    const MOST: usize = 4 * 1024 * 1024;

    /// What is made of this text.
    pub fn get(&mut self, text: &str, make: impl FnOnce(&str) -> String) -> Arc<str> {
        if let Some(made) = self.made.get(text) {
            return Arc::clone(made);
        }
        let made: Arc<str> = make(text).into();
        let bytes = text.len() + made.len();
        if self.bytes + bytes > Self::MOST {
            self.made.clear();
            self.bytes = 0;
        }
        self.bytes += bytes;
        self.made.insert(text.into(), Arc::clone(&made));
        made
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_are_made_harmless() {
        assert_eq!(line("  a\n b\t\u{1b}[31mc\u{7}", 50), "a b c\u{fffd}");
        assert_eq!(line("abcdef", 4), "abc…");
        assert_eq!(line("ab cdef", 5), "ab c…");
        assert_eq!(body("a\r\nb\u{1b}]0;title\u{7}c\n\n", 50), "a\nbc");
        assert_eq!(help("https://example.com/a b"), Some("https://example.com/a%20b".to_owned()));
        for bad in ["javascript:alert(1)", "file:///etc/passwd", "data:text/html,x", "//example.com", "", "http://"] {
            assert_eq!(help(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn bounds_hold(text in "(?s).{0,80}", longest in 4_usize..40) {
            let title = line(&text, longest);
            prop_assert!(title.chars().count() <= longest && !title.chars().any(char::is_control), "{title:?}");
            let body = body(&text, longest);
            prop_assert!(body.len() <= longest && !body.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')), "{body:?}");
        }
    }
}
