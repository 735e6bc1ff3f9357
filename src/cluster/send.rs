//! Bytes into a container and out of one, by way of the API server: into its standard input, and what a program prints that
//! is started in it.

use std::io;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::Api;
use kube::api::{AttachParams, AttachedProcess};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::ClusterError;
use crate::domain::printed::neutralise;

/// Bytes on their way at once.
const ON_THE_WAY: usize = 256 * 1024;
/// Until a connection that did not come about is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// What is sent to a container.
#[async_trait]
pub trait Content: Send {
    /// Writes all of it.
    ///
    /// # Errors
    /// When it can't be read, or nobody takes it any more (`BrokenPipe`).
    async fn write(self: Box<Self>, to: &mut (dyn AsyncWrite + Unpin + Send)) -> io::Result<()>;
}

/// Why something did not get into a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unsent {
    /// The connection ended before all was written to it; what the cluster says of that.
    Broken(Option<String>),
    /// It could not be read to its end.
    Unread(String),
    /// The cluster refused it.
    Cluster(ClusterError),
}

/// Sends something to the standard input of a container that is at work. Returns when the cluster says that the container has
/// ended, or when the connection has.
///
/// # Errors
/// That all was written does not say that all arrived: what is sent has to show its own end.
pub async fn send(content: Box<dyn Content + '_>, api: Api<Pod>, (pod, container): (&str, &str)) -> Result<(), Unsent> {
    let parameters = AttachParams {
        container: Some(container.to_owned()),
        stdin: true,
        stdout: false,
        stderr: false,
        max_stdin_buf_size: Some(ON_THE_WAY),
        ..AttachParams::default()
    };
    let mut attached = attach(&api, pod, &parameters).await?;
    let (Some(mut input), Some(end)) = (attached.stdin(), attached.take_status()) else {
        return Err(Unsent::Cluster(ClusterError::Garbled));
    };
    let mut end = std::pin::pin!(end);
    let writing = async {
        content.write(&mut input).await?;
        input.shutdown().await
    };
    // What is written to goes on when nobody reads it any more, until it is full: the connection's end is heard beside it.
    tokio::select! {
        written = writing => written.map_err(unsent)?,
        said = &mut end => return ended_early(said),
    }
    // How the container ended is known by its pod, and that the connection ended oddly then does not matter.
    let _ = end.await;
    Ok(())
}

/// Connects to the container's standard input. A cluster that is away for a moment is asked again, as often as whoever waits
/// for this allows: nothing was sent yet.
async fn attach(api: &Api<Pod>, pod: &str, parameters: &AttachParams) -> Result<AttachedProcess, Unsent> {
    loop {
        match api.attach(pod, parameters).await.map_err(ClusterError::from) {
            Err(failure) if failure.is_passing() => tokio::time::sleep(AGAIN).await,
            answer => return answer.map_err(Unsent::Cluster),
        }
    }
}

/// The container's input ended while there was more to be written. Where the container itself ended, its pod says why.
fn ended_early(said: Option<Status>) -> Result<(), Unsent> {
    let Some(status) = said else { return Err(Unsent::Broken(None)) };
    match status.status.as_deref() {
        Some("Success") => Ok(()),
        _ => Err(Unsent::Broken(Some(neutralise(status.message.as_deref().unwrap_or_default())))),
    }
}

fn unsent(failure: io::Error) -> Unsent {
    match failure.kind() {
        io::ErrorKind::BrokenPipe => Unsent::Broken(None),
        _ => Unsent::Unread(failure.to_string()),
    }
}

/// A program at work in a container.
pub struct Program {
    output: Box<dyn AsyncRead + Unpin + Send>,
    /// What the cluster says of its end; none once it has said that.
    end: Option<BoxFuture<'static, Option<Status>>>,
    /// Whoever drops this ends the connection.
    _attached: AttachedProcess,
}

/// Starts a program in a container that is at work, beside its own one. It gets no input, and what it prints to its standard
/// error is not asked for.
///
/// # Errors
/// As the API server answers.
pub async fn start(api: &Api<Pod>, (pod, container): (&str, &str), words: &[&str]) -> Result<Program, ClusterError> {
    let parameters = AttachParams {
        container: Some(container.to_owned()),
        stdin: false,
        stdout: true,
        stderr: false,
        max_stdout_buf_size: Some(ON_THE_WAY),
        ..AttachParams::default()
    };
    let mut attached = api.exec(pod, words.iter().copied(), &parameters).await?;
    let (Some(output), Some(end)) = (attached.stdout(), attached.take_status()) else {
        return Err(ClusterError::Garbled);
    };
    Ok(Program { output: Box::new(output), end: Some(end.boxed()), _attached: attached })
}

impl Program {
    /// Some more of what it prints, nought once it has ended and all was read; how it ended is not looked at. None where the
    /// connection broke before.
    pub async fn read(&mut self, part: &mut [u8]) -> Option<usize> {
        // What is read from does not end by itself where the connection breaks.
        while let Some(end) = &mut self.end {
            let said = tokio::select! {
                read = self.output.read(part) => match read {
                    Ok(0) => end.await,
                    Ok(count) => return Some(count),
                    Err(_) => return None,
                },
                said = &mut *end => said,
            };
            self.end = None;
            said?;
        }
        self.output.read(part).await.ok()
    }
}
