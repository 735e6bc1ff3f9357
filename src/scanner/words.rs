//! What tools print of how much they looked at, where their reports don't say it: an empty list of results is good news only
//! where something was looked at.
//!
//! | tool | prints |
//! | --- | --- |
//! | Semgrep, Opengrep | `Ran 2 rules on 14 files: 0 findings.`, `Targets scanned: 14`, `Rules run: 2`, `Nothing to scan` |

/// How many things a tool says in a line that it looked at; none where the line is of something else. It is 0 too where it
/// says that it had no rule to look by.
#[must_use]
pub fn looked_at(line: &str) -> Option<u64> {
    let line = line.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    let after = |start: &str| number(line.strip_prefix(start)?);
    if line.to_ascii_lowercase().starts_with("nothing to scan") || after("Rules run:") == Some(0) {
        return Some(0);
    }
    if let Some(rest) = line.strip_prefix("Ran ") {
        let (rules, files) = rest.split_once(" on ")?;
        let is_it = rules.contains(" rule") && files.contains(" file");
        let (rules, files) = (number(rules).filter(|_| is_it)?, number(files)?);
        return Some(if rules == 0 { 0 } else { files });
    }
    after("Targets scanned:")
}

/// The number that a text begins with.
fn number(text: &str) -> Option<u64> {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_looked_at_is_heard() {
        for (line, expected) in [
            ("Ran 2 rules on 14 files: 0 findings.", Some(14)),
            ("Ran 1 rule on 1 file: 1 finding.", Some(1)),
            ("Ran 2 rules on 0 files: 0 findings.", Some(0)),
            ("Ran 0 rules on 14 files: 0 findings.", Some(0)),
            (" • Targets scanned: 0", Some(0)),
            (" • Targets scanned: 3", Some(3)),
            (" • Rules run: 0", Some(0)),
            (" • Rules run: 2", None),
            ("Nothing to scan.", Some(0)),
            ("Ran out of memory on a file", None),
            ("Ran a rule on 0 files", None),
            ("Targets scanned: ", None),
            ("", None),
            ("ä", None),
        ] {
            assert_eq!(looked_at(line), expected, "{line}");
        }
    }
}
