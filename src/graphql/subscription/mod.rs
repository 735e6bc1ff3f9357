//! The subscription root: one file a noun.

mod deployments;

/// What can be followed.
pub type Subscription = deployments::Subscription;
