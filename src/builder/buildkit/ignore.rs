//! Which files of a context stay at home: `.dockerignore` by Docker's own rules, which are those of
//! moby/patternmatcher and of moby/buildkit's `dockerfile/dockerignore`.
//!
//! A pattern is for the whole path from the root. What is in a folder that a pattern names is meant too. The last
//! pattern that is for a path decides; with `!` it takes the path back in.

use std::collections::BTreeSet;

/// Patterns that a `.dockerignore` may have.
const MAX_PATTERNS: usize = 5_000;
/// Characters that may be compared for all paths of a context together: about a minute.
const MAX_STEPS: u64 = 1_000_000_000;

/// A `.dockerignore` in an order that paths can be asked of.
#[derive(Debug, Default)]
pub struct Rules {
    patterns: Vec<Pattern>,
}

#[derive(Debug)]
struct Pattern {
    takes_back: bool,
    tokens: Vec<Token>,
}

/// The comparisons that are left for a context.
#[derive(Debug)]
pub struct Steps {
    left: u64,
}

impl Default for Steps {
    fn default() -> Self {
        Self { left: MAX_STEPS }
    }
}

impl Steps {
    fn take(&mut self, count: usize) -> Result<(), String> {
        let left = self.left.checked_sub(count as u64);
        self.left = left.ok_or("the rules of .dockerignore take too long for that many files")?;
        Ok(())
    }
}

/// A part of a pattern.
#[derive(Debug, PartialEq, Eq)]
enum Token {
    /// This very character.
    Char(char),
    /// `?`: one character, but no slash.
    One,
    /// `*`: any number of characters, but no slash.
    Any,
    /// `[a-z]`, `[^x]`: one of these, or none of these.
    Class { not: bool, ranges: Vec<(char, char)> },
    /// `**`, with or without its slash, before something: nothing, or anything up to a slash.
    Folders,
    /// `**` at the end: anything.
    All,
}

impl Rules {
    /// Reads a `.dockerignore`.
    ///
    /// # Errors
    /// A sentence that names the line which is no pattern, or says that there are too many.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut patterns = Vec::new();
        for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            // A comment begins with the line: ` #x` is a pattern.
            if line.starts_with('#') {
                continue;
            }
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            let (takes_back, body) = match line.strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, line),
            };
            let bad = || format!("line {} of .dockerignore is no pattern: {line}", index + 1);
            if body.is_empty() {
                return Err(bad());
            }
            let cleaned = clean(body);
            let tokens = tokens(cleaned.strip_prefix('/').unwrap_or(&cleaned)).ok_or_else(bad)?;
            if patterns.len() == MAX_PATTERNS {
                return Err(format!(".dockerignore has more than {MAX_PATTERNS} patterns"));
            }
            patterns.push(Pattern { takes_back, tokens });
        }
        Ok(Self { patterns })
    }

    /// Whether a path from the root, with slashes, stays out.
    ///
    /// # Errors
    /// A sentence when no steps are left for that.
    pub fn leaves_out(&self, path: &str, steps: &mut Steps) -> Result<bool, String> {
        for pattern in self.patterns.iter().rev() {
            if pattern.is_for(path, steps)? {
                return Ok(!pattern.takes_back);
            }
        }
        Ok(false)
    }

    /// Whether something in a folder that stays out may come in again.
    #[must_use]
    pub fn take_back(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.takes_back)
    }
}

impl Pattern {
    /// Whether it is for a path or a folder that the path is in. Follows all the ways through the pattern at once, so
    /// that no pattern takes long.
    fn is_for(&self, path: &str, steps: &mut Steps) -> Result<bool, String> {
        let mut at = BTreeSet::new();
        self.reach(0, &mut at);
        for c in path.chars() {
            if at.is_empty() || (c == '/' && at.contains(&self.tokens.len())) {
                break;
            }
            let ranges = at.iter().filter_map(|place| match self.tokens.get(*place) {
                Some(Token::Class { ranges, .. }) => Some(ranges.len()),
                _ => None,
            });
            steps.take(at.len() + ranges.sum::<usize>())?;
            let mut next = BTreeSet::new();
            for place in &at {
                match self.tokens.get(*place) {
                    Some(Token::Char(wanted)) if *wanted == c => self.reach(place + 1, &mut next),
                    Some(Token::One) if c != '/' => self.reach(place + 1, &mut next),
                    Some(Token::Class { not, ranges }) if c != '/' && holds(ranges, c) != *not => {
                        self.reach(place + 1, &mut next);
                    }
                    Some(Token::Any) if c != '/' => self.reach(*place, &mut next),
                    Some(Token::All) => self.reach(*place, &mut next),
                    Some(Token::Folders) => {
                        next.insert(*place);
                        // Behind a slash the folders may be over.
                        if c == '/' {
                            self.reach(place + 1, &mut next);
                        }
                    }
                    _ => {}
                }
            }
            at = next;
        }
        // One more, so that a pattern without a single character costs something too.
        steps.take(1)?;
        Ok(at.contains(&self.tokens.len()))
    }

    /// Adds a place and those that are reached from it for nothing.
    fn reach(&self, mut place: usize, into: &mut BTreeSet<usize>) {
        while into.insert(place) && matches!(self.tokens.get(place), Some(Token::Any | Token::All | Token::Folders)) {
            place += 1;
        }
    }
}

fn holds(ranges: &[(char, char)], c: char) -> bool {
    ranges.iter().any(|(low, high)| (*low..=*high).contains(&c))
}

/// As Go's `filepath.Clean`.
fn clean(pattern: &str) -> String {
    let rooted = pattern.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in pattern.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

/// None for a pattern that ends within a class or behind a backslash.
fn tokens(pattern: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '*' if rest.next_if_eq(&'*').is_some() => {
                let _ = rest.next_if_eq(&'/');
                tokens.push(if rest.peek().is_some() { Token::Folders } else { Token::All });
            }
            '*' => tokens.push(Token::Any),
            '?' => tokens.push(Token::One),
            '[' => tokens.push(class(&mut rest)?),
            '\\' => tokens.push(Token::Char(rest.next()?)),
            c => tokens.push(Token::Char(c)),
        }
    }
    Some(tokens)
}

fn class(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Token> {
    let not = rest.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        let low = match rest.next()? {
            ']' if !ranges.is_empty() => return Some(Token::Class { not, ranges }),
            '\\' => rest.next()?,
            c => c,
        };
        let mut after = rest.clone();
        let high = match (after.next(), after.next()) {
            (Some('-'), Some(high)) if high != ']' => {
                rest.nth(1);
                if high == '\\' { rest.next()? } else { high }
            }
            _ => low,
        };
        if low > high {
            return None;
        }
        ranges.push((low, high));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rules, paths that stay out, paths that are sent. The first ones are those of Docker's documentation.
    const TABLE: [(&str, &[&str], &[&str]); 24] = [
        ("# comment\n*/temp*", &["a/temporary.txt", "a/temp", "a/temp/x"], &["temp", "a/b/temp", "# comment"]),
        ("*/*/temp*", &["a/sub/temporary.txt"], &["a/temp", "a/b/c/temp"]),
        ("temp?", &["tempa", "tempb", "tempa/x"], &["temp", "tempab", "a/tempa"]),
        ("**/*.go", &["main.go", "a/b/main.go"], &["main.rs", "a.go.txt"]),
        ("*.md\n!README.md", &["CHANGES.md"], &["README.md", "docs/a.md"]),
        ("*.md\n!README*.md\nREADME-secret.md", &["a.md", "README-secret.md"], &["README.md", "README-x.md"]),
        ("*.md\nREADME-secret.md\n!README*.md", &["a.md"], &["README.md", "README-secret.md"]),
        ("/foo/bar", &["foo/bar", "foo/bar/x"], &["bar", "x/foo/bar"]),
        ("foo/bar/", &["foo/bar", "foo/bar/x"], &["foo", "foo/barx"]),
        ("/foo", &["foo", "foo/a/b"], &["a/foo"]),
        ("**", &["a", "a/b", ".x"], &[]),
        ("*\n!src", &["a", "b/c"], &["src", "src/main.rs"]),
        ("node_modules\n!node_modules/keep", &["node_modules", "node_modules/x"], &["node_modules/keep/y"]),
        ("**/node_modules", &["node_modules", "a/node_modules", "a/node_modules/b/c"], &["a/node_modules2"]),
        ("a/**/b", &["a/b", "a/x/b", "a/x/y/b/z"], &["a/xb", "ab"]),
        ("a/**", &["a/b", "a/b/c"], &["b"]),
        ("  spaced  ", &["spaced"], &["  spaced  "]),
        (" #x", &["#x"], &["x"]),
        ("./a/../b//c", &["b/c"], &["a", "b"]),
        ("../x\n/../y", &["y"], &["x"]),
        ("[a-c].txt\n[^x]y", &["a.txt", "c.txt", "zy"], &["d.txt", "xy", "ab.txt"]),
        (r"a\*b", &["a*b"], &["axb"]),
        ("a.b\na$\n(x)", &["a.b", "a$", "(x)"], &["axb", "a", "x"]),
        ("\u{feff}first\n! !odd\n", &["first"], &["second"]),
    ];

    #[test]
    fn patterns_mean_what_docker_means() {
        for (rules, out, sent) in TABLE {
            let read = Rules::parse(rules).unwrap_or_else(|why| panic!("{why}"));
            for path in out {
                assert_eq!(read.leaves_out(path, &mut Steps::default()), Ok(true), "{rules:?} leaves {path} out");
            }
            for path in sent {
                assert_eq!(read.leaves_out(path, &mut Steps::default()), Ok(false), "{rules:?} sends {path}");
            }
        }
    }

    #[test]
    fn what_is_no_pattern_is_named_by_its_line() {
        for bad in ["ok\n!", "ok\n! ", "ok\n[a", "ok\n[z-a]", "ok\nx\\"] {
            let why = Rules::parse(bad).err().unwrap_or_else(|| panic!("{bad:?} is taken"));
            assert!(why.starts_with("line 2 of .dockerignore"), "{why}");
        }
    }

    #[test]
    fn no_pattern_takes_long() {
        let rules = Rules::parse(&format!("{}b", "*a".repeat(60))).unwrap_or_default();
        let started = std::time::Instant::now();
        assert_eq!(rules.leaves_out(&"a".repeat(500), &mut Steps::default()), Ok(false));
        assert!(started.elapsed().as_secs() < 10);
    }

    #[test]
    fn many_patterns_and_much_work_are_refused() {
        assert!(Rules::parse(&"a\n".repeat(MAX_PATTERNS)).is_ok());
        let why = Rules::parse(&"a\n".repeat(MAX_PATTERNS + 1)).err();
        assert!(why.is_some_and(|why| why.contains("more than 5000 patterns")));
        let rules = Rules::parse(&"**/a*b\n".repeat(10)).unwrap_or_default();
        let mut steps = Steps { left: 1_000 };
        assert_eq!(rules.leaves_out("x/a", &mut steps), Ok(false));
        assert!(rules.leaves_out(&"a/".repeat(200), &mut steps).is_err_and(|why| why.contains("too long")));
    }
}
