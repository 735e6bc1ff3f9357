//! What becomes of an image that a pipeline built: which is deployed, where it can go, who lets it, and who stops it.
#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

mod approvals;
mod canceling;
mod choosing;
mod pipelines;
mod secrets;
mod statuses;

use async_graphql::Response;

/// Code, field or reason, and message of the first error.
fn fault(answer: &Response) -> (String, String, String) {
    let error = answer.errors.first().unwrap_or_else(|| panic!("no error: {}", answer.data));
    let word = |name: &str| {
        let value = error.extensions.as_ref().and_then(|e| e.get(name)).cloned();
        value.map(|v| v.into_json().unwrap().as_str().unwrap().to_owned())
    };
    let (code, at) = (word("code").unwrap_or_default(), word("field").or(word("reason")).unwrap_or_default());
    (code, at, error.message.clone())
}
