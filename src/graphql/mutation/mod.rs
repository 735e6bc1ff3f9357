//! The mutation root: one file a noun.

mod account;
mod users;

use async_graphql::MergedObject;

/// What can be changed.
#[derive(MergedObject, Default)]
pub struct Mutation(account::AccountMutation, users::UserMutation);
