//! The headers of a delivery that mean something.

use crate::domain::git::Provider;

/// Longest name of an event, and id of a delivery, in bytes.
const LONGEST: usize = 255;

/// What a delivery's headers say, as they were sent. A header that was not sent, or was no text, is none.
#[derive(Clone, Copy, Default)]
pub struct Headers<'a> {
    /// What happened: `push`, `Tag Push Hook`.
    pub event: Option<&'a str>,
    /// The delivery's own id, which is the same when it is sent again. GitHub: `X-GitHub-Delivery`. GitLab: `webhook-id`,
    /// else `Idempotency-Key`, else `X-Gitlab-Event-UUID`.
    pub delivery: Option<&'a str>,
    /// GitHub's `X-Hub-Signature-256`.
    pub hub_signature: Option<&'a str>,
    /// GitLab's `X-Gitlab-Token`.
    pub gitlab_token: Option<&'a str>,
    /// `webhook-id`, of Standard Webhooks.
    pub webhook_id: Option<&'a str>,
    /// `webhook-timestamp`, of Standard Webhooks.
    pub webhook_timestamp: Option<&'a str>,
    /// `webhook-signature`, of Standard Webhooks.
    pub webhook_signature: Option<&'a str>,
}

impl<'a> Headers<'a> {
    /// Those that a provider sends; `get` gives a header's value by its name in lower case.
    pub fn read(provider: Provider, get: impl Fn(&str) -> Option<&'a str>) -> Self {
        let short = |name: &str| get(name).filter(|text| !text.is_empty() && text.len() <= LONGEST);
        match provider {
            Provider::Github => Self {
                event: short("x-github-event"),
                delivery: short("x-github-delivery"),
                hub_signature: get("x-hub-signature-256"),
                ..Self::default()
            },
            Provider::Gitlab => Self {
                event: short("x-gitlab-event"),
                delivery: ["webhook-id", "idempotency-key", "x-gitlab-event-uuid"].into_iter().find_map(short),
                gitlab_token: get("x-gitlab-token"),
                webhook_id: get("webhook-id"),
                webhook_timestamp: get("webhook-timestamp"),
                webhook_signature: get("webhook-signature"),
                ..Self::default()
            },
        }
    }
}
