//! What the levers did to one request.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value, json};

use crate::classify::TaskClass;
use crate::dialect::Dialect;

/// How the tokens of a plan were counted, as the TypeScript package names it.
pub const ESTIMATE_METHOD: &str = "pre_optimization_char_estimate_div4";

/// A lever, by the names that plans and audits give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Lever {
    /// Parameters that the model rejects are taken out. In audits only.
    ParamGuard,
    /// Old results of tools are cut.
    ToolResultPruning,
    /// Breakpoints for the provider's cache are set.
    CacheInjection,
    /// The completion gets a cap.
    MaxTokensDefault,
    /// The model is told to think less.
    EffortDowngrade,
    /// The request may wait for a batch.
    BatchEligible,
    /// The same, as audits name it.
    BatchRouting,
    /// Not built in the originals; audits say so from dial 0.4 on.
    ContextCompaction,
    /// Not built in the originals; audits say so from dial 0.4 on.
    SubagentCaps,
    /// Not built in the originals; audits say so from dial 0.6 on.
    ModelRouting,
}

impl Lever {
    /// Returns the name that plans and audits use.
    pub fn as_str(self) -> &'static str {
        match self {
            Lever::ParamGuard => "param_guard",
            Lever::ToolResultPruning => "tool_result_pruning",
            Lever::CacheInjection => "cache_injection",
            Lever::MaxTokensDefault => "max_tokens_default",
            Lever::EffortDowngrade => "effort_downgrade",
            Lever::BatchEligible => "batch_eligible",
            Lever::BatchRouting => "batch_routing",
            Lever::ContextCompaction => "context_compaction",
            Lever::SubagentCaps => "subagent_caps",
            Lever::ModelRouting => "model_routing",
        }
    }
}

/// One thing that a lever did, or said it would not do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Which lever.
    pub lever: Lever,
    /// What it did, in words.
    pub action: String,
    /// SHA-256, in hex, of a text that was cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_sha256: Option<String>,
    /// By how much it was cut; only the TypeScript package says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Why a request was passed on as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Untouched {
    /// The dial is at 0, below it, or no number.
    Off,
    /// The body is no JSON object.
    NotAnObject,
    /// `messages` is no list of objects. The originals fail here.
    NotMessages,
}

/// What was done to one request.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Whose levers ran.
    pub dialect: Dialect,
    /// The dial in force; `None` where the request's own is no number, which only the Python releases tell apart from 0.
    pub dial: Option<Number>,
    /// The request's `model` as it stands there.
    pub model: Option<Value>,
    /// What kind of work the request is; standard where nobody looked.
    pub class: TaskClass,
    /// The levers that changed the request, in order.
    pub levers: Vec<Lever>,
    /// The request may wait for a batch.
    pub is_batch_eligible: bool,
    /// Tokens (estimated) that are not sent.
    pub tokens_removed: u64,
    /// Each single thing that was done.
    pub audit: Vec<AuditEntry>,
    /// Nothing was done, for this reason.
    pub untouched: Option<Untouched>,
}

impl Plan {
    /// Returns the plan of a request to which nothing was done.
    pub fn new(dialect: Dialect) -> Plan {
        Plan {
            dialect,
            dial: Number::from_f64(0.0),
            model: None,
            class: TaskClass::Standard,
            levers: Vec::new(),
            is_batch_eligible: false,
            tokens_removed: 0,
            audit: Vec::new(),
            untouched: None,
        }
    }

    /// Returns the plan in the shape of the original whose levers ran.
    ///
    /// TypeScript: `{dial, model, classification, leversApplied, batchEligible, estimatedTokensRemoved, baselineEstimateMethod, audit}`;
    /// Python: `{dial, classification, levers_applied, tokens_pruned_est, audit}`.
    pub fn to_json(&self) -> Value {
        let mut fields = Map::new();
        let mut put = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
        put("dial", json!(self.dial));
        match self.dialect {
            Dialect::Utf16 => {
                if let Some(model) = &self.model {
                    put("model", model.clone());
                }
                put("classification", json!(self.class));
                put("leversApplied", json!(self.levers));
                put("batchEligible", json!(self.is_batch_eligible));
                put("estimatedTokensRemoved", json!(self.tokens_removed));
                put("baselineEstimateMethod", json!(ESTIMATE_METHOD));
            }
            Dialect::CodePoints => {
                put("classification", json!(self.class));
                put("levers_applied", json!(self.levers));
                put("tokens_pruned_est", json!(self.tokens_removed));
            }
        }
        put("audit", json!(self.audit));
        Value::Object(fields)
    }

    /// Writes down what a lever did.
    pub(super) fn note(&mut self, lever: Lever, action: impl Into<String>) {
        self.audit.push(AuditEntry { lever, action: action.into(), content_sha256: None, detail: None });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lever_has_one_name() {
        for lever in [
            Lever::ParamGuard,
            Lever::ToolResultPruning,
            Lever::CacheInjection,
            Lever::MaxTokensDefault,
            Lever::EffortDowngrade,
            Lever::BatchEligible,
            Lever::BatchRouting,
            Lever::ContextCompaction,
            Lever::SubagentCaps,
            Lever::ModelRouting,
        ] {
            assert_eq!(json!(lever), lever.as_str());
        }
    }

    #[test]
    fn each_original_has_its_shape() {
        let plan = |dialect| Plan { model: Some(json!("m")), ..Plan::new(dialect) }.to_json().to_string();
        assert_eq!(
            plan(Dialect::Utf16),
            r#"{"dial":0.0,"model":"m","classification":"standard","leversApplied":[],"batchEligible":false,"estimatedTokensRemoved":0,"baselineEstimateMethod":"pre_optimization_char_estimate_div4","audit":[]}"#
        );
        assert_eq!(
            plan(Dialect::CodePoints),
            r#"{"dial":0.0,"classification":"standard","levers_applied":[],"tokens_pruned_est":0,"audit":[]}"#
        );
    }
}
