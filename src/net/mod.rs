//! The one outbound HTTP client.
//!
//! Addresses that users give are checked after name resolution, and the checked address is the one connected to:
//! loopback, private and shared ranges are refused unless `net.allow` lists them; link-local, metadata, multicast
//! and unspecified addresses always are. Addresses from the configuration file are the operator's own and pass no
//! filter ([`Trust::Operator`]). Redirects never leave the origin, sizes and times are bounded, proxies from the
//! environment are not read.

pub mod address;
mod client;
mod error;
mod policy;
mod request;
mod resolve;
mod retry;
mod runtime;
#[cfg(test)]
mod tests;
mod tls;

pub use client::{Incoming, Outbound};
pub use error::{NetError, Refusal, origin_of};
pub use policy::{Policy, Timeouts};
pub use request::{MAX_BODY, Redirects, Request, Response, Trust};
pub use retry::retry_at;
pub use runtime::{RuntimePlace, check_runtime_ip, resolve_runtime};
pub use tls::authorities_pem;
