//! An organization's access to one Git provider.

use sea_orm::entity::prelude::*;

/// An organization's access to one Git provider.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "git_settings")]
pub struct Model {
    /// Its id, a UUID of version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Whose it is.
    pub organization_id: String,
    /// One for each provider.
    pub provider: super::GitProvider,
    /// Where it is, in its normal form.
    pub base_url: String,
    /// The sealed token.
    pub secret_id: String,
    /// The last four characters, to recognise the token by.
    pub token_hint: String,
    /// Whose token it is, where the provider says.
    pub account: Option<String>,
    /// Scopes in the provider's words: a list of texts.
    #[sea_orm(column_type = "JsonBinary")]
    pub scopes: Json,
    /// What features need and the token lacks: a list of missing rights.
    #[sea_orm(column_type = "JsonBinary")]
    pub missing: Json,
    /// When the token ends, where the provider says.
    pub expires_at: Option<DateTimeUtc>,
    /// The provider did not take the token any more when it was last asked.
    pub rejected: bool,
    /// What was wrong then.
    #[sea_orm(column_type = "Text", nullable)]
    pub status_message: Option<String>,
    /// When the token was last tried.
    pub checked_at: DateTimeUtc,
    /// When it is to be tried again.
    pub next_check_at: DateTimeUtc,
    /// Who stored it.
    pub saved_by: Option<String>,
    /// Stated in kiops.toml.
    pub declared: bool,
}

/// Joins are written where they are needed.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
