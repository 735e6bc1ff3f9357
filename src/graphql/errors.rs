//! How the errors of use cases look on the wire.

use async_graphql::{ErrorExtensionValues, Value};

use crate::app;

/// What a resolver answers.
pub type Result<T> = std::result::Result<T, ApiError>;

/// An error of a use case on its way out.
///
/// It has no Display on purpose: async-graphql turns whatever has one into an error without a code, and `?` on an
/// [`app::Error`] must not do that.
#[derive(Clone)]
pub struct ApiError(pub app::Error);

impl From<app::Error> for ApiError {
    fn from(error: app::Error) -> Self {
        Self(error)
    }
}

impl From<ApiError> for async_graphql::Error {
    fn from(ApiError(error): ApiError) -> Self {
        let mut extensions = ErrorExtensionValues::default();
        extensions.set("code", error.code.as_str());
        if let Some(first) = error.violations.first() {
            extensions.set("field", first.field.clone());
            let all = error.violations.iter().map(|v| {
                Value::from_json(serde_json::json!({ "field": v.field, "message": v.message })).unwrap_or_default()
            });
            extensions.set("violations", Value::List(all.collect()));
        }
        if let Some(reason) = error.reason {
            extensions.set("reason", reason.as_str());
        }
        if let Some(at) = error.retry_at {
            extensions.set("retryAt", at.to_rfc3339());
        }
        Self { message: error.message, source: None, extensions: Some(extensions) }
    }
}

/// For a nullable field below the root: its failure nulls the field alone, and no other has to be looked at. async-graphql
/// leaves a field out for an `Err` of the resolver itself, for which [`super::nulls`] has to look the type up. Fields of the roots
/// need none of this: [`super::guarded`] sees to them.
pub fn nullable<T>(answer: Result<Option<T>>) -> Option<Result<T>> {
    answer.transpose()
}
