//! The parts of SARIF 2.1.0 that are used. Every list is bounded, and what is `null` is as if it weren't there.

use serde::Deserialize;

use crate::scanner::report::json::{Count, Few, Loose, Named};

/// A text in plain or Markdown, or the id of one.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Message {
    pub text: Option<String>,
    pub markdown: Option<String>,
    pub id: Option<String>,
    pub arguments: Few<String, 32>,
}

/// All of a run but its results.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Run {
    pub tool: Tool,
    pub invocations: Few<Invocation, 64>,
    pub original_uri_base_ids: Named<ArtifactLocation, 64>,
    /// None: the run names none, which is not the same as none there.
    pub artifacts: Option<super::places::Artifacts>,
    /// None: the run has no results, which is not the same as none found.
    pub results: Option<Count>,
    pub external_property_file_references: Option<ExternalFiles>,
    pub properties: Option<RunProperties>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ExternalFiles {
    pub results: Count,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct RunProperties {
    /// Bandit: lines of code of each file, and of all as `_totals`.
    pub metrics: Option<Named<Metrics, 2>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Metrics {
    pub loc: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Tool {
    pub driver: Component,
    pub extensions: Few<Component, 256>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Component {
    pub name: Option<String>,
    pub guid: Option<String>,
    pub version: Option<String>,
    pub semantic_version: Option<String>,
    pub rules: Option<super::rules::Rules>,
    pub global_message_strings: Named<Message, 512>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Rule {
    pub id: Option<String>,
    pub name: Option<String>,
    pub short_description: Option<Message>,
    pub full_description: Option<Message>,
    pub help: Option<Message>,
    pub help_uri: Option<String>,
    pub default_configuration: Option<Configuration>,
    pub message_strings: Named<Message, 64>,
    pub deprecated_ids: Few<String, 16>,
    pub relationships: Few<Relationship, 32>,
    pub properties: Option<Properties>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Configuration {
    pub level: Option<Level>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Relationship {
    pub target: Option<Reference>,
}

/// What a rule or a result says beyond SARIF. Each tool has words of its own.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Properties {
    pub tags: Loose,
    #[serde(rename = "security-severity")]
    pub security_severity: Loose,
    pub severity: Loose,
    pub issue_severity: Loose,
    pub cwe: Loose,
    pub purls: Loose,
    pub parameter: Loose,
    pub param: Loose,
    #[serde(rename = "secretSnippet")]
    pub secret_snippet: Loose,
    pub secret: Loose,
    pub raw: Loose,
    #[serde(rename = "match")]
    pub matched: Loose,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    None,
    Note,
    Warning,
    Error,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    NotApplicable,
    Pass,
    #[default]
    Fail,
    Review,
    Open,
    Informational,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Invocation {
    pub execution_successful: Option<bool>,
    pub exit_code: Option<i64>,
    pub tool_execution_notifications: Few<Notification, 1024>,
    pub tool_configuration_notifications: Few<Notification, 1024>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Notification {
    pub level: Option<Level>,
    pub message: Message,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ArtifactLocation {
    pub uri: Option<String>,
    pub uri_base_id: Option<String>,
    pub index: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Artifact {
    pub location: Option<ArtifactLocation>,
}

/// A reference to a rule or a taxon.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Reference {
    pub id: Option<String>,
    pub index: Option<i64>,
    pub tool_component: Option<ComponentReference>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ComponentReference {
    pub name: Option<String>,
    pub index: Option<i64>,
    pub guid: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Outcome {
    pub rule_id: Option<String>,
    pub rule_index: Option<i64>,
    pub rule: Option<Reference>,
    pub kind: Option<Kind>,
    pub level: Option<Level>,
    pub message: Message,
    pub locations: Few<Location, 1>,
    pub suppressions: Few<Suppression, 64>,
    pub baseline_state: Option<Baseline>,
    pub taxa: Few<Reference, 32>,
    pub partial_fingerprints: Option<Fingerprints>,
    pub properties: Option<Properties>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Fingerprints {
    /// Gitleaks: the commit of the history that has it; empty where a folder was looked at.
    pub commit_sha: Loose,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Baseline {
    New,
    Unchanged,
    Updated,
    Absent,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Suppression {
    pub status: Option<Status>,
    /// What drafts of 2.1.0 called it.
    pub state: Option<Status>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Status {
    Accepted,
    UnderReview,
    Rejected,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Location {
    pub physical_location: Option<PhysicalLocation>,
    pub logical_locations: Few<LogicalLocation, 8>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PhysicalLocation {
    pub artifact_location: Option<ArtifactLocation>,
    pub region: Option<Region>,
    pub context_region: Option<Region>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Region {
    pub start_line: Option<i64>,
    pub start_column: Option<i64>,
    pub end_line: Option<i64>,
    pub end_column: Option<i64>,
    pub snippet: Option<Message>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LogicalLocation {
    pub name: Option<String>,
    pub fully_qualified_name: Option<String>,
    pub kind: Option<String>,
}
