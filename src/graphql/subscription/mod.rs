//! The subscription root: one file a noun.

/// Merged from one struct a noun: `#[derive(MergedSubscription, Default)] struct Subscription(ServiceSubscription, …)`.
pub type Subscription = async_graphql::EmptySubscription;
