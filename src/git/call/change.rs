//! Requests that change something: sent once, whatever comes of them.

use reqwest::Method;
use serde::Serialize;
use tokio::time::Instant;
use url::Url;

use super::super::GitError;
use super::limits::Budgets;
use super::{Answer, Api, WHOLE, answer_of};
use crate::net::Request;

/// What a change may be seen in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Touches {
    /// What is listed and remembered.
    Lists,
    /// Nothing that is remembered.
    NoList,
}

/// Forgets what was listed when it ends, however it ends: a caller may have given up on a change that is made all the
/// same.
struct Changing<'a>(&'a Api);

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.0.forget();
    }
}

impl Api {
    /// Changes something: sent once, whatever comes of it. What was listed is forgotten.
    pub(in crate::git) async fn send(
        &self,
        method: Method,
        url: Url,
        body: &impl Serialize,
    ) -> Result<Answer, GitError> {
        self.change((method, url), body, Touches::Lists).await
    }

    /// Changes something that is in no list: sent once, whatever comes of it.
    pub(in crate::git) async fn tell(
        &self,
        method: Method,
        url: Url,
        body: &impl Serialize,
    ) -> Result<Answer, GitError> {
        self.change((method, url), body, Touches::NoList).await
    }

    /// Removes something that is in no list: sent once, whatever comes of it.
    pub(in crate::git) async fn delete(&self, url: Url) -> Result<(), GitError> {
        let budgets = self.budgets(&Method::DELETE, &url);
        self.once(self.request(Method::DELETE, url), budgets, Touches::NoList).await.map(|_| ())
    }

    async fn change(
        &self,
        (method, url): (Method, Url),
        body: &impl Serialize,
        touches: Touches,
    ) -> Result<Answer, GitError> {
        let budgets = self.budgets(&method, &url);
        let request = self.request(method, url).json(body).map_err(|error| self.unsent(error))?;
        self.once(request, budgets, touches).await
    }

    async fn once(&self, request: Request, budgets: Budgets, touches: Touches) -> Result<Answer, GitError> {
        let deadline = Instant::now() + WHOLE;
        let (_turn, left) = self.turn(deadline).await?;
        self.may_ask(&budgets).await?;
        let _changing = (touches == Touches::Lists).then(|| Changing(self));
        let response = self
            .shared
            .outbound
            .send(request.timeout(left).counted_as("git"))
            .await
            .map_err(|error| self.unsent(error))?;
        self.judge(&response, budgets).await?;
        Ok(answer_of(&response))
    }
}
