//! Who is asking.

use async_graphql::Context;

use super::errors::Result;
use crate::app::{Actor, App, Error};
use crate::domain::policy::Standing;

/// The caller of a request: in the request's data, always.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Nobody, or who the token says.
    pub actor: Option<Actor>,
    /// Where the request came from.
    pub address: Option<String>,
}

/// The use cases.
///
/// # Errors
/// INTERNAL when the schema was built without them.
pub fn app<'a>(ctx: &Context<'a>) -> Result<&'a App> {
    Ok(ctx.data::<App>().map_err(|_| Error::internal("the request carries no application"))?)
}

/// The logged-in caller.
///
/// # Errors
/// UNAUTHENTICATED when nobody is logged in.
pub fn actor<'a>(ctx: &Context<'a>) -> Result<&'a Actor> {
    let caller = ctx.data::<Caller>().map_err(|_| Error::internal("the request carries no caller"))?;
    Ok(caller.actor.as_ref().ok_or_else(Error::unauthenticated)?)
}

impl Caller {
    /// What they are to the policy table.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.actor.as_ref().map_or(Standing::Nobody, Actor::standing)
    }
}
