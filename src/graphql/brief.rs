//! Services in a list of which only plain fields are asked: made of the very columns that they stand in, by a plan that is made
//! once for the list, and without a resolver for each field of each row. Whatever else is asked goes the ordinary way.

use std::borrow::Cow;
use std::collections::HashMap;

use async_graphql::parser::types::{Field, FragmentDefinition, Selection, SelectionSet};
use async_graphql::registry::Registry;
use async_graphql::{Context, ContextSelectionSet, Name, OutputType, Positioned, ScalarType as _, ServerResult, Value};
use entity::{deployment, pipeline, runtime, service};

use super::connection::{Counted, Window, counted};
use super::errors::Result;
use super::guard::{actor, app};
use super::ids::NodeKind;
use super::types::service::Service;
use crate::app::services::brief::{Cell, Part, Wanted, brief};
use crate::app::services::{self, ServiceFilter, ServiceOrder};

/// A service in a list.
pub enum ListedService {
    /// With resolvers, for whatever may be asked.
    Whole(Service),
    /// What was asked for, ready.
    Brief(Value),
}

impl OutputType for ListedService {
    fn type_name() -> Cow<'static, str> {
        Service::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        Service::create_type_info(registry)
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, field: &Positioned<Field>) -> ServerResult<Value> {
        match self {
            Self::Whole(service) => service.resolve(ctx, field).await,
            Self::Brief(value) => Ok(value.clone()),
        }
    }
}

/// A page of services, for the field at which the context is.
///
/// # Errors
/// BAD_USER_INPUT for bounds that are none, INTERNAL when the database does not answer.
pub async fn page_of_services(
    ctx: &Context<'_>,
    filter: &ServiceFilter,
    order: ServiceOrder,
    window: &Window,
) -> Result<Counted<ListedService>> {
    let (app, scope) = (app(ctx)?, &actor(ctx)?.scope);
    let request = window.check(app)?;
    if let Some(plan) = Plan::of_list(ctx) {
        let page = brief(app, scope, filter, order, &request, &plan.wanted).await?;
        return Ok(counted(page, |cells| ListedService::Brief(plan.show(&cells))));
    }
    let page = services::list(app, scope, filter, order, &request).await?;
    Ok(counted(page, |row| ListedService::Whole(Service::from(row))))
}

/// What is read of each service of a list, and how it is shown.
struct Plan {
    /// In an order of its own.
    wanted: Vec<Wanted>,
    /// Where among those each column stands that the objects know by number.
    places: Vec<usize>,
    /// None where no service is asked for, but what is about the list.
    service: Option<Object>,
}

/// An object and its fields by response key, in the order in which they are asked for.
struct Object {
    /// The column without which it is not there: its id.
    there: usize,
    fields: Vec<(Name, What)>,
}

enum What {
    Typename(NodeKind),
    Column(usize, Shape),
    Object(Object),
}

/// How a column is shown.
#[derive(Clone, Copy)]
enum Shape {
    /// As the id of a node.
    Id(NodeKind),
    /// As the word of an enum, which is stored as it is shown.
    Word,
    /// As it is.
    Plain,
}

impl Plan {
    /// None when more than plain fields are asked, or services are asked for in several places, each with fields of its own.
    fn of_list(ctx: &Context<'_>) -> Option<Self> {
        let mut nodes = Vec::new();
        let asked = Selections { fragments: &ctx.query_env.fragments };
        for field in asked.fields(&["ServiceConnection"], &ctx.item.node.selection_set.node)? {
            match field.name.node.as_str() {
                "nodes" => nodes.push(field),
                "edges" => {
                    let below = asked.fields(&["ServiceEdge"], &field.selection_set.node)?;
                    nodes.extend(below.into_iter().filter(|field| field.name.node == "node"));
                }
                _ => {}
            }
        }
        let mut columns = Vec::new();
        let service = match nodes.as_slice() {
            [] => None,
            [node] => Some(asked.object(&mut columns, Part::Service, &node.selection_set.node)?),
            _ => return None,
        };
        let mut wanted = columns.clone();
        wanted.sort_by_cached_key(Wanted::key);
        let sorted = |one| wanted.iter().position(|other| one == other).expect("the same columns in another order");
        let places = columns.iter().map(sorted).collect();
        Some(Self { wanted, places, service })
    }

    fn show(&self, cells: &[Cell]) -> Value {
        self.service.as_ref().map_or(Value::Null, |service| service.show(&|at| &cells[self.places[at]]))
    }
}

/// What a request asks for.
struct Selections<'a> {
    fragments: &'a HashMap<Name, Positioned<FragmentDefinition>>,
}

impl<'a> Selections<'a> {
    /// The fields of selections on an object that is of all these types, each key once; what `@skip` and `@include` take away is
    /// gone already, and what stood in several places is [merged](super::merge).
    /// None for a fragment on another type: it is nothing of this object, and seldom.
    fn fields(&self, types: &[&str], set: &'a SelectionSet) -> Option<Vec<&'a Field>> {
        let mut found = Vec::new();
        for item in &set.items {
            let (condition, below) = match &item.node {
                Selection::Field(field) => {
                    found.push(&field.node);
                    continue;
                }
                Selection::InlineFragment(inline) => (inline.node.type_condition.as_ref(), &inline.node.selection_set),
                Selection::FragmentSpread(spread) => {
                    let fragment = &self.fragments.get(&spread.node.fragment_name.node)?.node;
                    (Some(&fragment.type_condition), &fragment.selection_set)
                }
            };
            if condition.is_some_and(|on| !types.contains(&on.node.on.node.as_str())) {
                return None;
            }
            found.extend(self.fields(types, &below.node)?);
        }
        Some(found)
    }

    /// What these selections ask of a part; none when they ask for more than its columns. The columns come to those that are
    /// known.
    fn object(&self, columns: &mut Vec<Wanted>, part: Part, set: &'a SelectionSet) -> Option<Object> {
        let kind = kind(part);
        let there = place(columns, column(part, "id")?.0);
        let mut fields = Vec::new();
        for field in self.fields(&[kind.name(), "Node"], set)? {
            let name = field.name.node.as_str();
            if !field.arguments.is_empty() {
                return None;
            }
            let what = if name == "__typename" {
                What::Typename(kind)
            } else if let Some(part) = related(part, name) {
                What::Object(self.object(columns, part, &field.selection_set.node)?)
            } else {
                let (column, shape) = column(part, name)?;
                What::Column(place(columns, column), shape)
            };
            fields.push((field.response_key().node.clone(), what));
        }
        Some(Object { there, fields })
    }
}

impl Object {
    fn show<'a>(&self, cell: &impl Fn(usize) -> &'a Cell) -> Value {
        if *cell(self.there) == Cell::Null {
            return Value::Null;
        }
        let show = |what: &What| match what {
            What::Typename(kind) => Value::from(kind.name()),
            What::Column(at, shape) => shape.show(cell(*at)),
            What::Object(object) => object.show(cell),
        };
        Value::Object(self.fields.iter().map(|(key, what)| (key.clone(), show(what))).collect())
    }
}

impl Shape {
    fn show(self, cell: &Cell) -> Value {
        match (cell, self) {
            (Cell::Null, _) => Value::Null,
            (Cell::Text(id), Self::Id(kind)) => kind.id(id).to_value(),
            (Cell::Text(word), Self::Word) => Value::Enum(Name::new(word)),
            (Cell::Text(text), Self::Plain) => Value::from(text.as_str()),
            (Cell::Int(number), _) => Value::from(*number),
            (Cell::Bool(is), _) => Value::from(*is),
            (Cell::Time(time), _) => time.to_value(),
        }
    }
}

/// Where a column stands among those that are wanted; it comes to them when it is not among them.
fn place(wanted: &mut Vec<Wanted>, column: Wanted) -> usize {
    wanted.iter().position(|known| *known == column).unwrap_or_else(|| {
        wanted.push(column);
        wanted.len() - 1
    })
}

fn kind(part: Part) -> NodeKind {
    match part {
        Part::Service => NodeKind::Service,
        Part::LatestPipeline => NodeKind::Pipeline,
        Part::LatestDeployment | Part::CurrentDeployment => NodeKind::Deployment,
        Part::Runtime => NodeKind::Runtime,
    }
}

/// The part that a field without arguments leads to.
fn related(part: Part, field: &str) -> Option<Part> {
    match (part, field) {
        (Part::Service, "latestPipeline") => Some(Part::LatestPipeline),
        (Part::Service, "latestDeployment") => Some(Part::LatestDeployment),
        (Part::Service, "currentDeployment") => Some(Part::CurrentDeployment),
        (Part::Service, "runtime") => Some(Part::Runtime),
        _ => None,
    }
}

/// The column that a field shows as it is stored.
fn column(part: Part, field: &str) -> Option<(Wanted, Shape)> {
    use Shape::{Id, Plain, Word};
    macro_rules! columns {
        ($of:ident: $($name:literal $column:ident $shape:expr;)*) => {
            match field {
                $($name => Some((Wanted::of(part, $of::Column::$column), $shape)),)*
                _ => None,
            }
        };
    }
    let kind = kind(part);
    match kind {
        NodeKind::Service => columns! { service:
            "id" Id Id(kind);
            "name" Name Plain;
            "source" Source Word;
            "status" Status Word;
            "statusMessage" StatusMessage Plain;
            "registryUsername" RegistryUsername Plain;
            "createdAt" CreatedAt Plain;
        },
        NodeKind::Pipeline => columns! { pipeline:
            "id" Id Id(kind);
            "number" Number Plain;
            "trigger" Trigger Word;
            "ref" RefName Plain;
            "status" Status Word;
            "createdAt" CreatedAt Plain;
            "startedAt" StartedAt Plain;
            "finishedAt" FinishedAt Plain;
        },
        NodeKind::Deployment => columns! { deployment:
            "id" Id Id(kind);
            "revision" Revision Plain;
            "trigger" Trigger Word;
            "status" Status Word;
            "message" Message Plain;
            "createdAt" CreatedAt Plain;
            "startedAt" StartedAt Plain;
            "finishedAt" FinishedAt Plain;
        },
        NodeKind::Runtime => columns! { runtime:
            "id" Id Id(kind);
            "name" Name Plain;
            "kind" Kind Word;
            "endpoint" Endpoint Plain;
            "status" Status Word;
            "statusMessage" StatusMessage Plain;
            "version" Version Plain;
            "checkedAt" CheckedAt Plain;
            "ingressClass" IngressClass Plain;
            "storageClass" StorageClass Plain;
            "exposure" Exposure Word;
            "grantManifest" GrantManifest Plain;
            "declared" Declared Plain;
        },
        _ => None,
    }
}
