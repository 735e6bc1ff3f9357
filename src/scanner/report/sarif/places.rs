//! Where results are: addresses of files, relative to many things, made paths of the source.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{DeserializeSeed as _, Deserializer};

use super::wire::{Artifact, ArtifactLocation};
use crate::scanner::report::Input;
use crate::scanner::report::json::Each;
use crate::scanner::report::package::percent;
use crate::scanner::report::text;

/// Artifacts of a run at most, and bytes that their addresses take.
const MOST: usize = 500_000;
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// Bytes of a path that is kept.
const LONGEST: usize = 1024;
/// Bases that may stand on one another.
const DEEPEST: usize = 16;

/// Where a result is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spot {
    /// In the source: a path relative to its root.
    Inside(String),
    /// Elsewhere: a text, which is never opened.
    Outside(String),
    /// At an address of a service.
    Web(String),
}

/// The addresses of a run's artifacts.
#[derive(Debug, Default)]
pub struct Artifacts(Vec<ArtifactLocation>);

impl<'de> Deserialize<'de> for Artifacts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (mut all, mut bytes) = (Vec::new(), 0);
        let mut take = |artifact: Artifact| {
            let location = artifact.location.unwrap_or_default();
            bytes += size_of::<ArtifactLocation>() + location.uri.as_ref().map_or(0, String::len);
            if all.len() == MOST || bytes > MOST_BYTES {
                return Err(format!("it lists more than {MOST} artifacts, or more than {MOST_BYTES} bytes of them"));
            }
            all.push(location);
            Ok(())
        };
        Each::new(&mut take).deserialize(deserializer)?;
        Ok(Self(all))
    }
}

impl Artifacts {
    /// Whether there is any.
    pub fn is_any(&self) -> bool {
        !self.0.is_empty()
    }
}

/// What addresses of a run are relative to.
#[derive(Debug, Default)]
pub struct Bases {
    /// Where the source was for the tool, and is for us: absolute, with no slash at the end.
    roots: Vec<String>,
    named: BTreeMap<String, ArtifactLocation>,
    artifacts: Artifacts,
}

impl Bases {
    /// Of a run.
    pub fn new(input: &Input<'_>, named: BTreeMap<String, ArtifactLocation>, artifacts: Artifacts) -> Self {
        let real = input.source.and_then(|source| source.canonicalize().ok());
        let ours = [input.source.and_then(|source| source.to_str()), real.as_deref().and_then(|real| real.to_str())];
        let roots = ours.into_iter().chain([input.seen_at]).flatten();
        let roots = roots.filter(|root| root.starts_with('/')).filter_map(normal);
        Self { roots: roots.map(|root| format!("/{root}")).collect(), named, artifacts }
    }

    /// Where a location is; none when it says nothing.
    pub fn spot(&self, location: &ArtifactLocation) -> Option<Spot> {
        let known =
            location.index.and_then(|index| usize::try_from(index).ok()).and_then(|at| self.artifacts.0.get(at));
        let location = if location.uri.is_some() { location } else { known? };
        let uri = location.uri.as_deref().map(str::trim).filter(|uri| !uri.is_empty())?;
        if let Some(spot) = self.absolute(uri) {
            return Some(spot);
        }
        let relative = percent(uri).replace('\\', "/");
        let based = location.uri_base_id.as_deref().and_then(|base| self.base(base, 0));
        let based = based.and_then(|base| self.absolute(&join(&base, uri)));
        match based {
            Some(spot @ (Spot::Inside(_) | Spot::Web(_))) => Some(spot),
            // A base that isn't the source here was it where the tool ran.
            _ => Some(match normal(&relative) {
                Some(path) if !path.is_empty() => Spot::Inside(cut(&path)),
                _ => Spot::Outside(cut(&relative)),
            }),
        }
    }

    /// The address of a base, through those that it is relative to.
    fn base(&self, name: &str, depth: usize) -> Option<String> {
        let location = self.named.get(name).filter(|_| depth < DEEPEST)?;
        let uri = location.uri.as_deref().unwrap_or_default();
        match location.uri_base_id.as_deref() {
            Some(above) if !has_scheme(uri) => Some(join(&self.base(above, depth + 1)?, uri)),
            _ => Some(uri.to_owned()),
        }
    }

    /// Of an address with a scheme, or an absolute path.
    fn absolute(&self, uri: &str) -> Option<Spot> {
        let lower = text::cut(uri, 8).to_ascii_lowercase();
        if lower.starts_with("http://") || lower.starts_with("https://") {
            return Some(Spot::Web(text::line(uri, 2 * LONGEST)));
        }
        let path = if lower.starts_with("file:") {
            let path = &uri["file:".len()..];
            // file:///path, file://host/path, file:/path
            let path = path.strip_prefix("//").map_or(path, |rest| rest.find('/').map_or("", |at| &rest[at..]));
            percent(path)
        } else if uri.starts_with('/') {
            percent(uri)
        } else if has_scheme(uri) || uri.starts_with("\\\\") {
            return Some(Spot::Outside(cut(uri)));
        } else {
            return None;
        };
        let path = path.replace('\\', "/");
        let Some(clean) = normal(&path).map(|path| format!("/{path}")) else { return Some(Spot::Outside(cut(&path))) };
        let inside = self.roots.iter().find_map(|root| clean.strip_prefix(root.as_str())?.strip_prefix('/'));
        Some(match inside {
            Some(path) if !path.is_empty() => Spot::Inside(cut(path)),
            _ => Spot::Outside(cut(&clean)),
        })
    }
}

/// Whether an address begins with a scheme. One letter is a drive of Windows, which is as absolute.
fn has_scheme(uri: &str) -> bool {
    let Some((scheme, _)) = uri.split_once(':') else { return false };
    let is_scheme = scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    is_scheme && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
}

fn join(base: &str, uri: &str) -> String {
    if base.is_empty() || base.ends_with('/') { format!("{base}{uri}") } else { format!("{base}/{uri}") }
}

/// A path without `.`, `..` and slashes too many; none when it leaves its root.
fn normal(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// In a line and not too long. What is cut names another file, which isn't there.
fn cut(path: &str) -> String {
    let path: String = path.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    text::cut(&crate::engine::neutralise(&path), LONGEST).to_owned()
}
