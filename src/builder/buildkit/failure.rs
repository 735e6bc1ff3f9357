//! Why a build failed, in words for whoever wrote the Dockerfile.

use crate::builder::BuilderError;
use crate::engine::neutralise;
use crate::vault::Masker;

/// Longest reason that is passed on.
const LONGEST_REASON: usize = 600;
/// Longest command that is named.
const LONGEST_STEP: usize = 120;
/// What BuildKit and its transport put before a reason.
const WRAPPINGS: [&str; 6] = [
    "failed to solve with frontend dockerfile.v0:",
    "failed to solve:",
    "failed to create LLB definition:",
    "rpc error: code = Unknown desc =",
    "rpc error: code = NotFound desc =",
    "failed to compute cache key:",
];
/// What can't be built, whoever tries.
const REFUSED: [&str; 12] = [
    "dockerfile parse error",
    "Dockerfile parse error",
    "unknown instruction",
    "could not be found",
    "Dockerfile cannot be empty",
    "file with no instructions",
    "no build stage in current context",
    "failed to parse stage name",
    "failed to process",
    "invalid reference format",
    "no match for platform",
    "unknown operating system or architecture",
];

/// What a registry says that does not take the image.
const NOT_TAKEN: [&str; 12] = [
    "denied",
    "unauthorized",
    "no basic auth credentials",
    "authentication required",
    "incorrect username or password",
    "forbidden",
    "insufficient_scope",
    "repository name not known",
    "not found",
    "name invalid",
    "quota",
    "server gave http response to https client",
];
/// What is said of a Dockerfile that may be newer than what builds. Docker 20.10's own BuildKit knows no heredocs, whose
/// lines it takes for instructions, and neither `COPY --link` nor `ADD --checksum`.
const NEWER: [&str; 3] = ["unknown instruction", "Unknown flag", "unknown flag"];
const HOW_NEWER: &str = "; if it is right, it is newer than the BuildKit that builds: a first line \
                         `# syntax=docker/dockerfile:1` has that fetch a current one, or update it";

/// What BuildKit says of a build that failed.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The name of the step that failed, like `[2/5] RUN make`.
    pub step: Option<String>,
    /// What went wrong with it.
    pub reason: String,
    /// The last line that it printed.
    pub last: String,
    /// What the whole build answered.
    pub whole: String,
}

impl Failure {
    /// As an error, without what the masker knows.
    pub fn into_error(self, masker: &Masker) -> BuilderError {
        let whole = reason(&self.whole, masker);
        let Some(step) = &self.step else {
            return match whole.as_str() {
                "" => BuilderError::Failed("the build failed, and the engine does not say why".to_owned()),
                text if text.ends_with("context canceled") => {
                    BuilderError::Engine("the engine gave the build up".to_owned())
                }
                text if REFUSED.iter().any(|sign| text.contains(sign)) => {
                    let how = if NEWER.iter().any(|sign| text.contains(sign)) { HOW_NEWER } else { "" };
                    BuilderError::Refused(format!("the Dockerfile cannot be built: {whole}{how}"))
                }
                _ => BuilderError::Failed(format!("the build failed: {whole}")),
            };
        };
        if let Some(image) = step.strip_prefix("[internal] load metadata for ") {
            return BuilderError::Failed(format!("FROM {image}: {}", reason(&self.reason, masker)));
        }
        let step = single(unnumbered(step), LONGEST_STEP, masker);
        let Some(code) = exit_code(&self.reason) else {
            return BuilderError::Failed(format!("{step}: {}", reason(&self.reason, masker)));
        };
        let killed = if code == "137" { " (killed, as for too much memory)" } else { "" };
        let last = match self.last.is_empty() {
            true => String::new(),
            false => format!(": {}", single(&self.last, LONGEST_REASON, masker)),
        };
        BuilderError::Failed(format!("{step}: exit code {code}{killed}{last}"))
    }
}

/// Whether a registry said that it does not take an image, as against trouble that may pass.
pub fn is_refused_push(said: &str) -> bool {
    let text = said.to_ascii_lowercase();
    NOT_TAKEN.iter().any(|sign| text.contains(sign))
}

/// One line without control sequences and what the masker knows, cut at a number of bytes. It is masked first, because
/// half a secret at the cut would not be known as one.
pub fn single(text: &str, longest: usize, masker: &Masker) -> String {
    // Once as it is, for a secret of several lines, and once without what may have stood within one.
    let text = masker.mask(text);
    let joined = text.split(['\n', '\r']).map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
    let mut line = masker.mask(&neutralise(&joined));
    if line.len() > longest {
        let cut = (0..=longest).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
        line.truncate(cut);
        line.push('…');
    }
    line
}

/// A step's name without its number and stage: `[build 2/5] RUN make`.
fn unnumbered(step: &str) -> &str {
    match step.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((_, rest)) => rest,
        None => step,
    }
}

/// The number in `… exit code: 2`.
fn exit_code(reason: &str) -> Option<&str> {
    let (_, rest) = reason.rsplit_once("exit code: ")?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    Some(&rest[..end]).filter(|code| !code.is_empty())
}

fn reason(text: &str, masker: &Masker) -> String {
    let mut rest = text.trim();
    while let Some(inner) = WRAPPINGS.iter().find_map(|wrapping| rest.strip_prefix(wrapping)) {
        rest = inner.trim_start();
    }
    single(rest, LONGEST_REASON, masker)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing() -> Masker {
        Masker::new([])
    }

    fn failed(step: &str, why: &str, last: &str) -> String {
        let failure = Failure { step: Some(step.into()), reason: why.into(), last: last.into(), whole: String::new() };
        failure.into_error(&nothing()).to_string()
    }

    #[test]
    fn the_step_and_its_last_line_are_named() {
        let old = "executor failed running [/bin/sh -c make test]: exit code: 2";
        let new = "process \"/bin/sh -c make test\" did not complete successfully: exit code: 2";
        for why in [old, new] {
            let text = failed("[build 3/5] RUN make test", why, "2 tests failed");
            assert_eq!(text, "RUN make test: exit code 2: 2 tests failed");
        }
        assert_eq!(failed("[2/2] RUN true", old, ""), "RUN true: exit code 2");
        let text =
            failed("[internal] load metadata for docker.io/library/x:1", "rpc error: code = Unknown desc = no", "");
        assert_eq!(text, "FROM docker.io/library/x:1: no");
    }

    #[test]
    fn what_cannot_be_built_is_refused() {
        let whole = |text: &str| Failure { whole: text.into(), ..Default::default() }.into_error(&nothing());
        let syntax = "failed to solve with frontend dockerfile.v0: failed to create LLB definition: \
                      dockerfile parse error line 1: unknown instruction: FORM";
        let BuilderError::Refused(why) = whole(syntax) else { panic!("it is no refusal") };
        let about =
            "the Dockerfile cannot be built: dockerfile parse error line 1: unknown instruction: FORM; if it is right";
        assert!(why.starts_with(about) && why.contains("`# syntax=docker/dockerfile:1`"), "{why}");
        let flag = "failed to solve with frontend dockerfile.v0: failed to create LLB definition: \
                    dockerfile parse error line 4: Unknown flag: link";
        assert!(whole(flag).to_string().contains("Unknown flag: link; if it is right, it is newer"));
        assert!(!whole("Dockerfile cannot be empty").to_string().contains("newer"));
        assert!(matches!(whole("target stage x could not be found"), BuilderError::Refused(_)));
        assert!(matches!(whole("something else"), BuilderError::Failed(_)));
    }

    #[test]
    fn long_commands_are_cut_and_lines_are_joined() {
        assert_eq!(single("RUN a\n  b\r\n\n c\x1b[31m", 100, &nothing()), "RUN a b c");
        assert_eq!(single("ääää", 3, &nothing()), "ä…");
    }

    #[test]
    fn a_secret_at_the_cut_is_hidden_whole() {
        let secret = "hunter2-hunter2".into();
        let masker = Masker::new([&secret]);
        for before in LONGEST_REASON - 15..LONGEST_REASON {
            let text = format!("{}hunter2-\x1b[31mhunter2", "x".repeat(before));
            let (reason, last) = ("no: exit code: 1".to_owned(), text.clone());
            let step = Failure { step: Some("[1/1] RUN x".into()), reason, last, whole: String::new() };
            let whole = Failure { whole: text, ..Default::default() };
            for failure in [step, whole] {
                let message = failure.into_error(&masker).to_string();
                assert!(!message.contains("xhu"), "{message}");
            }
        }
    }
}
