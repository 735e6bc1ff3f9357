//! The part of GraphQL that is asked: <https://docs.gitlab.com/api/graphql/reference/>. Its schema is checked by a
//! GraphQL library, as GitLab's is: an unknown field or a wrong type is an error.

use async_graphql::connection::{Connection, Edge, EmptyFields, query};
use async_graphql::{
    Context, EmptyMutation, EmptySubscription, Enum, Object, Request, Schema, SimpleObject, Variables,
};
use axum::body::Body;
use axum::http::{Response, StatusCode};
use serde_json::Value;

use super::state::{Group, Token};
use super::{GitlabDouble, json_body};

/// Who asks; none for a token without the scopes that GraphQL takes.
struct Caller(Option<Token>);

struct Query;

#[Object]
impl Query {
    async fn current_user(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<CurrentUser>> {
        Ok(ctx.data::<Caller>()?.0.clone().map(CurrentUser))
    }
}

struct CurrentUser(Token);

#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(name = "GroupPermission")]
#[expect(clippy::enum_variant_names, reason = "they are GitLab's words")]
enum Permission {
    CreateProjects,
    TransferProjects,
    ImportProjects,
}

#[derive(SimpleObject)]
#[graphql(name = "Group")]
struct Node {
    id: String,
    full_path: String,
    name: String,
    avatar_url: Option<String>,
}

#[Object]
impl CurrentUser {
    async fn username(&self, ctx: &Context<'_>) -> async_graphql::Result<String> {
        Ok(ctx.data::<GitlabDouble>()?.state().caller_account(&self.0).username)
    }

    #[expect(clippy::too_many_arguments, reason = "they are the arguments of the field")]
    async fn groups(
        &self,
        ctx: &Context<'_>,
        search: Option<String>,
        permission_scope: Option<Permission>,
        after: Option<String>,
        before: Option<String>,
        first: Option<i32>,
        last: Option<i32>,
    ) -> async_graphql::Result<Connection<String, Node, EmptyFields, EmptyFields>> {
        let nodes: Vec<(u64, Node)> = {
            let state = ctx.data::<GitlabDouble>()?.state();
            let sought = search.unwrap_or_default().to_lowercase();
            let least = |group: &Group| permission_scope.map_or(1, |_| group.creation);
            let seen = state.groups.iter().filter(|group| state.level(self.0.account, &group.path) >= least(group));
            let found = seen.filter(|group| group.path.to_lowercase().contains(&sought));
            found.map(|group| (group.id, node(group.id, &group.path, &group.name))).collect()
        };
        query(after, before, first, last, async |after: Option<String>, _, first, _| {
            let start = after.as_deref().and_then(|cursor| cursor.parse::<u64>().ok()).unwrap_or(0);
            let first = first.unwrap_or(100).min(100);
            let mut rest: Vec<_> = nodes.into_iter().filter(|(id, _)| *id > start).collect();
            let mut connection = Connection::new(start > 0, rest.len() > first);
            rest.truncate(first);
            connection.edges.extend(rest.into_iter().map(|(id, node)| Edge::new(id.to_string(), node)));
            Ok::<_, async_graphql::Error>(connection)
        })
        .await
    }
}

/// GitLab gives the pictures of private groups without its own address.
fn node(id: u64, path: &str, name: &str) -> Node {
    Node {
        id: format!("gid://gitlab/Group/{id}"),
        full_path: path.to_owned(),
        name: name.to_owned(),
        avatar_url: Some(format!("/uploads/-/system/group/avatar/{id}/logo.png")),
    }
}

pub(super) async fn answer(double: &GitlabDouble, caller: &Token, body: &Value) -> Response<Body> {
    let seen = caller.scopes.iter().any(|scope| scope == "api" || scope == "read_api");
    let schema = Schema::build(Query, EmptyMutation, EmptySubscription)
        .data(double.clone())
        .data(Caller(seen.then(|| caller.clone())))
        .finish();
    let request = Request::new(body["query"].as_str().unwrap_or_default())
        .variables(Variables::from_json(body["variables"].clone()));
    let answer = serde_json::to_value(schema.execute(request).await).unwrap_or_default();
    let response = Response::builder().status(StatusCode::OK).header("content-type", "application/json");
    response.body(json_body(&answer)).expect("an answer")
}
