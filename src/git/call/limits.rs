//! What answers say of a provider's limits, and which requests a limit is about.

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::{Method, StatusCode};
use url::Url;

use crate::net::{Response, retry_at};

/// How long is waited where a provider limits requests and does not say for how long: what GitHub asks for
/// (<https://docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api#rate-limit-errors>), and GitLab's
/// limits begin anew by then.
const UNSAID: TimeDelta = TimeDelta::seconds(60);

/// What a limit is about that is no spent budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::git) enum Reach {
    /// Every request: GitHub's secondary limit.
    Everything,
    /// The endpoint that was asked: GitLab's application limits
    /// (<https://docs.gitlab.com/security/rate_limits/#non-configurable-limits>).
    Endpoint,
}

/// What a request counts against. GitHub counts searches apart (30 a minute), and a spent budget for them must not
/// keep anybody from a list: <https://docs.github.com/rest/search/search#rate-limit>.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Budget {
    /// What lies below `search/`.
    Search,
    /// One endpoint's requests.
    Endpoint(String),
    /// Everything; it is asked before each of the others too.
    Whole,
}

/// The budgets of one request.
#[derive(Debug, Clone)]
pub(super) struct Budgets {
    /// What is used up when nothing remains.
    spent: Budget,
    /// What a limit is about that is not spent.
    unspent: Budget,
}

impl Budgets {
    /// Of a request to an address below `base`.
    pub(super) fn of(method: &Method, url: &Url, base: &Url, reach: Reach) -> Self {
        let below = url.path().strip_prefix(base.path().trim_end_matches('/')).unwrap_or_default();
        Self {
            spent: if below.starts_with("/search/") { Budget::Search } else { Budget::Whole },
            unspent: match reach {
                Reach::Everything => Budget::Whole,
                Reach::Endpoint => Budget::Endpoint(endpoint(method, below)),
            },
        }
    }

    /// What is asked before the request is sent.
    pub(super) fn all(&self) -> [&Budget; 3] {
        [&self.spent, &self.unspent, &Budget::Whole]
    }

    /// What a limit keeps from being sent.
    pub(super) fn of_limit(self, limit: &Limit) -> Budget {
        if limit.spent { self.spent } else { self.unspent }
    }
}

/// The method, and the path without what names the one thing that is meant. GitLab's paths have that third and sixth:
/// `v4/projects/*/repository/branches/*`.
fn endpoint(method: &Method, below: &str) -> String {
    let parts = below.split('/').filter(|part| !part.is_empty()).enumerate();
    let parts = parts.map(|(at, part)| if at == 2 || at > 4 { "*" } else { part });
    parts.fold(method.to_string(), |text, part| text + "/" + part)
}

/// A limit that an answer tells of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Limit {
    /// Nothing is sent before; none where a budget's last request does not say.
    pub(super) until: Option<DateTime<Utc>>,
    /// Nothing remains of the budget.
    spent: bool,
    /// The request was not done for that reason.
    pub(super) refused: bool,
}

/// What an answer says of limits; `said` are the provider's words. GitHub's secondary limit comes as 403 or 429, at
/// times with nothing but its words, and then the reset beside it is the other budget's
/// (<https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api>).
pub(super) fn limit(response: &Response, said: Option<&str>, now: DateTime<Utc>) -> Option<Limit> {
    let left = ["x-ratelimit-remaining", "ratelimit-remaining"].iter().find_map(|name| response.header(name));
    let spent = left.is_some_and(|left| left.trim() == "0");
    let asked_to_wait = response.header("retry-after").is_some();
    let speaks_of_it = || said.is_some_and(|said| said.to_lowercase().contains("rate limit"));
    let refused = match response.status {
        StatusCode::TOO_MANY_REQUESTS => true,
        StatusCode::FORBIDDEN => spent || asked_to_wait || speaks_of_it(),
        _ => false,
    };
    if !refused && !spent {
        return None;
    }
    // A reset is of a budget that is used up, so that it says nothing where something remains.
    let told = if asked_to_wait || spent || left.is_none() { retry_at(response, now) } else { None };
    Some(Limit { until: told.or_else(|| refused.then(|| now + UNSAID)), spent, refused })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_told_apart_whatever_thing_is_meant() {
        let base = Url::parse("https://example.com/tools/gitlab/api").unwrap();
        let of = |method: Method, path: &str| {
            let url = Url::parse(&format!("https://example.com/tools/gitlab/api{path}")).unwrap();
            Budgets::of(&method, &url, &base, Reach::Endpoint).unspent
        };
        let namespace = of(Method::GET, "/v4/namespaces/ada");
        assert_eq!(namespace, of(Method::GET, "/v4/namespaces/acme%2Fweb?x=1"));
        for (method, path) in [
            (Method::GET, "/v4/namespaces"),
            (Method::GET, "/v4/namespaces/ada/exists"),
            (Method::GET, "/v4/projects/7"),
            (Method::POST, "/v4/namespaces/ada"),
        ] {
            assert_ne!(namespace, of(method, path), "{path}");
        }
        let branch = of(Method::GET, "/v4/projects/7/repository/branches/main");
        assert_eq!(branch, of(Method::GET, "/v4/projects/a%2Fb/repository/branches/x%2Fy"));
        assert_ne!(branch, of(Method::GET, "/v4/projects/7/repository/commits/main"));
    }
}
