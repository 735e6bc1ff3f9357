//! What a document asks for under one key in several places becomes one field with all of their selections ("Field Selection
//! Merging"). The library would run each of them by itself, a mutation too, and put together what they give in the order in
//! which it is ready, lists by number, whatever failed in one of them; and it accepts what can't be merged, if a fragment is
//! between.
//!
//! It is done before the library validates, so it is done to nothing that validation would have something to say of.

use std::collections::{HashMap, HashSet};

use async_graphql::parser::types::{
    Directive, ExecutableDocument, Field, OperationDefinition, OperationType, Selection, SelectionSet, TypeCondition,
};
use async_graphql::{Name, Pos, Positioned, ServerError, Variables};
use async_graphql_value::{ConstValue, Value};

use super::asked::Asked;
use super::limits::{chosen, chosen_mut};
use super::meant::{fragment, root, spread};
use super::outline::{TYPES, Types, base};
use super::overlap::agree;
use crate::domain::policy::{self, Standing};

/// The document with the operation that is meant rewritten; none when no key of it stands in several places, and when it is not
/// valid.
///
/// # Errors
/// Two fields under one key are not the same, or have not the same arguments. A condition is no Boolean.
pub fn merge(
    document: &ExecutableDocument,
    name: Option<&str>,
    variables: &Variables,
    standing: Standing,
) -> Result<Option<ExecutableDocument>, ServerError> {
    let Some((_, operation)) = chosen(document, name) else { return Ok(None) };
    let asked = Asked { document, variables };
    if !has_several(&asked, &[&operation.selection_set.node]) && !is_hidden(operation) {
        return Ok(None);
    }
    match Merge::new(&TYPES, asked, standing).operation(operation) {
        Ok((merged, unfolded)) => {
            let mut document = document.clone();
            if let Some(operation) = chosen_mut(&mut document, name) {
                operation.selection_set.node = merged;
            }
            forget(&mut document, &unfolded);
            Ok(Some(document))
        }
        Err(Stop::Refused(error)) => Err(error),
        Err(Stop::Invalid) => Ok(None),
    }
}

fn has_several(asked: &Asked<'_>, sets: &[&SelectionSet]) -> bool {
    asked.keys(sets).iter().any(|key| key.fields.len() > 1 || has_several(asked, &key.below()))
}

/// A subscription in a fragment, where the library does not look.
fn is_hidden(operation: &OperationDefinition) -> bool {
    let items = &operation.selection_set.node.items;
    operation.ty == OperationType::Subscription && items.iter().any(|item| !matches!(item.node, Selection::Field(_)))
}

/// Takes out the fragments that were unfolded and are spread nowhere else: validation would name them.
fn forget(document: &mut ExecutableDocument, unfolded: &HashSet<Name>) {
    let used = spread(document, document.operations.iter().map(|(_, operation)| &operation.node));
    document.fragments.retain(|name, _| used.contains(name) || !unfolded.contains(name));
}

/// Why nothing is merged.
enum Stop {
    Refused(ServerError),
    /// Validation has something to say of what was sent.
    Invalid,
}

struct Merge<'a> {
    types: &'a Types,
    asked: Asked<'a>,
    standing: Standing,
    /// The fragments whose selections stand in the operation now.
    unfolded: HashSet<Name>,
}

/// A set of selections, with the fragments in which it is to stand.
struct Part<'a> {
    set: &'a SelectionSet,
    way: Vec<Step<'a>>,
}

/// A fragment on the way to a selection.
#[derive(Clone, Copy)]
struct Step<'a> {
    /// What the object is known to be in it.
    of: &'a str,
    /// Whether that is more than is known outside.
    narrows: bool,
    directives: &'a [Positioned<Directive>],
    pos: Pos,
}

/// What stands in a set, by itself.
enum Item<'a> {
    /// As it was sent: introspection, and what is nothing of this object.
    Kept(Positioned<Selection>),
    Field(Spot<'a>),
}

/// A field, with the fragments in which it stands.
struct Spot<'a> {
    /// What the object is known to be.
    of: &'a str,
    way: Vec<Step<'a>>,
    field: &'a Positioned<Field>,
    /// The type of the objects that it gives, if it does.
    gives: Option<&'a str>,
    pos: Pos,
}

enum Out<'a> {
    Ready(Positioned<Selection>),
    /// The same field in several places.
    Group(Spot<'a>, Vec<Spot<'a>>),
}

impl<'a> Merge<'a> {
    fn new(types: &'a Types, asked: Asked<'a>, standing: Standing) -> Self {
        Self { types, asked, standing, unfolded: HashSet::new() }
    }

    /// What the operation asks for, merged, and the fragments that stand in it now.
    fn operation(mut self, operation: &'a OperationDefinition) -> Result<(SelectionSet, HashSet<Name>), Stop> {
        let whole = Part { set: &operation.selection_set.node, way: Vec::new() };
        let mut set = SelectionSet::default();
        for out in self.groups(root(operation.ty), &[whole])? {
            match out {
                Out::Ready(selection) => set.items.push(selection),
                Out::Group(first, others) if operation.ty == OperationType::Subscription => {
                    // Not in a fragment. That stands beside it, where the library looks for variables and for nothing to do.
                    let (pos, beside) = (first.pos, first.is_conditional().then(|| first.selection()));
                    set.items.push(Positioned::new(self.field(first, &others)?, pos));
                    set.items.extend(beside);
                }
                Out::Group(first, others) => set.items.push(self.group(first, &others)?),
            }
        }
        Ok((set, self.unfolded))
    }

    /// One set of what is asked of an object in several.
    fn set(&mut self, of: &'a str, parts: &[Part<'a>]) -> Result<SelectionSet, Stop> {
        let mut set = SelectionSet::default();
        for out in self.groups(of, parts)? {
            set.items.push(match out {
                Out::Ready(selection) => selection,
                Out::Group(first, others) => self.group(first, &others)?,
            });
        }
        Ok(set)
    }

    fn group(&mut self, first: Spot<'a>, others: &[Spot<'a>]) -> Result<Positioned<Selection>, Stop> {
        let (way, pos) = (first.steps(), first.pos);
        Ok(within(&way, Positioned::new(self.field(first, others)?, pos)))
    }

    /// One field, which is there as the first is; what may be taken away of the others is in fragments below it.
    fn field(&mut self, first: Spot<'a>, others: &[Spot<'a>]) -> Result<Selection, Stop> {
        let below = match first.gives {
            None => SelectionSet::default(),
            Some(gives) => {
                let part = |spot: &Spot<'a>, way| Part { set: &spot.field.node.selection_set.node, way };
                let others = others.iter().map(|other| part(other, other.conditions(gives)));
                self.set(gives, &[part(&first, Vec::new())].into_iter().chain(others).collect::<Vec<_>>())?
            }
        };
        let field = &first.field.node;
        let field = Field {
            alias: field.alias.clone(),
            name: field.name.clone(),
            arguments: field.arguments.clone(),
            directives: field.directives.clone(),
            selection_set: Positioned::new(below, field.selection_set.pos),
        };
        Ok(Selection::Field(Positioned::new(field, first.field.pos)))
    }

    /// What stands in all parts, the same fields together, each where the first of them stands that is not skipped.
    fn groups(&mut self, of: &'a str, parts: &[Part<'a>]) -> Result<Vec<Out<'a>>, Stop> {
        let mut items = Vec::new();
        for part in parts {
            self.unfold((of, of), part.set, &part.way, &mut items)?;
        }
        let mut out: Vec<Out<'a>> = Vec::new();
        // Where the fields of a key are: one for each that an object is known to be.
        let mut places: HashMap<&'a Name, Vec<usize>> = HashMap::new();
        // With which directives what is not an object is there already.
        let mut there = HashSet::new();
        for item in items {
            let spot = match item {
                Item::Kept(selection) => {
                    out.push(Out::Ready(selection));
                    continue;
                }
                Item::Field(spot) => spot,
            };
            if self.is_skipped(&spot) {
                if let Some(gives) = spot.gives {
                    self.look_through(gives, &spot.field.node.selection_set.node)?;
                }
                out.push(Out::Ready(spot.selection()));
                continue;
            }
            let places = places.entry(&spot.field.node.response_key().node).or_default();
            let mut same = None;
            for place in places.iter().copied() {
                let Out::Group(first, _) = &out[place] else { continue };
                if self.types.narrowed(first.of, spot.of).is_some() {
                    agree(first.field, spot.field).map_err(Stop::Refused)?;
                }
                if first.of == spot.of {
                    same = Some(place);
                }
            }
            match same.and_then(|place| out.get_mut(place)) {
                Some(Out::Group(_, others)) if spot.gives.is_some() => others.push(spot),
                // Of what is not an object there is nothing to merge. It stays for its directives, once for the same ones.
                Some(_) if spot.conditions(of).is_empty() || !there.insert(spot.mark()) => {}
                Some(_) => out.push(Out::Ready(spot.selection())),
                None => {
                    there.insert(spot.mark());
                    places.push(out.len());
                    out.push(Out::Group(spot, Vec::new()));
                }
            }
        }
        Ok(out)
    }

    /// The fields of a set and of the fragments in it. Of the object is known what it is, and as what the fragment about the set
    /// sees it.
    fn unfold(
        &mut self,
        (of, seen): (&'a str, &'a str),
        set: &'a SelectionSet,
        way: &[Step<'a>],
        items: &mut Vec<Item<'a>>,
    ) -> Result<(), Stop> {
        for item in &set.items {
            self.check(item.node.directives())?;
            let (on, directives, below, name) = match &item.node {
                Selection::Field(field) if field.node.name.node.starts_with("__") => {
                    items.push(match field.node.name.node == "__typename" {
                        true => Item::Field(Spot { of, way: way.to_vec(), field, gives: None, pos: item.pos }),
                        false => Item::Kept(within(&needed(way), item.clone())),
                    });
                    continue;
                }
                Selection::Field(field) => {
                    let gives = self.gives(seen, &field.node)?;
                    items.push(Item::Field(Spot { of, way: way.to_vec(), field, gives, pos: item.pos }));
                    continue;
                }
                Selection::InlineFragment(inline) => {
                    let inline = &inline.node;
                    let on = inline.type_condition.as_ref().map(|on| &on.node);
                    (on, &inline.directives, &inline.selection_set.node, None)
                }
                Selection::FragmentSpread(spread) => {
                    let found = self.asked.document.fragments.get_key_value(&spread.node.fragment_name.node);
                    let Some((name, fragment)) = found.filter(|(_, found)| found.node.directives.is_empty()) else {
                        return Err(Stop::Invalid);
                    };
                    let fragment = &fragment.node;
                    let on = Some(&fragment.type_condition.node);
                    (on, &spread.node.directives, &fragment.selection_set.node, Some(name))
                }
            };
            let on = self.seen_in(seen, on)?;
            let Some(narrowed) = self.types.narrowed(of, on) else {
                self.look_through(on, below)?;
                let mut way = needed(way);
                // It may stand where the object is not known by its type.
                way.push(Step { of: seen, narrows: true, directives: &[], pos: item.pos });
                items.push(Item::Kept(within(&way, item.clone())));
                continue;
            };
            self.unfolded.extend(name.cloned());
            let mut way = way.to_vec();
            way.push(Step { of: narrowed, narrows: narrowed != of, directives, pos: item.pos });
            self.unfold((narrowed, on), below, &way, items)?;
        }
        Ok(())
    }

    /// Whether validation has nothing to say of what is left as it was sent: it would say it wherever that is left.
    fn look_through(&self, seen: &'a str, set: &'a SelectionSet) -> Result<(), Stop> {
        for item in &set.items {
            self.check(item.node.directives())?;
            let (seen, below) = match &item.node {
                Selection::Field(field) if field.node.name.node.starts_with("__") => continue,
                Selection::Field(field) => match self.gives(seen, &field.node)? {
                    Some(gives) => (gives, &field.node.selection_set.node),
                    None => continue,
                },
                Selection::InlineFragment(inline) => {
                    let on = inline.node.type_condition.as_ref().map(|on| &on.node);
                    (self.seen_in(seen, on)?, &inline.node.selection_set.node)
                }
                Selection::FragmentSpread(spread) => {
                    let fragment = self.asked.document.fragments.get(&spread.node.fragment_name.node);
                    let fragment = &fragment.ok_or(Stop::Invalid)?.node;
                    (self.seen_in(seen, Some(&fragment.type_condition.node))?, &fragment.selection_set.node)
                }
            };
            self.look_through(seen, below)?;
        }
        Ok(())
    }

    /// As what a fragment sees an object that is seen as something around it.
    fn seen_in(&self, seen: &'a str, on: Option<&'a TypeCondition>) -> Result<&'a str, Stop> {
        let on = on.map_or(seen, |on| on.on.node.as_str());
        let may_be = || self.types.narrowed(seen, on).is_some() || self.types.may_be_both(seen, on);
        if self.is_there(on) && may_be() { Ok(on) } else { Err(Stop::Invalid) }
    }

    /// Whether directives are what is to be put around other selections, too: `@skip` and `@include`, each once, with what is a
    /// Boolean. Of all else validation has something to say, but for a variable that is null by its default, and for a list or
    /// an object that has a variable in it: to the library those are no fault, and false.
    fn check(&self, directives: &[Positioned<Directive>]) -> Result<(), Stop> {
        for (at, directive) in directives.iter().enumerate() {
            let name = &directive.node.name.node;
            let [(argument, value)] = directive.node.arguments.as_slice() else { return Err(Stop::Invalid) };
            let is_again = directives[..at].iter().any(|other| other.node.name.node == *name);
            if is_again || argument.node != "if" || !matches!(name.as_str(), "skip" | "include") {
                return Err(Stop::Invalid);
            }
            match &value.node {
                Value::Boolean(_) => {}
                Value::Variable(name) if matches!(self.asked.variables.get(name), Some(ConstValue::Boolean(_))) => {}
                Value::Variable(_) | Value::List(_) | Value::Object(_) => {
                    let message = format!("Invalid value for argument \"if\" of @{name}: it must be a Boolean.");
                    return Err(Stop::Refused(ServerError::new(message, Some(value.pos))));
                }
                _ => return Err(Stop::Invalid),
            }
        }
        Ok(())
    }

    /// The type of the objects that a field gives, if it does.
    fn gives(&self, seen: &str, field: &Field) -> Result<Option<&'a str>, Stop> {
        let name = field.name.node.as_str();
        let is_shown = |part: &str| self.standing >= Standing::Admin || policy::member_sees(seen, part);
        let kind = self.types.own(seen, name).filter(|_| is_shown(name)).ok_or(Stop::Invalid)?;
        let is_known =
            |argument: &Name| self.types.takes(seen, name, argument) && is_shown(&format!("{name}.{argument}"));
        if !field.arguments.iter().all(|(argument, _)| is_known(&argument.node)) {
            return Err(Stop::Invalid);
        }
        let kind = base(kind);
        match (self.types.is_composite(kind), field.selection_set.node.items.is_empty()) {
            (true, false) => Ok(Some(kind)),
            (false, true) => Ok(None),
            _ => Err(Stop::Invalid),
        }
    }

    /// Whether a type exists, for who asks, that fragments can be on.
    fn is_there(&self, kind: &str) -> bool {
        let is_shown = || policy::node(kind).is_none_or(|needs| needs <= self.standing.max(Standing::Member));
        self.types.is_composite(kind) && is_shown()
    }

    fn is_skipped(&self, spot: &Spot<'a>) -> bool {
        let around = spot.way.iter().any(|step| self.asked.is_skipped(step.directives));
        around || self.asked.is_skipped(&spot.field.node.directives)
    }
}

impl<'a> Spot<'a> {
    /// The fragments that it needs to stand in.
    fn steps(&self) -> Vec<Step<'a>> {
        needed(&self.way)
    }

    /// The directives of the field and of the fragments in which it stands, as fragments on what it gives.
    fn conditions(&self, of: &'a str) -> Vec<Step<'a>> {
        let own = (self.field.node.directives.as_slice(), self.pos);
        let all = self.way.iter().map(|step| (step.directives, step.pos)).chain([own]);
        let all = all.filter(|(directives, _)| !directives.is_empty());
        all.map(|(directives, pos)| Step { of, narrows: false, directives, pos }).collect()
    }

    /// Its key, and which directives are about it: none but the same places of a document have the same ones.
    fn mark(&self) -> (&'a Name, Vec<*const Positioned<Directive>>) {
        let directives = self.conditions(self.of).into_iter().map(|step| step.directives.as_ptr());
        (&self.field.node.response_key().node, directives.collect())
    }

    /// Whether a fragment that it stands in has directives.
    fn is_conditional(&self) -> bool {
        self.way.iter().any(|step| !step.directives.is_empty())
    }

    fn selection(&self) -> Positioned<Selection> {
        within(&self.steps(), Positioned::new(Selection::Field(self.field.clone()), self.pos))
    }
}

fn needed<'a>(way: &[Step<'a>]) -> Vec<Step<'a>> {
    way.iter().filter(|step| step.narrows || !step.directives.is_empty()).copied().collect()
}

/// A selection within fragments, the outermost first. Each says its type: the library's rule of what can be merged does not know
/// it of one that is around.
fn within(way: &[Step<'_>], selection: Positioned<Selection>) -> Positioned<Selection> {
    let around = |step: &Step<'_>| (Some(Name::new(step.of)), step.directives.to_vec(), step.pos);
    way.iter().rev().fold(selection, |inner, step| fragment(around(step), inner))
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
