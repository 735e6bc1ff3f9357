//! Two schemas from the same types: an admin's, and a member's, from which the policy table has taken what does not
//! exist for members. async-graphql registers the subscription root last, just before it drops types that nothing
//! refers to, so a wrapper of that root sees the whole registry and may prune it.

use std::borrow::Cow;
use std::pin::Pin;

use async_graphql::registry::{MetaType, Registry};
use async_graphql::{Context, Response, SubscriptionType};
use futures_util::Stream;

use crate::domain::policy::{self, Standing};

/// The subscription root of the admin's schema (`PRUNED` false) or the member's (true).
#[derive(Default)]
pub struct Visible<T, const PRUNED: bool>(pub T);

impl<T: SubscriptionType, const PRUNED: bool> SubscriptionType for Visible<T, PRUNED> {
    fn type_name() -> Cow<'static, str> {
        T::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        let name = if T::is_empty() {
            registry.subscription_type = None;
            T::qualified_type_name()
        } else {
            T::create_type_info(registry)
        };
        describe_connections(registry);
        if PRUNED {
            prune(registry);
        }
        name
    }

    fn create_field_stream<'a>(
        &'a self,
        ctx: &'a Context<'_>,
    ) -> Option<Pin<Box<dyn Stream<Item = Response> + Send + 'a>>> {
        self.0.create_field_stream(ctx)
    }
}

/// The library's generic connection has no description of its own.
fn describe_connections(registry: &mut Registry) {
    for (name, meta) in &mut registry.types {
        if let MetaType::Object { description, .. } = meta
            && description.is_none()
            && let Some(of) = name.strip_suffix("Connection")
        {
            *description = Some(format!("A page of a list: {of}."));
        }
    }
}

/// Takes out what does not exist for members. Types that only those parts referred to are dropped by the library.
fn prune(registry: &mut Registry) {
    let hidden = |kind: &str| policy::node(kind).is_some_and(|needs| needs > Standing::Member);
    for (name, meta) in &mut registry.types {
        match meta {
            MetaType::Object { fields, .. } => {
                // `__schema` and `__type` are fields of the query root to the library.
                fields.retain(|field, _| field.starts_with("__") || policy::member_sees(name, field));
                for (field, meta) in fields.iter_mut() {
                    meta.args.retain(|arg, _| policy::member_sees(name, &format!("{field}.{arg}")));
                }
            }
            MetaType::InputObject { input_fields, .. } => {
                input_fields.retain(|field, _| policy::member_sees(name, field));
            }
            MetaType::Interface { possible_types, .. } | MetaType::Union { possible_types, .. } => {
                possible_types.retain(|kind| !hidden(kind));
            }
            MetaType::Scalar { .. } | MetaType::Enum { .. } => {}
        }
    }
    registry.implements.retain(|kind, _| !hidden(kind));
    registry.types.retain(|kind, _| !hidden(kind));
}
