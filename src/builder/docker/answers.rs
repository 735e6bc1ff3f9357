//! What the engine may ask during a build: the values of this build's secrets, logins of registries that base images
//! come from, and the files of the context. Nothing else is answered.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};
use prost::Message;
use secrecy::{ExposeSecret, SecretString};
use tokio::io::AsyncReadExt;

use crate::builder::buildkit::Context;
use crate::domain::image::normalise_host;
use crate::domain::secret::RegistryLogin;
use crate::engine::messages::{Credentials, GetCredentials, GetSecret, Packet, SecretData};
use crate::engine::{Answers, Call, Refusal, status};

const SECRET: &str = "/moby.buildkit.secrets.v1.Secrets/GetSecret";
const CREDENTIALS: &str = "/moby.filesync.v1.Auth/Credentials";
const FILES: &str = "/moby.filesync.v1.FileSync/DiffCopy";
/// How much of a file is held at once.
const PART: usize = 32 * 1024;

/// Everything that one build may be asked for.
pub struct BuildAnswers {
    /// By name.
    pub secrets: Vec<(String, SecretString)>,
    /// By registry host.
    pub logins: Vec<(String, RegistryLogin)>,
    /// The files.
    pub context: Arc<Context>,
    /// The Dockerfile, which is no part of the context.
    pub dockerfile: Arc<Context>,
}

impl Answers for BuildAnswers {
    fn methods(&self) -> Vec<&'static str> {
        vec![SECRET, CREDENTIALS, FILES]
    }

    fn answer(&self, call: Call) -> BoxStream<'static, Result<Bytes, Refusal>> {
        match call.method.as_str() {
            SECRET => self.secret(call),
            CREDENTIALS => self.credentials(call),
            _ => self.files(call),
        }
    }
}

impl BuildAnswers {
    fn secret(&self, mut call: Call) -> BoxStream<'static, Result<Bytes, Refusal>> {
        let secrets = self.secrets.clone();
        let answer = async move {
            let asked: GetSecret = call.first().await?;
            let found = secrets.iter().find(|(name, _)| *name == asked.id);
            let (_, value) =
                found.ok_or(Refusal { code: status::NOT_FOUND, message: "this build has no such secret" })?;
            Ok(SecretData { data: value.expose_secret().as_bytes().to_vec() }.encode_to_vec().into())
        };
        stream::once(answer).boxed()
    }

    fn credentials(&self, mut call: Call) -> BoxStream<'static, Result<Bytes, Refusal>> {
        let logins = self.logins.clone();
        let answer = async move {
            let asked: GetCredentials = call.first().await?;
            let host = registry_host(&asked.host);
            let login = logins.iter().find(|(name, _)| registry_host(name) == host).map(|(_, login)| login);
            let credentials = login.map_or_else(Credentials::default, |login| Credentials {
                username: login.username.clone(),
                secret: login.token.expose_secret().to_owned(),
            });
            Ok(credentials.encode_to_vec().into())
        };
        stream::once(answer).boxed()
    }

    /// Tonistiigi's fsutil: we list the entries, the engine asks for files by their place in the list, and the one
    /// that has all it wants says so.
    fn files(&self, call: Call) -> BoxStream<'static, Result<Bytes, Refusal>> {
        let header = |name: &str| {
            let values = call.headers.get_all(name);
            values.iter().filter_map(|value| value.to_str().ok().map(str::to_owned)).collect::<Vec<_>>()
        };
        let context = match header("dir-name").first().map(String::as_str) {
            Some("dockerfile") => Arc::clone(&self.dockerfile),
            // The engine looks for rules to leave files out by: that is done here.
            Some("context") if header("followpaths") == [".dockerignore"] => Arc::new(Context::empty()),
            Some("context") => Arc::clone(&self.context),
            _ => {
                let refusal = Refusal { code: status::NOT_FOUND, message: "this build has no such folder" };
                return stream::iter([Err(refusal)]).boxed();
            }
        };
        send(context, call.messages).boxed()
    }
}

/// One name for the host of a registry, whatever it is asked as.
fn registry_host(asked: &str) -> String {
    let bare = asked.trim_start_matches("https://").trim_start_matches("http://");
    normalise_host(bare.split('/').next().unwrap_or(bare))
}

fn send(
    context: Arc<Context>,
    mut asked: BoxStream<'static, Result<Bytes, Refusal>>,
) -> impl futures_util::Stream<Item = Result<Bytes, Refusal>> + Send + 'static {
    async_stream::try_stream! {
        let mut early = Vec::new();
        for entry in context.entries() {
            yield Packet { kind: Packet::STAT, stat: Some(entry.stat.clone()), ..Default::default() }.encode_to_vec().into();
            // The engine asks while it still learns of entries, and must not be kept waiting for us to listen.
            while let Some(Some(message)) = asked.next().now_or_never() {
                early.push(read(message?)?);
            }
        }
        yield Packet { kind: Packet::STAT, ..Default::default() }.encode_to_vec().into();
        let mut early = early.into_iter();
        loop {
            let (kind, id) = match early.next() {
                Some(packet) => packet,
                None => match asked.next().await {
                    Some(message) => read(message?)?,
                    None => return,
                },
            };
            match kind {
                Packet::REQUEST => {
                    let entry = context.entries().get(id as usize).ok_or(WRONG)?;
                    let mut file = entry.open().await.map_err(|_| CHANGED)?.ok_or(WRONG)?;
                    let mut left = u64::try_from(entry.stat.size).unwrap_or_default();
                    while left > 0 {
                        let mut part = BytesMut::with_capacity(PART);
                        let count = (&mut file).take(left.min(PART as u64)).read_buf(&mut part).await.map_err(|_| CHANGED)?;
                        if count == 0 {
                            Err(CHANGED)?;
                        }
                        left -= count as u64;
                        yield Packet { kind: Packet::DATA, id, data: part.freeze(), stat: None }.encode_to_vec().into();
                    }
                    yield Packet { kind: Packet::DATA, id, ..Default::default() }.encode_to_vec().into();
                }
                Packet::END => {
                    yield Packet { kind: Packet::END, ..Default::default() }.encode_to_vec().into();
                    return;
                }
                _ => Err(WRONG)?,
            }
        }
    }
}

const WRONG: Refusal = Refusal { code: status::INVALID, message: "that is not how files are asked for" };
const CHANGED: Refusal = Refusal { code: status::INTERNAL, message: "the source changed while it was sent" };

/// What the engine says, and of which entry.
fn read(message: Bytes) -> Result<(i32, u32), Refusal> {
    Packet::decode(message).map(|packet| (packet.kind, packet.id)).map_err(|_| WRONG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_known_by_all_its_names() {
        for name in ["docker.io", "registry-1.docker.io", "https://index.docker.io/v1/", "index.docker.io"] {
            assert_eq!(registry_host(name), "docker.io", "{name}");
        }
        assert_eq!(registry_host("127.0.0.1:5000"), "127.0.0.1:5000");
    }
}
