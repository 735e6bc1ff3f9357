//! Which version a project asks for.

use super::check;
use super::tree::Tree;

/// A version and the file that asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// As in an image's tag.
    pub version: String,
    /// The file, or the file and the key.
    pub by: String,
}

impl Asked {
    /// A version that a file asks for.
    pub fn new(version: String, by: &str) -> Self {
        Self { version, by: by.to_owned() }
    }

    /// As evidence: `.nvmrc: version 20`.
    #[must_use]
    pub fn evidence(&self) -> String {
        format!("{}: version {}", self.by, self.version)
    }

    /// The version, and the evidence for it or for the lack of any.
    #[must_use]
    pub fn or_current(asked: Option<Self>, current: &str) -> (String, String) {
        match asked {
            Some(asked) => (asked.version.clone(), asked.evidence()),
            None => (current.to_owned(), format!("no file asks for a version: {current}, a current release")),
        }
    }
}

/// The version on the first line of a file such as `.python-version` that is neither empty nor a comment.
#[must_use]
pub fn of_file(tree: &Tree, file: &str) -> Option<Asked> {
    let text = tree.text(file)?;
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
    Some(Asked::new(check::version(line)?, file))
}

/// The version of a tool in `.tool-versions` (asdf, mise): lines of `tool version…`.
#[must_use]
pub fn of_tool(tree: &Tree, tools: &[&str]) -> Option<Asked> {
    let text = tree.text(".tool-versions")?;
    let found = text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        words.next().filter(|tool| tools.contains(tool))?;
        // Elixir's are written as 1.18.4-otp-27.
        check::version(words.next()?.split('-').next()?)
    })?;
    Some(Asked::new(found, ".tool-versions"))
}

/// The first of the candidates (such as `3.13`) of which some version is in the range. Ranges are as in npm, Poetry,
/// Composer and PEP 440: comparators with commas or spaces between, alternatives with `||` or `|`, `^`, `~`, `~=`, `~>`,
/// `x`, `*` and `1 - 2`. A range that names one version or a line, such as `20.11.1` or `20`, is that. None for what
/// can't be read.
#[must_use]
pub fn in_range(range: &str, candidates: &[&str]) -> Option<String> {
    let range = range.trim();
    if range.len() > 200 {
        return None;
    }
    if let Some(exact) = check::version(range.trim_start_matches('=').trim()) {
        return Some(exact);
    }
    let alternatives: Vec<Vec<Bound>> =
        range.split('|').filter(|part| !part.trim().is_empty()).map(bounds).collect::<Option<_>>()?;
    let fits = |candidate: &&str| alternatives.iter().any(|all| all.iter().all(|bound| bound.meets(candidate)));
    candidates.iter().copied().find(fits).map(str::to_owned)
}

type Number = [u32; 3];

/// Versions from `from` on and below `below`, each if there.
#[derive(Debug, Default)]
struct Bound {
    from: Option<Number>,
    below: Option<Number>,
    /// A line of versions that is left out.
    not: Option<(Number, usize)>,
}

impl Bound {
    /// Whether some version of the line is within.
    fn meets(&self, line: &str) -> bool {
        let Some((first, given)) = number(line) else { return false };
        let next = after(first, given);
        self.from.is_none_or(|from| next > from)
            && self.below.is_none_or(|below| first < below)
            && self.not.is_none_or(|(not, digits)| digits > given || after(not, digits) <= first || not >= next)
    }
}

/// The three numbers of a version and how many were given; `x` and `*` count as not given.
fn number(text: &str) -> Option<(Number, usize)> {
    let mut numbers = [0; 3];
    let mut given = 0;
    for (at, part) in text.trim().trim_start_matches('v').split('.').enumerate().take(4) {
        if matches!(part, "x" | "X" | "*") {
            break;
        }
        // What follows a dash or a plus is a pre-release or a build.
        let part = part.split(['-', '+']).next()?;
        let value = part.parse().ok().filter(|value| *value < 100_000)?;
        if let Some(slot) = numbers.get_mut(at) {
            *slot = value;
            given = at + 1;
        }
    }
    Some((numbers, given))
}

/// The first version after those that begin with the given numbers.
fn after(mut number: Number, given: usize) -> Number {
    match given {
        0 => [u32::MAX; 3],
        _ => {
            let at = given.min(3) - 1;
            number[at] += 1;
            number[at + 1..].fill(0);
            number
        }
    }
}

fn bounds(text: &str) -> Option<Vec<Bound>> {
    if let Some((low, high)) = text.split_once(" - ") {
        let (low, high) = (number(low)?, number(high)?);
        return Some(vec![Bound { from: Some(low.0), below: Some(after(high.0, high.1)), not: None }]);
    }
    // `>= 18` is one comparator: a space after an operator does not separate.
    let mut joined = String::new();
    for word in text.split([' ', ',', '\t']).filter(|word| !word.is_empty()) {
        if !joined.is_empty() && !joined.ends_with(['<', '>', '=', '~', '^', '!']) {
            joined.push(' ');
        }
        joined.push_str(word);
    }
    joined.split(' ').map(bound).collect()
}

fn bound(text: &str) -> Option<Bound> {
    let rest = text.trim_start_matches(['<', '>', '=', '~', '^', '!']);
    let (value, given) = number(rest)?;
    let (from, below) = match &text[..text.len() - rest.len()] {
        ">=" => (Some(value), None),
        ">" => (Some(if given == 3 { value } else { after(value, given) }), None),
        "<" => (None, Some(value)),
        "<=" => (None, Some(after(value, given))),
        // Up to the next change of the first number that is not zero.
        "^" => (Some(value), Some(after(value, if value[0] > 0 { 1 } else { given.min(2) }))),
        // The last number given may rise: ~=3.11 is any 3 from 3.11 on, and ~=1.2.3 any 1.2 from 1.2.3 on.
        "~=" | "~>" => (Some(value), Some(after(value, given.saturating_sub(1).max(1)))),
        "~" => (Some(value), Some(after(value, given.min(2)))),
        "" | "=" | "==" | "===" => (Some(value), Some(after(value, given))),
        "!=" => return Some(Bound { not: Some((value, given)), ..Bound::default() }),
        _ => return None,
    };
    Some(if given == 0 { Bound::default() } else { Bound { from, below, not: None } })
}

#[cfg(test)]
mod tests {
    use super::in_range;

    const LINES: [&str; 5] = ["24", "22", "20", "26", "18"];

    #[test]
    fn ranges_pick_the_first_line_that_has_a_version_within() {
        for (range, picked) in [
            (">=20", Some("24")),
            (">= 20 < 23", Some("22")),
            (">=20.9.0 <=22", Some("22")),
            (">24", Some("26")),
            (">=24.1", Some("24")),
            ("<20", Some("18")),
            ("^20.1.0", Some("20")),
            ("~20.1", Some("20")),
            ("20.x", Some("20")),
            ("20.x || 22.x", Some("22")),
            ("18 - 20", Some("20")),
            ("!=24,>=22", Some("22")),
            ("*", Some("24")),
            ("20", Some("20")),
            ("v20.11.1", Some("20.11.1")),
            ("=20.11.1", Some("20.11.1")),
            ("^99", None),
            ("latest", None),
            ("", None),
            ("20 RUN", None),
        ] {
            assert_eq!(in_range(range, &LINES).as_deref(), picked, "{range}");
        }
    }

    #[test]
    fn the_last_number_given_may_rise() {
        let lines = ["3.13", "3.12", "3.11", "2.7"];
        for (range, picked) in [
            ("~=3.11", Some("3.13")),
            ("~>3.12.1", Some("3.12")),
            ("~3.11", Some("3.11")),
            ("^3.11", Some("3.13")),
            (">=3.10,<3.12", Some("3.11")),
            ("==3.12.*", Some("3.12")),
            (">=2.7,!=3.13.*,<3.14", Some("3.12")),
        ] {
            assert_eq!(in_range(range, &lines).as_deref(), picked, "{range}");
        }
    }
}
