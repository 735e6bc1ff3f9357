//! A build: the context is listed, a session is opened for what the engine asks, and its account is read.
//!
//! `remote=client-session` makes the engine ask for the files over the session, as `docker build` of Docker 18.09 and
//! later does. So the Dockerfile is no part of what `COPY . .` takes.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use chrono::{DateTime, Utc};
use prost::Message as _;
use serde::Deserialize;
use serde_json::{Map, Value};
use url::form_urlencoded::Serializer;

use super::answers::BuildAnswers;
use super::clear::Going;
use super::{DockerBuilder, error};
use crate::builder::buildkit::{self, Account, Context, DOCKERFILE, masked, masker, words};
use crate::builder::{BuildRequest, BuilderError, BuiltImage, Journal, Output};
use crate::engine::messages::Trace;
use crate::engine::{EngineError, Line};
use crate::vault::Masker;

impl DockerBuilder {
    pub(super) async fn build_image(
        &self,
        request: &BuildRequest,
        journal: &dyn Journal,
    ) -> Result<BuiltImage, BuilderError> {
        if request.platforms.len() > 1 {
            return Err(BuilderError::Refused("an engine builds for one platform at a time".to_owned()));
        }
        let mut going = Going::new(self, &request.mark.run_id);
        let limit = request.limits.time;
        let outcome = tokio::time::timeout(limit, self.run_build(request, journal, &mut going)).await;
        going.end().await;
        match outcome {
            Ok(outcome) => outcome.map_err(|error| masked(&masker(request), error)),
            Err(_) => Err(BuilderError::TimedOut(format!("the build took longer than {}", words(limit)))),
        }
    }

    async fn run_build(
        &self,
        request: &BuildRequest,
        journal: &dyn Journal,
        going: &mut Going,
    ) -> Result<BuiltImage, BuilderError> {
        let at = time_of_files(request);
        let context = buildkit::list(request, at).await?;
        let name = format!("{}:{}", request.repository, request.tag);
        let text = format!("Building {name} from {} files and folders.", context.entries().len());
        journal.line(Output::System, &text).await;
        let text = format!(
            "The engine's BuildKit keeps no limits of memory, CPU or processes; the time limit of {} holds.",
            words(request.limits.time)
        );
        journal.line(Output::System, &text).await;

        let answers = Arc::new(BuildAnswers {
            secrets: request.secrets.clone(),
            logins: request.logins.clone(),
            context: Arc::new(context),
            dockerfile: Arc::new(Context::text(DOCKERFILE, &request.dockerfile, at)),
        });
        let session_id = session_id();
        let session =
            self.engine.session(&session_id, &request.mark.service_id, answers.as_ref()).await.map_err(no_build)?;
        let serving = session.serve(answers);
        let building = async {
            going.begin(self.engine.post(&path(request, &session_id), &[]).await.map_err(no_build)?);
            self.follow(going, &masker(request), journal).await
        };
        tokio::pin!(serving, building);
        // The engine may close the session a moment before its last words.
        tokio::select! {
            outcome = &mut building => outcome?,
            () = &mut serving => building.await?,
        }
        match self.image_id(&name).await? {
            Some(id) => Ok(BuiltImage { id, digest: None }),
            None => Err(BuilderError::Engine(format!("the build ended, but the engine has no image {name}"))),
        }
    }

    /// Reads the account up to its end.
    async fn follow(&self, going: &mut Going, masker: &Masker, journal: &dyn Journal) -> Result<(), BuilderError> {
        let mut account = Account::new(masker);
        let broken = loop {
            match going.line().await {
                Ok(Some(Line::Text(line))) => take(&mut account, &line, journal).await,
                Ok(Some(Line::TooLong)) => {
                    journal.line(Output::System, "A part of the builder's account was too long and is left out.").await;
                }
                Ok(None) => break None,
                Err(failure) => break Some(failure),
            }
        };
        match (account.end(journal).await, broken) {
            (_, Some(failure)) => Err(error(failure)),
            (Some(failure), None) => Err(failure.into_error(masker)),
            (None, None) => Ok(()),
        }
    }
}

/// A line of the engine's answer.
#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    id: String,
    #[serde(default)]
    aux: Option<serde_json::Value>,
    #[serde(default)]
    stream: Option<String>,
    #[serde(default)]
    error: Option<String>,
}

/// Takes a line of the engine's answer.
async fn take(account: &mut Account<'_>, line: &[u8], journal: &dyn Journal) {
    // An engine may say things that we know nothing of.
    let Ok(part) = serde_json::from_slice::<Part>(line) else { return };
    if let Some(error) = part.error {
        account.error(error);
    }
    if let Some(text) = part.stream {
        account.text(&text, journal).await;
    }
    let encoded = part.aux.as_ref().filter(|_| part.id == "moby.buildkit.trace").and_then(|aux| aux.as_str());
    let Some(decoded) = encoded.and_then(|text| STANDARD.decode(text).ok()) else { return };
    if let Ok(trace) = Trace::decode(decoded.as_slice()) {
        account.trace(trace, journal).await;
    }
}

fn path(request: &BuildRequest, session_id: &str) -> String {
    let object = |pairs: &[(String, String)]| {
        let map: Map<String, Value> = pairs.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
        Value::Object(map).to_string()
    };
    let mut query = Serializer::new(String::from("/build?"));
    let mut add = |key: &str, value: &str| {
        query.append_pair(key, value);
    };
    add("version", "2");
    add("remote", "client-session");
    add("session", session_id);
    add("buildid", &request.mark.run_id);
    add("dockerfile", DOCKERFILE);
    add("t", &format!("{}:{}", request.repository, request.tag));
    add("buildargs", &object(&request.args));
    add("labels", &object(&request.labels));
    add("rm", "1");
    add("forcerm", "1");
    if let Some(target) = &request.target {
        add("target", target);
    }
    if let Some(platform) = request.platforms.first() {
        add("platform", platform);
    }
    query.finish()
}

/// The second of the label, and any fraction. The engine keeps one copy of a service's context and takes a file for
/// unchanged by its size and time, so that no two builds may give the same time to different files. Images keep whole
/// seconds, and the cache looks at no time at all.
fn time_of_files(request: &BuildRequest) -> DateTime<Utc> {
    let second = buildkit::second_of_files(request);
    DateTime::from_timestamp(second, rand::random_range(0..1_000_000_000)).unwrap_or_default()
}

/// Nobody may guess it: whoever knows it could use the session's secrets.
fn session_id() -> String {
    URL_SAFE.encode(rand::random::<[u8; 24]>())
}

/// The engine takes no build of this kind.
fn no_build(failure: EngineError) -> BuilderError {
    let EngineError::Answer { status, message } = &failure else { return error(failure) };
    let text = message.to_ascii_lowercase();
    if *status == 404 || *status == 501 || text.contains("buildkit") {
        return BuilderError::Engine(format!("this engine has no BuildKit, which builds need: {message}"));
    }
    if *status == 400 {
        return BuilderError::Refused(format!("the engine does not take the build: {message}"));
    }
    error(failure)
}
