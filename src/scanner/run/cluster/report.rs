//! The report on its way out of the pod. It is no container's own output: that would be kept on the node.

use std::io;

use bytes::Bytes;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use tokio::sync::mpsc::channel;

use super::manifest::{KEEPER, LAST, READ};
use super::{AGAIN, BROKEN, error};
use crate::cluster::send::{self, Program};
use crate::scanner::ScanError;
use crate::scanner::run::pipe::{ON_THE_WAY, Received};
use crate::scanner::run::{Run, archive};

/// Tries to read it.
const TRIES: u32 = 5;
/// Bytes of it that are taken at once.
const PART: usize = 64 * 1024;

/// Reads it into the run's folder, if there is one: at most one byte more than it may have.
pub(super) async fn read(api: &Api<Pod>, pod: &str, run: &Run<'_>) -> Result<(), ScanError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let failed = match send::start(api, (pod, KEEPER), &READ).await {
            Ok(program) => match take(program, run).await {
                Err(failed @ ScanError::Unreachable(_)) => failed,
                done => return done,
            },
            Err(failure) => error(failure),
        };
        if tries == TRIES {
            return Err(failed);
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn take(mut program: Program, run: &Run<'_>) -> Result<(), ScanError> {
    let (name, most) = (&run.job.tool.name, run.job.tool.max_report_bytes);
    let broken =
        || ScanError::Unreachable(format!("the connection to the cluster broke while the report of {name} was read"));
    let to = run.folder.report();
    // What an earlier try has left.
    let _ = tokio::fs::remove_file(&to).await;
    let (parts, received) = channel(ON_THE_WAY);
    let reading = tokio::task::spawn_blocking(move || archive::read_after(LAST, Received::new(received), (&to, most)));
    let mut part = vec![0; PART];
    let is_whole = loop {
        match program.read(&mut part).await {
            Some(0) => break true,
            // Whoever reads has enough.
            Some(count) if parts.send(Bytes::copy_from_slice(&part[..count])).await.is_err() => break true,
            Some(_) => {}
            None => break false,
        }
    };
    drop((parts, program));
    let read = reading.await.map_err(io::Error::other).flatten();
    match read {
        Ok(true) if is_whole => Ok(()),
        Ok(_) if !is_whole => Err(broken()),
        // It broke off between two files, which is no end to `tar`.
        Ok(_) => Err(ScanError::Unreachable(BROKEN.to_owned())),
        Err(failure) if failure.kind() == io::ErrorKind::InvalidData && is_whole => {
            Err(ScanError::Unreadable(format!("what {name} left as its report is no file of its own")))
        }
        Err(failure) if matches!(failure.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData) => {
            Err(broken())
        }
        Err(failure) => Err(ScanError::Failed(format!("the report of {name} can't be had: {failure}"))),
    }
}
