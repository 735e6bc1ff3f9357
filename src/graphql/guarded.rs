//! The roots' guard: one place asks the policy table before any root field runs, turns a panic into INTERNAL, and lets
//! the failure of a nullable field null that field alone.

use std::any::Any;
use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;

use async_graphql::parser::types::Field;
use async_graphql::registry::Registry;
use async_graphql::resolver_utils::ContainerType;
use async_graphql::{
    Context, ContextSelectionSet, ObjectType, OutputType, Positioned, Response, ServerError, ServerResult,
    SubscriptionType, Value,
};
use futures_util::{FutureExt as _, Stream, StreamExt as _, stream};

use super::errors::{ApiError, Result};
use super::guard::Caller;
use crate::app::Error;
use crate::domain::policy::{self, Standing};

/// A root with its guard.
#[derive(Default)]
pub struct Guarded<T>(pub T);

/// Whether the table lets the caller at the root field.
fn check(ctx: &Context<'_>, root: &str) -> Result<()> {
    let field = ctx.item.node.name.node.as_str();
    let needs = policy::root_field(root, field)
        .ok_or_else(|| Error::internal(format!("{root}.{field} is missing from the policy table")))?;
    let caller = ctx.data::<Caller>().map_err(|_| Error::internal("the request carries no caller"))?;
    match caller.standing() {
        has if has >= needs => Ok(()),
        Standing::Nobody => Err(Error::unauthenticated().into()),
        Standing::Member | Standing::Admin => Err(Error::forbidden("only an admin may do this").into()),
    }
}

fn server_error(ctx: &Context<'_>, error: impl Into<ApiError>) -> ServerError {
    let error: async_graphql::Error = error.into().into();
    ctx.set_error_path(error.into_server_error(ctx.item.pos))
}

fn panicked(panic: &(dyn Any + Send)) -> Error {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    Error::internal(format!("a resolver panicked: {text}"))
}

fn is_nullable(ctx: &Context<'_>, root: &str) -> bool {
    let field = ctx.item.node.name.node.as_str();
    let meta = ctx.schema_env.registry.types.get(root);
    meta.and_then(|t| t.field_by_name(field)).is_some_and(|f| !f.ty.ends_with('!'))
}

impl<T: ObjectType> OutputType for Guarded<T> {
    fn type_name() -> Cow<'static, str> {
        T::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        T::create_type_info(registry)
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, field: &Positioned<Field>) -> ServerResult<Value> {
        self.0.resolve(ctx, field).await
    }
}

impl<T: ObjectType> ContainerType for Guarded<T> {
    async fn resolve_field(&self, ctx: &Context<'_>) -> ServerResult<Option<Value>> {
        let root = T::type_name();
        let answer = match check(ctx, &root) {
            Ok(()) => AssertUnwindSafe(self.0.resolve_field(ctx))
                .catch_unwind()
                .await
                .unwrap_or_else(|panic| Err(server_error(ctx, panicked(panic.as_ref())))),
            Err(refused) => Err(server_error(ctx, refused)),
        };
        match answer {
            Err(error) if is_nullable(ctx, &root) => {
                ctx.add_error(error);
                Ok(Some(Value::Null))
            }
            other => other,
        }
    }
}

impl<T: ObjectType> ObjectType for Guarded<T> {}

type Answers<'a> = Pin<Box<dyn Stream<Item = Response> + Send + 'a>>;

impl<T: SubscriptionType> SubscriptionType for Guarded<T> {
    fn type_name() -> Cow<'static, str> {
        T::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        T::create_type_info(registry)
    }

    fn is_empty() -> bool {
        T::is_empty()
    }

    fn create_field_stream<'a>(&'a self, ctx: &'a Context<'_>) -> Option<Answers<'a>> {
        if let Err(refused) = check(ctx, &T::type_name()) {
            let error = server_error(ctx, refused);
            return Some(Box::pin(stream::iter([Response::from_errors(vec![error])])));
        }
        let answers = AssertUnwindSafe(self.0.create_field_stream(ctx)?).catch_unwind();
        Some(Box::pin(answers.map(move |answer| {
            answer.unwrap_or_else(|panic| Response::from_errors(vec![server_error(ctx, panicked(panic.as_ref()))]))
        })))
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::{EmptyMutation, Object, Request, Schema, Subscription};

    use super::*;
    use crate::app::{Actor, Scope};

    fn broken() -> Option<i32> {
        panic!("at a path: secret")
    }

    #[derive(Default)]
    struct Root;

    #[Object(name = "Query")]
    impl Root {
        async fn server(&self) -> i32 {
            1
        }
        async fn runtimes(&self) -> Option<i32> {
            broken()
        }
        async fn users(&self) -> Option<i32> {
            Some(1)
        }
        async fn unlisted(&self) -> Option<i32> {
            Some(1)
        }
    }

    #[derive(Default)]
    struct Changes;

    #[Subscription(name = "Subscription")]
    impl Changes {
        async fn service_changed(&self) -> impl Stream<Item = i32> {
            stream::iter([1, 2]).map(|n| if n == 2 { panic!("secret") } else { n })
        }
    }

    fn caller(role: Option<entity::Role>) -> Caller {
        let actor = role.map(|role| Actor {
            scope: Scope { organization_id: "o".to_owned() },
            user_id: "u".to_owned(),
            role,
            token_id: "t".to_owned(),
            address: None,
        });
        Caller { actor, address: None }
    }

    async fn ask(document: &str, role: Option<entity::Role>) -> Vec<(serde_json::Value, Vec<String>)> {
        let schema = Schema::new(Guarded::<Root>::default(), EmptyMutation, Guarded::<Changes>::default());
        let answers = schema.execute_stream(Request::new(document).data(caller(role)));
        let answers: Vec<Response> = answers.collect().await;
        let codes = |response: &Response| {
            let extensions = response.errors.iter().filter_map(|e| e.extensions.as_ref()?.get("code"));
            extensions.map(ToString::to_string).collect()
        };
        answers
            .into_iter()
            .map(|response| {
                assert!(!format!("{response:?}").contains("secret"));
                let codes = codes(&response);
                (response.data.into_json().unwrap_or_default(), codes)
            })
            .collect()
    }

    #[tokio::test]
    async fn a_panic_is_internal_and_nulls_its_field_alone() {
        let answer = ask("{ server runtimes }", Some(entity::Role::Member)).await;
        let data = serde_json::json!({ "server": 1, "runtimes": null });
        assert_eq!(answer, [(data, vec!["\"INTERNAL\"".to_owned()])]);
    }

    #[tokio::test]
    async fn the_table_is_asked_even_where_the_schema_shows_all() {
        let member = Some(entity::Role::Member);
        for (document, role, code) in [
            ("{ users }", None, "\"UNAUTHENTICATED\""),
            ("{ users }", member, "\"FORBIDDEN\""),
            ("{ again: users }", member, "\"FORBIDDEN\""),
            ("{ ... on Query { ...F } } fragment F on Query { users }", member, "\"FORBIDDEN\""),
            ("{ unlisted }", Some(entity::Role::Admin), "\"INTERNAL\""),
            ("subscription { serviceChanged }", None, "\"UNAUTHENTICATED\""),
        ] {
            let answer = ask(document, role).await;
            assert_eq!(answer.len(), 1, "{document}");
            assert_eq!(answer[0].1, [code], "{document}");
        }
        let (data, codes) = &ask("{ users }", Some(entity::Role::Admin)).await[0];
        assert_eq!((data, codes.len()), (&serde_json::json!({ "users": 1 }), 0));
    }

    #[tokio::test]
    async fn a_panic_ends_a_subscription_with_internal() {
        let answers = ask("subscription { serviceChanged }", Some(entity::Role::Member)).await;
        assert_eq!(answers[0].0, serde_json::json!({ "serviceChanged": 1 }));
        assert_eq!(answers[1].1, ["\"INTERNAL\""]);
        assert_eq!(answers.len(), 2);
    }
}
