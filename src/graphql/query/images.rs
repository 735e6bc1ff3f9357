//! Images and their tags.

use async_graphql::connection::{Connection, Edge, EmptyFields};
use async_graphql::{Context, Object};

use crate::app::images;
use crate::graphql::connection::{Window, cost};
use crate::graphql::errors::Result;
use crate::graphql::guard::{actor, app};
use crate::graphql::types::image::{ImageRepository, ImageTag};

/// Images and their tags.
#[derive(Default)]
pub struct ImageQuery;

/// How many the registry says there are.
pub struct TagTotal(Option<i32>);

#[Object]
impl TagTotal {
    /// How many there are in all, where the registry says.
    async fn total_count(&self) -> Option<i32> {
        self.0
    }
}

type Tags = Connection<String, ImageTag, TagTotal, EmptyFields>;

#[Object]
impl ImageQuery {
    /// Searches Docker Hub.
    #[graphql(complexity = "cost(first, None, child_complexity)")]
    async fn image_repositories(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to look for.")] search: String,
        #[graphql(desc = "How many at most.")] first: Option<i32>,
    ) -> Result<Option<Vec<ImageRepository>>> {
        actor(ctx)?;
        let found = images::search(app(ctx)?, &search, first).await?;
        Ok(Some(found.into_iter().map(ImageRepository::from).collect()))
    }

    /// The tags of an image, listed with the organization's own login where it has one.
    #[graphql(complexity = "cost(first, None, child_complexity)")]
    async fn image_tags(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "nginx, bitnami/redis, ghcr.io/acme/app")] image: String,
        #[graphql(desc = "Part of the tag.")] search: Option<String>,
        #[graphql(desc = "How many at most.")] first: Option<i32>,
        #[graphql(desc = "Those after this cursor.")] after: Option<String>,
    ) -> Result<Option<Tags>> {
        let page = Window::forward(first, after).check(app(ctx)?)?;
        let found = images::tags(app(ctx)?, &actor(ctx)?.scope, &image, search.as_deref(), &page).await?;
        let total = TagTotal(found.total);
        let mut list = Connection::with_additional_fields(found.has_previous, found.has_next, total);
        let edges = found.tags.into_iter();
        list.edges.extend(edges.map(|(cursor, tag)| Edge::new(cursor.encode(), ImageTag::from(tag))));
        Ok(Some(list))
    }
}
