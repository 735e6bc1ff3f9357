//! What a provider says went wrong, in one line, without secrets.

use serde_json::Value;

use crate::vault::Masker;

/// Characters of a provider's own words that an error quotes.
const QUOTED: usize = 300;
/// Bytes of them that are listened to: enough for what is quoted, whatever of it is masked.
const HEARD: usize = 8 * 1024;

/// GitLab: `message` (a text, or texts by field), `error`, `error_description`; GitHub: `message`, and `errors` with a
/// `message` each.
pub(super) fn words(body: &[u8], masker: &Masker) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let mut heard = Heard::default();
    for field in ["message", "error", "error_description", "errors"] {
        gather(&body[field], "", &mut heard);
    }
    let line: String = heard.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut stream = masker.stream();
    let mut masked = stream.push(line.as_bytes());
    // What is held back of a text that was cut may be the beginning of a secret.
    if !heard.full {
        masked.extend(stream.finish());
    }
    let line: String = String::from_utf8_lossy(&masked).chars().take(QUOTED).collect();
    (!line.is_empty()).then_some(line)
}

#[derive(Default)]
struct Heard {
    text: String,
    full: bool,
}

impl Heard {
    fn hear(&mut self, parts: &[&str]) {
        let separator = if self.text.is_empty() { "" } else { "; " };
        for part in [separator].iter().chain(parts) {
            let room = HEARD - self.text.len();
            self.full |= part.len() > room;
            self.text.push_str(&part[..part.floor_char_boundary(room)]);
            if self.full {
                return;
            }
        }
    }
}

fn gather(value: &Value, field: &str, heard: &mut Heard) {
    if heard.full {
        return;
    }
    match value {
        Value::String(text) if field.is_empty() => heard.hear(&[text]),
        Value::String(text) => heard.hear(&[field, " ", text]),
        Value::Array(items) => items.iter().for_each(|item| gather(item, field, heard)),
        // GitHub's errors: the words if there are any, else which field and why.
        Value::Object(fields) if fields.contains_key("code") => match (fields.get("message"), fields.get("field")) {
            (Some(Value::String(text)), _) => heard.hear(&[text]),
            (_, Some(Value::String(field))) => {
                heard.hear(&[field, ": ", fields["code"].as_str().unwrap_or_default()]);
            }
            _ => {}
        },
        Value::Object(fields) => fields.iter().for_each(|(name, value)| gather(value, name, heard)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::domain::secret::SecretString;

    fn said(body: &Value, token: &str) -> String {
        words(body.to_string().as_bytes(), &Masker::new([&SecretString::from(token)])).unwrap_or_default()
    }

    #[test]
    fn ten_megabytes_of_words_are_heard_at_once() {
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            for text in ["eyJ", "ghp_", "-----BEGIN PRIVATE KEY-----", "a "] {
                let body = serde_json::json!({ "message": text.repeat(10 * 1024 * 1024 / text.len()) });
                tell.send(said(&body, "hunter2-hunter2").chars().count()).ok();
            }
        });
        for most in [QUOTED, QUOTED, QUOTED, QUOTED] {
            let length = told.recv_timeout(Duration::from_secs(60)).expect("it ends soon");
            assert!(length <= most, "{length}");
        }
    }

    #[test]
    fn a_token_that_is_cut_is_hidden_whole() {
        let token = "hunter2-hunter2-hunter2";
        // So many that, masked, all that is heard is shorter than what is quoted.
        for start in 0..token.len() {
            let text = format!("{}{}", "x".repeat(start), token.repeat(1000));
            let said = said(&serde_json::json!({ "message": text }), token);
            assert!(!said.contains("hunter"), "{start}: {said}");
        }
    }

    #[test]
    fn texts_come_in_one_line() {
        let body = serde_json::json!({ "message": { "path": ["is\ntaken", "is short"] }, "errors": [
            { "code": "custom", "field": "name", "message": "no" }, { "code": "invalid", "field": "q" }, { "code": 1 },
        ] });
        assert_eq!(said(&body, "token"), "path is taken; path is short; no; q: invalid");
        assert_eq!(said(&serde_json::json!([1]), "token"), "");
    }
}
