//! Requests a minute for each token, over all servers, and open WebSockets of this server for each token and address.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::domain::addresses::network;
use crate::graphql::executor::{Backend, Window};
use crate::measure::Asker;

const MINUTE: Duration = Duration::from_secs(60);
/// Windows kept before those that are over are swept out.
const WINDOWS: usize = 10_000;
/// How often they are swept at most: nobody else is counted meanwhile.
const SWEEP: Duration = Duration::from_secs(1);

/// Whom something is counted for. Tokens are kept as hashes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Who {
    Token([u8; 32]),
    /// What [`Who::address`] makes of it.
    Address(IpAddr),
}

impl Who {
    /// The token if there is one, else the address.
    pub(super) fn new(token: Option<&str>, address: IpAddr) -> Self {
        token.map_or_else(|| Self::address(address), |token| Self::Token(Sha256::digest(token).into()))
    }

    /// Whoever is at an address, which counts as its [`network`].
    pub(super) fn address(address: IpAddr) -> Self {
        Self::Address(network(address))
    }

    /// How whoever it is counts where operations do.
    pub(super) fn asker(&self) -> Asker {
        match self {
            Self::Token(_) => Asker::Known,
            Self::Address(_) => Asker::Stranger,
        }
    }

    /// The same, whoever asks, and nothing that could be read out of it.
    fn hash(&self) -> String {
        hex::encode(match self {
            Self::Token(hash) => Sha256::digest(hash),
            Self::Address(address) => Sha256::digest(format!("address:{address}")),
        })
    }
}

/// A window of a minute for each caller, begun by its first request.
#[derive(Debug)]
pub(super) struct Requests {
    per_minute: u32,
    windows: Mutex<Windows>,
}

#[derive(Debug, Default)]
struct Windows {
    /// When each was begun, and how many requests it has.
    of: HashMap<Who, (Instant, u32)>,
    swept: Option<Instant>,
}

impl Windows {
    /// Sweeps out what is over where there is too much. Where much of it is not over there is as much afterwards, and
    /// the next request must not sweep again.
    fn sweep(&mut self, now: Instant) {
        let is_due = self.swept.is_none_or(|swept| now.duration_since(swept) >= SWEEP);
        if self.of.len() >= WINDOWS && is_due {
            self.of.retain(|_, (begun, _)| now.duration_since(*begun) < MINUTE);
            self.swept = Some(now);
        }
    }
}

impl Requests {
    pub(super) fn new(per_minute: u32) -> Self {
        Self { per_minute, windows: Mutex::default() }
    }

    /// Counts a request and says what is left; none where there is no limit. What this server alone can see to be too much is
    /// not asked for anywhere else.
    pub(super) async fn admit<B: Backend>(&self, backend: &B, who: &Who) -> Option<Allowance> {
        if self.per_minute == 0 {
            return None;
        }
        let here = self.count(who, Instant::now());
        let mut counted = here;
        if here.count <= self.per_minute
            && let Some(shared) = backend.count(&who.hash()).await
        {
            self.follow(who, shared, Instant::now());
            counted = shared;
        }
        Some(Allowance {
            per_minute: self.per_minute,
            remaining: self.per_minute.saturating_sub(counted.count),
            reset: counted.left.as_secs() + 1,
            is_over: counted.count > self.per_minute,
        })
    }

    fn count(&self, who: &Who, now: Instant) -> Window {
        let mut windows = lock(&self.windows);
        windows.sweep(now);
        let (begun, count) = windows.of.entry(who.clone()).or_insert((now, 0));
        let age = now.duration_since(*begun);
        if age >= MINUTE {
            (*begun, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        Window { count: *count, left: MINUTE.saturating_sub(now.duration_since(*begun)) }
    }

    /// What all servers have counted together holds here too: a window of our own would end later, and refuse what has room.
    fn follow(&self, who: &Who, shared: Window, now: Instant) {
        if let Some(window) = lock(&self.windows).of.get_mut(who) {
            let begun = now.checked_sub(MINUTE.saturating_sub(shared.left));
            *window = (begun.unwrap_or(now), shared.count);
        }
    }
}

/// What a caller may still ask for in this minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Allowance {
    per_minute: u32,
    remaining: u32,
    /// Seconds until there is room again.
    pub(super) reset: u64,
    /// This request was too many.
    pub(super) is_over: bool,
}

impl Allowance {
    /// Says so in the fields of draft-ietf-httpapi-ratelimit-headers (10 at the time of writing), and not in some trio of
    /// X-RateLimit: of those every server has its own, whose reset is a time here and a number of seconds there.
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        let fields = [
            ("ratelimit-policy", format!("\"requests\";q={};w={}", self.per_minute, MINUTE.as_secs())),
            ("ratelimit", format!("\"requests\";r={};t={}", self.remaining, self.reset)),
        ];
        for (name, value) in fields {
            let value = HeaderValue::try_from(value).expect("words and numbers are a header's value");
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

/// How many WebSockets are open.
#[derive(Debug)]
pub(super) struct Sockets {
    most: usize,
    in_all: usize,
    open: Mutex<Opened>,
}

#[derive(Debug, Default)]
struct Opened {
    of: HashMap<Who, usize>,
    at_addresses: usize,
}

impl Sockets {
    /// So many for each, and three quarters of the server's connections for all addresses together: requests and probes
    /// find a place whoever keeps sockets open.
    pub(super) fn new(most: usize, connections: usize) -> Self {
        Self { most, in_all: connections - connections / 4, open: Mutex::default() }
    }

    /// A seat that is given back when it is dropped; `None` when all are taken.
    pub(super) fn seat(self: &Arc<Self>, who: Who) -> Option<Seat> {
        let mut open = lock(&self.open);
        let is_address = matches!(who, Who::Address(_));
        let count = open.of.get(&who).copied().unwrap_or_default();
        if count >= self.most || (is_address && open.at_addresses >= self.in_all) {
            return None;
        }
        open.of.insert(who.clone(), count + 1);
        open.at_addresses += usize::from(is_address);
        Some(Seat { sockets: self.clone(), who })
    }
}

/// One open WebSocket's place in the count.
#[derive(Debug)]
pub(super) struct Seat {
    sockets: Arc<Sockets>,
    who: Who,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = lock(&self.sockets.open);
        open.at_addresses -= usize::from(matches!(self.who, Who::Address(_)));
        if let Some(count) = open.of.get_mut(&self.who) {
            *count -= 1;
            if *count == 0 {
                open.of.remove(&self.who);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    #[test]
    fn addresses_of_an_ipv6_network_count_together() {
        let at = |n: u128| IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8_u128 << 96) + n));
        let sockets = Arc::new(Sockets::new(1, 100));
        let _seat = sockets.seat(Who::address(at(1)));
        assert!(sockets.seat(Who::address(at(2))).is_none());
        assert!(sockets.seat(Who::address(at(1 << 64))).is_some());
        let requests = Requests::new(1);
        let now = Instant::now();
        let counts = [at(1), at(2), at(1 << 64)].map(|from| requests.count(&Who::new(None, from), now).count);
        assert_eq!(counts, [1, 2, 1]);
    }

    #[test]
    fn a_window_ends_with_that_of_all_servers() {
        let (requests, begin) = (Requests::new(9), Instant::now() + MINUTE);
        let who = Who::address(IpAddr::from([192, 0, 2, 1]));
        let count = |after: u64| requests.count(&who, begin + Duration::from_secs(after)).count;
        assert_eq!([count(0), count(1)], [1, 2]);
        requests.follow(&who, Window { count: 7, left: Duration::from_secs(10) }, begin + Duration::from_secs(1));
        assert_eq!([count(10), count(11), count(12)], [8, 1, 2]);
    }

    #[test]
    fn sockets_leave_places_for_requests() {
        let sockets = Arc::new(Sockets::new(2, 4));
        let at = |n: u8| Who::address(IpAddr::from([192, 0, 2, n]));
        let mut seats: Vec<_> = [1, 1, 2].map(|n| sockets.seat(at(n)).expect("there is one")).into();
        assert!(sockets.seat(at(3)).is_none() && sockets.seat(at(1)).is_none());
        // A token's are sockets of addresses, too.
        assert!(sockets.seat(Who::Token([0; 32])).is_some());
        seats.pop();
        assert!(sockets.seat(at(3)).is_some());
    }

    #[test]
    fn windows_are_swept_once_a_second_at_most() {
        let requests = Requests::new(1);
        let begin = Instant::now();
        let kept_after = |token: usize, millis: u64| {
            let who = Who::new(Some(&token.to_string()), IpAddr::from([127, 0, 0, 1]));
            requests.count(&who, begin + Duration::from_millis(millis));
            lock(&requests.windows).of.len()
        };
        assert_eq!((0..WINDOWS).map(|token| kept_after(token, 0)).max(), Some(WINDOWS));
        // Nothing is over yet.
        assert_eq!(kept_after(WINDOWS, 59_500), WINDOWS + 1);
        // All but the last are, and it was swept just now.
        assert_eq!(kept_after(WINDOWS, 60_100), WINDOWS + 1);
        assert_eq!(kept_after(WINDOWS, 60_600), 1);
    }
}
