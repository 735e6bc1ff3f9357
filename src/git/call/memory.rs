//! Answers that are remembered: what is kept of them, how much room it takes, and for how long it is current.

use std::time::Instant;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::{ETAG, HeaderMap, HeaderName, HeaderValue, LINK};

use crate::net::Response;

/// How long what was listed is given without asking.
const FRESH: TimeDelta = TimeDelta::seconds(30);
/// What the room and the bookkeeping around an answer take, in bytes.
const AROUND: usize = 512;
/// Headers that are read of remembered answers: where a list goes on.
const KEPT: [HeaderName; 2] = [LINK, HeaderName::from_static("x-next-page")];

/// Whether an answer may be one that was remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::git) enum Memory {
    /// Half a minute old at most.
    Recent,
    /// The provider is asked whether what is remembered still holds.
    Revalidated,
    /// Nothing is remembered.
    Never,
}

/// An answer with a status of success.
#[derive(Debug, Clone)]
pub(in crate::git) struct Answer {
    /// All of them where nothing is remembered, else those that say where a list goes on.
    pub(in crate::git) headers: HeaderMap,
    pub(in crate::git) body: Bytes,
}

/// When a question was put.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// By the server's clock.
    pub(super) at: DateTime<Utc>,
    /// By one that never stands still or goes back, to compare with what else happened.
    pub(super) tick: Instant,
}

/// An answer that is remembered.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) answer: Answer,
    pub(super) etag: Option<HeaderValue>,
    /// When the provider was asked for it, or whether it still holds.
    asked: Moment,
}

impl Kept {
    pub(super) fn new(response: &Response, asked: Moment) -> Self {
        // A copy has no more room than it needs.
        let body = Bytes::copy_from_slice(&response.body);
        let answer = Answer { headers: kept_of(&response.headers), body };
        Self { answer, etag: response.headers.get(ETAG).cloned(), asked }
    }

    /// What it is after a 304. GitHub's ETag is about the body alone, so where the list goes on may have changed; what
    /// the answer does not say is as it was (RFC 9111, 4.3.4).
    pub(super) fn renewed(&self, headers: &HeaderMap, asked: Moment) -> Self {
        let mut answer = self.answer.clone();
        answer.headers.extend(kept_of(headers));
        Self { answer, etag: headers.get(ETAG).or(self.etag.as_ref()).cloned(), asked }
    }

    /// Whether it may be given to who asks at `now` with this memory, when something was last changed at `changed`. An
    /// answer to a question that was put before a change may be what was before it.
    pub(super) fn is_current(&self, memory: Memory, now: Moment, changed: Option<Instant>) -> bool {
        if changed.is_some_and(|changed| self.asked.tick <= changed) {
            return false;
        }
        let recent = memory == Memory::Recent && now.at - self.asked.at < FRESH;
        recent || (memory != Memory::Never && self.asked.tick >= now.tick)
    }

    /// The room that it takes, in bytes, with a question of so many.
    pub(super) fn weight(&self, question: usize) -> u32 {
        let headers = self.answer.headers.iter().map(|(name, value)| name.as_str().len() + value.len());
        let etag = self.etag.as_ref().map_or(0, HeaderValue::len);
        let bytes = AROUND + question + self.answer.body.len() + headers.sum::<usize>() + etag;
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }
}

fn kept_of(headers: &HeaderMap) -> HeaderMap {
    KEPT.into_iter().filter_map(|name| Some((name.clone(), headers.get(&name)?.clone()))).collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn response(headers: &[(&'static str, String)]) -> Response {
        let headers = headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        Response {
            status: reqwest::StatusCode::OK,
            headers: headers.collect(),
            body: Bytes::from_static(b"[]"),
            url: "https://example.com".parse().unwrap(),
        }
    }

    fn now() -> Moment {
        Moment { at: DateTime::UNIX_EPOCH, tick: Instant::now() }
    }

    #[test]
    fn only_what_is_read_is_kept_and_all_of_it_is_weighed() {
        let much = "x".repeat(100_000);
        let kept = Kept::new(&response(&[("x-much", much.clone()), ("etag", "\"1\"".to_owned())]), now());
        assert!(kept.answer.headers.is_empty());
        assert!((500..1000).contains(&kept.weight(0)));
        assert_eq!(kept.weight(5000) - kept.weight(0), 5000);
        let linked =
            Kept::new(&response(&[("link", much.clone()), ("x-next-page", "2".to_owned()), ("etag", much)]), now());
        assert_eq!(linked.answer.headers.len(), 2);
        assert!(linked.weight(0) > 200_000);
    }

    #[test]
    fn a_304_says_anew_what_it_says_and_leaves_the_rest() {
        let old = [("etag", "\"1\"".to_owned()), ("link", "old".to_owned()), ("x-next-page", "2".to_owned())];
        let kept = Kept::new(&response(&old), now());
        let silent = kept.renewed(&HeaderMap::new(), now());
        assert_eq!((silent.etag, silent.answer.headers), (kept.etag.clone(), kept.answer.headers.clone()));
        let new = response(&[("etag", "\"2\"".to_owned()), ("link", "new".to_owned()), ("x-much", "x".to_owned())]);
        let spoke = kept.renewed(&new.headers, now());
        assert_eq!(spoke.etag.unwrap(), "\"2\"");
        assert_eq!(
            (&spoke.answer.headers["link"], &spoke.answer.headers["x-next-page"]),
            (&"new".parse().unwrap(), &"2".parse().unwrap())
        );
        assert_eq!(spoke.answer.headers.len(), 2);
    }
}
