//! Several CycloneDX documents as one: what each image of a service is made of, beneath that image.

use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Value, json};

use super::json::{self, Each};
use crate::scanner::ScanError;

/// What stands for the service, and what the references of its documents begin with.
const WHOLE: &str = "service";

/// A document that a tool wrote.
#[derive(Debug, Clone)]
pub struct Part {
    /// The image that it is of.
    pub image: String,
    /// The file, which was read with success before.
    pub document: PathBuf,
}

/// Writes one document of several: a component of each image, in which is what its own document lists, and their dependencies.
/// References are made different by which image they are of. Of other parts of the documents nothing stays. Of long texts as
/// much stays as is read of a report. Blocks.
///
/// # Errors
/// [`ScanError::Unreadable`] when a document can't be read again; [`ScanError::Failed`] when nothing can be written.
pub fn join(service: &str, parts: &[Part], mut out: impl Write) -> Result<(), ScanError> {
    let heads: Vec<Head> = parts.iter().map(head).collect::<Result<_, _>>()?;
    // Fields of 1.7 are in no older document.
    let version = if heads.iter().any(|head| head.spec_version.as_deref() == Some("1.7")) { "1.7" } else { "1.6" };
    let roots: Vec<String> = heads.iter().enumerate().map(|(n, head)| root(n, head)).collect();
    let whole = json!({ "component": { "type": "application", "bom-ref": WHOLE, "name": service } });
    write(&mut out, &format!(r#"{{"bomFormat":"CycloneDX","specVersion":"{version}","version":1,"metadata":{whole}"#))?;
    write(&mut out, r#","components":["#)?;
    for (n, (part, head)) in parts.iter().zip(&heads).enumerate() {
        let mut component = image(&part.image, head);
        component["bom-ref"] = json!(roots[n]);
        let opened = component.to_string();
        let comma = if n == 0 { "" } else { "," };
        write(&mut out, &format!(r#"{comma}{},"components":["#, &opened[..opened.len() - 1]))?;
        each(
            &part.document,
            "components",
            &mut out,
            (n, |mut component: Value, prefix: &str| {
                rename(&mut component, prefix);
                component
            }),
        )?;
        write(&mut out, "]}")?;
    }
    let all = json!({ "ref": WHOLE, "dependsOn": roots });
    write(&mut out, &format!(r#"],"dependencies":[{all}"#))?;
    for (n, part) in parts.iter().enumerate() {
        let mut dependencies = Vec::new();
        each(
            &part.document,
            "dependencies",
            &mut dependencies,
            (n, |mut one: Value, prefix: &str| {
                rename_all(&mut one, prefix);
                one
            }),
        )?;
        if !dependencies.is_empty() {
            write(&mut out, ",")?;
            out.write_all(&dependencies).map_err(unwritable)?;
        }
    }
    write(&mut out, "]}")?;
    out.flush().map_err(unwritable)
}

/// What a document says of itself.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Head {
    spec_version: Option<String>,
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    component: Subject,
}

/// What a document is of.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Subject {
    #[serde(rename = "bom-ref")]
    reference: Option<String>,
    purl: Option<String>,
}

fn head(part: &Part) -> Result<Head, ScanError> {
    json::parse(&part.document, std::marker::PhantomData::<Head>)
}

/// How the image of a document is referred to.
fn root(n: usize, head: &Head) -> String {
    format!("{}{}", prefix(n), head.metadata.component.reference.as_deref().unwrap_or_default())
}

fn prefix(n: usize) -> String {
    format!("image-{}/", n + 1)
}

fn image(name: &str, head: &Head) -> Value {
    let tagged = name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/'));
    let mut component = match name.split_once('@').or(tagged) {
        Some((name, version)) => json!({ "type": "container", "name": name, "version": version }),
        None => json!({ "type": "container", "name": name }),
    };
    if let Some(purl) = &head.metadata.component.purl {
        component["purl"] = json!(purl);
    }
    component
}

/// The component and those in it get references of their own.
fn rename(component: &mut Value, prefix: &str) {
    if let Some(Value::String(reference)) = component.get_mut("bom-ref") {
        reference.insert_str(0, prefix);
    }
    if let Some(Value::Array(inner)) = component.get_mut("components") {
        inner.iter_mut().for_each(|component| rename(component, prefix));
    }
}

/// All references of a dependency.
fn rename_all(dependency: &mut Value, prefix: &str) {
    if let Some(Value::String(reference)) = dependency.get_mut("ref") {
        reference.insert_str(0, prefix);
    }
    for list in ["dependsOn", "provides"] {
        let Some(Value::Array(all)) = dependency.get_mut(list) else { continue };
        for reference in all {
            if let Value::String(reference) = reference {
                reference.insert_str(0, prefix);
            }
        }
    }
}

/// Writes each element of a list of a document, made another one, with commas between.
fn each(
    document: &std::path::Path,
    list: &'static str,
    out: &mut impl Write,
    (n, change): (usize, impl Fn(Value, &str) -> Value),
) -> Result<(), ScanError> {
    let (prefix, mut is_first) = (prefix(n), true);
    let mut broken = None;
    let mut take = |element: Value| {
        let comma = if std::mem::take(&mut is_first) { "" } else { "," };
        let written = write!(out, "{comma}{}", change(element, &prefix));
        written.map_err(|error| {
            broken = Some(error);
            "it can't be written".to_owned()
        })
    };
    let read = json::parse(document, List { list, take: &mut take });
    match broken {
        Some(error) => Err(unwritable(error)),
        None => read,
    }
}

/// One list of a document.
struct List<'a> {
    list: &'static str,
    take: &'a mut dyn FnMut(Value) -> Result<(), String>,
}

impl<'de> DeserializeSeed<'de> for List<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a CycloneDX document")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut document: A) -> Result<(), A::Error> {
        while let Some(key) = document.next_key::<String>()? {
            if key == self.list {
                document.next_value_seed(Each::new(&mut *self.take))?;
            } else {
                document.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

fn write(out: &mut impl Write, text: &str) -> Result<(), ScanError> {
    out.write_all(text.as_bytes()).map_err(unwritable)
}

fn unwritable(error: io::Error) -> ScanError {
    ScanError::Failed(format!("the document of all images can't be written: {error}"))
}
