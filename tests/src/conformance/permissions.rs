//! The set `permissions`: modes, commands, addresses and paths. Everything is judged, nothing is run or fetched.

use std::path::Path;

use mesh_safety::{Action, PermissionMode, Policy, judge};
use serde_json::{Value, json};

use super::{Answer, NOT_BUILT, Outcome, output, text};

/// Where the harmless calls are judged to run.
const WORKSPACE: &str = "/home/dev/app";
const HOME: &str = "/home/dev";

pub(super) fn answer(op: &str, input: &Value) -> Outcome {
    match op {
        "mode_parse" => parse_mode(&text(input, "text")),
        _ => Ok(Answer::Skip(NOT_BUILT)),
    }
}

fn policy(workspace: &Path, home: &Path) -> Policy {
    Policy { workspace: workspace.to_owned(), home: Some(home.to_owned()), ..Policy::default() }
}

/// A mode, and which of the reference's tools it lets run unasked: seen on a harmless call of each.
fn parse_mode(word: &str) -> Outcome {
    let Some(mode) = PermissionMode::parse(word) else { return output(json!({"mode": null})) };
    let policy = policy(Path::new(WORKSPACE), Path::new(HOME));
    let file = Path::new(WORKSPACE).join("main.rs");
    let calls = [
        ("read_file", Action::Read { path: file.clone() }),
        ("run_bash", Action::Run { command: "ls".into() }),
        ("start_server", Action::Serve { command: "npm start".into() }),
        ("web_search", Action::WebSearch),
        ("write_file", Action::Write { path: file }),
    ];
    let runs = calls.iter().filter(|(_, action)| judge(action, mode, &policy).is_allow());
    output(json!({
        "mode": mode.name(),
        "label": mode.label(),
        "next": mode.next().name(),
        "auto_approve": runs.map(|(tool, _)| *tool).collect::<Vec<_>>(),
        // Seed 12.3: the way out is named where nothing asks.
        "esc_hint": mode == PermissionMode::Bypass,
    }))
}
