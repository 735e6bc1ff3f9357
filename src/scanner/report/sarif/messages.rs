//! What results say, with ids and arguments filled in.

use std::collections::BTreeMap;

use super::rules::Rule;
use super::wire::Message;
use crate::scanner::report::text;

/// Bytes of a message that are worked on.
const LONGEST: usize = 16 * 1024;

/// The text of a message that stands for itself; Markdown where there is nothing else.
#[must_use]
pub fn plain(message: &Message) -> Option<String> {
    let said = message.text.as_deref().filter(|text| !text.trim().is_empty()).or(message.markdown.as_deref())?;
    Some(text::cut(said, LONGEST).to_owned()).filter(|text| !text.trim().is_empty())
}

/// What a result says: its own text, or the one that its id names, of its rule or of the tool as a whole.
#[must_use]
pub fn of(message: &Message, rule: Option<&Rule>, global: &BTreeMap<String, String>) -> Option<String> {
    let by_id = || {
        let id = message.id.as_deref()?;
        rule.and_then(|rule| rule.messages.get(id)).or_else(|| global.get(id)).cloned()
    };
    let said = plain(message).or_else(by_id)?;
    Some(unlinked(&filled(&said, &message.arguments.0)))
}

/// `{0}` becomes the first argument; `{{` is a brace.
fn filled(said: &str, arguments: &[String]) -> String {
    let mut out = String::with_capacity(said.len());
    let mut rest = said;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let tail = &rest[at..];
        let argument = tail[1..].find('}').and_then(|end| {
            let number: usize = tail[1..=end].parse().ok()?;
            Some((arguments.get(number)?, end + 2))
        });
        let (text, taken) = match argument {
            Some((argument, taken)) if tail.starts_with('{') => (argument.as_str(), taken),
            _ if !arguments.is_empty() && tail.starts_with("{{") => ("{", 2),
            _ if !arguments.is_empty() && tail.starts_with("}}") => ("}", 2),
            _ => (&tail[..1], 1),
        };
        out.push_str(text::cut(text, LONGEST.saturating_sub(out.len())));
        rest = &tail[taken..];
    }
    out.push_str(rest);
    text::cut(&out, LONGEST).to_owned()
}

/// `[text](1)` refers to a location of the result; only its text is of use elsewhere.
fn unlinked(said: &str) -> String {
    let mut out = String::with_capacity(said.len());
    let mut rest = said;
    while let Some(middle) = rest.find("](") {
        let start = rest[..middle].rfind('[');
        let end = rest[middle + 2..].find(')').map(|end| middle + 2 + end);
        match (start, end) {
            (Some(start), Some(end))
                if end > middle + 2 && rest[middle + 2..end].bytes().all(|byte| byte.is_ascii_digit()) =>
            {
                out.push_str(&rest[..start]);
                out.push_str(&rest[start + 1..middle]);
                rest = &rest[end + 1..];
            }
            _ => {
                out.push_str(&rest[..middle + 2]);
                rest = &rest[middle + 2..];
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::scanner::report::json::Few;

    fn message(text: Option<&str>, id: Option<&str>, arguments: &[&str]) -> Message {
        Message {
            text: text.map(str::to_owned),
            id: id.map(str::to_owned),
            arguments: Few(arguments.iter().map(|a| (*a).to_owned()).collect()),
            markdown: Some("**marked**".to_owned()),
        }
    }

    #[test]
    fn ids_and_arguments_are_filled_in() {
        let global: BTreeMap<_, _> = [("g".to_owned(), "global {0}".to_owned())].into();
        let rule = Rule { messages: [("r".to_owned(), "{1} of {0} {{x}} {9}".to_owned())].into(), ..Rule::default() };
        let of = |message: &Message| of(message, Some(&rule), &global);
        let said = |text: &str| Some(text.to_owned());
        assert_eq!(of(&message(Some("a {b} {0}"), None, &[])), said("a {b} {0}"));
        assert_eq!(of(&message(None, None, &[])), said("**marked**"));
        assert_eq!(of(&Message { markdown: None, ..message(None, Some("r"), &["A", "B"]) }), said("B of A {x} {9}"));
        assert_eq!(of(&Message { markdown: None, ..message(None, Some("g"), &["A"]) }), said("global A"));
        assert_eq!(of(&Message { markdown: None, ..message(None, Some("z"), &[]) }), None);
        assert_eq!(of(&message(Some("a [value](1) of [x](http://y)"), None, &[])), said("a value of [x](http://y)"));
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "[\\[\\](){}0-2ä]{0,30}", arguments in prop::collection::vec("[{}ä0]{0,5}", 0..3)) {
            let _ = unlinked(&filled(&text, &arguments));
        }
    }
}
