//! What a table of `[scan.tools]` has to say so that the tool can be run and its report be read.

use std::collections::BTreeSet;

use super::scan::{ReportFormat, ScanTool};

/// A key below the tool's table, and what is wrong with it.
type Fault = (String, String);

/// Placeholders of a command.
pub(super) const PLACEHOLDERS: [&str; 5] = ["source", "image", "url", "report", "files"];
/// Least memory that an engine gives to a container.
const LEAST_MEMORY: u64 = 6 << 20;
/// Folders of an engine's machine that give more than they hold: kernel, devices, and where sockets of engines are.
const NEVER_MOUNTED: [&str; 5] = ["/proc", "/sys", "/dev", "/run", "/var/run"];
/// What a container has at these places already.
const TAKEN: [&str; 6] = ["/proc", "/sys", "/dev", "/kiops", "/tmp", "/home/kiops"];

impl ScanTool {
    /// Every fault: the key below the tool's table, and what is wrong with it.
    pub(super) fn validate(&self) -> Vec<Fault> {
        let parts =
            [self.validate_command(), self.validate_kind(), self.image.as_deref().map_or(Ok(()), validate_image)];
        let mut faults: Vec<Fault> = parts.into_iter().filter_map(Result::err).collect();
        faults.extend(self.faulty_files());
        faults.extend(self.faulty_mounts());
        faults.extend(self.faulty_limits());
        // Of a command that is wrong in several ways the first is said.
        let mut seen = BTreeSet::new();
        faults.retain(|(key, _)| seen.insert(key.clone()));
        faults
    }

    fn faulty_limits(&self) -> Vec<Fault> {
        let mut named = self.command.iter().chain(self.files.values()).flat_map(|text| words(text));
        let has_source = named.any(|word| word == "source");
        let codes = &self.ok_exit_codes;
        let rules = [
            (self.history && !has_source, "history", "it is that of {source}, which nothing here names"),
            (!(self.cpu.is_finite() && self.cpu > 0.0), "cpu", "more than 0 cores are needed"),
            (self.memory.0 < LEAST_MEMORY, "memory", "at least 6Mi are needed"),
            (self.max_report_bytes == 0, "max_report_bytes", "at least 1 is needed"),
            (codes.is_empty(), "ok_exit_codes", "at least one code is needed: without any no run can succeed"),
            (codes.iter().any(|code| !(0..=255).contains(code)), "ok_exit_codes", "exit codes are from 0 to 255"),
        ];
        rules.iter().filter(|(broken, ..)| *broken).map(|(_, key, message)| of(key, message)).collect()
    }

    fn validate_command(&self) -> Result<(), Fault> {
        let Some(program) = self.command.first().filter(|program| !program.is_empty()) else {
            return fault("command", "a program is needed");
        };
        if program.contains('{') {
            return fault("command", "the program can't be a placeholder");
        }
        if self.command.iter().any(|argument| argument.contains('\0')) {
            return fault("command", "an argument can't hold a NUL");
        }
        let words = self.command.iter().flat_map(|argument| words(argument));
        if let Some(word) = words.into_iter().find(|word| !PLACEHOLDERS.contains(word)) {
            let known = PLACEHOLDERS.map(|known| format!("{{{known}}}")).join(" ");
            return fault("command", &format!("there is no placeholder {{{word}}}; there are {known}"));
        }
        if !self.wants("report") {
            return fault("command", "{report} is needed: the file that the report is written to");
        }
        Ok(())
    }

    fn validate_kind(&self) -> Result<(), Fault> {
        let needed: &[&str] = match self.kind.as_str() {
            "SAST" | "SECRET" | "IAC" => &["source"],
            "SCA" | "SBOM" => &["source", "image"],
            "DAST" => &["url"],
            _ => return fault("kind", "SAST, SCA, DAST, SECRET, IAC or SBOM is needed"),
        };
        let kind = &self.kind;
        let spelled = needed.iter().map(|word| format!("{{{word}}}")).collect::<Vec<_>>().join(" or ");
        if !needed.iter().any(|word| self.wants(word)) {
            return fault("command", &format!("{spelled} is needed: what a {kind} tool looks at"));
        }
        if let Some(word) = ["source", "image", "url"].iter().find(|word| self.wants(word) && !needed.contains(word)) {
            return fault("command", &format!("a {kind} tool is given {spelled}, not {{{word}}}"));
        }
        let readable = match (kind.as_str(), self.format) {
            ("SBOM", ReportFormat::Sarif) => Some("cyclonedx or trivy is needed: SARIF holds no components"),
            ("SAST" | "DAST", ReportFormat::Cyclonedx | ReportFormat::Trivy) => Some("sarif is needed for this kind"),
            ("SECRET" | "IAC", ReportFormat::Cyclonedx) => Some("sarif or trivy is needed for this kind"),
            _ => None,
        };
        readable.map_or(Ok(()), |message| fault("format", message))
    }

    fn faulty_files(&self) -> Vec<Fault> {
        let unnamed = self.files.keys().filter(|name| !is_name(name)).map(|name| {
            let message = "a name of letters, digits, - _ and . is needed, and no . at its beginning";
            of(&format!("files.{name}"), message)
        });
        let folder = match (self.files.is_empty(), self.wants("files")) {
            (true, true) => Some(("command", "{files} is the folder of the tool's files, and there are none")),
            (false, false) => Some(("files", "the command does not name {files}, the folder that they are in")),
            _ => None,
        };
        unnamed.chain(folder.map(|(key, message)| of(key, message))).collect()
    }

    fn faulty_mounts(&self) -> Vec<Fault> {
        let wrong = |from: &str, to: &str| {
            if self.image.is_none() {
                return Some("mounts are for tools in an image: a process reads what the server may read");
            }
            if !is_plain_path(from) || !is_plain_path(to) {
                return Some("absolute paths are needed, without . and .. and other than /");
            }
            if NEVER_MOUNTED.iter().any(|never| overlap(from, never)) || from.ends_with(".sock") {
                return Some("kernel, devices and sockets can't be mounted, nor a folder that holds them");
            }
            if TAKEN.iter().any(|taken| overlap(to, taken)) {
                return Some("the container has something at that place already");
            }
            None
        };
        let faults = self.mounts.iter().filter_map(|(from, to)| Some((from, wrong(from, to)?)));
        faults.map(|(from, message)| of(&format!("mounts.{from}"), message)).collect()
    }

    /// Whether the command or one of the files names a placeholder.
    fn wants(&self, word: &str) -> bool {
        let mut texts = self.command.iter().chain(self.files.values());
        texts.any(|text| words(text).contains(&word))
    }
}

/// A tool's name: it is in labels, names and messages.
pub(super) fn is_name(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// The words in braces of a text. Braces around anything else are just braces.
fn words(text: &str) -> Vec<&str> {
    let inner = text.split('{').skip(1).filter_map(|rest| rest.split_once('}'));
    let is_word = |word: &&str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_');
    inner.map(|(word, _)| word).filter(is_word).collect()
}

/// A reference with a version: a name alone would be all its tags, and `latest` another image on another day.
fn validate_image(image: &str) -> Result<(), Fault> {
    let (named, digest) = match image.split_once('@') {
        Some((named, digest)) => (named, Some(digest)),
        None => (image, None),
    };
    let (name, tag) = match named.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (named, None),
    };
    let is_host = |part: &str| {
        (part.contains(['.', ':']) || part == "localhost")
            && part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:".contains(&b))
    };
    let is_part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b))
    };
    let (first, rest) = name.split_once('/').unwrap_or((name, ""));
    let is_named = (is_part(first) && rest.is_empty() && !name.contains('/'))
        || ((is_part(first) || is_host(first)) && rest.split('/').all(is_part));
    let is_tag = |tag: &str| {
        (1..=128).contains(&tag.len())
            && !tag.starts_with(['-', '.'])
            && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    let is_digest = |digest: &str| {
        let hex = digest.strip_prefix("sha256:").unwrap_or_default();
        hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    if !is_named || !tag.is_none_or(is_tag) || !digest.is_none_or(is_digest) {
        return fault("image", "an image is needed, like semgrep/semgrep:1.160.0");
    }
    match (tag, digest) {
        (_, Some(_)) => Ok(()),
        (None | Some("latest"), None) => fault("image", "a version is needed: a tag other than latest, or a digest"),
        (Some(_), None) => Ok(()),
    }
}

fn is_plain_path(path: &str) -> bool {
    let parts = path.strip_prefix('/').filter(|rest| !rest.is_empty());
    parts.is_some_and(|rest| {
        rest.split('/').all(|part| !matches!(part, "" | "." | "..")) && !rest.chars().any(char::is_control)
    })
}

/// Whether one path is the other, or is below it.
fn overlap(one: &str, other: &str) -> bool {
    let below = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    below(one, other) || below(other, one)
}

fn fault(key: &str, message: &str) -> Result<(), Fault> {
    Err(of(key, message))
}

fn of(key: &str, message: &str) -> Fault {
    (key.to_owned(), message.to_owned())
}
