//! A text of TOML as values, with the line that each key is on.

use std::collections::BTreeMap;

use figment::value::{Dict, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What a text says.
#[derive(Debug, Clone)]
pub(super) struct Document {
    /// Its tables and values.
    pub value: Value,
    /// The line of each key by its full name, like `organizations.0.users.1.email`.
    pub lines: BTreeMap<String, usize>,
}

impl Document {
    /// Reads a whole document.
    ///
    /// # Errors
    /// Every place where it is no TOML: the line and what is wrong there, without a word of the text, which may be a secret.
    pub fn read(text: &str) -> Result<Self, Vec<(usize, String)>> {
        let starts = Starts::of(text);
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            let at = |error: &toml::de::Error| error.span().map_or(1, |span| starts.line(span.start));
            let mut faults: Vec<_> =
                errors.iter().map(|e| (at(e), format!("this is no TOML: {}", e.message()))).collect();
            faults.sort_by_key(|(line, _)| *line);
            faults.dedup_by_key(|(line, _)| *line);
            return Err(faults);
        }
        let mut lines = BTreeMap::new();
        let value = starts.table(table.get_ref(), "", &mut lines).map_err(|fault| vec![fault])?;
        Ok(Self { value, lines })
    }
}

/// One value of TOML, `["a", 'b']`; none where the text is something else.
pub(super) fn value(text: &str) -> Option<Value> {
    let parsed = DeValue::parse(text).ok()?;
    Starts::of(text).value(&parsed, "", &mut BTreeMap::new()).ok()
}

/// Where the lines of a text begin.
struct Starts(Vec<usize>);

impl Starts {
    fn of(text: &str) -> Self {
        Self(std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect())
    }

    /// The line that a byte is on; the first is 1.
    fn line(&self, byte: usize) -> usize {
        self.0.partition_point(|start| *start <= byte)
    }

    fn table(
        &self,
        table: &DeTable<'_>,
        under: &str,
        lines: &mut BTreeMap<String, usize>,
    ) -> Result<Value, (usize, String)> {
        let mut dict = Dict::new();
        for (name, inner) in table {
            let key = below(under, name.get_ref());
            lines.insert(key.clone(), self.line(name.span().start));
            dict.insert(name.get_ref().to_string(), self.value(inner, &key, lines)?);
        }
        Ok(Value::from(dict))
    }

    fn value(
        &self,
        value: &Spanned<DeValue<'_>>,
        key: &str,
        lines: &mut BTreeMap<String, usize>,
    ) -> Result<Value, (usize, String)> {
        let fault = |what: &str| (self.line(value.span().start), format!("{key}: {what}"));
        Ok(match value.get_ref() {
            DeValue::String(text) => Value::from(text.as_ref()),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map(Value::from)
                .map_err(|_| fault("this number is too large"))?,
            DeValue::Float(number) => {
                number.as_str().parse::<f64>().map(Value::from).map_err(|_| fault("this is no number"))?
            }
            DeValue::Boolean(on) => Value::from(*on),
            DeValue::Datetime(time) => Value::from(time.to_string()),
            DeValue::Array(items) => {
                let mut all = Vec::new();
                for (i, item) in items.iter().enumerate() {
                    let key = below(key, &i.to_string());
                    lines.insert(key.clone(), self.line(item.span().start));
                    all.push(self.value(item, &key, lines)?);
                }
                Value::from(all)
            }
            DeValue::Table(table) => self.table(table, key, lines)?,
        })
    }
}

/// The full name of a key in a table.
pub(super) fn below(table: &str, key: &str) -> String {
    if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") }
}
