//! The schemas, and running a request against the one that its caller sees.

use std::sync::atomic::{AtomicBool, Ordering};

use async_graphql::{ErrorExtensionValues, Request, Response, Schema};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};

use super::executor::Emitted;
use super::guard::Caller;
use super::guarded::Guarded;
use super::limits::LEVELS;
use super::loaders::Loaders;
use super::mutation::Mutation;
use super::nulls;
use super::order::Order;
use super::query::Query;
use super::settle::settle;
use super::subscription::Subscription;
use super::visible::Visible;
use super::whole::Whole;
use crate::app::{App, Code};
use crate::domain::policy::Standing;

type SchemaOf<const PRUNED: bool> = Schema<Guarded<Query>, Guarded<Mutation>, Visible<Guarded<Subscription>, PRUNED>>;

/// All there is.
pub type FullSchema = SchemaOf<false>;
/// What there is for members and for nobody.
pub type MemberSchema = SchemaOf<true>;

/// Both schemas. Cloning is cheap.
#[derive(Clone)]
pub struct Schemas {
    /// All there is.
    pub full: FullSchema,
    /// What there is for members and for nobody.
    pub member: MemberSchema,
    app: Option<App>,
}

/// Holds the one login that a request may try.
#[derive(Default)]
pub struct OneLogin(AtomicBool);

impl OneLogin {
    /// True the first time.
    #[must_use]
    pub fn take(&self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }
}

/// Builds both. Without an application they can be printed and nothing else.
#[must_use]
pub fn schemas(app: Option<App>) -> Schemas {
    Schemas { full: build(app.as_ref()), member: build(app.as_ref()), app }
}

fn build<const PRUNED: bool>(app: Option<&App>) -> SchemaOf<PRUNED> {
    let mut builder = Schema::build(
        Guarded::<Query>::default(),
        Guarded::<Mutation>::default(),
        Visible::<Guarded<Subscription>, PRUNED>::default(),
    )
    .disable_suggestions()
    // What was sent is held to less; merged, its fragments may be deeper.
    .limit_recursive_depth(4 * LEVELS as usize);
    if let Some(app) = app {
        builder = builder.limit_complexity(app.settings.query_complexity).data(app.clone());
    }
    builder.finish()
}

impl Schemas {
    /// Runs a query or a mutation as this caller.
    pub async fn execute(&self, mut request: Request, caller: Caller) -> Response {
        let standing = caller.standing();
        if let Err(error) = settle(&mut request, standing) {
            return coded(Response::from_errors(vec![error]));
        }
        let order = Order::of(&mut request);
        let request = self.prepare(request, caller, Whole::default());
        let response = if standing == Standing::Admin {
            self.full.execute(request).await
        } else {
            self.member.execute(request).await
        };
        finished(response, &order)
    }

    /// Runs a subscription as this caller, and gives each event by itself.
    #[must_use]
    pub fn execute_stream(&self, request: Request, caller: Caller) -> BoxStream<'static, Response> {
        self.execute_together(request, caller).flat_map(|emitted| stream::iter(emitted.responses())).boxed()
    }

    /// The same, but what came together may be given together. Everything else has [`Self::execute`], which ends.
    #[must_use]
    pub fn execute_together(&self, mut request: Request, caller: Caller) -> BoxStream<'static, Emitted> {
        let standing = caller.standing();
        if let Err(error) = settle(&mut request, standing) {
            let refused = coded(Response::from_errors(vec![error]));
            return stream::once(std::future::ready(Emitted::from(refused))).boxed();
        }
        let order = Order::of(&mut request);
        let request = self.prepare(request, caller, Whole::that_goes_on());
        let responses = if standing == Standing::Admin {
            async_graphql::Executor::execute_stream(&self.full, request, None)
        } else {
            async_graphql::Executor::execute_stream(&self.member, request, None)
        };
        responses.map(move |response| Emitted::from(finished(response, &order))).boxed()
    }

    fn prepare(&self, request: Request, caller: Caller, whole: Whole) -> Request {
        let loaders = self.app.as_ref().zip(caller.actor.as_ref()).map(|(app, actor)| Loaders::new(app, &actor.scope));
        let request = request.data(caller).data(OneLogin::default()).data(whole);
        match loaders {
            Some(loaders) => request.data(loaders),
            None => request,
        }
    }
}

/// The library's answer as the specification wants it.
fn finished(mut response: Response, order: &Order) -> Response {
    nulls::propagate(&mut response, order);
    order.apply(&mut response.data);
    coded(response)
}

/// Every error has a code; those that the library makes are faults of the document or its variables.
fn coded(mut response: Response) -> Response {
    for error in &mut response.errors {
        let extensions = error.extensions.get_or_insert_with(ErrorExtensionValues::default);
        if extensions.get("code").is_none() {
            extensions.set("code", Code::BadUserInput.as_str());
        }
    }
    response
}
