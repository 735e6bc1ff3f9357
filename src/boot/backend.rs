//! What the transports ask of the API behind them.

use std::net::IpAddr;
use std::time::Duration;

use async_graphql::{Request, Response};
use futures_util::stream::BoxStream;
use tokio::time::timeout;

use crate::app::App;
use crate::app::answers::{Answer, Answers, Question, Recalled, Version};
use crate::app::identity::{requests, sessions};
use crate::graphql::Schemas;
use crate::graphql::executor::{AuthFailure, Backend, Emitted, Window};
use crate::graphql::guard::Caller;

/// How long whoever watches waits for the database: the pool itself tries for half a minute, and by then they have given up.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// The application behind its schemas.
#[derive(Clone)]
pub(super) struct Api {
    pub(super) app: App,
    pub(super) schemas: Schemas,
    pub(super) answers: Answers,
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

    async fn count(&self, who: &str) -> Option<Window> {
        if !self.app.db.is_postgres() {
            // There is no other server that could count too.
            return None;
        }
        // A database that is away for a moment is said where it is asked for something.
        let counted = requests::count(&self.app, who).await.ok()?;
        Some(Window { count: counted.count, left: counted.left })
    }

    async fn execute(&self, caller: Caller, request: Request) -> Response {
        self.schemas.execute(request, caller).await
    }

    async fn recall(&self, question: &Question) -> Recalled {
        self.answers.recall(&self.app, question).await
    }

    async fn remember(&self, caller: &Caller, question: Question, answer: Option<(Version, Answer)>) {
        match (answer, &caller.actor) {
            (Some((version, answer)), Some(actor)) => {
                self.answers.keep(&self.app, (question, version), actor, answer).await;
            }
            (None, Some(_)) => self.answers.asked(question).await,
            (_, None) => {}
        }
    }

    fn execute_stream(&self, caller: Caller, request: Request) -> BoxStream<'static, Emitted> {
        self.schemas.execute_together(request, caller)
    }

    async fn ready(&self) -> Result<(), String> {
        match timeout(PATIENCE, self.app.db.ping()).await {
            Ok(Ok(())) => Ok(()),
            _ => Err("the database does not answer".to_owned()),
        }
    }
}
