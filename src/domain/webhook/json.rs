//! A payload, walked by paths: what is not asked for may be anything.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::event::{HeadCommit, InvalidPayload, RefKind, Source};
use crate::domain::names::{BranchName, CommitHash, InvalidName, ProjectPath};

/// Longest message that is kept, in bytes; whether it skips is looked for in all of it.
const MESSAGE: usize = 8 * 1024;
/// Longest of other texts that are kept, in bytes.
const TEXT: usize = 255;
/// Longest address that is kept, in bytes.
const ADDRESS: usize = 2048;
/// Longest id of a project, in bytes.
const ID: usize = 64;

/// A JSON document, or a part of one.
#[derive(Clone, Copy)]
pub(super) struct Part<'a>(pub(super) &'a Value);

impl<'a> Part<'a> {
    /// What is at a path like `head.repo.id`; none where it is missing or null.
    pub(super) fn at(self, path: &str) -> Option<Part<'a>> {
        let found = path.split('.').try_fold(self.0, |value, name| value.get(name))?;
        (!found.is_null()).then_some(Part(found))
    }

    pub(super) fn text(self, path: &str) -> Option<&'a str> {
        self.at(path)?.0.as_str()
    }

    pub(super) fn yes(self, path: &str) -> bool {
        self.at(path).is_some_and(|part| part.0 == &Value::Bool(true))
    }

    pub(super) fn number(self, path: &str) -> Option<u64> {
        self.at(path)?.0.as_u64()
    }

    pub(super) fn list(self, path: &str) -> &'a [Value] {
        self.at(path).and_then(|part| part.0.as_array()).map_or(&[], Vec::as_slice)
    }

    pub(super) fn needed(self, path: &str) -> Result<&'a str, InvalidPayload> {
        self.text(path).ok_or_else(|| missing(path))
    }

    /// A short text for people, in one line.
    pub(super) fn line(self, path: &str) -> Option<String> {
        let text: String = self.text(path)?.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let text = cut(text.trim(), TEXT);
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// An id, which providers write as a number.
    pub(super) fn id(self, path: &str) -> Option<String> {
        match self.at(path)?.0 {
            Value::Number(number) => number.as_u64().map(|number| number.to_string()),
            Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty() && text.len() <= ID),
            _ => None,
        }
    }

    /// The page of something, for people to follow: never gone to from here.
    pub(super) fn page(self, path: &str) -> Option<String> {
        let text = self.text(path).filter(|text| text.len() <= ADDRESS && !text.chars().any(char::is_control))?;
        ["https://", "http://"].iter().any(|scheme| text.starts_with(scheme)).then(|| text.to_owned())
    }

    pub(super) fn time(self, path: &str) -> Option<DateTime<Utc>> {
        DateTime::parse_from_rfc3339(self.text(path)?).ok().map(|time| time.with_timezone(&Utc))
    }

    pub(super) fn branch(self, path: &str) -> Result<BranchName, InvalidPayload> {
        BranchName::parse(self.needed(path)?).map_err(|error| refused(path, &error))
    }

    pub(super) fn commit(self, path: &str) -> Result<CommitHash, InvalidPayload> {
        CommitHash::parse(self.needed(path)?).map_err(|error| refused(path, &error))
    }

    /// A commit, or all zeros where there is none.
    pub(super) fn commit_or_zeros(self, path: &str) -> Result<Option<CommitHash>, InvalidPayload> {
        let text = self.needed(path)?;
        if matches!(text.len(), 40 | 64) && text.bytes().all(|b| b == b'0') {
            return Ok(None);
        }
        self.commit(path).map(Some)
    }

    /// `refs/heads/feature/x`, with every slash of the name.
    pub(super) fn reference(self, path: &str) -> Result<(RefKind, BranchName), InvalidPayload> {
        let text = self.needed(path)?;
        let (kind, name) = if let Some(name) = text.strip_prefix("refs/heads/") {
            (RefKind::Branch, name)
        } else if let Some(name) = text.strip_prefix("refs/tags/") {
            (RefKind::Tag, name)
        } else {
            return Err(InvalidPayload(format!("{path} names neither a branch nor a tag")));
        };
        Ok((kind, BranchName::parse(name).map_err(|error| refused(path, &error))?))
    }

    /// Both providers describe a commit alike.
    pub(super) fn head(self) -> HeadCommit {
        let message = self.text("message").unwrap_or_default();
        let kept: String = cut(message, MESSAGE).chars().filter(|c| !c.is_control() || "\n\t".contains(*c)).collect();
        HeadCommit {
            commit: self.commit("id").ok(),
            message: kept.trim_end().to_owned(),
            skips: skips(message),
            author_name: self.line("author.name"),
            committed_at: self.time("timestamp"),
            url: self.page("url"),
        }
    }

    /// The project that a delivery is about: its id, and its path where it is one.
    pub(super) fn source(self, id: &str, path: &str) -> Result<Source, InvalidPayload> {
        let external_id = self.id(id).ok_or_else(|| missing(id))?;
        Ok(Source { external_id, path: self.text(path).and_then(|path| ProjectPath::parse(path).ok()) })
    }
}

pub(super) fn missing(path: &str) -> InvalidPayload {
    InvalidPayload(format!("{path} is missing, or is not what the provider sends there"))
}

fn refused(path: &str, error: &InvalidName) -> InvalidPayload {
    InvalidPayload(format!("{path} is refused: {error}"))
}

/// Whether a commit's message asks for no pipeline, as both providers read it: anywhere, in any case.
fn skips(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["[skip ci]", "[ci skip]"].iter().any(|words| message.contains(words))
}

fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}
