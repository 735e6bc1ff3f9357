//! Messages between BuildKit and its clients, as far as they are used. Numbers and names are those of the `.proto` files
//! of moby/buildkit (`session/secrets`, `session/auth`, `api/services/control`), tonistiigi/fsutil (`types`) and gRPC's
//! health check.

use prost::Message;

/// `grpc.health.v1.HealthCheckResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct Health {
    /// [`Self::SERVING`].
    #[prost(int32, tag = "1")]
    pub status: i32,
}

impl Health {
    /// All is well.
    pub const SERVING: i32 = 1;
}

/// `moby.buildkit.secrets.v1.GetSecretRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct GetSecret {
    /// The `id` of a secret mount.
    #[prost(string, tag = "1")]
    pub id: String,
}

/// `moby.buildkit.secrets.v1.GetSecretResponse`. Not to be printed.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct SecretData {
    /// Its value.
    #[prost(bytes = "vec", tag = "1")]
    pub data: Vec<u8>,
}

/// `moby.filesync.v1.CredentialsRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct GetCredentials {
    /// The registry's host.
    #[prost(string, tag = "1")]
    pub host: String,
}

/// `moby.filesync.v1.CredentialsResponse`; both empty where there is no login. Not to be printed.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct Credentials {
    /// The account.
    #[prost(string, tag = "1")]
    pub username: String,
    /// Its password or token.
    #[prost(string, tag = "2")]
    pub secret: String,
}

/// `fsutil.types.Packet`: the two sides of a transfer of files.
#[derive(Clone, PartialEq, Message)]
pub struct Packet {
    /// One of the constants.
    #[prost(int32, tag = "1")]
    pub kind: i32,
    /// In [`Self::STAT`]; left out in the one that ends the list.
    #[prost(message, optional, tag = "2")]
    pub stat: Option<Stat>,
    /// Which entry of the list, from nought.
    #[prost(uint32, tag = "3")]
    pub id: u32,
    /// A part of a file; empty at its end.
    #[prost(bytes = "bytes", tag = "4")]
    pub data: bytes::Bytes,
}

impl Packet {
    /// An entry of the list.
    pub const STAT: i32 = 0;
    /// The engine wants a file.
    pub const REQUEST: i32 = 1;
    /// A part of it.
    pub const DATA: i32 = 2;
    /// All is there.
    pub const END: i32 = 3;
}

/// `fsutil.types.Stat`.
#[derive(Clone, PartialEq, Message)]
pub struct Stat {
    /// Relative, with slashes.
    #[prost(string, tag = "1")]
    pub path: String,
    /// As Go has it: permissions and [`Self::FOLDER`] or [`Self::LINK`].
    #[prost(uint32, tag = "2")]
    pub mode: u32,
    /// Owner.
    #[prost(uint32, tag = "3")]
    pub uid: u32,
    /// Group.
    #[prost(uint32, tag = "4")]
    pub gid: u32,
    /// Bytes.
    #[prost(int64, tag = "5")]
    pub size: i64,
    /// Nanoseconds since 1970.
    #[prost(int64, tag = "6")]
    pub changed: i64,
    /// Where a link points to.
    #[prost(string, tag = "7")]
    pub link: String,
}

impl Stat {
    /// A folder.
    pub const FOLDER: u32 = 1 << 31;
    /// A symbolic link.
    pub const LINK: u32 = 1 << 27;
}

/// `moby.buildkit.v1.StatusResponse`: what happened since the last one.
#[derive(Clone, PartialEq, Message)]
pub struct Trace {
    /// Steps that changed.
    #[prost(message, repeated, tag = "1")]
    pub vertexes: Vec<Vertex>,
    /// What they printed.
    #[prost(message, repeated, tag = "3")]
    pub logs: Vec<VertexLog>,
    /// What the Dockerfile is warned of.
    #[prost(message, repeated, tag = "4")]
    pub warnings: Vec<VertexWarning>,
}

/// `moby.buildkit.v1.Vertex`: a step.
#[derive(Clone, PartialEq, Message)]
pub struct Vertex {
    /// Names it.
    #[prost(string, tag = "1")]
    pub digest: String,
    /// `[2/5] RUN make`.
    #[prost(string, tag = "3")]
    pub name: String,
    /// Nothing had to be done.
    #[prost(bool, tag = "4")]
    pub cached: bool,
    /// When it began.
    #[prost(message, optional, tag = "5")]
    pub started: Option<Moment>,
    /// When it ended.
    #[prost(message, optional, tag = "6")]
    pub completed: Option<Moment>,
    /// Why it failed.
    #[prost(string, tag = "7")]
    pub error: String,
}

/// `moby.buildkit.v1.VertexLog`: a piece of what a step printed.
#[derive(Clone, PartialEq, Message)]
pub struct VertexLog {
    /// The step's digest.
    #[prost(string, tag = "1")]
    pub vertex: String,
    /// When.
    #[prost(message, optional, tag = "2")]
    pub at: Option<Moment>,
    /// 1 or 2.
    #[prost(int64, tag = "3")]
    pub stream: i64,
    /// Any bytes.
    #[prost(bytes = "bytes", tag = "4")]
    pub text: bytes::Bytes,
}

/// `moby.buildkit.v1.VertexWarning`.
#[derive(Clone, PartialEq, Message)]
pub struct VertexWarning {
    /// The step's digest.
    #[prost(string, tag = "1")]
    pub vertex: String,
    /// One line.
    #[prost(bytes = "bytes", tag = "3")]
    pub short: bytes::Bytes,
}

/// `google.protobuf.Timestamp`.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Moment {
    /// Since 1970.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// Of a second.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}
