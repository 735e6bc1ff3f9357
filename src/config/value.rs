//! Values with a unit.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error as _};

/// An amount of bytes, written `512Mi` or `4Gi`, in whole units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Size(pub u64);

/// The largest binary unit that leaves no rest: `4Gi`, `1536Mi`.
impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unit = [(30, "Gi"), (20, "Mi"), (10, "Ki")].into_iter().find(|(bits, _)| self.0.is_multiple_of(1 << bits));
        match unit {
            Some((bits, name)) => write!(f, "{}{name}", self.0 >> bits),
            None => write!(f, "{}", self.0),
        }
    }
}

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        const UNITS: [(&str, u64); 8] = [
            ("Ki", 1 << 10),
            ("Mi", 1 << 20),
            ("Gi", 1 << 30),
            ("Ti", 1 << 40),
            ("k", 1_000),
            ("M", 1_000_000),
            ("G", 1_000_000_000),
            ("T", 1_000_000_000_000),
        ];
        let (number, unit) =
            UNITS.iter().find_map(|(s, u)| text.strip_suffix(s).map(|n| (n, *u))).unwrap_or((text.as_str(), 1));
        let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        let bytes = digits.then(|| number.parse::<u64>().ok()?.checked_mul(unit)).flatten().filter(|b| *b > 0);
        bytes.map(Self).ok_or_else(|| format!("{text:?} is no size: write 512Mi or 4Gi"))
    }
}

pub(super) fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    match humantime::parse_duration(&text) {
        Ok(time) if !time.is_zero() => Ok(time),
        _ => Err(D::Error::custom(format!("{text:?} is no duration: write 30s, 10m or 24h"))),
    }
}

/// The same, or none at all.
pub(super) fn duration_or_zero<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    humantime::parse_duration(&text).map_err(|_| D::Error::custom(format!("{text:?} is no duration: write 0s or 3s")))
}

pub(super) fn path_or_none<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
    let text = String::deserialize(from)?;
    Ok((!text.is_empty()).then(|| PathBuf::from(text)))
}
