//! The plan the model keeps: steps, their states, and the two tool calls that change them. Pure.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::tool::{Args, ToolOutput, ToolSpec};

/// Replaces the plan. Never gated: it touches nothing outside the session.
pub const CREATE_PLAN: ToolSpec = ToolSpec {
    name: "create_plan",
    description: "Set the plan. Call first when a task needs more than about 3 calls.",
    parameters: r#"{"type":"object","properties":{"steps":{"type":"array","items":{"type":"string"}}},"required":["steps"]}"#,
    // The answer below says what is wrong, in words that fit a plan.
    required: &[],
};

/// Moves one step of the plan to another state. Never gated.
pub const UPDATE_STEP: ToolSpec = ToolSpec {
    name: "update_step",
    description: "Set the status of plan step `index` (from 1).",
    parameters: r#"{"type":"object","properties":{"index":{"type":"integer"},"status":{"type":"string","enum":["in_progress","completed","blocked"]}},"required":["index","status"]}"#,
    required: &[],
};

/// Keys under which models put the title when they give a step as an object.
const TITLE_KEYS: [&str; 8] = ["title", "step", "name", "description", "task", "text", "content", "summary"];

/// Where a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// Not begun.
    Pending,
    /// Being worked on; at most one step is.
    InProgress,
    /// Done.
    Completed,
    /// Cannot be done, as the model said.
    Blocked,
}

impl StepStatus {
    fn parse(text: &str) -> Option<StepStatus> {
        match text {
            "pending" => Some(StepStatus::Pending),
            "in_progress" => Some(StepStatus::InProgress),
            "completed" => Some(StepStatus::Completed),
            "blocked" => Some(StepStatus::Blocked),
            _ => None,
        }
    }

    /// The word used in arguments and results.
    pub fn as_str(self) -> &'static str {
        match self {
            StepStatus::Pending => "pending",
            StepStatus::InProgress => "in_progress",
            StepStatus::Completed => "completed",
            StepStatus::Blocked => "blocked",
        }
    }
}

/// One step of a [`Plan`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What is to be done; never blank.
    pub title: String,
    /// Where it stands.
    pub status: StepStatus,
}

/// Steps in order; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    steps: Vec<Step>,
}

impl Plan {
    /// The steps in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Number of completed steps.
    pub fn done(&self) -> usize {
        self.steps.iter().filter(|s| s.status == StepStatus::Completed).count()
    }

    /// Every step is completed; a blocked step is not.
    pub fn is_complete(&self) -> bool {
        self.done() == self.steps.len()
    }

    /// Steps that are not completed, numbered from 1.
    pub fn open(&self) -> impl Iterator<Item = (usize, &Step)> {
        self.steps
            .iter()
            .enumerate()
            .map(|(i, s)| (i + 1, s))
            .filter(|(_, s)| s.status != StepStatus::Completed)
    }

    /// One line for notes to the model: `Plan: 1/3 steps done.`
    pub fn summary(&self) -> String {
        format!("Plan: {}/{} steps done.", self.done(), self.steps.len())
    }

    /// The open steps, a line each: `  2. title (in progress)`. Seed 17.8.
    pub fn remaining(&self) -> String {
        let mut out = String::new();
        for (i, step) in self.open() {
            let mark = match step.status {
                StepStatus::InProgress => " (in progress)",
                StepStatus::Blocked => " (blocked)",
                StepStatus::Pending | StepStatus::Completed => "",
            };
            let _ = write!(out, "{}  {i}. {}{mark}", if out.is_empty() { "" } else { "\n" }, step.title);
        }
        out
    }

    fn update(&mut self, index: usize, status: StepStatus) {
        if status == StepStatus::InProgress {
            for step in &mut self.steps {
                if step.status == StepStatus::InProgress {
                    step.status = StepStatus::Completed;
                }
            }
        }
        self.steps[index].status = status;
    }
}

/// Is this one of the two tools that the turn answers by itself?
pub fn is_plan_tool(name: &str) -> bool {
    name == CREATE_PLAN.name || name == UPDATE_STEP.name
}

/// Answers a call of a plan tool and changes the plan. Seed section 10, rows `create_plan` and `update_step`.
pub fn answer(plan: &mut Option<Plan>, name: &str, args: &Args) -> ToolOutput {
    match name {
        "create_plan" => create(plan, args),
        "update_step" => update(plan, args),
        other => ToolOutput::error(format!("unknown tool `{other}`")),
    }
}

fn create(plan: &mut Option<Plan>, args: &Args) -> ToolOutput {
    let Some(Value::Array(items)) = args.get("steps").filter(|v| v.as_array().is_some_and(|a| !a.is_empty()))
    else {
        return ToolOutput::error("create_plan requires `steps`: a non-empty list of short titles.");
    };
    let steps: Vec<Step> = items
        .iter()
        .map(title)
        .filter(|title| !title.is_empty())
        .map(|title| Step { title, status: StepStatus::Pending })
        .collect();
    if steps.is_empty() {
        *plan = None;
        return ToolOutput::error("every step was blank, so there is no plan. Give each step a title.");
    }
    let n = steps.len();
    *plan = Some(Plan { steps });
    ToolOutput::ok(format!("Plan created with {n} step(s). Set step 1 to in_progress and start."))
}

fn update(plan: &mut Option<Plan>, args: &Args) -> ToolOutput {
    let Some(plan) = plan else {
        return ToolOutput::error("there is no plan. Call create_plan first.");
    };
    let n = plan.steps.len();
    let index = match args.get("index") {
        Some(Value::Number(i)) if i.is_i64() || i.is_u64() => {
            i.as_u64().filter(|i| (1..=n as u64).contains(i))
        }
        _ => return ToolOutput::error("`index` must be a whole number, counted from 1."),
    };
    let Some(index) = index else {
        return ToolOutput::error(format!("`index` is out of range: the plan has steps 1 to {n}."));
    };
    let Some(status) = args.get("status").and_then(Value::as_str).and_then(StepStatus::parse) else {
        return ToolOutput::error("`status` must be in_progress, completed or blocked.");
    };
    plan.update(index as usize - 1, status);
    ToolOutput::ok(format!("Step {index} → {}. ({}/{n} done)", status.as_str(), plan.done()))
}

fn title(item: &Value) -> String {
    let text = match item {
        Value::String(text) => text.clone(),
        Value::Object(fields) => TITLE_KEYS
            .iter()
            .find_map(|key| fields.get(*key).and_then(Value::as_str).filter(|t| !t.trim().is_empty()))
            .map_or_else(|| item.to_string(), str::to_owned),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn args(value: Value) -> Args {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn a_new_step_in_progress_completes_the_one_before() {
        let mut plan = None;
        answer(&mut plan, "create_plan", &args(json!({"steps": ["a", "b"]})));
        answer(&mut plan, "update_step", &args(json!({"index": 1, "status": "in_progress"})));
        let out = answer(&mut plan, "update_step", &args(json!({"index": 2, "status": "in_progress"})));
        assert_eq!(out.text, "Step 2 → in_progress. (1/2 done)");
        assert_eq!(plan.unwrap().remaining(), "  2. b (in progress)");
    }

    #[test]
    fn steps_given_as_objects_show_their_title() {
        let mut plan = None;
        answer(&mut plan, "create_plan", &args(json!({"steps": [{"title": " t "}, {"x": 1}, 3, null, ""]})));
        let titles: Vec<_> = plan.unwrap().steps().iter().map(|s| s.title.clone()).collect();
        assert_eq!(titles, ["t", r#"{"x":1}"#, "3"]);
    }

    #[test]
    fn a_blank_plan_is_none_and_a_wrong_one_keeps_the_old() {
        let mut plan = None;
        answer(&mut plan, "create_plan", &args(json!({"steps": ["a"]})));
        for wrong in [json!({"steps": "abc"}), json!({"steps": []}), json!({})] {
            assert!(answer(&mut plan, "create_plan", &args(wrong)).is_error);
            assert!(plan.is_some());
        }
        assert!(answer(&mut plan, "create_plan", &args(json!({"steps": ["", " "]}))).is_error);
        assert!(plan.is_none());
    }

    #[test]
    fn update_says_what_is_wrong() {
        let mut plan = None;
        let check = |plan: &mut Option<Plan>, a: Value, part: &str| {
            let out = answer(plan, "update_step", &args(a));
            assert!(out.is_error && out.text.contains(part), "{}", out.text);
        };
        check(&mut plan, json!({"index": 1, "status": "completed"}), "create_plan");
        answer(&mut plan, "create_plan", &args(json!({"steps": ["a"]})));
        check(&mut plan, json!({"index": 1.0, "status": "completed"}), "whole number");
        check(&mut plan, json!({"index": -1, "status": "completed"}), "steps 1 to 1");
        check(&mut plan, json!({"index": 2, "status": "completed"}), "steps 1 to 1");
        check(&mut plan, json!({"index": 1, "status": "done"}), "status");
    }
}
