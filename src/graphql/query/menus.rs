//! The registration dialog.

use async_graphql::{Context, Object};

use crate::app::services::menus;
use crate::graphql::errors::Result;
use crate::graphql::guard::{actor, app};
use crate::graphql::types::menu::RegistrationMenu;

/// The registration dialog.
#[derive(Default)]
pub struct MenuQuery;

#[Object]
impl MenuQuery {
    /// What the caller can register services from.
    async fn registration_menus(&self, ctx: &Context<'_>) -> Result<Option<Vec<RegistrationMenu>>> {
        let found = menus::registration_menus(app(ctx)?, actor(ctx)?).await?;
        Ok(Some(found.into_iter().map(RegistrationMenu::from).collect()))
    }
}
