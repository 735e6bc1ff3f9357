//! Node ids: opaque, typed and stable.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Of a service.
pub const SERVICE: &str = "Service";
/// Of a pipeline.
pub const PIPELINE: &str = "Pipeline";

/// The node id of a row, by the name that its type has in the schema.
#[must_use]
pub fn id(kind: &str, row: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{kind}:{row}"))
}
