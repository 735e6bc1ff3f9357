//! GraphiQL's examples hold for the schema that they are shown with, and the documents of the README for the full one.
#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use async_graphql::{Executor, Request, Response, Variables};
use kiops::graphql::limits::{Limits, admit};
use kiops::graphql::schemas;
use serde_json::Value;

/// Nothing is called so.
const NONE: &str = "NothingOfThisName";
const COMMENT: &str = "# Variables: ";

/// As `web/graphiql/src/examples.js` reads it.
struct Example {
    group: String,
    title: String,
    variables: Value,
    text: String,
}

/// What is wrong with the operation of this name and its variables, as the schema of its caller says. Beside it stands one that
/// is wrong for sure, so that all is validated and nothing executed.
async fn faults(schema: &impl Executor, (name, text): (&str, &str), variables: &Value) -> Vec<String> {
    let document = format!("{text}\nquery Wrong {{ {NONE} }}");
    let request = Request::new(document).operation_name(name).variables(Variables::from_json(variables.clone()));
    without(schema.execute(request).await, &format!("Unknown field \"{NONE}\" on type \"Query\"."))
}

/// The messages but for one, which must be there.
fn without(answer: Response, sure: &str) -> Vec<String> {
    let (sure, others): (Vec<_>, Vec<_>) =
        answer.errors.into_iter().map(|error| error.message).partition(|message| message == sure);
    assert_eq!(sure.len(), 1, "{others:?}");
    others
}

fn examples() -> Vec<Example> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("web/graphiql/examples");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files.iter().flat_map(|file| group(&std::fs::read_to_string(file).unwrap())).collect()
}

fn group(text: &str) -> Vec<Example> {
    let mut blocks = text.trim().split("\n\n");
    let name = blocks.next().unwrap().strip_prefix("# ").unwrap().to_owned();
    blocks
        .map(|block| {
            let title = block.lines().next().unwrap().strip_prefix("# ").unwrap().to_owned();
            let variables = block.lines().find_map(|line| line.strip_prefix(COMMENT));
            let variables = variables.map_or(Value::Null, |json| serde_json::from_str(json).unwrap());
            Example { group: name.clone(), title, variables, text: block.to_owned() }
        })
        .collect()
}

/// Renew the snapshot with `INSTA_UPDATE=always` and read the difference: what only admins are shown is marked.
#[tokio::test]
async fn examples_hold_for_the_schema_that_shows_them() {
    let schemas = schemas(None);
    let (mut titles, mut names, mut list, mut group) = (BTreeSet::new(), BTreeSet::new(), String::new(), String::new());
    for example in examples() {
        let admitted = admit(&example.text, None, &Limits::default()).unwrap();
        let name = admitted.operation.expect("an example has a name, which its tab is called by");
        assert!(titles.insert(example.title.clone()), "{} is there twice", example.title);
        assert!(names.insert(name.clone()), "{name} is there twice");
        let wrong = faults(&schemas.full, (&name, &example.text), &example.variables).await;
        assert_eq!(wrong, Vec::<String>::new(), "{}", example.title);
        let is_shared = faults(&schemas.member, (&name, &example.text), &example.variables).await.is_empty();
        if group != example.group {
            group.clone_from(&example.group);
            writeln!(list, "{group}").unwrap();
        }
        writeln!(list, "  {}{}", example.title, if is_shared { "" } else { " [admin]" }).unwrap();
    }
    insta::assert_snapshot!("examples", list);
}

/// What a document of the README is worth without its variables: names and types.
#[tokio::test]
async fn documents_of_the_readme_hold() {
    let schemas = schemas(None);
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (mut kind, mut block, mut documents) = (None, String::new(), Vec::new());
    for line in readme.lines() {
        match (line.strip_prefix("```"), kind.take()) {
            (Some(begun), None) => kind = Some(begun.to_owned()),
            (Some(_), Some(ended)) => {
                match ended.as_str() {
                    "graphql" => documents.push(std::mem::take(&mut block)),
                    // What stands in single quotes after gql.
                    "sh" => documents.extend(
                        block.split("gql '").skip(1).filter_map(|rest| Some(rest.split_once('\'')?.0.to_owned())),
                    ),
                    _ => {}
                }
                block.clear();
            }
            (None, Some(open)) => {
                block.push_str(line);
                block.push('\n');
                kind = Some(open);
            }
            (None, None) => {}
        }
    }
    assert!(documents.len() > 25, "only {} documents are found", documents.len());
    for document in documents {
        // Asked for an operation that it does not have, a document is validated and not executed.
        let answer = schemas.full.execute(Request::new(&document).operation_name(NONE)).await;
        let wrong = without(answer, &format!("Unknown operation named \"{NONE}\""));
        assert_eq!(wrong, Vec::<String>::new(), "{document}");
    }
}
