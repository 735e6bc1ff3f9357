//! Kubernetes quantities: <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>.

/// CPU in thousandths of a core: `500m` is 500, `1.5` is 1500.
///
/// # Errors
/// In words, when it is no positive amount of at most 1,000 cores.
pub fn cpu_millis(text: &str) -> Result<u64, String> {
    let bad = || format!("{text:?} is no amount of CPU: write 0.5 or 500m");
    let millis = match text.strip_suffix('m') {
        Some(number) => number.parse::<u64>().ok().filter(|_| is_digits(number)),
        None => scaled(text, 1000),
    };
    millis.filter(|m| (1..=1_000_000).contains(m)).ok_or_else(bad)
}

/// Bytes: `256Mi`, `1Gi`, `500M`, `1048576`.
///
/// # Errors
/// In words, when it is no positive amount of at most an exbibyte.
pub fn bytes(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 10] = [
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("Ti", 1 << 40),
        ("Pi", 1 << 50),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("T", 1_000_000_000_000),
        ("P", 1_000_000_000_000_000),
    ];
    let (number, unit) =
        UNITS.iter().find_map(|(suffix, unit)| text.strip_suffix(suffix).map(|n| (n, *unit))).unwrap_or((text, 1));
    scaled(number, unit)
        .filter(|b| (1..=1 << 60).contains(b))
        .ok_or_else(|| format!("{text:?} is no amount of memory or storage: write 256Mi or 1Gi"))
}

/// A decimal number times a whole one, rounded up as Kubernetes does.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if !is_digits(whole) || !is_digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let whole = u128::from(whole.parse::<u64>().ok()?) * u128::from(unit);
    let denominator = 10u128.pow(u32::try_from(fraction.len()).ok()?);
    let fraction = (fraction.parse::<u128>().ok()? * u128::from(unit)).div_ceil(denominator);
    u64::try_from(whole + fraction).ok()
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}
