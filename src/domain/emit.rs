//! YAML in block style whose texts are texts for every reader.
//!
//! Readers disagree on what a plain scalar means (`yes`, `1e3`, `0777`, `22:22` and `2001-01-01` differ between YAML
//! 1.1 and 1.2), so that all but plain words stand in double quotes, on one line, with everything escaped that cannot
//! be seen.

use std::fmt::Write as _;

use serde_norway::Value;

/// Writes one document. Takes what is made of our own structs, which hold no null.
pub fn document(value: &Value) -> String {
    let mut out = String::new();
    block(&mut out, value, 0);
    out
}

/// A mapping's or a list's lines at a depth.
fn block(out: &mut String, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Mapping(entries) => {
            for (key, value) in entries {
                out.push_str(&indent);
                scalar(out, key);
                out.push(':');
                below(out, value, depth);
            }
        }
        Value::Sequence(items) => {
            for item in items {
                out.push_str(&indent);
                out.push('-');
                match item {
                    // The first entry stands on the line of the hyphen, which is as wide as one depth.
                    Value::Mapping(entries) if !entries.is_empty() => {
                        let mut lines = String::new();
                        block(&mut lines, item, depth + 1);
                        out.push(' ');
                        out.push_str(lines.trim_start_matches(' '));
                    }
                    other => below(out, other, depth),
                }
            }
        }
        other => {
            out.push_str(&indent);
            scalar(out, other);
            out.push('\n');
        }
    }
}

/// What follows a colon or a hyphen.
fn below(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Mapping(entries) if entries.is_empty() => out.push_str(" {}\n"),
        Value::Sequence(items) if items.is_empty() => out.push_str(" []\n"),
        Value::Mapping(_) | Value::Sequence(_) => {
            out.push('\n');
            block(out, value, depth + 1);
        }
        other => {
            out.push(' ');
            scalar(out, other);
            out.push('\n');
        }
    }
}

fn scalar(out: &mut String, value: &Value) {
    match value {
        Value::Bool(yes) => out.push_str(if *yes { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::String(text) if is_plain(text) => out.push_str(text),
        Value::String(text) => quoted(out, text),
        // Nothing else is ever a scalar here.
        Value::Null | Value::Mapping(_) | Value::Sequence(_) | Value::Tagged(_) => out.push_str("null"),
    }
}

/// A word that every reader takes for the text that it is.
fn is_plain(text: &str) -> bool {
    const NOT_TEXT: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_./@:-".contains(&b))
        && !text.ends_with(':')
        && !NOT_TEXT.contains(&text.to_ascii_lowercase().as_str())
}

fn quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if !is_visible(c) => {
                let code = u32::from(c);
                // Writing to a string does not fail.
                let _ = if code > 0xffff { write!(out, "\\U{code:08x}") } else { write!(out, "\\u{code:04x}") };
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Printable for YAML, and neither invisible nor a turn of the text's direction.
fn is_visible(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{e000}'..='\u{f8ff}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}'
            | '\u{fffe}'..='\u{ffff}' | '\u{e0000}'..='\u{10ffff}')
}
