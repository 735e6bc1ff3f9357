//! Lines of a log as they are sent to who follows it: written as JSON once for all who ask for the same fields, and those
//! that came together in one piece. What the library would make of each line for each subscriber costs many times as much.

use std::borrow::Cow;
use std::ops::Range;

use async_graphql::parser::types::Field;
use async_graphql::registry::Registry;
use async_graphql::{Context, ContextSelectionSet, OutputType, Positioned, ServerResult, Value};
use bytes::Bytes;

use crate::app::log::Line;
use crate::app::log::tail::Slice;
use crate::graphql::types::deployment::{LogLine, LogStream, StageKind, cursor_of};

/// Lines, each as the JSON of a `LogLine`, with a line break between them: JSON has none of its own.
pub struct Written(Bytes);

impl OutputType for Written {
    fn type_name() -> Cow<'static, str> {
        LogLine::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        LogLine::create_type_info(registry)
    }

    async fn resolve(&self, _: &ContextSelectionSet<'_>, _: &Positioned<Field>) -> ServerResult<Value> {
        // No type of the schema has binary values: whoever passes the answer on knows by it.
        Ok(Value::Binary(self.0.clone()))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Typename,
    Cursor,
    At,
    Stage,
    Stream,
    Text,
}

/// Bytes that are written in one piece, but for a line that takes more by itself.
const PIECE: usize = 256 * 1024;

/// Which fields of a line are asked for, and how they are called.
#[derive(Debug)]
pub struct Form {
    parts: Vec<(String, Part)>,
    /// The same for who asks for the same; none for a form that has a field several times, which is nobody else's.
    key: Option<String>,
}

impl Form {
    /// What the selection of this subscription's field asks for. The document was validated: there are no other fields, none
    /// has arguments, and what has the same key is the same field.
    #[must_use]
    pub fn asked_for(ctx: &Context<'_>) -> Self {
        let mut parts: Vec<(String, Part)> = Vec::new();
        for field in ctx.field().selection_set() {
            let key = field.alias().unwrap_or(field.name());
            if let Some(part) = Part::of(field.name())
                && !parts.iter().any(|(own, _)| own == key)
            {
                parts.push((key.to_owned(), part));
            }
        }
        let is_plain = parts.iter().all(|(_, part)| parts.iter().filter(|(_, other)| other == part).count() == 1);
        let key = is_plain.then(|| parts.iter().map(|(key, part)| format!("{key}:{part:?} ")).collect());
        Self { parts, key }
    }

    /// The lines of a slice from this one on, in pieces that are written one by one.
    #[must_use]
    pub fn pieces(&self, slice: &Slice, from: usize) -> Vec<Range<usize>> {
        let all = from..slice.lines.len();
        if self.key.is_some() {
            return vec![all];
        }
        let (mut pieces, mut bytes): (Vec<Range<usize>>, usize) = (Vec::new(), 0);
        for n in all {
            bytes += slice.lines[n].text.len() * self.parts.len();
            match pieces.last_mut() {
                Some(piece) if bytes < PIECE => piece.end = n + 1,
                _ => {
                    bytes = slice.lines[n].text.len() * self.parts.len();
                    pieces.push(n..n + 1);
                }
            }
        }
        pieces
    }

    /// One of its pieces.
    #[must_use]
    pub fn write(&self, slice: &Slice, piece: Range<usize>) -> Written {
        let Some(key) = &self.key else { return Written(self.texts(&slice.lines[piece]).into()) };
        let all = slice.made(key, |lines| self.texts(lines));
        let mut breaks = all.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
        let begin = if piece.start == 0 { 0 } else { breaks.nth(piece.start - 1).unwrap_or(all.len()) };
        Written(all.slice(begin..))
    }

    fn texts(&self, lines: &[Line]) -> Vec<u8> {
        let mut texts = Vec::with_capacity(lines.len() * 160);
        for (n, line) in lines.iter().enumerate() {
            if n > 0 {
                texts.push(b'\n');
            }
            texts.push(b'{');
            for (n, (key, part)) in self.parts.iter().enumerate() {
                if n > 0 {
                    texts.push(b',');
                }
                put(&mut texts, key);
                texts.push(b':');
                part.put(&mut texts, line);
            }
            texts.push(b'}');
        }
        texts
    }
}

impl Part {
    fn of(field: &str) -> Option<Self> {
        Some(match field {
            "__typename" => Self::Typename,
            "cursor" => Self::Cursor,
            "at" => Self::At,
            "stage" => Self::Stage,
            "stream" => Self::Stream,
            "text" => Self::Text,
            _ => return None,
        })
    }

    fn put(self, texts: &mut Vec<u8>, line: &Line) {
        match self {
            Self::Typename => put(texts, "LogLine"),
            Self::Cursor => put(texts, &cursor_of(line)),
            Self::At => put(texts, &async_graphql::ScalarType::to_value(&line.at)),
            Self::Stage => put(texts, &async_graphql::resolver_utils::enum_value(StageKind::from(line.stage))),
            Self::Stream => put(texts, &async_graphql::resolver_utils::enum_value(LogStream::from(line.stream))),
            Self::Text => put(texts, &line.text),
        }
    }
}

/// Writes a value as JSON.
fn put<T: serde::Serialize + ?Sized>(texts: &mut Vec<u8>, value: &T) {
    // What is written to is memory, and neither texts nor words can fail to be JSON.
    let _written = serde_json::to_writer(texts, value);
}
