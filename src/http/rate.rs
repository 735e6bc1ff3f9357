//! Requests a minute for each token, over all servers, and open WebSockets of this server for each token and address.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::graphql::executor::Backend;

const MINUTE: Duration = Duration::from_secs(60);
/// Windows kept before those that are over are swept out.
const WINDOWS: usize = 10_000;

/// Whom something is counted for. Tokens are kept as hashes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Who {
    Token([u8; 32]),
    Address(IpAddr),
}

impl Who {
    /// The token if there is one, else the address.
    pub(super) fn new(token: Option<&str>, address: IpAddr) -> Self {
        token.map_or(Self::Address(address), |token| Self::Token(Sha256::digest(token).into()))
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
    windows: Mutex<HashMap<Who, (Instant, u32)>>,
}

impl Requests {
    pub(super) fn new(per_minute: u32) -> Self {
        Self { per_minute, windows: Mutex::default() }
    }

    /// Counts a request, or says after how many seconds there is room again. What this server alone can see to be too
    /// much is not asked for anywhere else.
    pub(super) async fn admit<B: Backend>(&self, backend: &B, who: &Who) -> Result<(), u64> {
        self.admit_here(who, Instant::now())?;
        match self.per_minute {
            0 => Ok(()),
            per_minute => backend.count(&who.hash(), per_minute).await.map_or(Ok(()), Err),
        }
    }

    fn admit_here(&self, who: &Who, now: Instant) -> Result<(), u64> {
        if self.per_minute == 0 {
            return Ok(());
        }
        let mut windows = lock(&self.windows);
        if windows.len() >= WINDOWS {
            windows.retain(|_, (begun, _)| now.duration_since(*begun) < MINUTE);
        }
        let (begun, count) = windows.entry(who.clone()).or_insert((now, 0));
        let age = now.duration_since(*begun);
        if age >= MINUTE {
            (*begun, *count) = (now, 0);
        } else if *count >= self.per_minute {
            return Err((MINUTE - age).as_secs() + 1);
        }
        *count += 1;
        Ok(())
    }
}

/// How many WebSockets are open.
#[derive(Debug)]
pub(super) struct Sockets {
    most: usize,
    open: Mutex<HashMap<Who, usize>>,
}

impl Sockets {
    pub(super) fn new(most: usize) -> Self {
        Self { most, open: Mutex::default() }
    }

    /// A seat that is given back when it is dropped; `None` when all are taken.
    pub(super) fn seat(self: &Arc<Self>, who: Who) -> Option<Seat> {
        let mut open = lock(&self.open);
        let count = open.entry(who.clone()).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
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
        if let Some(count) = open.get_mut(&self.who) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.who);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
