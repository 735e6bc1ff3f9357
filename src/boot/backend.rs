//! What the transports ask of the API behind them.

use std::net::IpAddr;

use async_graphql::{Request, Response};
use futures_util::stream::BoxStream;

use crate::app::App;
use crate::app::identity::{requests, sessions};
use crate::graphql::Schemas;
use crate::graphql::executor::{AuthFailure, Backend};
use crate::graphql::guard::Caller;

/// The application behind its schemas.
#[derive(Clone)]
pub(super) struct Api {
    pub(super) app: App,
    pub(super) schemas: Schemas,
}

impl Backend for Api {
    type Caller = Caller;

    async fn authenticate(&self, token: Option<&str>, from: IpAddr) -> Result<Caller, AuthFailure> {
        let address = Some(from.to_canonical().to_string());
        let Some(token) = token else { return Ok(Caller { actor: None, address }) };
        match sessions::authenticate(&self.app, token, address.clone()).await {
            Ok(Some(actor)) => Ok(Caller { actor: Some(actor), address }),
            Ok(None) => Err(AuthFailure::BadToken),
            // It was logged where it was made.
            Err(_) => Err(AuthFailure::Unavailable),
        }
    }

    async fn still_valid(&self, caller: &Caller) -> bool {
        match &caller.actor {
            // A database that is away for a moment ends nobody's subscription.
            Some(actor) => sessions::still_valid(&self.app, actor).await.unwrap_or(true),
            None => true,
        }
    }

    async fn count(&self, who: &str, per_minute: u32) -> Option<u64> {
        if !self.app.db.is_postgres() {
            // There is no other server that could count too.
            return None;
        }
        // A database that is away for a moment is said where it is asked for something.
        requests::count(&self.app, who, per_minute).await.unwrap_or(None)
    }

    async fn execute(&self, caller: Caller, request: Request) -> Response {
        self.schemas.execute(request, caller).await
    }

    fn execute_stream(&self, caller: Caller, request: Request) -> BoxStream<'static, Response> {
        self.schemas.execute_stream(request, caller)
    }

    async fn ready(&self) -> Result<(), String> {
        self.app.db.ping().await.map_err(|_| "the database does not answer".to_owned())
    }
}
