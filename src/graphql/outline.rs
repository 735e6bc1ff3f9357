//! What the types of the schema have, and which of them an interface may be: for what is put right around the library, which
//! does not say it of what is nested.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use async_graphql::Name;
use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{BaseType, Type, TypeKind, TypeSystemDefinition};

/// Those of the whole schema, read from its text: a few milliseconds, once, for the first request that needs them.
pub static TYPES: LazyLock<Types> = LazyLock::new(|| Types::of(&super::sdl()));

/// Those that members see.
pub static MEMBER_TYPES: LazyLock<Types> = LazyLock::new(|| Types::of(&super::member_sdl()));

/// The types of all fields, by the names of type and field.
pub struct Types {
    fields: HashMap<String, HashMap<String, Outline>>,
    /// The types of which an interface or a union may be one.
    possible: HashMap<String, Vec<String>>,
    /// The names of all types, those that every schema has too.
    names: HashSet<String>,
}

/// What a field gives and takes.
struct Outline {
    kind: Type,
    arguments: Vec<String>,
}

impl Types {
    /// Those of a schema's text.
    pub fn of(sdl: &str) -> Self {
        let names = ["Int", "Float", "String", "Boolean", "ID"].map(str::to_owned).into();
        let mut types = Self { fields: HashMap::new(), possible: HashMap::new(), names };
        let document = parse_schema(sdl).expect("the schema's own text");
        for definition in document.definitions {
            let TypeSystemDefinition::Type(definition) = definition else { continue };
            let name = definition.node.name.node.to_string();
            types.names.insert(name.clone());
            let fields = match definition.node.kind {
                TypeKind::Object(object) => {
                    for interface in object.implements {
                        types.possible.entry(interface.node.to_string()).or_default().push(name.clone());
                    }
                    object.fields
                }
                TypeKind::Interface(interface) => interface.fields,
                TypeKind::Union(union) => {
                    let members = union.members.into_iter().map(|member| member.node.to_string());
                    types.possible.entry(name.clone()).or_default().extend(members);
                    continue;
                }
                _ => continue,
            };
            let fields = fields.into_iter().map(|field| {
                let field = field.node;
                let arguments = field.arguments.iter().map(|argument| argument.node.name.node.to_string()).collect();
                (field.name.node.to_string(), Outline { kind: field.ty.node, arguments })
            });
            types.fields.insert(name, fields.collect());
        }
        types
    }

    /// The type of a field of this very type.
    pub fn own(&self, of: &str, name: &str) -> Option<&Type> {
        Some(&self.fields.get(of)?.get(name)?.kind)
    }

    /// Whether a field takes an argument.
    pub fn takes(&self, of: &str, field: &str, argument: &str) -> bool {
        let field = self.fields.get(of).and_then(|fields| fields.get(field));
        field.is_some_and(|field| field.arguments.iter().any(|known| known == argument))
    }

    /// The types of all fields of a type that is there.
    #[cfg(test)]
    pub fn fields_of(&self, of: &str) -> Vec<&Type> {
        self.fields[of].values().map(|field| &field.kind).collect()
    }

    /// The type of a field. Of an interface or a union, where no fragment says which of its types, that of one that has it.
    pub fn field(&self, of: &str, name: &str) -> Option<&Type> {
        self.own(of, name).or_else(|| self.possible.get(of)?.iter().find_map(|member| self.own(member, name)))
    }

    /// Whether a type exists, of whichever kind.
    pub fn is_there(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Whether something can be asked of it.
    pub fn is_composite(&self, name: &str) -> bool {
        self.fields.contains_key(name) || self.possible.contains_key(name)
    }

    /// What an object of type `of` is known to be where a fragment on `on` is about it; none where it can't be both.
    pub fn narrowed<'a>(&self, of: &'a str, on: &'a str) -> Option<&'a str> {
        let may_be = |a: &str, b: &str| self.possible.get(a).is_some_and(|types| types.iter().any(|one| one == b));
        if of == on || may_be(on, of) { Some(of) } else { may_be(of, on).then_some(on) }
    }

    /// Whether an object may be of both these interfaces or unions.
    pub fn may_be_both(&self, one: &str, other: &str) -> bool {
        let (Some(one), Some(other)) = (self.possible.get(one), self.possible.get(other)) else { return false };
        one.iter().any(|kind| other.contains(kind))
    }
}

/// The type that is in lists, or the type itself.
pub fn base(kind: &Type) -> &Name {
    match &kind.base {
        BaseType::Named(name) => name,
        BaseType::List(inner) => base(inner),
    }
}
