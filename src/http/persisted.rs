//! Documents that clients name by their SHA-256 once they have sent them: Apollo's protocol of automatic persisted queries.
//!
//! What a token has sent is kept for that token alone, in memory, once it has passed the limits. So nobody learns from a hash
//! what others ask for, and whoever sends very many pushes out their own. A miss is just a miss, on another server and after a
//! restart too: the client sends the document again.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::rate::Who;

/// Bytes of what is kept for one token, with what keeping it costs.
const OF_ONE: usize = 1024 * 1024;
/// Bytes of what is kept for all of them.
const OF_ALL: usize = 32 * 1024 * 1024;
/// Tokens that something is kept for.
const TOKENS: usize = 2_000;
/// After that time nobody uses a token's documents any more.
const UNUSED: Duration = Duration::from_secs(3_600);
/// What keeping a document costs beside its bytes.
const OVERHEAD: usize = 256;

/// The SHA-256 of a document.
pub(super) type Hash = [u8; 32];

/// Documents by token and hash.
#[derive(Debug)]
pub(super) struct Persisted {
    per_token: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    shares: HashMap<Who, Share>,
    bytes: usize,
}

/// What one token has sent, the oldest first.
#[derive(Debug)]
struct Share {
    documents: VecDeque<(Hash, Arc<str>)>,
    bytes: usize,
    used: Instant,
}

impl Persisted {
    /// So many documents for each token at most.
    pub(super) fn new(per_token: usize) -> Self {
        Self { per_token, kept: Mutex::default() }
    }

    /// Whether documents are kept at all.
    pub(super) fn is_on(&self) -> bool {
        self.per_token > 0
    }

    /// What a token has sent before.
    pub(super) fn find(&self, who: &Who, hash: &Hash) -> Option<Arc<str>> {
        let mut kept = self.lock();
        let share = kept.shares.get_mut(who)?;
        share.used = Instant::now();
        share.documents.iter().find(|(known, _)| known == hash).map(|(_, document)| document.clone())
    }

    /// Keeps what a token has sent, which has that hash and has passed the limits. A stranger's is not kept, since nothing
    /// would bound how many there are of them; nor is one that alone would take all of a token's room.
    pub(super) fn keep(&self, who: &Who, hash: Hash, document: &str) {
        let cost = document.len() + OVERHEAD;
        if !self.is_on() || !matches!(who, Who::Token(_)) || cost > OF_ONE {
            return;
        }
        let now = Instant::now();
        let mut kept = self.lock();
        let share = kept.share(who, now);
        if share.documents.iter().any(|(known, _)| *known == hash) {
            return;
        }
        share.documents.push_back((hash, document.into()));
        share.bytes += cost;
        kept.bytes += cost;
        while kept.shares.get(who).is_some_and(|share| share.documents.len() > self.per_token || share.bytes > OF_ONE) {
            kept.drop_oldest_of(who);
        }
        while kept.bytes > OF_ALL
            && let Some(largest) = kept.shares.iter().max_by_key(|(_, share)| share.bytes).map(|(who, _)| who.clone())
        {
            kept.drop_oldest_of(&largest);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// A token's share; a new one takes the place of those that nobody uses, and where there are too many, of the one that was
    /// not used for longest.
    fn share(&mut self, who: &Who, now: Instant) -> &mut Share {
        if !self.shares.contains_key(who) && self.shares.len() >= TOKENS {
            self.shares.retain(|_, share| now.duration_since(share.used) < UNUSED);
            let stale = self.shares.iter().min_by_key(|(_, share)| share.used).map(|(who, _)| who.clone());
            if let Some(stale) = stale.filter(|_| self.shares.len() >= TOKENS) {
                self.shares.remove(&stale);
            }
            self.bytes = self.shares.values().map(|share| share.bytes).sum();
        }
        let share = self.shares.entry(who.clone());
        let share = share.or_insert_with(|| Share { documents: VecDeque::new(), bytes: 0, used: now });
        share.used = now;
        share
    }

    fn drop_oldest_of(&mut self, who: &Who) {
        let Some(share) = self.shares.get_mut(who) else { return };
        match share.documents.pop_front() {
            Some((_, document)) => {
                share.bytes -= document.len() + OVERHEAD;
                self.bytes -= document.len() + OVERHEAD;
            }
            None => drop(self.shares.remove(who)),
        }
    }
}

/// The hash of a document.
pub(super) fn hash_of(document: &str) -> Hash {
    Sha256::digest(document).into()
}

/// The hash that `extensions.persistedQuery` names; none where that is not there.
///
/// # Errors
/// What is wrong with it.
pub(super) fn named_in(extensions: &Value) -> Result<Option<Hash>, String> {
    let named = match extensions.get("persistedQuery") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(named)) => named,
        Some(_) => return Err("`extensions.persistedQuery` must be an object.".to_owned()),
    };
    if named.get("version").and_then(Value::as_u64) != Some(1) {
        return Err("`extensions.persistedQuery.version` must be 1.".to_owned());
    }
    let mut hash = Hash::default();
    let text = named.get("sha256Hash").and_then(Value::as_str).unwrap_or_default();
    hex::decode_to_slice(text, &mut hash)
        .map_err(|_| "`extensions.persistedQuery.sha256Hash` must be a SHA-256 in hexadecimal digits.".to_owned())?;
    Ok(Some(hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(n: usize) -> Who {
        Who::new(Some(&format!("token {n}")), std::net::IpAddr::from([127, 0, 0, 1]))
    }

    fn keep(persisted: &Persisted, who: &Who, document: &str) {
        persisted.keep(who, hash_of(document), document);
    }

    fn knows(persisted: &Persisted, who: &Who, document: &str) -> bool {
        persisted.find(who, &hash_of(document)).as_deref() == Some(document)
    }

    #[test]
    fn each_finds_its_own_and_pushes_out_its_own() {
        let persisted = Persisted::new(3);
        let stranger = Who::address(std::net::IpAddr::from([127, 0, 0, 1]));
        keep(&persisted, &token(1), "{mine}");
        keep(&persisted, &stranger, "{strange}");
        assert!(knows(&persisted, &token(1), "{mine}") && !knows(&persisted, &token(2), "{mine}"));
        assert!(!knows(&persisted, &stranger, "{strange}"), "a stranger's is not kept");
        for n in 0..1_000 {
            keep(&persisted, &token(2), &format!("{{a{n}}}"));
        }
        assert!(knows(&persisted, &token(1), "{mine}"), "nobody pushes out another's");
        let left = (0..1_000).filter(|n| knows(&persisted, &token(2), &format!("{{a{n}}}"))).count();
        assert_eq!(left, 3);
        let off = Persisted::new(0);
        keep(&off, &token(1), "{mine}");
        assert!(!knows(&off, &token(1), "{mine}"));
    }

    #[test]
    fn memory_is_bounded_and_the_largest_pays() {
        let persisted = Persisted::new(10_000);
        keep(&persisted, &token(0), "{small}");
        let long = |n: usize| format!("{n}{}", "x".repeat(100_000));
        for who in 1..60 {
            (0..15).for_each(|n| keep(&persisted, &token(who), &long(n)));
        }
        let kept = persisted.lock();
        assert!(kept.bytes <= OF_ALL, "{}", kept.bytes);
        assert!(kept.shares.values().all(|share| share.bytes <= OF_ONE));
        assert_eq!(kept.bytes, kept.shares.values().map(|share| share.bytes).sum::<usize>());
        drop(kept);
        assert!(knows(&persisted, &token(0), "{small}"));
        (100..100 + TOKENS * 2).for_each(|who| keep(&persisted, &token(who), "{a}"));
        let kept = persisted.lock();
        assert!(kept.shares.len() <= TOKENS);
        assert_eq!(kept.bytes, kept.shares.values().map(|share| share.bytes).sum::<usize>());
    }
}
