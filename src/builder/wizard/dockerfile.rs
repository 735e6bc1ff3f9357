//! Writing a Dockerfile, one instruction after the other.

use std::fmt::Write as _;

/// A Dockerfile in the making. Only instructions of the plain grammar are written: no `# syntax=` line, no heredoc and
/// no `COPY --link`, so that the frontend inside every engine from 20.10 on takes it and no other image is needed.
#[derive(Debug, Clone, Default)]
pub struct Dockerfile {
    text: String,
}

impl Dockerfile {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a stage. The last one has no name.
    pub fn stage(&mut self, image: &str, name: &str) -> &mut Self {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        let name = if name.is_empty() { String::new() } else { format!(" AS {name}") };
        self.add(&format!("FROM {image}{name}"))
    }

    /// A comment above what follows.
    pub fn note(&mut self, comment: &str) -> &mut Self {
        self.add(&format!("# {comment}"))
    }

    /// One instruction. Whatever it holds, it stays one: control characters are dropped, and so is a backslash at its
    /// end, which would swallow the next line.
    pub fn add(&mut self, instruction: &str) -> &mut Self {
        let line: String = instruction.chars().filter(|c| !c.is_control()).collect();
        self.text.push_str(line.trim_end_matches(['\\', ' ']));
        self.text.push('\n');
        self
    }

    /// `ENV` with several variables, one a line.
    pub fn env(&mut self, variables: &[(&str, &str)]) -> &mut Self {
        let all: Vec<String> = variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
        self.continued("ENV ", &all, "    ")
    }

    /// `RUN` of commands, each only after the one before succeeded.
    pub fn run(&mut self, commands: &[&str]) -> &mut Self {
        self.run_with(&[], commands)
    }

    /// `RUN` with cache mounts on folders. The caches are shared by builds and are in no image.
    pub fn run_with(&mut self, caches: &[&str], commands: &[&str]) -> &mut Self {
        let mut parts: Vec<String> =
            caches.iter().map(|folder| format!("--mount=type=cache,target={folder},sharing=locked")).collect();
        parts.extend(commands.iter().enumerate().map(|(at, command)| match at {
            0 => (*command).to_owned(),
            _ => format!("&& {command}"),
        }));
        self.continued("RUN ", &parts, "    ")
    }

    /// Packages of Debian.
    pub fn apt(&mut self, packages: &[&str]) -> &mut Self {
        let install = format!("apt-get install --yes --no-install-recommends {}", packages.join(" "));
        self.note("A Debian release has one version of each package, and replaces it when that is insecure: to pin it");
        self.note("would break the build on that day.");
        self.note("hadolint ignore=DL3008");
        self.run(&["apt-get update", &install, "rm -rf /var/lib/apt/lists/*"])
    }

    /// A file of the given lines. None may hold a single quote; `$` is taken as it is.
    pub fn file(&mut self, path: &str, lines: &[String]) -> &mut Self {
        let mut parts = vec![r"printf '%s\n'".to_owned()];
        parts.extend(lines.iter().map(|line| format!("\"{}\"", line.replace('$', r"\$"))));
        parts.push(format!("> {path}"));
        self.continued("RUN ", &parts, "    ")
    }

    /// `CMD` in exec form; JSON escapes whatever the words hold.
    pub fn cmd(&mut self, words: &[String]) -> &mut Self {
        let quoted: Vec<String> = words.iter().map(|word| quote(word)).collect();
        self.add(&format!("CMD [{}]", quoted.join(", ")))
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    fn continued(&mut self, head: &str, parts: &[String], indent: &str) -> &mut Self {
        for (at, part) in parts.iter().enumerate() {
            let before = if at == 0 { head } else { indent };
            let part: String = part.chars().filter(|c| !c.is_control()).collect();
            let after = if at + 1 == parts.len() { "" } else { " \\" };
            let _ = writeln!(self.text, "{before}{part}{after}");
        }
        self
    }
}

/// A word as a JSON string of ASCII alone, so that what is read is what is there: no letter turns the line around.
fn quote(word: &str) -> String {
    let mut text = String::new();
    for c in serde_json::Value::from(word).to_string().chars() {
        if c.is_ascii() {
            text.push(c);
        } else {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                let _ = write!(text, "\\u{unit:04x}");
            });
        }
    }
    text
}

/// A command as words.
#[must_use]
pub fn words(command: &[&str]) -> Vec<String> {
    command.iter().map(|word| (*word).to_owned()).collect()
}
