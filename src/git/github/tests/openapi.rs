//! GitHub's OpenAPI description, and whether requests and answers are as it says. Whatever of JSON Schema is not
//! understood here is a fault, so that nothing passes for want of understanding.

use serde_json::Value;
use url::Url;

use super::github_double::Asked;

pub(super) struct Description(Value);

/// What a request is for.
struct Operation<'a> {
    /// `GET /repos/{owner}/{repo}`.
    name: String,
    rules: &'a Value,
    /// What stands in the path's variables, as it was sent.
    variables: Vec<(String, String)>,
}

/// Words that say nothing about what is valid.
const SILENT: [&str; 6] = ["default", "deprecated", "readOnly", "writeOnly", "example", "externalDocs"];

impl Description {
    /// The cut of tests/fixtures/github: its `info` names version and license.
    pub(super) fn read() -> Self {
        Self(serde_json::from_str(include_str!("../../../../tests/fixtures/github/openapi.json")).unwrap())
    }

    pub(super) fn operations(&self) -> Vec<String> {
        let paths = self.0["paths"].as_object().unwrap();
        let of = |(path, item): (&String, &Value)| {
            item.as_object().unwrap().keys().map(|m| format!("{} {path}", m.to_uppercase())).collect::<Vec<_>>()
        };
        paths.iter().flat_map(of).collect()
    }

    pub(super) fn example(&self, name: &str) -> &Value {
        &self.0["components"]["examples"][name]["value"]
    }

    fn operation(&self, asked: &Asked) -> Option<Operation<'_>> {
        let sent: Vec<&str> = asked.path.trim_start_matches('/').split('/').collect();
        for (template, item) in self.0["paths"].as_object().unwrap() {
            let parts: Vec<&str> = template.trim_start_matches('/').split('/').collect();
            let variable = |part: &str| part.strip_prefix('{').and_then(|p| p.strip_suffix('}')).map(str::to_owned);
            let fits = parts.len() == sent.len()
                && parts.iter().zip(&sent).all(|(part, text)| variable(part).is_some() || part == text);
            if let (true, Some(operation)) = (fits, item.get(asked.method.to_lowercase())) {
                let named =
                    parts.iter().zip(&sent).filter_map(|(part, text)| Some((variable(part)?, (*text).to_owned())));
                let name = format!("{} {template}", asked.method);
                return Some(Operation { name, rules: operation, variables: named.collect() });
            }
        }
        None
    }

    /// The operation's name; or what is wrong with the request.
    pub(super) fn check_request(&self, asked: &Asked) -> Result<String, Vec<String>> {
        let Some(Operation { name, rules: operation, variables }) = self.operation(asked) else {
            return Err(vec![format!("{} {} is no operation", asked.method, asked.path)]);
        };
        let mut faults = Vec::new();
        let parameters: Vec<&Value> =
            operation["parameters"].as_array().into_iter().flatten().map(|p| self.resolved(p)).collect();
        let declared = |place: &str, name: &str| parameters.iter().find(|p| p["in"] == place && p["name"] == name);
        for (place, given) in [("query", &asked.query), ("path", &variables)] {
            for (key, text) in given {
                match declared(place, key) {
                    Some(parameter) => {
                        self.check(&parameter["schema"], &typed(&parameter["schema"], text), key, &mut faults)
                    }
                    None => faults.push(format!("{place} parameter {key} is not declared")),
                }
            }
        }
        for parameter in parameters.iter().filter(|p| p["required"] == true) {
            let key = parameter["name"].as_str().unwrap();
            if !asked.query.iter().chain(&variables).any(|(given, text)| given == key && !text.is_empty()) {
                faults.push(format!("{key} is required"));
            }
        }
        match operation["requestBody"]["content"]["application/json"].get("schema") {
            Some(schema) => {
                if asked.headers.get("content-type").is_none_or(|kind| kind != "application/json") {
                    faults.push("the body is not said to be JSON".to_owned());
                }
                self.check(schema, &asked.body, "body", &mut faults);
                for field in asked.body.as_object().into_iter().flat_map(|body| body.keys()) {
                    if schema["properties"].get(field).is_none() {
                        faults.push(format!("the body's {field} is not declared"));
                    }
                }
            }
            None if !asked.body.is_null() => faults.push("there is a body".to_owned()),
            None => {}
        }
        if faults.is_empty() { Ok(name) } else { Err(faults) }
    }

    /// What is wrong with the answer to a request.
    pub(super) fn check_answer(&self, asked: &Asked) -> Vec<String> {
        let Some(Operation { rules: operation, .. }) = self.operation(asked) else {
            return vec!["it is no operation".to_owned()];
        };
        let mut faults = Vec::new();
        let Some(answer) = operation["responses"].get(asked.status.to_string()) else {
            // Any operation may be refused, in the one form that refusals have.
            match asked.status {
                400..=499 => {
                    self.check(&self.0["components"]["schemas"]["basic-error"], &asked.answer, "answer", &mut faults)
                }
                status => faults.push(format!("status {status} is not declared")),
            }
            return faults;
        };
        if let Some(schema) = self.resolved(answer)["content"]["application/json"].get("schema") {
            self.check(schema, &asked.answer, "answer", &mut faults);
        }
        faults
    }

    fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(reference) => self.0.pointer(reference.trim_start_matches('#')).unwrap(),
            None => value,
        }
    }

    /// Checks a value against a schema of OpenAPI 3.0: <https://spec.openapis.org/oas/v3.0.3#schema-object>.
    fn check(&self, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
        let schema = self.resolved(schema);
        if value.is_null() && schema["nullable"] == true {
            return;
        }
        for (word, rule) in schema.as_object().unwrap() {
            match word.as_str() {
                "type" if !is(rule.as_str().unwrap(), value) => faults.push(format!("{at} is no {rule}: {value}")),
                "enum" if !rule.as_array().unwrap().contains(value) => faults.push(format!("{at}: {value} of {rule}")),
                "required" => {
                    for name in rule.as_array().unwrap().iter().filter_map(Value::as_str) {
                        if value.as_object().is_some_and(|object| !object.contains_key(name)) {
                            faults.push(format!("{at}.{name} is missing"));
                        }
                    }
                }
                "properties" => {
                    for (name, inner) in rule.as_object().unwrap() {
                        if let Some(given) = value.get(name) {
                            self.check(inner, given, &format!("{at}.{name}"), faults);
                        }
                    }
                }
                "additionalProperties" => self.check_others(schema, rule, value, at, faults),
                "items" => {
                    for (index, given) in value.as_array().into_iter().flatten().enumerate() {
                        self.check(rule, given, &format!("{at}[{index}]"), faults);
                    }
                }
                "maxItems" if value.as_array().is_some_and(|a| a.len() as u64 > rule.as_u64().unwrap()) => {
                    faults.push(format!("{at} has more than {rule} items"));
                }
                "minimum" if value.as_f64().is_some_and(|n| n < rule.as_f64().unwrap()) => {
                    faults.push(format!("{at} is less than {rule}"));
                }
                "maximum" if value.as_f64().is_some_and(|n| n > rule.as_f64().unwrap()) => {
                    faults.push(format!("{at} is more than {rule}"));
                }
                "format" => {
                    if let (Some(text), Some(fault)) = (value.as_str(), ill_formed(rule.as_str().unwrap(), value)) {
                        faults.push(format!("{at}: {text:?} is no {fault}"));
                    }
                }
                "allOf" => rule.as_array().unwrap().iter().for_each(|inner| self.check(inner, value, at, faults)),
                "oneOf" | "anyOf" => {
                    let tried = rule.as_array().unwrap().iter().map(|inner| {
                        let mut inside = Vec::new();
                        self.check(inner, value, at, &mut inside);
                        inside
                    });
                    let best = tried.min_by_key(Vec::len).unwrap();
                    faults.extend(best);
                }
                "type" | "enum" | "maxItems" | "minimum" | "maximum" | "nullable" | "discriminator" => {}
                word if SILENT.contains(&word) => {}
                word => faults.push(format!("{at}: nobody understands {word}")),
            }
        }
    }

    fn check_others(&self, schema: &Value, rule: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
        for (name, given) in value.as_object().into_iter().flatten() {
            if schema["properties"].get(name).is_some() {
                continue;
            }
            match rule {
                Value::Bool(true) => {}
                Value::Bool(false) => faults.push(format!("{at}.{name} is not declared")),
                rule => self.check(rule, given, &format!("{at}.{name}"), faults),
            }
        }
    }
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        kind => panic!("nobody understands type {kind}"),
    }
}

/// What a text is not that it should be; formats of numbers say nothing of texts.
fn ill_formed<'a>(format: &'a str, value: &Value) -> Option<&'a str> {
    let text = value.as_str()?;
    let good = match format {
        // GitHub's templates of addresses are said to be addresses too.
        "uri" => Url::parse(text).is_ok() || text.is_empty(),
        "date-time" => chrono::DateTime::parse_from_rfc3339(text).is_ok(),
        "email" => text.contains('@'),
        "int64" | "int32" | "float" | "double" => false,
        format => panic!("nobody understands format {format}"),
    };
    (!good).then_some(format)
}

/// A parameter's text as what its schema wants.
fn typed(schema: &Value, text: &str) -> Value {
    match schema["type"].as_str() {
        Some("integer") => text.parse::<i64>().map_or_else(|_| Value::from(text), Value::from),
        Some("boolean") => text.parse::<bool>().map_or_else(|_| Value::from(text), Value::from),
        _ => Value::from(text),
    }
}
