//! Logging in and out, and one's own tokens and password.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};

use crate::app::Error;
use crate::app::identity::{passwords, sessions, tokens};
use crate::domain::secret::{ExposeSecret as _, SecretString};
use crate::graphql::errors::Result;
use crate::graphql::guard::{Caller, actor, app};
use crate::graphql::ids::NodeKind;
use crate::graphql::schema::OneLogin;
use crate::graphql::types::enums::Role;
use crate::graphql::types::identity::{ApiToken, Viewer};

/// What somebody logs in with.
#[derive(InputObject)]
pub struct LoginInput {
    /// The account.
    email: String,
    /// Its password.
    #[graphql(secret)]
    password: String,
    /// An organization's slug; the oldest membership's when left out.
    organization: Option<String>,
}

/// A new session.
#[derive(SimpleObject)]
pub struct LoginPayload {
    /// Goes into `Authorization: Bearer`; browsers have it as a cookie too.
    token: String,
    /// When it stops working.
    expires_at: DateTime<Utc>,
    /// Who it speaks for.
    viewer: Viewer,
}

/// The session is over.
#[derive(SimpleObject)]
pub struct LogoutPayload {
    /// Always true: what fails is an error.
    ok: bool,
}

/// A token for scripts.
#[derive(InputObject)]
pub struct CreateApiTokenInput {
    /// What its owner calls it.
    name: String,
    /// What it may do, at most what the caller may; the caller's role when left out.
    role: Option<Role>,
    /// 1 to 3650; it never expires when left out.
    expires_in_days: Option<i32>,
}

/// The token is shown this once.
#[derive(SimpleObject)]
pub struct CreateApiTokenPayload {
    /// Goes into `Authorization: Bearer`.
    token: String,
    /// What is kept of it.
    api_token: ApiToken,
}

/// A token to be revoked.
#[derive(InputObject)]
pub struct RevokeApiTokenInput {
    /// The token's id.
    id: ID,
}

/// It works no more.
#[derive(SimpleObject)]
pub struct RevokeApiTokenPayload {
    /// The token's id.
    id: ID,
}

/// A new password for the caller.
#[derive(InputObject)]
pub struct ChangePasswordInput {
    /// The one until now.
    #[graphql(secret)]
    current_password: String,
    /// The one from now on.
    #[graphql(secret)]
    new_password: String,
}

/// The password is changed.
#[derive(SimpleObject)]
pub struct ChangePasswordPayload {
    /// Always true: what fails is an error.
    ok: bool,
}

/// One's own account.
#[derive(Default)]
pub struct AccountMutation;

#[Object]
impl AccountMutation {
    /// Opens a session. At most one in a request.
    async fn login(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Account, password and organization.")] input: LoginInput,
    ) -> Result<Option<LoginPayload>> {
        if !ctx.data::<OneLogin>().is_ok_and(OneLogin::take) {
            return Err(Error::bad_input("input", "a request may log in once").into());
        }
        let address = ctx.data::<Caller>().ok().and_then(|caller| caller.address.clone());
        let login = sessions::Login {
            email: input.email,
            password: SecretString::from(input.password),
            organization: input.organization,
            address,
        };
        let session = sessions::login(app(ctx)?, login).await?;
        let token = session.token.expose_secret().to_owned();
        let seconds = (session.expires_at - app(ctx)?.clock.now()).num_seconds();
        ctx.insert_http_header("set-cookie", cookie(ctx, &token, seconds)?);
        Ok(Some(LoginPayload {
            token,
            expires_at: session.expires_at,
            viewer: Viewer::load(app(ctx)?, &session.actor).await?,
        }))
    }

    /// Ends the session.
    async fn logout(&self, ctx: &Context<'_>) -> Result<Option<LogoutPayload>> {
        sessions::logout(app(ctx)?, actor(ctx)?).await?;
        ctx.insert_http_header("set-cookie", cookie(ctx, "", 0)?);
        Ok(Some(LogoutPayload { ok: true }))
    }

    /// Makes a token for scripts.
    async fn create_api_token(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What it is for.")] input: CreateApiTokenInput,
    ) -> Result<Option<CreateApiTokenPayload>> {
        let role = input.role.map(Into::into);
        let (secret, row) = tokens::create(app(ctx)?, actor(ctx)?, &input.name, role, input.expires_in_days).await?;
        Ok(Some(CreateApiTokenPayload { token: secret.expose_secret().to_owned(), api_token: ApiToken(row) }))
    }

    /// Revokes one of the caller's tokens; an admin any of the organization's.
    async fn revoke_api_token(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: RevokeApiTokenInput,
    ) -> Result<Option<RevokeApiTokenPayload>> {
        let row = NodeKind::ApiToken.row(&input.id)?;
        tokens::revoke(app(ctx)?, actor(ctx)?, &row).await?;
        Ok(Some(RevokeApiTokenPayload { id: input.id }))
    }

    /// Changes the caller's own password and ends their other sessions.
    async fn change_password(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The old one and the new one.")] input: ChangePasswordInput,
    ) -> Result<Option<ChangePasswordPayload>> {
        let current = SecretString::from(input.current_password);
        let new = SecretString::from(input.new_password);
        passwords::change(app(ctx)?, actor(ctx)?, &current, &new).await?;
        Ok(Some(ChangePasswordPayload { ok: true }))
    }
}

/// The cookie with which browsers carry the session; no time takes it back.
fn cookie(ctx: &Context<'_>, token: &str, seconds: i64) -> Result<String> {
    let https = app(ctx)?.settings.public_url.starts_with("https://");
    let secure = if https { "; Secure" } else { "" };
    Ok(format!("kiops_session={token}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}"))
}
