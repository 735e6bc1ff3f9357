//! Time and ids are passed in, so that tests need no sleeping.

use chrono::{DateTime, Utc};

/// Says what time it is.
pub trait Clock: Send + Sync {
    /// Now, cut to the microseconds that every database keeps.
    fn now(&self) -> DateTime<Utc>;
}

/// Makes ids and random tokens.
pub trait Ids: Send + Sync {
    /// A new id: a UUID of version 7, so that ids sort by the time they were made.
    fn id(&self) -> String;
    /// 32 bytes from the system's random source.
    fn random(&self) -> [u8; 32];
}
