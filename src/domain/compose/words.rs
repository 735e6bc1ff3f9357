//! Texts as Compose reads them: shell words and variables.

/// Splits like a POSIX shell, without expanding anything; none when a quote is left open.
pub(super) fn split(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => match chars.next()? {
                            c @ ('"' | '\\' | '$' | '`') => word.push(c),
                            '\n' => {}
                            c => word.extend(['\\', c]),
                        },
                        c => word.push(c),
                    }
                }
            }
            '\\' => match chars.next()? {
                '\n' => {}
                c => word.get_or_insert_default().push(c),
            },
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

/// A text after Compose's interpolation, as far as the file itself says what to put in.
pub(super) struct Filled {
    /// `$$` is `$`, a variable with a default is the default, and any other stays as it was written.
    pub(super) text: String,
    /// Variables whose default was taken.
    pub(super) by_default: Vec<String>,
    /// Variables that stayed.
    pub(super) open: Vec<String>,
}

/// Fills in what the file says itself.
pub(super) fn fill(text: &str) -> Filled {
    let mut filled = Filled { text: String::new(), by_default: Vec::new(), open: Vec::new() };
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        filled.text.push_str(before);
        rest = after;
        if let Some(after) = after.strip_prefix('$') {
            filled.text.push('$');
            rest = after;
        } else if let Some((inner, after)) = after.strip_prefix('{').and_then(braces) {
            let name = &inner[..name_length(inner)];
            let default = inner[name.len()..].strip_prefix(":-").or_else(|| inner[name.len()..].strip_prefix('-'));
            match default.filter(|default| !name.is_empty() && !default.contains('$')) {
                Some(default) => {
                    filled.text.push_str(default);
                    filled.by_default.push(name.to_owned());
                }
                None => {
                    filled.text.push_str(&format!("${{{inner}}}"));
                    filled.open.push(name.to_owned());
                }
            }
            rest = after;
        } else {
            filled.text.push('$');
            let name = &after[..name_length(after)];
            if !name.is_empty() {
                filled.open.push(name.to_owned());
            }
        }
    }
    filled.text.push_str(rest);
    filled
}

/// The inside of a brace that was just opened, and what follows it.
fn braces(text: &str) -> Option<(&str, &str)> {
    let mut depth = 1;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((&text[..at], &text[at + 1..]));
        }
    }
    None
}

fn name_length(text: &str) -> usize {
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    if starts { end } else { 0 }
}
