//! What one container prints, as it prints it.

use chrono::{DateTime, Utc};
use futures_util::io::{AsyncBufRead, AsyncBufReadExt as _};
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::LogParams;

use super::ClusterError;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Printed {
    /// The kubelet's time of it.
    pub at: DateTime<Utc>,
    /// Without its end; what goes beyond the most that a line may hold is left out.
    pub text: Vec<u8>,
    /// Something was left out.
    pub is_cut: bool,
    /// Its end has come. Where not, either the container ended without one, or what came before the connection ended is a
    /// part of the line: its time is that of the whole, and whoever goes on after it loses the rest.
    pub is_whole: bool,
}

/// The lines of a container from the first one after `since`, until it ends or the connection does. `most` bytes of each
/// are kept.
///
/// Followed logs break off when an API server is restarted, within a line too: whoever reads goes on with the time of the
/// last line that is whole.
pub fn follow(
    api: Api<Pod>,
    (pod, container): (&str, &str),
    since: Option<DateTime<Utc>>,
    most: usize,
) -> BoxStream<'static, Result<Printed, ClusterError>> {
    let parameters = LogParams {
        container: Some(container.to_owned()),
        follow: true,
        // Whole seconds only; the rest is sorted out below.
        since_time: since.and_then(|at| Timestamp::from_second(at.timestamp()).ok()),
        timestamps: true,
        ..LogParams::default()
    };
    let pod = pod.to_owned();
    async_stream::try_stream! {
        let printed = api.log_stream(&pod, &parameters).await?;
        let lines = lines(printed, most);
        let mut lines = std::pin::pin!(lines);
        while let Some(line) = lines.next().await {
            let line = line.map_err(|_| ClusterError::Unreachable("the log broke off".to_owned()))?;
            // What was cut before its time was over is no line.
            let Some(line) = timed(line) else { continue };
            if since.is_none_or(|since| line.at > since) {
                yield line;
            }
        }
    }
    .boxed()
}

#[derive(Default)]
struct Raw {
    text: Vec<u8>,
    is_cut: bool,
    is_whole: bool,
}

fn lines(mut printed: impl AsyncBufRead + Unpin, most: usize) -> impl Stream<Item = std::io::Result<Raw>> {
    async_stream::try_stream! {
        let mut held = Raw::default();
        loop {
            let chunk = printed.fill_buf().await?;
            if chunk.is_empty() {
                if !held.text.is_empty() {
                    yield held;
                }
                return;
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let part = &chunk[..end.unwrap_or(chunk.len())];
            let room = most.saturating_sub(held.text.len());
            held.text.extend_from_slice(&part[..part.len().min(room)]);
            held.is_cut |= part.len() > room;
            let length = end.map_or(chunk.len(), |at| at + 1);
            printed.consume_unpin(length);
            if end.is_some() {
                yield Raw { is_whole: true, ..std::mem::take(&mut held) };
            }
        }
    }
}

fn timed(line: Raw) -> Option<Printed> {
    let space = line.text.iter().take(40).position(|byte| *byte == b' ')?;
    let at = std::str::from_utf8(&line.text[..space]).ok()?;
    let at = DateTime::parse_from_rfc3339(at).ok()?.to_utc();
    let Raw { is_cut, is_whole, .. } = line;
    Some(Printed { at, text: line.text[space + 1..].to_vec(), is_cut, is_whole })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_whole_and_of_some_length() {
        let text = b"2026-01-02T03:04:05.5Z a b\n2026-01-02T03:04:06Z \nnonsense\n2026-01-02T03:04:07Z 0123456789\n\
            2026-01-02T03:04:08Z end"
            .as_slice();
        let all: Vec<Raw> = lines(text, 27).map(Result::unwrap).collect().await;
        let all: Vec<Printed> = all.into_iter().filter_map(timed).collect();
        let seen: Vec<(&str, bool)> = all.iter().map(|l| (std::str::from_utf8(&l.text).unwrap(), l.is_cut)).collect();
        assert_eq!(seen, [("a b", false), ("", false), ("012345", true), ("end", false)]);
        assert_eq!(all[0].at.timestamp_subsec_millis(), 500);
        // Of the last one the end has not come.
        assert_eq!(all.iter().map(|line| line.is_whole).collect::<Vec<_>>(), [true, true, true, false]);
    }
}
