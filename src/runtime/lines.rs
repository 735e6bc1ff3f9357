//! Lines of several instances, as one answer.

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};

use super::{InstanceLine, RuntimeError};

/// What is there, one instance after the other; with `tail` the last lines of all, in the order of time, of which each
/// instance gives as many.
pub async fn stored(
    lines: BoxStream<'static, Result<InstanceLine, RuntimeError>>,
    tail: Option<u32>,
) -> Result<BoxStream<'static, Result<InstanceLine, RuntimeError>>, RuntimeError> {
    let Some(tail) = tail else { return Ok(lines) };
    let mut all: Vec<InstanceLine> = lines.collect::<Vec<_>>().await.into_iter().collect::<Result<_, _>>()?;
    all.sort_by_key(|line| line.at);
    let skip = all.len().saturating_sub(usize::try_from(tail).unwrap_or(usize::MAX));
    Ok(stream::iter(all.into_iter().skip(skip).map(Ok)).boxed())
}
