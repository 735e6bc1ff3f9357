//! A GraphQL request's parameters, from a JSON body, a query string or a WebSocket's payload, and the request
//! that is made of them once the guard has admitted its document.

use async_graphql::{Request, Variables, parser::types::OperationType};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::{
    graphql::type_of,
    observe::OperationNote,
    persisted::{self, Hash, Persisted},
    rate::Who,
};
use crate::app::answers::Question;
use crate::graphql::{
    executor::ErrorCode,
    limits::{Admitted, Limits, Refusal, admit, admit_variables, chosen},
    uses::admit_uses,
};

/// The most values that a request may have. A number in a list takes two bytes of a body, and a hundred when it is read.
pub(super) const VALUES: usize = 50_000;

/// Whether a text of JSON has more values than [`VALUES`], as far as its commas and brackets tell. It is read afterwards.
pub(super) fn is_crowded(json: &[u8]) -> bool {
    let mut bytes = json.iter();
    let (mut is_text, mut values) = (false, 0);
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => is_text = !is_text,
            b'\\' if is_text => _ = bytes.next(),
            b',' | b'[' | b'{' if !is_text => values += 1,
            _ => {}
        }
    }
    values > VALUES
}

/// The parameters of the specification ("Request Parameters"), with their types checked.
#[derive(Debug)]
pub(super) struct Parameters {
    document: Document,
    operation_name: Option<String>,
    variables: Value,
}

/// How a request says its document.
#[derive(Debug)]
enum Document {
    /// In full, and perhaps with its hash, so that the next time that does.
    Sent(String, Option<Hash>),
    /// By its hash.
    Named(Hash),
}

/// A request whose document the guard has admitted.
pub(super) struct Checked {
    pub(super) request: Request,
    pub(super) kind: Option<OperationType>,
    pub(super) note: OperationNote,
}

impl Parameters {
    /// Reads the bytes of a JSON body.
    pub(super) fn from_body(body: &[u8]) -> Result<Self, String> {
        if is_crowded(body) {
            return Err(format!("The body has more than {VALUES} values."));
        }
        let value = serde_json::from_slice(body).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            format!("The body is not valid JSON ({place}), or it is nested too deeply.")
        })?;
        match value {
            Value::Object(fields) => Self::from_fields(fields),
            Value::Array(_) => Err("A list of operations (batching) is not supported: send one at a time.".to_owned()),
            _ => Err("The body must be a JSON object with a query.".to_owned()),
        }
    }

    /// Reads a query string, in which variables and extensions are JSON texts.
    pub(super) fn from_query_string(text: &str) -> Result<Self, String> {
        let mut fields = Map::new();
        for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
            let value = match name.as_ref() {
                "query" | "operationName" => Value::String(value.into_owned()),
                "variables" | "extensions" if value.is_empty() => Value::Null,
                "variables" | "extensions" if is_crowded(value.as_bytes()) => {
                    return Err(format!("`{name}` has more than {VALUES} values."));
                }
                "variables" | "extensions" => {
                    serde_json::from_str(&value).map_err(|_| format!("`{name}` is not valid JSON."))?
                }
                _ => continue,
            };
            if fields.insert(name.clone().into_owned(), value).is_some() {
                return Err(format!("`{name}` is given twice."));
            }
        }
        if fields.get("operationName").is_some_and(|name| name == "") {
            fields.remove("operationName");
        }
        Self::from_fields(fields)
    }

    /// Reads a JSON object.
    pub(super) fn from_fields(mut fields: Map<String, Value>) -> Result<Self, String> {
        let query = match fields.remove("query") {
            Some(Value::String(query)) => Some(query).filter(|query| !query.is_empty()),
            None => None,
            Some(_) => return Err("`query` must be a string.".to_owned()),
        };
        let operation_name = match fields.remove("operationName") {
            Some(Value::String(name)) => Some(name),
            Some(Value::Null) | None => None,
            Some(_) => return Err("`operationName` must be a string.".to_owned()),
        };
        let variables = match fields.remove("variables") {
            Some(variables @ Value::Object(_)) => variables,
            Some(Value::Null) | None => Value::Null,
            Some(_) => return Err("`variables` must be an object.".to_owned()),
        };
        let hash = match fields.remove("extensions") {
            Some(extensions @ Value::Object(_)) => persisted::named_in(&extensions)?,
            Some(Value::Null) | None => None,
            Some(_) => return Err("`extensions` must be an object.".to_owned()),
        };
        let document = match (query, hash) {
            (None, None) => return Err("The query is missing.".to_owned()),
            (None, Some(hash)) => Document::Named(hash),
            (Some(query), Some(hash)) if hash != persisted::hash_of(&query) => {
                return Err("`extensions.persistedQuery.sha256Hash` is not the hash of the query.".to_owned());
            }
            (Some(query), hash) => Document::Sent(query, hash),
        };
        Ok(Self { document, operation_name, variables })
    }

    /// A hash of who asks and of all that is asked, which is the same for nobody and nothing else.
    pub(super) fn question(&self, token: &str) -> Question {
        let mut hash = Sha256::new();
        let variables = self.variables.to_string();
        // A text is never taken for a hash: their kinds differ.
        let (kind, document) = match &self.document {
            Document::Sent(query, _) => ("sent", query.as_bytes()),
            Document::Named(hash) => ("named", hash.as_slice()),
        };
        // Neither is a name that is empty taken for none.
        let operation = self.operation_name.as_ref().map_or_else(String::new, |name| format!("named {name}"));
        for part in [token.as_bytes(), operation.as_bytes(), kind.as_bytes(), document, variables.as_bytes()] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }

    /// Finds the document, holds the parameters against the limits, and parses it, once. What its sender named by a hash is
    /// kept for the next time.
    pub(super) fn check(self, limits: &Limits, (persisted, who): (&Persisted, &Who)) -> Result<Checked, Refusal> {
        admit_variables(&self.variables, limits)?;
        let (query, hash) = match self.document {
            Document::Sent(query, hash) => (query, hash),
            Document::Named(hash) => {
                let known = persisted.find(who, &hash).ok_or_else(|| unknown(persisted))?;
                (known.to_string(), Some(hash))
            }
        };
        let admitted = admit(&query, self.operation_name.as_deref(), limits)?;
        admit_uses(&admitted.document, &self.variables)?;
        if let Some(name) = unset(&admitted, &self.variables) {
            return Err(Refusal {
                message: format!("Variable \"${name}\" must have a value: its type is not null."),
                code: ErrorCode::BadUserInput,
            });
        }
        if let Some(hash) = hash {
            persisted.keep(who, hash, &query);
        }
        let note = OperationNote::new((admitted.operation.as_deref(), type_of(admitted.kind)), &query);
        let mut request = Request::new(query).variables(Variables::from_json(self.variables));
        request.operation_name = self.operation_name;
        request.set_parsed_query(admitted.document);
        Ok(Checked { request, kind: admitted.kind, note })
    }
}

/// What Apollo's clients go by: its message makes them send the whole document, or never a hash again.
fn unknown(persisted: &Persisted) -> Refusal {
    let (message, code) = match persisted.is_on() {
        true => ("PersistedQueryNotFound", ErrorCode::PersistedQueryNotFound),
        false => ("PersistedQueryNotSupported", ErrorCode::PersistedQueryNotSupported),
    };
    Refusal { message: message.to_owned(), code }
}

/// A variable of the chosen operation that must have a value and has none. That is an error of the request (GraphQL
/// specification, "Coercing Variable Values"); the library would notice it in the middle of execution, or not at all.
fn unset(admitted: &Admitted, variables: &Value) -> Option<String> {
    admitted.kind?;
    let (_, chosen) = chosen(&admitted.document, admitted.operation.as_deref())?;
    let must = chosen.variable_definitions.iter().map(|variable| &variable.node).find(|variable| {
        let given = variables.get(variable.name.node.as_str());
        let is_null = given.is_some_and(Value::is_null);
        !variable.var_type.node.nullable && (is_null || given.is_none() && variable.default_value.is_none())
    })?;
    Some(must.name.node.to_string())
}
