//! A GraphQL request's parameters, from a JSON body, a query string or a WebSocket's payload, and the request
//! that is made of them once the guard has admitted its document.

use async_graphql::{Request, Variables, parser::types::OperationType};
use serde_json::{Map, Value};

use super::observe::OperationNote;
use crate::graphql::limits::{Limits, Refusal, admit, admit_variables};

/// The parameters of the specification ("Request Parameters"), with their types checked.
#[derive(Debug)]
pub(super) struct Parameters {
    pub(super) query: String,
    operation_name: Option<String>,
    variables: Value,
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
            Some(Value::String(query)) if !query.is_empty() => query,
            Some(Value::String(_)) | None => return Err("The query is missing.".to_owned()),
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
        match fields.remove("extensions") {
            Some(Value::Object(_) | Value::Null) | None => {}
            Some(_) => return Err("`extensions` must be an object.".to_owned()),
        }
        Ok(Self { query, operation_name, variables })
    }

    /// Holds the parameters against the limits and parses the document, once.
    pub(super) fn check(self, limits: &Limits) -> Result<Checked, Refusal> {
        admit_variables(&self.variables, limits)?;
        let admitted = admit(&self.query, self.operation_name.as_deref(), limits)?;
        let note = OperationNote::new(admitted.operation.as_deref(), &self.query);
        let mut request = Request::new(self.query).variables(Variables::from_json(self.variables));
        request.operation_name = self.operation_name;
        request.set_parsed_query(admitted.document);
        Ok(Checked { request, kind: admitted.kind, note })
    }
}
