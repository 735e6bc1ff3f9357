//! What a GraphQL document may cost, decided before anything is validated or executed.
//!
//! The library's own depth and complexity limits are computed by a walk that follows each fragment spread anew,
//! so twenty small fragments cost seconds. Here a document is scanned once for size and nesting, parsed once, and
//! each fragment is weighed once; the parsed document goes on to execution, so nothing is parsed twice.

use std::collections::HashMap;

use async_graphql::{
    Name,
    parser::{
        parse_query,
        types::{DocumentOperations, ExecutableDocument, OperationDefinition, OperationType, Selection, SelectionSet},
    },
};

use super::executor::ErrorCode;

/// The deepest nesting of brackets of any kind, which keeps the recursive parser off the end of its stack.
const NESTING: usize = 60;
/// The deepest nesting of selections, those in fragments too: what walks a document needs stack and time for each.
pub const LEVELS: u32 = 33;
/// The longest name or number, in bytes: a name is said in every error about it.
const WORD: usize = 256;
/// The most that introspection may come to, see [`often`]; the standard query comes to two thirds of it.
const INTROSPECTION: u64 = 1_000_000;
/// The longest message about a syntax error, in characters; the parser quotes whole source lines.
const SYNTAX_MESSAGE: usize = 200;

/// How much one request may ask for.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of the document.
    pub document_bytes: usize,
    /// Names, numbers, strings and brackets of the document.
    pub tokens: usize,
    /// Levels of fields, introspection left out.
    pub depth: u32,
    /// Levels of fields at and below `__schema` and `__type`; the standard query has 15.
    pub introspection_depth: u32,
    /// Fields after fragments are unfolded.
    pub fields: u32,
    /// Aliased fields after fragments are unfolded.
    pub aliases: u32,
    /// Fields at the root of an operation.
    pub root_fields: u32,
    /// Operations in the document.
    pub operations: usize,
    /// Fragments in the document.
    pub fragments: usize,
    /// Directives after fragments are unfolded.
    pub directives: u32,
    /// Levels of lists and objects in the variables.
    pub variables_depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            document_bytes: 128 * 1024,
            tokens: 4_000,
            depth: 12,
            introspection_depth: 20,
            fields: 2_000,
            aliases: 100,
            root_fields: 50,
            operations: 10,
            fragments: 100,
            directives: 100,
            variables_depth: 32,
        }
    }
}

impl Limits {
    /// Lines of a document, which has some even where it has few words: empty ones and comments cost the parser as much.
    const fn lines(&self) -> usize {
        if self.tokens < 100 { 100 } else { self.tokens / 8 * 5 }
    }

    /// Fields, spreads and inline fragments that a document may unfold to.
    const fn nodes(&self) -> u32 {
        self.fields.saturating_mul(2)
    }
}

/// A document that may be validated and executed.
#[derive(Debug)]
pub struct Admitted {
    /// To be handed to `Request::set_parsed_query`.
    pub document: ExecutableDocument,
    /// What the chosen operation is; `None` when the operation's name does not choose one.
    pub kind: Option<OperationType>,
    /// The chosen operation's name, as far as it has one.
    pub operation: Option<String>,
}

/// Why a document is refused. The message has under a thousand bytes and never the whole document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// For the caller.
    pub message: String,
    /// `extensions.code`.
    pub code: ErrorCode,
}

impl Refusal {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: ErrorCode::BadUserInput }
    }

    /// That something is more than it may be.
    pub(super) fn over(what: &str, limit: impl std::fmt::Display) -> Self {
        Self::new(format!("The document is refused: {what} is over the limit of {limit}."))
    }
}

/// Scans, parses and weighs a document, and finds the operation that `operation` names.
///
/// # Errors
/// The first limit that the document passes, or its syntax error.
pub fn admit(query: &str, operation: Option<&str>, limits: &Limits) -> Result<Admitted, Refusal> {
    if query.len() > limits.document_bytes {
        return Err(Refusal::over("its size in bytes", limits.document_bytes));
    }
    scan(query, limits)?;
    let document = parse_query(query).map_err(|error| {
        let message: String = error.to_string().chars().take(SYNTAX_MESSAGE).collect();
        Refusal::new(format!("Syntax error: {message}"))
    })?;
    weigh(&document, limits)?;

    let (kind, operation) = match chosen(&document, operation) {
        Some((name, chosen)) => (Some(chosen.ty), name.map(ToString::to_string)),
        None => (None, None),
    };
    Ok(Admitted { document, kind, operation })
}

/// The operation that is meant, with its own name: the one of this name, or the only one where none is given.
#[must_use]
pub fn chosen<'a>(
    document: &'a ExecutableDocument,
    name: Option<&str>,
) -> Option<(Option<&'a Name>, &'a OperationDefinition)> {
    let mut operations = document.operations.iter();
    let (name, found) = match name {
        Some(name) => operations.find(|(own, _)| own.is_some_and(|own| own == name))?,
        None if operations.len() == 1 => operations.next()?,
        None => return None,
    };
    Some((name, &found.node))
}

/// The same, to be changed.
#[must_use]
pub fn chosen_mut<'a>(document: &'a mut ExecutableDocument, name: Option<&str>) -> Option<&'a mut OperationDefinition> {
    let operation = match (&mut document.operations, name) {
        (DocumentOperations::Single(operation), None) => operation,
        (DocumentOperations::Multiple(operations), Some(name)) => operations.get_mut(name)?,
        (DocumentOperations::Multiple(operations), None) if operations.len() == 1 => operations.values_mut().next()?,
        _ => return None,
    };
    Some(&mut operation.node)
}

/// Refuses variables that are nested deeper than the limit.
///
/// # Errors
/// One sentence that names the limit.
pub fn admit_variables(variables: &serde_json::Value, limits: &Limits) -> Result<(), Refusal> {
    let mut level = vec![variables];
    for _ in 0..=limits.variables_depth {
        level = level
            .into_iter()
            .flat_map(|value| -> Box<dyn Iterator<Item = &serde_json::Value>> {
                match value {
                    serde_json::Value::Array(items) => Box::new(items.iter()),
                    serde_json::Value::Object(fields) => Box::new(fields.values()),
                    _ => Box::new(std::iter::empty()),
                }
            })
            .collect();
        if level.is_empty() {
            return Ok(());
        }
    }
    Err(Refusal::new(format!("The variables are nested deeper than {} levels.", limits.variables_depth)))
}

/// Counts tokens and nesting without parsing. Strings and comments are stepped over as the grammar does it; a
/// block string that never ends is refused, because the parser would read on behind its first two quotes.
fn scan(query: &str, limits: &Limits) -> Result<(), Refusal> {
    let bytes = query.as_bytes();
    if bytes.iter().filter(|byte| matches!(byte, b'\r' | b'\n')).count() > limits.lines() {
        return Err(Refusal::over("its number of lines", limits.lines()));
    }
    let (mut at, mut depth, mut tokens) = (0, 0_usize, 0);
    while let Some(&byte) = bytes.get(at) {
        let start = at;
        at += 1;
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' | b',' => continue,
            b'#' => {
                at = end_of_line(bytes, at);
                continue;
            }
            b'{' | b'[' | b'(' => {
                depth += 1;
                if depth > NESTING {
                    return Err(Refusal::over("its nesting of brackets", NESTING));
                }
            }
            b'}' | b']' | b')' => depth = depth.saturating_sub(1),
            b'"' if bytes[start..].starts_with(b"\"\"\"") => at = end_of_block(bytes, start + 3)?,
            b'"' => at = end_of_string(bytes, at),
            byte if is_word(byte) => {
                while bytes.get(at).copied().is_some_and(is_word) {
                    at += 1;
                }
                if at - start > WORD {
                    return Err(Refusal::over("the length of a word", WORD));
                }
            }
            _ => {}
        }
        tokens += 1;
        if tokens > limits.tokens {
            return Err(Refusal::over("its number of words", limits.tokens));
        }
    }
    Ok(())
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn end_of_line(bytes: &[u8], from: usize) -> usize {
    bytes[from..].iter().position(|byte| matches!(byte, b'\r' | b'\n')).map_or(bytes.len(), |found| from + found)
}

fn end_of_string(bytes: &[u8], mut at: usize) -> usize {
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\r' | b'\n' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn end_of_block(bytes: &[u8], mut at: usize) -> Result<usize, Refusal> {
    while at < bytes.len() {
        if bytes[at..].starts_with(b"\\\"\"\"") {
            at += 4;
        } else if bytes[at..].starts_with(b"\"\"\"") {
            return Ok(at + 3);
        } else {
            at += 1;
        }
    }
    Err(Refusal::new("Syntax error: a block string is not closed."))
}

fn weigh(document: &ExecutableDocument, limits: &Limits) -> Result<(), Refusal> {
    if document.operations.iter().len() > limits.operations {
        return Err(Refusal::over("its number of operations", limits.operations));
    }
    if document.fragments.len() > limits.fragments {
        return Err(Refusal::over("its number of fragments", limits.fragments));
    }
    let mut scale = Scale { document, fragments: HashMap::new() };
    let mut total = Weight::default();
    for (_, operation) in document.operations.iter() {
        let mut weight = scale.set(&operation.node.selection_set.node)?;
        weight.directives = weight.directives.saturating_add(count(operation.node.directives.len()));
        for variable in &operation.node.variable_definitions {
            weight.directives = weight.directives.saturating_add(count(variable.node.directives.len()));
        }
        if weight.roots > limits.root_fields {
            return Err(Refusal::over("its number of root fields", limits.root_fields));
        }
        if weight.logins > 1 {
            return Err(Refusal::new("The document is refused: only one login is allowed in a request."));
        }
        total.add(&weight);
    }
    // A fragment that nothing spreads is validated all the same, so it is weighed too. Whether its fields are
    // introspection is not known here, so the larger depth holds.
    let deepest = limits.depth.max(limits.introspection_depth);
    for name in document.fragments.keys() {
        let weight = scale.fragment(name)?;
        if weight.depth.max(weight.introspection_depth) > deepest {
            return Err(Refusal::over("its depth", deepest));
        }
        total.nodes = total.nodes.max(weight.nodes);
        total.levels = total.levels.max(weight.levels);
    }
    if total.introspection > INTROSPECTION {
        return Err(Refusal::over("what its introspection comes to", INTROSPECTION));
    }
    for (what, weight, limit) in [
        ("its number of fields", total.fields, limits.fields),
        ("its number of selections", total.nodes, limits.nodes()),
        ("its depth", total.depth, limits.depth),
        ("its depth of introspection", total.introspection_depth, limits.introspection_depth),
        ("its nesting of selections", total.levels, LEVELS),
        ("its number of aliases", total.aliases, limits.aliases),
        ("its number of directives", total.directives, limits.directives),
    ] {
        if weight > limit {
            return Err(Refusal::over(what, limit));
        }
    }
    Ok(())
}

/// What a selection set costs when its fragments are unfolded. All sums saturate.
#[derive(Clone, Copy, Debug, Default)]
struct Weight {
    fields: u32,
    nodes: u32,
    depth: u32,
    introspection_depth: u32,
    aliases: u32,
    directives: u32,
    roots: u32,
    logins: u32,
    levels: u32,
    /// Fields that are given, if all of it is introspection.
    given: u64,
    /// Fields that introspection gives.
    introspection: u64,
}

impl Weight {
    fn add(&mut self, other: &Self) {
        self.fields = self.fields.saturating_add(other.fields);
        self.nodes = self.nodes.saturating_add(other.nodes);
        self.depth = self.depth.max(other.depth);
        self.introspection_depth = self.introspection_depth.max(other.introspection_depth);
        self.aliases = self.aliases.saturating_add(other.aliases);
        self.directives = self.directives.saturating_add(other.directives);
        self.roots = self.roots.saturating_add(other.roots);
        self.logins = self.logins.saturating_add(other.logins);
        self.levels = self.levels.max(other.levels);
        self.given = self.given.saturating_add(other.given);
        self.introspection = self.introspection.saturating_add(other.introspection);
    }
}

/// Weighs each fragment once; `None` marks one whose weighing has begun, so that a second visit is a circle.
struct Scale<'a> {
    document: &'a ExecutableDocument,
    fragments: HashMap<&'a str, Option<Weight>>,
}

impl<'a> Scale<'a> {
    fn set(&mut self, set: &'a SelectionSet) -> Result<Weight, Refusal> {
        let mut sum = Weight::default();
        for selection in &set.items {
            let mut weight = match &selection.node {
                Selection::Field(field) => {
                    let name = field.node.name.node.as_str();
                    let below = self.set(&field.node.selection_set.node)?;
                    let introspection = matches!(name, "__schema" | "__type");
                    let given = often(name).saturating_mul(below.given.saturating_add(1));
                    let introspected = if introspection { given } else { 0 };
                    let deepest = below.depth.max(if introspection { below.introspection_depth } else { 0 });
                    Weight {
                        fields: below.fields.saturating_add(1),
                        depth: if introspection { 0 } else { below.depth.saturating_add(1) },
                        introspection_depth: if introspection {
                            deepest.saturating_add(1)
                        } else {
                            below.introspection_depth
                        },
                        aliases: below.aliases.saturating_add(u32::from(field.node.alias.is_some())),
                        roots: 1,
                        logins: u32::from(name == "login"),
                        given,
                        introspection: below.introspection.saturating_add(introspected),
                        ..below
                    }
                }
                Selection::InlineFragment(inline) => self.set(&inline.node.selection_set.node)?,
                Selection::FragmentSpread(spread) => self.fragment(&spread.node.fragment_name.node)?,
            };
            weight.nodes = weight.nodes.saturating_add(1);
            weight.directives = weight.directives.saturating_add(count(selection.node.directives().len()));
            sum.add(&weight);
        }
        sum.levels += u32::from(!set.items.is_empty());
        Ok(sum)
    }

    fn fragment(&mut self, name: &str) -> Result<Weight, Refusal> {
        // An unknown fragment weighs nothing here; validation names it.
        let Some((name, fragment)) = self.document.fragments.get_key_value(name) else {
            return Ok(Weight::default());
        };
        match self.fragments.get(name.as_str()) {
            Some(Some(weight)) => return Ok(*weight),
            Some(None) => return Err(Refusal::new("The document is refused: its fragments form a circle.")),
            None => {}
        }
        self.fragments.insert(name, None);
        let mut weight = self.set(&fragment.node.selection_set.node)?;
        weight.directives = weight.directives.saturating_add(count(fragment.node.directives.len()));
        self.fragments.insert(name, Some(weight));
        Ok(weight)
    }
}

/// How many a list of introspection has, about. The library gives them at once and without a price, and nothing else runs
/// meanwhile: `possibleTypes{interfaces{possibleTypes{` are a thousand times as many with each two levels.
fn often(name: &str) -> u64 {
    match name {
        "types" => 250,
        "possibleTypes" => 15,
        "fields" => 12,
        "inputFields" | "enumValues" | "directives" => 8,
        "args" => 3,
        "interfaces" => 2,
        _ => 1,
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
