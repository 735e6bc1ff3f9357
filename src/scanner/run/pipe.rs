//! Bytes between a thread that reads or writes archives, and a connection, a part at a time.

use std::io::{self, Read, Write};

use bytes::Bytes;
use tokio::sync::mpsc::{Receiver, Sender};

/// Parts on their way at once.
pub(super) const ON_THE_WAY: usize = 8;

/// Written to by a thread, read by a connection.
pub(super) struct Parts(pub(super) Sender<io::Result<Bytes>>);

impl Write for Parts {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Sent by a connection, read by a thread.
pub(super) struct Received {
    parts: Receiver<Bytes>,
    held: Bytes,
}

impl Received {
    pub(super) fn new(parts: Receiver<Bytes>) -> Self {
        Self { parts, held: Bytes::new() }
    }
}

impl Read for Received {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.held.is_empty() {
            match self.parts.blocking_recv() {
                Some(part) => self.held = part,
                None => return Ok(0),
            }
        }
        let count = into.len().min(self.held.len());
        into[..count].copy_from_slice(&self.held.split_to(count));
        Ok(count)
    }
}
