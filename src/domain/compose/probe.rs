//! Health checks of a Compose file: those that ask the container's port by HTTP or TCP.

use serde_norway::Value;

use super::fields::Warnings;
use super::words;
use crate::domain::spec::HealthCheck;
use crate::domain::yaml::show;

/// What is asked.
struct Probe {
    port: u16,
    path: Option<String>,
}

/// The check, when its test is recognised. A container without a port gets that of its check.
pub(super) fn health(value: &Value, path: &str, port: &mut Option<u16>, w: &mut Warnings) -> Option<HealthCheck> {
    let Some(map) = value.as_mapping() else {
        w.add(path, "is no mapping and was left out");
        return None;
    };
    let test_path = format!("{path}.test");
    let is_off = map.get("disable").and_then(Value::as_bool) == Some(true);
    let test = map.get("test").filter(|_| !is_off);
    let words: Vec<String> = match test {
        Some(Value::Sequence(list)) => list.iter().map(|word| w.fill(&test_path, &show(word))).collect(),
        Some(text) => vec!["CMD-SHELL".to_owned(), w.fill(&test_path, &show(text))],
        None => Vec::new(),
    };
    let words = match words.split_first() {
        Some((kind, rest)) if kind == "CMD" => Some(rest.to_vec()),
        Some((kind, [line])) if kind == "CMD-SHELL" => words::split(line),
        Some((kind, _)) if kind != "NONE" => None,
        _ => {
            w.add(path, "was left out: the image's own HEALTHCHECK is asked where it has one");
            return None;
        }
    };
    let Some(probe) = words.as_deref().and_then(probe) else {
        w.add(
            &test_path,
            "was left out: only a plain request to the container's own port by curl, wget or nc is taken",
        );
        return None;
    };
    if *port.get_or_insert(probe.port) != probe.port {
        w.add(&test_path, &format!("was left out: it asks port {}, and not the container's", probe.port));
        return None;
    }
    for key in map.keys().map(show) {
        if !["test", "interval", "timeout", "retries", "start_period", "disable"].contains(&key.as_str()) {
            w.add(&format!("{path}.{key}"), "has no counterpart and was left out");
        }
    }
    let mut seconds = |key: &str, default: u32, low: u32, high: u32| {
        let given = map.get(key).map(|value| w.fill(&format!("{path}.{key}"), &show(value)));
        let Some(given) = given else { return default };
        let read = if key == "retries" { given.parse().ok() } else { duration(&given) };
        let taken = read.unwrap_or(default).clamp(low, high);
        if read != Some(taken) {
            w.add(&format!("{path}.{key}"), &format!("is taken as {taken}"));
        }
        taken
    };
    Some(HealthCheck {
        path: probe.path,
        interval_seconds: seconds("interval", 30, 1, 3600),
        timeout_seconds: seconds("timeout", 30, 1, 600),
        retries: seconds("retries", 3, 1, 100),
        start_seconds: seconds("start_period", 0, 0, 3600),
    })
}

/// `curl -f URL || exit 1`, also several such commands that ask the same.
fn probe(words: &[String]) -> Option<Probe> {
    let mut found: Option<Probe> = None;
    for command in words.split(|word| word == "||") {
        let asked = match command {
            [exit, code] if exit == "exit" && code.parse::<u8>().is_ok() => continue,
            [no] if no == "false" => continue,
            [tool, arguments @ ..] if tool == "curl" || tool == "wget" => request(arguments)?,
            [tool, arguments @ ..] if tool == "nc" => connection(arguments)?,
            _ => return None,
        };
        match &found {
            Some(before) if before.port != asked.port || before.path != asked.path => return None,
            _ => found = Some(asked),
        }
    }
    found
}

/// The address among options that do not change what is asked.
fn request(arguments: &[String]) -> Option<Probe> {
    const WITH_VALUE: [&str; 8] = ["-o", "-O", "-m", "-t", "-T", "--output", "--max-time", "--connect-timeout"];
    const LONG: [&str; 10] = [
        "--fail",
        "--silent",
        "--show-error",
        "--location",
        "--spider",
        "--quiet",
        "--no-verbose",
        "--output",
        "--tries",
        "--timeout",
    ];
    let mut found = None;
    let mut rest = arguments.iter();
    while let Some(word) = rest.next() {
        if WITH_VALUE.contains(&word.as_str()) {
            rest.next()?;
        } else if word == ">" || word == "2>" {
            rest.next().filter(|place| *place == "/dev/null")?;
        } else if [">/dev/null", "2>/dev/null", "2>&1", "&>/dev/null"].contains(&word.as_str()) {
        } else if let Some(long) = word.strip_prefix("--") {
            let name = long.split('=').next().unwrap_or_default();
            LONG.iter().find(|known| known.strip_prefix("--") == Some(name))?;
        } else if let Some(short) = word.strip_prefix('-') {
            // Letters that only say how loud, how often and whereto: -fsS, -qO-, -nv.
            let (letters, _) = short.split_once('O').unwrap_or((short, ""));
            letters.chars().all(|c| "fsSLqnvo".contains(c)).then_some(())?;
            if word.ends_with(['o', 'O']) {
                rest.next()?;
            }
        } else if found.is_some() {
            return None;
        } else {
            found = Some(address(word)?);
        }
    }
    found
}

/// A plain HTTP address of the container itself.
fn address(url: &str) -> Option<Probe> {
    let rest = match url.split_once("://") {
        Some(("http", rest)) => rest,
        Some(_) => return None,
        None => url,
    };
    let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(at);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok().filter(|port| *port > 0)?),
        _ => (authority, 80),
    };
    if !is_own(host) {
        return None;
    }
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let is_plain = path.len() <= 1024 && path.bytes().all(|b| b.is_ascii_graphic() && !b"#;|<>`".contains(&b));
    is_plain.then_some(Probe { port, path: Some(path) })
}

fn connection(arguments: &[String]) -> Option<Probe> {
    let is_quiet = |word: &String| word.starts_with('-') && word[1..].chars().all(|c| "vz".contains(c));
    let words: Vec<&String> = arguments.iter().filter(|word| !is_quiet(word)).collect();
    match words.as_slice() {
        [host, port] if is_own(host) => Some(Probe { port: port.parse().ok().filter(|port| *port > 0)?, path: None }),
        _ => None,
    }
}

fn is_own(host: &str) -> bool {
    ["localhost", "127.0.0.1", "[::1]", "0.0.0.0"].contains(&host)
}

/// Compose's durations (`1m30s`, `500ms`) in seconds, rounded up.
fn duration(text: &str) -> Option<u32> {
    let mut micros = 0_u64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "us" => 1,
            "ms" => 1_000,
            "s" => 1_000_000,
            "m" => 60_000_000,
            "h" => 3_600_000_000,
            _ => return None,
        };
        rest = &rest[end..];
        micros = micros.checked_add(number.checked_mul(unit)?)?;
    }
    if text.is_empty() { None } else { u32::try_from(micros.div_ceil(1_000_000)).ok() }
}
