//! Lists that come whole: nothing but what is there bounds them, and they lead back to themselves, so that a few fields may come
//! to any number of rows. What a request has of them is counted as it is read.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_graphql::Context;

use super::errors::Result;
use crate::app::Error;

/// Rows of such lists that a request may have, and a subscription in [`SPAN`].
const ROWS: usize = 20_000;
/// A subscription has its rows anew with each event.
const SPAN: Duration = Duration::from_secs(1);

/// What a request has had of lists that come whole.
#[derive(Default)]
pub struct Whole {
    goes_on: bool,
    had: Mutex<Option<(Instant, usize)>>,
}

impl Whole {
    /// Of a subscription.
    #[must_use]
    pub fn that_goes_on() -> Self {
        Self { goes_on: true, ..Self::default() }
    }

    /// Counts more of them; false when there are too many.
    fn take(&self, rows: usize, now: Instant) -> bool {
        let mut had = self.had.lock().unwrap_or_else(PoisonError::into_inner);
        let holds = |(since, _): &(Instant, usize)| !self.goes_on || now.duration_since(*since) < SPAN;
        let (since, before) = had.filter(holds).unwrap_or((now, 0));
        let all = before.saturating_add(rows);
        *had = Some((since, all));
        all <= ROWS
    }
}

/// The rows of such a list, each of which is counted, and its reading as one.
///
/// # Errors
/// BAD_USER_INPUT when the request has had too many; what reading them fails with.
pub async fn whole<T>(
    ctx: &Context<'_>,
    read: impl Future<Output = Result<Option<Arc<Vec<T>>>>>,
) -> Result<Arc<Vec<T>>> {
    count(ctx, 1)?;
    let rows = read.await?.unwrap_or_default();
    count(ctx, rows.len())?;
    Ok(rows)
}

fn count(ctx: &Context<'_>, rows: usize) -> Result<()> {
    if ctx.data_opt::<Whole>().is_some_and(|whole| whole.take(rows, Instant::now())) {
        return Ok(());
    }
    let field = ctx.field().name();
    let message =
        format!("{field} and the like come to more than {ROWS} rows in this request: ask for fewer objects at once");
    Err(Error::bad_input(field, message).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_and_those_of_a_subscription_for_a_second() {
        let now = Instant::now();
        for whole in [Whole::default(), Whole::that_goes_on()] {
            assert!(whole.take(ROWS - 1, now) && whole.take(1, now + SPAN / 2));
            assert!(!whole.take(1, now + SPAN / 2));
            assert_eq!(whole.take(ROWS, now + SPAN), whole.goes_on);
            assert!(!whole.take(1, now + SPAN));
        }
    }
}
