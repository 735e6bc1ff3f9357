//! Who belongs to the organization.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use crate::app::identity::users::{self, NewUser};
use crate::domain::secret::SecretString;
use crate::graphql::errors::Result;
use crate::graphql::guard::{actor, app};
use crate::graphql::ids::NodeKind;
use crate::graphql::types::enums::Role;
use crate::graphql::types::identity::User;

/// Somebody to be added.
#[derive(InputObject)]
pub struct CreateUserInput {
    /// Their e-mail address. One that another organization knows keeps its name and password.
    email: String,
    /// For people.
    name: String,
    /// Their first password.
    #[graphql(secret)]
    password: String,
    /// What they may do.
    role: Role,
}

/// They belong to the organization now.
#[derive(SimpleObject)]
pub struct CreateUserPayload {
    /// The user.
    user: User,
}

/// A new role for somebody.
#[derive(InputObject)]
pub struct SetUserRoleInput {
    /// The user's id.
    user_id: ID,
    /// What they may do from now on.
    role: Role,
}

/// They have the role now.
#[derive(SimpleObject)]
pub struct SetUserRolePayload {
    /// The user.
    user: User,
}

/// Somebody to be taken out.
#[derive(InputObject)]
pub struct RemoveUserInput {
    /// The user's id.
    user_id: ID,
}

/// They no longer belong to the organization.
#[derive(SimpleObject)]
pub struct RemoveUserPayload {
    /// The user's id.
    id: ID,
}

/// Who belongs to the organization.
#[derive(Default)]
pub struct UserMutation;

#[Object]
impl UserMutation {
    /// [admin] Adds somebody to the organization.
    async fn create_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who.")] input: CreateUserInput,
    ) -> Result<Option<CreateUserPayload>> {
        let new = NewUser {
            email: input.email,
            name: input.name,
            password: SecretString::from(input.password),
            role: input.role.into(),
        };
        let user = User(users::create(app(ctx)?, actor(ctx)?, new).await?);
        Ok(Some(CreateUserPayload { user }))
    }

    /// [admin] Nobody changes their own role.
    async fn set_user_role(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who, and which role.")] input: SetUserRoleInput,
    ) -> Result<Option<SetUserRolePayload>> {
        let row = NodeKind::User.row(&input.user_id)?;
        let user = User(users::set_role(app(ctx)?, actor(ctx)?, &row, input.role.into()).await?);
        Ok(Some(SetUserRolePayload { user }))
    }

    /// [admin] Takes somebody out of the organization; their sessions and tokens of it stop working at once.
    async fn remove_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who.")] input: RemoveUserInput,
    ) -> Result<Option<RemoveUserPayload>> {
        let row = NodeKind::User.row(&input.user_id)?;
        users::remove(app(ctx)?, actor(ctx)?, &row).await?;
        Ok(Some(RemoveUserPayload { id: input.user_id }))
    }
}
