//! Placeholders in what a tool is told.

use url::Url;

use crate::scanner::{ScanError, Tool};

/// What the placeholders of one run stand for. Paths are absolute, so that none is taken for an option.
#[derive(Debug, Clone, Default)]
pub(super) struct Places {
    /// The folder of the source.
    pub(super) source: Option<String>,
    /// The file that the image is saved in, as `docker save` does it.
    pub(super) image: Option<String>,
    /// Where the service answers.
    pub(super) url: Option<String>,
    /// The file that the report is to be in.
    pub(super) report: String,
    /// The folder with the tool's `files`.
    pub(super) files: String,
}

impl Places {
    fn of(&self, word: &str) -> Option<&str> {
        match word {
            "source" => self.source.as_deref(),
            "image" => self.image.as_deref(),
            "url" => self.url.as_deref(),
            "report" => Some(&self.report),
            "files" => Some(&self.files),
            _ => None,
        }
    }

    /// A text with its placeholders filled in. What is filled in is not looked at again; braces that hold no
    /// placeholder stay.
    pub(super) fn fill(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(begin) = rest.find('{') {
            out.push_str(&rest[..begin]);
            rest = &rest[begin..];
            let word = rest[1..].split_once('}').map(|(word, _)| word);
            match word.and_then(|word| Some((word, self.of(word)?))) {
                Some((word, value)) => {
                    out.push_str(value);
                    rest = &rest[word.len() + 2..];
                }
                None => {
                    out.push('{');
                    rest = &rest[1..];
                }
            }
        }
        out.push_str(rest);
        out
    }

    /// Program and arguments. Each stays one, whatever is filled in.
    pub(super) fn command(&self, tool: &Tool) -> Vec<String> {
        tool.command.iter().map(|argument| self.fill(argument)).collect()
    }

    /// The tool's `files`: names and texts.
    pub(super) fn files(&self, tool: &Tool) -> Vec<(String, String)> {
        tool.files.iter().map(|(name, text)| (name.clone(), self.fill(text))).collect()
    }
}

/// An address as it may stand in an argument and in a quoted text of a file: `http` or `https`, with a host, without a
/// login, and without white space, quotes and backslashes.
///
/// # Errors
/// [`ScanError::Failed`] when it is none.
pub(super) fn address(text: &str) -> Result<String, ScanError> {
    let bad = || ScanError::Failed("the address to be scanned is none that a tool can be given".to_owned());
    let url = Url::parse(text).map_err(|_| bad())?;
    let is_web = matches!(url.scheme(), "http" | "https") && url.has_host();
    let is_plain = url.username().is_empty() && url.password().is_none();
    let written = url.to_string();
    let is_quiet = written.chars().all(|c| c.is_ascii_graphic() && !"\"'\\`<>{}$".contains(c));
    if is_web && is_plain && is_quiet { Ok(written) } else { Err(bad()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Places {
        Places {
            source: Some("/a b/{report}".to_owned()),
            image: None,
            url: Some("http://x/".to_owned()),
            report: "/r".to_owned(),
            files: "/f".to_owned(),
        }
    }

    #[test]
    fn placeholders_are_parts_of_arguments() {
        for (text, filled) in [
            ("{source}", "/a b/{report}"),
            ("--out={report}", "--out=/r"),
            ("{report}{report}", "/r/r"),
            ("cyclonedx-json={report}", "cyclonedx-json=/r"),
            ("{files}/plan.yaml", "/f/plan.yaml"),
            ("../..{report}", "../../r"),
            ("{url}", "http://x/"),
            ("{", "{"),
            ("{}", "{}"),
            ("{{report}}", "{/r}"),
            ("{\"a\": {report}}", "{\"a\": /r}"),
            ("{image}", "{image}"),
            ("{Source} ä {report", "{Source} ä {report"),
            ("$(id); `id` \n", "$(id); `id` \n"),
            ("", ""),
        ] {
            assert_eq!(places().fill(text), filled, "{text}");
        }
    }

    #[test]
    fn addresses_hold_nothing_that_ends_a_text() {
        for (text, is) in [
            ("http://web:8080/a?b=c#d", Some("http://web:8080/a?b=c#d")),
            ("https://[2001:db8::1]/", Some("https://[2001:db8::1]/")),
            ("http://x/a b\"c", Some("http://x/a%20b%22c")),
            ("http://x/?a='b", Some("http://x/?a=%27b")),
            ("http://user:word@x/", None),
            ("http://x/?a=$(id)", None),
            ("--config=http://x/", None),
            ("file:///etc/passwd", None),
            ("javascript:alert(1)", None),
            ("x", None),
        ] {
            let got = address(text);
            assert_eq!(got.as_deref().ok(), is, "{text}: {got:?}");
        }
    }
}
