use chrono::{DateTime, TimeZone as _, Utc};

use super::*;
use crate::domain::secret::{ExposeSecret as _, SecretString};

/// Of npm @octokit/webhooks-methods.
const HUB: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
const HUB_SECRET: &str = "It's a Secret to Everybody";
/// Of the Standard Webhooks specification.
const KEY: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const STANDARD: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
const BODY: &[u8] = b"{\"test\": 2432232314}";
const SIGNED_AT: i64 = 1_614_265_330;

fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}

fn at(seconds: i64) -> DateTime<Utc> {
    Utc.timestamp_opt(seconds, 0).unwrap()
}

fn hub(header: Option<&str>, key: &str, body: &[u8]) -> Result<Proof, Rejected> {
    verify(&Scheme::Github(secret(key)), &Headers { hub_signature: header, ..Headers::default() }, body, at(0))
}

#[test]
fn github_signs_the_raw_bytes() {
    const NAME: &str = "X-Hub-Signature-256";
    let body = b"Hello, World!";
    assert_eq!(hub(Some(HUB), HUB_SECRET, body), Ok(Proof::Signature));
    let upper = HUB.to_uppercase().replace("SHA256", "sha256");
    let cases: [(Option<&str>, &str, &[u8], Rejected); 15] = [
        (Some(HUB), HUB_SECRET, b"Hello, World! ", Rejected::Mismatch(NAME)),
        (Some(HUB), HUB_SECRET, b"Hello,  World!", Rejected::Mismatch(NAME)),
        (Some(HUB), HUB_SECRET, b"Hello, World", Rejected::Mismatch(NAME)),
        (Some(HUB), HUB_SECRET, b"", Rejected::Mismatch(NAME)),
        (Some(HUB), "It's a secret to Everybody", body, Rejected::Mismatch(NAME)),
        (Some(HUB), "", body, Rejected::NoSecret),
        (None, HUB_SECRET, body, Rejected::Missing(NAME)),
        (Some(""), HUB_SECRET, body, Rejected::Missing(NAME)),
        (Some("sha256="), HUB_SECRET, body, Rejected::Malformed(NAME)),
        (Some(&HUB[..HUB.len() - 1]), HUB_SECRET, body, Rejected::Malformed(NAME)),
        (Some(&HUB.replace("sha256=", "")), HUB_SECRET, body, Rejected::Malformed(NAME)),
        (Some("sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59"), HUB_SECRET, body, Rejected::Malformed(NAME)),
        (Some(&upper), HUB_SECRET, body, Rejected::Malformed(NAME)),
        (Some(&HUB.replace("17", "é")), HUB_SECRET, body, Rejected::Malformed(NAME)),
        (Some(&HUB.replace("757107", "757108")), HUB_SECRET, body, Rejected::Mismatch(NAME)),
    ];
    for (header, key, body, why) in cases {
        assert_eq!(hub(header, key, body), Err(why), "{header:?}");
    }
}

#[test]
fn an_empty_secret_proves_nothing() {
    // What HMAC with an empty key would be.
    let empty = "sha256=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(hub(Some(empty), "", b""), Err(Rejected::NoSecret));
    for sent in [None, Some(""), Some("x")] {
        let headers = Headers { gitlab_token: sent, webhook_signature: sent, ..Headers::default() };
        for scheme in
            [Scheme::GitlabToken(secret("")), Scheme::GitlabSigned(secret("")), Scheme::GitlabPasted(secret(""))]
        {
            assert_eq!(verify(&scheme, &headers, BODY, at(0)), Err(Rejected::NoSecret), "{sent:?}");
        }
        for short in ["whsec_", "whsec_AAAA", "no base64!"] {
            let scheme = Scheme::GitlabSigned(secret(short));
            assert_eq!(verify(&scheme, &headers, BODY, at(0)), Err(Rejected::NoSecret), "{short}");
        }
    }
}

#[test]
fn a_gitlab_token_is_the_secret_itself() {
    const NAME: &str = "X-Gitlab-Token";
    let scheme = Scheme::GitlabToken(secret("whsec_hunter2"));
    let cases = [
        (Some("whsec_hunter2"), Ok(Proof::Token)),
        (Some("whsec_hunter"), Err(Rejected::Mismatch(NAME))),
        (Some("whsec_hunter22"), Err(Rejected::Mismatch(NAME))),
        (Some("WHSEC_HUNTER2"), Err(Rejected::Mismatch(NAME))),
        (Some(" whsec_hunter2"), Err(Rejected::Mismatch(NAME))),
        (Some(""), Err(Rejected::Missing(NAME))),
        (None, Err(Rejected::Missing(NAME))),
    ];
    for (sent, expected) in cases {
        let headers = Headers { gitlab_token: sent, ..Headers::default() };
        assert_eq!(verify(&scheme, &headers, BODY, at(0)), expected, "{sent:?}");
    }
}

fn standard<'a>() -> Headers<'a> {
    Headers {
        webhook_id: Some("msg_p5jXN8AQM9LWM0D4loKWxJek"),
        webhook_timestamp: Some("1614265330"),
        webhook_signature: Some(STANDARD),
        ..Headers::default()
    }
}

#[test]
fn gitlab_signs_by_standard_webhooks() {
    const NAME: &str = "webhook-signature";
    let with = |signature| Headers { webhook_signature: signature, ..standard() };
    let several = format!("v1a,AAAA v1,AAAA {STANDARD} v2,BBBB");
    let good: [(Headers<'_>, &str, i64); 7] = [
        (standard(), KEY, SIGNED_AT),
        (standard(), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", SIGNED_AT),
        (standard(), KEY, SIGNED_AT + 300),
        (standard(), KEY, SIGNED_AT - 300),
        (with(Some(&several)), KEY, SIGNED_AT),
        (with(Some(STANDARD.trim_end_matches('='))), KEY, SIGNED_AT),
        (Headers { gitlab_token: Some("another"), ..standard() }, KEY, SIGNED_AT),
    ];
    for (headers, key, now) in good {
        let scheme = Scheme::GitlabSigned(secret(key));
        assert_eq!(verify(&scheme, &headers, BODY, at(now)), Ok(Proof::Signature), "{key} {now}");
    }
    let timestamp = |timestamp| Headers { webhook_timestamp: timestamp, ..standard() };
    let other_version = STANDARD.replace("v1,", "v2,");
    let lists = format!("{}{STANDARD}", "v1,AAAA ".repeat(8));
    let bad: [(Headers<'_>, i64, Rejected); 16] = [
        (standard(), SIGNED_AT + 301, Rejected::Expired),
        (standard(), SIGNED_AT - 301, Rejected::Expired),
        (with(None), SIGNED_AT, Rejected::Missing(NAME)),
        (with(Some("")), SIGNED_AT, Rejected::Missing(NAME)),
        (with(Some("v1,")), SIGNED_AT, Rejected::Mismatch(NAME)),
        (with(Some("v1,AAAA")), SIGNED_AT, Rejected::Mismatch(NAME)),
        (with(Some(&STANDARD[3..])), SIGNED_AT, Rejected::Malformed(NAME)),
        (with(Some(&other_version)), SIGNED_AT, Rejected::Malformed(NAME)),
        (with(Some("v1,no base64!")), SIGNED_AT, Rejected::Malformed(NAME)),
        (with(Some(&lists)), SIGNED_AT, Rejected::Mismatch(NAME)),
        (Headers { webhook_id: None, ..standard() }, SIGNED_AT, Rejected::Missing("webhook-id")),
        (Headers { webhook_id: Some("msg_2"), ..standard() }, SIGNED_AT, Rejected::Mismatch(NAME)),
        (timestamp(None), SIGNED_AT, Rejected::Missing("webhook-timestamp")),
        (timestamp(Some("1614265331")), SIGNED_AT, Rejected::Mismatch(NAME)),
        (timestamp(Some("-1614265330")), SIGNED_AT, Rejected::Malformed("webhook-timestamp")),
        (timestamp(Some("99999999999999999999")), SIGNED_AT, Rejected::Malformed("webhook-timestamp")),
    ];
    let scheme = Scheme::GitlabSigned(secret(KEY));
    for (headers, now, why) in bad {
        let signature = headers.webhook_signature;
        assert_eq!(verify(&scheme, &headers, BODY, at(now)), Err(why), "{signature:?} {now}");
    }
    for body in [&b"{\"test\":2432232314}"[..], b"{\"test\": 2432232314} ", b""] {
        assert_eq!(verify(&scheme, &standard(), body, at(SIGNED_AT)), Err(Rejected::Mismatch(NAME)));
    }
    let other = Scheme::GitlabSigned(secret("AAKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
    assert_eq!(verify(&other, &standard(), BODY, at(SIGNED_AT)), Err(Rejected::Mismatch(NAME)));
}

#[test]
fn there_is_no_way_down_from_a_signature() {
    let token = Headers { gitlab_token: Some(KEY), ..Headers::default() };
    let signed = Scheme::GitlabSigned(secret(KEY));
    assert_eq!(verify(&signed, &token, BODY, at(SIGNED_AT)), Err(Rejected::Missing("webhook-signature")));
    let both = Headers { gitlab_token: Some(KEY), webhook_signature: Some("v1,AAAA"), ..standard() };
    assert_eq!(verify(&signed, &both, BODY, at(SIGNED_AT)), Err(Rejected::Mismatch("webhook-signature")));
    // Nor where it is not known yet which of the two will come.
    let pasted = Scheme::GitlabPasted(secret(KEY));
    assert_eq!(verify(&pasted, &token, BODY, at(SIGNED_AT)), Ok(Proof::Token));
    assert_eq!(verify(&pasted, &standard(), BODY, at(SIGNED_AT)), Ok(Proof::Signature));
    assert_eq!(verify(&pasted, &both, BODY, at(SIGNED_AT)), Err(Rejected::Mismatch("webhook-signature")));
    let empty = Headers { webhook_signature: Some(""), ..token };
    assert_eq!(verify(&pasted, &empty, BODY, at(SIGNED_AT)), Err(Rejected::Missing("webhook-signature")));
}

#[test]
fn a_new_secret_is_one_that_its_provider_takes() {
    let github = new_secret(Provider::Github, [0xab; 32]);
    assert_eq!(github.expose_secret(), "ab".repeat(32));
    let gitlab = new_secret(Provider::Gitlab, [0xff; 32]);
    assert_eq!(gitlab.expose_secret(), "whsec_//////////////////////////////////////////8=");
    let scheme = Scheme::GitlabSigned(gitlab);
    assert_eq!(verify(&scheme, &standard(), BODY, at(SIGNED_AT)), Err(Rejected::Mismatch("webhook-signature")));
}

#[test]
fn no_refusal_quotes_anything() {
    for why in [
        Rejected::Missing("X-Gitlab-Token"),
        Rejected::Malformed("webhook-id"),
        Rejected::Mismatch("X-Hub-Signature-256"),
        Rejected::Expired,
        Rejected::NoSecret,
    ] {
        assert!(!why.to_string().is_empty() && !why.to_string().contains(KEY));
    }
}

#[test]
fn headers_are_those_of_the_provider() {
    let sent = [
        ("x-github-event", "push"),
        ("x-github-delivery", "72d3162e"),
        ("x-hub-signature-256", HUB),
        ("x-gitlab-event", "Push Hook"),
        ("x-gitlab-event-uuid", "uuid"),
        ("x-gitlab-token", "token"),
    ];
    let read = |more: &[(&'static str, &'static str)], provider| {
        let all: Vec<_> = sent.iter().chain(more).copied().collect();
        Headers::read(provider, |name| all.iter().find(|(given, _)| *given == name).map(|(_, value)| *value))
    };
    let github = read(&[("webhook-id", "w")], Provider::Github);
    assert_eq!((github.event, github.delivery, github.hub_signature), (Some("push"), Some("72d3162e"), Some(HUB)));
    assert_eq!((github.gitlab_token, github.webhook_id), (None, None));
    let gitlab = read(&[], Provider::Gitlab);
    assert_eq!((gitlab.event, gitlab.delivery, gitlab.gitlab_token), (Some("Push Hook"), Some("uuid"), Some("token")));
    assert_eq!(gitlab.hub_signature, None);
    let with_key = read(&[("idempotency-key", "key")], Provider::Gitlab);
    assert_eq!(with_key.delivery, Some("key"));
    let signed = read(&[("idempotency-key", "key"), ("webhook-id", "w")], Provider::Gitlab);
    assert_eq!((signed.delivery, signed.webhook_id), (Some("w"), Some("w")));
}
