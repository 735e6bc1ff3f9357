//! Deliveries as Git providers send them, with their proofs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use kiops::app::webhooks::intake::{Intake, Received};
use kiops::domain::git::Provider;
use serde_json::{Value, json};
use sha2::Sha256;

/// What a provider sends.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Who sends it.
    pub provider: Provider,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The bytes.
    pub body: Vec<u8>,
}

impl Delivery {
    /// GitHub's, signed.
    pub fn github(event: &str, id: &str, secret: &str, body: &[u8]) -> Self {
        let signature = format!("sha256={}", hex::encode(mac(secret.as_bytes(), &[body])));
        let headers =
            [("x-github-event", event), ("x-github-delivery", id), ("x-hub-signature-256", &signature)].map(owned);
        Self { provider: Provider::Github, headers: headers.into(), body: body.to_vec() }
    }

    /// GitLab's, signed at a time, in seconds since 1970.
    pub fn gitlab(event: &str, id: &str, secret: &str, body: &[u8], at: i64) -> Self {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let at = at.to_string();
        let signature = STANDARD.encode(mac(&key, &[id.as_bytes(), b".", at.as_bytes(), b".", body]));
        let headers = [
            ("x-gitlab-event", event),
            ("webhook-id", id),
            ("webhook-timestamp", &at),
            ("webhook-signature", &format!("v1,{signature}")),
        ]
        .map(owned);
        Self { provider: Provider::Gitlab, headers: headers.into(), body: body.to_vec() }
    }

    /// That of a GitLab that does not sign.
    pub fn gitlab_by_token(event: &str, id: &str, secret: &str, body: &[u8]) -> Self {
        let headers = [("x-gitlab-event", event), ("x-gitlab-event-uuid", id), ("x-gitlab-token", secret)].map(owned);
        Self { provider: Provider::Gitlab, headers: headers.into(), body: body.to_vec() }
    }

    /// With another value of a header, or none.
    pub fn with(mut self, name: &str, value: Option<&str>) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self.headers.extend(value.map(|value| owned((name, value))));
        self
    }

    /// With other bytes and the same headers.
    pub fn saying(self, body: &[u8]) -> Self {
        Self { body: body.to_vec(), ..self }
    }

    /// Brings it to the service with this row's id.
    pub async fn to(&self, intake: &Intake, service_id: &str) -> Received {
        let header = |name: &str| self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str());
        intake.receive(self.provider, Some(service_id), header, Bytes::from(self.body.clone())).await
    }

    /// The request that brings it, as HTTP/1.0 has it.
    pub fn request(&self, path: &str) -> String {
        let headers: String = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let body = std::str::from_utf8(&self.body).unwrap();
        format!(
            "POST {path} HTTP/1.0\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n{body}",
            body.len()
        )
    }
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    parts.iter().fold(mac, |mac, part| mac.chain_update(part)).finalize().into_bytes().to_vec()
}

/// A push of a commit to a branch, as GitLab sends it.
pub fn gitlab_push(project: &str, branch: &str, sha: &str) -> Value {
    json!({
        "object_kind": "push", "before": "95790bf891e76fee5e1747ab589903a6a1f80f22", "after": sha,
        "ref": format!("refs/heads/{branch}"), "checkout_sha": sha, "project_id": project.parse::<u64>().unwrap(),
        "project": {
            "id": project.parse::<u64>().unwrap(), "path_with_namespace": "elsewhere/renamed",
            "git_http_url": "https://evil.example/shop.git", "git_ssh_url": "git@evil.example:shop.git",
        },
        "commits": [{
            "id": sha, "message": "Add the basket", "timestamp": "2026-01-03T03:04:05+02:00",
            "author": { "name": "Ada Lovelace" },
        }],
        "total_commits_count": 1, "push_options": {},
    })
}

/// The same, as GitHub sends it.
pub fn github_push(project: &str, branch: &str, sha: &str) -> Value {
    json!({
        "ref": format!("refs/heads/{branch}"), "before": "95790bf891e76fee5e1747ab589903a6a1f80f22", "after": sha,
        "created": false, "deleted": false, "forced": false,
        "repository": {
            "id": project.parse::<u64>().unwrap(), "full_name": "elsewhere/renamed",
            "clone_url": "https://evil.example/shop.git",
        },
        "commits": [{ "id": sha, "message": "Add the basket" }],
        "head_commit": {
            "id": sha, "message": "Add the basket", "timestamp": "2026-01-03T03:04:05+02:00",
            "author": { "name": "Ada Lovelace" },
        },
    })
}
