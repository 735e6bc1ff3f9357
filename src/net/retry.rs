//! When a server that says "too many requests" wants to be asked again.

use chrono::{DateTime, Duration, TimeZone, Utc};

use super::request::Response;

/// The longest wait that is believed: a reset far ahead would shut a server out for good.
const LONGEST: Duration = Duration::hours(1);

/// Reads `Retry-After` (seconds or an HTTP date, RFC 9110 10.2.3), or the reset that Docker Hub, GitHub, GitLab and
/// others send in Unix seconds. At most an hour after `now`, never before it; none when the answer says nothing.
#[must_use]
pub fn retry_at(answer: &Response, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let latest = now + LONGEST;
    let after = answer.header("retry-after").and_then(|text| from_retry_after(text.trim(), now));
    let reset = || {
        ["x-ratelimit-reset", "x-retry-after", "ratelimit-reset"]
            .iter()
            .find_map(|name| answer.header(name))
            .and_then(|text| from_number(text.trim(), now))
    };
    Some(after.or_else(reset)?.clamp(now, latest))
}

fn from_retry_after(text: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    from_number(text, now).or_else(|| DateTime::parse_from_rfc2822(text).ok().map(|date| date.with_timezone(&Utc)))
}

/// A number is a wait in seconds when it is small, a time in Unix seconds when it is large: servers use both.
fn from_number(text: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number = text.parse::<i64>().unwrap_or(i64::MAX);
    if number < 1_000_000_000 {
        return now.checked_add_signed(Duration::seconds(number));
    }
    Some(Utc.timestamp_opt(number, 0).single().unwrap_or(DateTime::<Utc>::MAX_UTC))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use reqwest::StatusCode;
    use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn every_way_to_say_when_is_read_and_bounded() {
        let now = Utc.timestamp_opt(1_750_000_000, 0).unwrap();
        let cases = [
            ("retry-after", "30", Some(30)),
            ("retry-after", "Sun, 15 Jun 2025 15:07:40 GMT", Some(60)),
            ("retry-after", "999999", Some(3600)),
            ("retry-after", "-5", None),
            ("retry-after", "soon", None),
            ("x-ratelimit-reset", "1750000042", Some(42)),
            ("x-ratelimit-reset", "253402300799", Some(3600)),
            ("x-ratelimit-reset", "99999999999999999999999999", Some(3600)),
            ("x-ratelimit-reset", "1600000000", Some(0)),
            ("x-retry-after", "1750000042", Some(42)),
            ("server", "x", None),
        ];
        for (name, value, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            let url = url::Url::parse("http://x/").unwrap();
            let answer = Response { status: StatusCode::TOO_MANY_REQUESTS, headers, body: bytes::Bytes::new(), url };
            let expected = expected.map(|seconds| now + Duration::seconds(seconds));
            assert_eq!(retry_at(&answer, now), expected, "{name}: {value}");
        }
    }
}
