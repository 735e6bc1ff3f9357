//! Reading a request's body up to a limit.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How much of a body over the limit is read and thrown away, so that its sender can read the answer.
const DRAINED: usize = 128 * 1024 * 1024;
/// What a body takes room in.
const UNIT: usize = 4 * 1024;

/// A body, and the room that it takes until it is dropped.
pub(super) struct Whole {
    pub(super) bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

/// Why there is no body.
pub(super) enum Unread {
    TooLarge,
    Broken,
    /// Too much of others is being read at the moment.
    NoRoom,
}

/// What the bodies that are being read may take together.
#[derive(Clone)]
pub(super) struct Room(Arc<Semaphore>);

impl Room {
    /// So many bytes in all.
    pub(super) fn of(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes / UNIT)))
    }

    /// Takes as much as `bytes` need that are not held yet.
    fn grow(&self, held: &mut Option<OwnedSemaphorePermit>, bytes: usize) -> Result<(), Unread> {
        let has = held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = bytes.div_ceil(UNIT).saturating_sub(has);
        let more = u32::try_from(more).map_err(|_| Unread::TooLarge)?;
        if more == 0 {
            return Ok(());
        }
        let taken = self.0.clone().try_acquire_many_owned(more).map_err(|_| Unread::NoRoom)?;
        match held {
            Some(held) => held.merge(taken),
            None => *held = Some(taken),
        }
        Ok(())
    }
}

/// An answer after which the connection is not used again, for instance because the rest of a body may still be on its
/// way.
pub(super) fn closing(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Reads a body up to the limit. What is over it is read on for a while and thrown away. Room is taken for what has come,
/// not for what was announced.
pub(super) async fn read(headers: &HeaderMap, mut body: Body, limit: usize, room: &Room) -> Result<Whole, Unread> {
    let declared = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok())
        .unwrap_or_default();
    if declared > limit && (declared > DRAINED || headers.contains_key(header::EXPECT)) {
        return Err(Unread::TooLarge);
    }
    let mut held = None;
    let mut kept = Vec::with_capacity(declared.min(limit).min(UNIT * 16));
    let mut seen = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Unread::Broken)?.into_data() else {
            continue;
        };
        seen += data.len();
        if seen > DRAINED {
            return Err(Unread::TooLarge);
        }
        if seen <= limit && declared <= limit {
            room.grow(&mut held, seen)?;
            kept.extend_from_slice(&data);
        } else {
            (kept, held) = (Vec::new(), None);
        }
    }
    if seen > limit { Err(Unread::TooLarge) } else { Ok(Whole { bytes: kept.into(), _room: held }) }
}
