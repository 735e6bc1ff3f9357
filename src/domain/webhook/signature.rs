//! Whether a delivery was sent by who knows the webhook's secret. All comparisons take the same time whatever they
//! compare, and no error says anything about what was expected.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::Headers;
use crate::domain::git::Provider;
use crate::domain::secret::{ExposeSecret as _, SecretString};

/// How old a signed delivery may be, and how far its clock may run ahead, in seconds: the tolerance of the Standard
/// Webhooks libraries (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).
const TOLERANCE: u64 = 5 * 60;
/// The shortest key that Standard Webhooks allows, in bytes.
const SHORTEST_KEY: usize = 24;
/// What stands before a key of Standard Webhooks in base64.
const KEY_PREFIX: &str = "whsec_";
/// Signatures of one delivery that are tried: there are several while a key is being changed.
const SIGNATURES: usize = 8;
/// Padding is left out by some.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How a webhook's deliveries are proven, and its secret.
#[derive(Clone)]
pub enum Scheme {
    /// GitHub: `X-Hub-Signature-256`.
    Github(SecretString),
    /// A GitLab that signs: `webhook-signature`, by the key that [`new_secret`] made. A delivery without one is refused,
    /// whatever `X-Gitlab-Token` says.
    GitlabSigned(SecretString),
    /// A GitLab that does not sign: `X-Gitlab-Token`.
    GitlabToken(SecretString),
    /// A GitLab webhook that somebody made by hand, with the secret as its signing token or as its secret token: which
    /// one shows with the first delivery that comes through. Whoever keeps that ([`Proof`]) goes on with
    /// [`Scheme::GitlabSigned`] or [`Scheme::GitlabToken`], so that there is no way down. A delivery that carries a
    /// signature is judged by that alone.
    GitlabPasted(SecretString),
}

/// What proved a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// A signature over the body.
    Signature,
    /// The secret itself.
    Token,
}

/// Why a delivery was refused. None of it quotes what was sent, or the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// A header that must be there is not.
    #[error("the header {0} is missing or empty")]
    Missing(&'static str),
    /// A header is not in the form that the provider sends.
    #[error("the header {0} is not in the form that it must have")]
    Malformed(&'static str),
    /// The signature or token is another one.
    #[error("the header {0} does not match: the webhook has another secret, or its body was changed on the way")]
    Mismatch(&'static str),
    /// It was signed too long ago, or in the future.
    #[error("webhook-timestamp is more than five minutes off: the delivery is old, or one of the two clocks is wrong")]
    Expired,
    /// There is no secret to prove anything with.
    #[error("the webhook has no secret here: save Auto CI again to make one")]
    NoSecret,
}

/// The secret of a new webhook, from 32 random bytes. GitHub: 64 hexadecimal digits. GitLab: what it takes as a signing
/// token, `whsec_` and 32 bytes in base64 (<https://docs.gitlab.com/user/project/integrations/webhooks/>); a GitLab that
/// signs nothing takes it as a secret token as well.
#[must_use]
pub fn new_secret(provider: Provider, random: [u8; 32]) -> SecretString {
    match provider {
        Provider::Github => SecretString::from(hex::encode(random)),
        Provider::Gitlab => SecretString::from(format!("{KEY_PREFIX}{}", STANDARD.encode(random))),
    }
}

/// Whether a delivery is real. `body` is what was received, byte by byte: never JSON that was read and written again.
///
/// # Errors
/// Why not. Every reason means the same to the sender: 401.
pub fn verify(scheme: &Scheme, headers: &Headers<'_>, body: &[u8], now: DateTime<Utc>) -> Result<Proof, Rejected> {
    match scheme {
        Scheme::Github(secret) => by_hub_signature(secret, headers, body),
        Scheme::GitlabSigned(secret) => by_standard_webhooks(secret, headers, body, now),
        Scheme::GitlabToken(secret) => by_token(secret, headers),
        Scheme::GitlabPasted(secret) if headers.webhook_signature.is_some() => {
            by_standard_webhooks(secret, headers, body, now)
        }
        Scheme::GitlabPasted(secret) => by_token(secret, headers),
    }
}

/// <https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries>
fn by_hub_signature(secret: &SecretString, headers: &Headers<'_>, body: &[u8]) -> Result<Proof, Rejected> {
    const NAME: &str = "X-Hub-Signature-256";
    let secret = secret.expose_secret();
    if secret.is_empty() {
        return Err(Rejected::NoSecret);
    }
    let sent = given(headers.hub_signature).ok_or(Rejected::Missing(NAME))?;
    let digits = sent.strip_prefix("sha256=").ok_or(Rejected::Malformed(NAME))?;
    // GitHub writes 64 digits, in lower case.
    if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return Err(Rejected::Malformed(NAME));
    }
    let sent = hex::decode(digits).map_err(|_| Rejected::Malformed(NAME))?;
    let matches = mac(secret.as_bytes(), &[body]).verify_slice(&sent).is_ok();
    if matches { Ok(Proof::Signature) } else { Err(Rejected::Mismatch(NAME)) }
}

/// `X-Gitlab-Token` is the secret itself. Hashes are compared, so that not even the length shows.
fn by_token(secret: &SecretString, headers: &Headers<'_>) -> Result<Proof, Rejected> {
    const NAME: &str = "X-Gitlab-Token";
    let secret = secret.expose_secret();
    if secret.is_empty() {
        return Err(Rejected::NoSecret);
    }
    let sent = given(headers.gitlab_token).ok_or(Rejected::Missing(NAME))?;
    let same: bool = Sha256::digest(sent).ct_eq(&Sha256::digest(secret)).into();
    if same { Ok(Proof::Token) } else { Err(Rejected::Mismatch(NAME)) }
}

/// <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>
fn by_standard_webhooks(
    secret: &SecretString,
    headers: &Headers<'_>,
    body: &[u8],
    now: DateTime<Utc>,
) -> Result<Proof, Rejected> {
    const NAME: &str = "webhook-signature";
    let key = key(secret).ok_or(Rejected::NoSecret)?;
    let signatures = given(headers.webhook_signature).ok_or(Rejected::Missing(NAME))?;
    let id = given(headers.webhook_id).ok_or(Rejected::Missing("webhook-id"))?;
    let timestamp = given(headers.webhook_timestamp).ok_or(Rejected::Missing("webhook-timestamp"))?;
    let digits = timestamp.len() <= 12 && timestamp.bytes().all(|b| b.is_ascii_digit());
    let signed_at: i64 = timestamp.parse().ok().filter(|_| digits).ok_or(Rejected::Malformed("webhook-timestamp"))?;
    let mac = mac(&key, &[id.as_bytes(), b".", timestamp.as_bytes(), b".", body]);
    let mut in_form = false;
    let mut matches = false;
    // Other versions, such as v1a of asymmetric keys, are of no use to us.
    for encoded in signatures.split(' ').filter_map(|part| part.strip_prefix("v1,")).take(SIGNATURES) {
        let Ok(sent) = LENIENT.decode(encoded) else { continue };
        in_form = true;
        matches |= mac.clone().verify_slice(&sent).is_ok();
    }
    match (in_form, matches) {
        (false, _) => Err(Rejected::Malformed(NAME)),
        (true, false) => Err(Rejected::Mismatch(NAME)),
        (true, true) if now.timestamp().abs_diff(signed_at) > TOLERANCE => Err(Rejected::Expired),
        (true, true) => Ok(Proof::Signature),
    }
}

/// The key of a signing token; none for what is no key, or too short a one.
fn key(secret: &SecretString) -> Option<Zeroizing<Vec<u8>>> {
    let text = secret.expose_secret();
    let key = LENIENT.decode(text.strip_prefix(KEY_PREFIX).unwrap_or(text)).ok().map(Zeroizing::new)?;
    (key.len() >= SHORTEST_KEY).then_some(key)
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    parts.iter().fold(mac, |mac, part| mac.chain_update(part))
}

fn given(header: Option<&str>) -> Option<&str> {
    header.filter(|text| !text.is_empty())
}
