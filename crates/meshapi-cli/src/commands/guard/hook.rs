//! `meshapi guard hook`: the guards as a PreToolUse hook of an agent that speaks that protocol.
//!
//! Its JSON names a tool and what it is given; the answer is `allow`, `ask` or `deny`. A failure of ours ends with exit code 2,
//! which that protocol takes for a refusal: nothing runs because a guard was broken.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use mesh_safety::rules::Rules;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    args::Hook,
    case::{Case, Kind, Verdict},
};

/// What the agent says.
#[derive(Debug, Deserialize)]
struct Call {
    tool_name: String,
    #[serde(default)]
    tool_input: Value,
    cwd: PathBuf,
}

/// Where the input of a tool says what it would do: names of tools, the field, what that is.
const TOOLS: &[(&[&str], &str, Kind)] = &[
    (&["Bash", "run_bash", "start_server"], "command", Kind::Command),
    (&["Read", "NotebookRead", "read_file"], "file_path", Kind::ReadPath),
    (&["Write", "Edit", "MultiEdit", "write_file", "edit_file"], "file_path", Kind::WritePath),
    (&["NotebookEdit"], "notebook_path", Kind::WritePath),
    (&["Grep", "Glob", "LS", "grep", "glob", "list_dir"], "path", Kind::ReadPath),
    (&["WebFetch"], "url", Kind::Url),
];

/// Answers one call; `rules` are the user's for a folder, `resolve` is the name service.
///
/// # Errors
/// The input is not such a call, or the mode is none: nothing is allowed then.
pub(super) fn answer(
    input: &str,
    wanted: &Hook,
    home: Option<PathBuf>,
    rules: impl Fn(&Path) -> Result<Rules, String>,
    resolve: impl Fn(&str) -> Vec<IpAddr>,
) -> Result<Value, String> {
    let call: Call =
        serde_json::from_str(input).map_err(|error| format!("not a PreToolUse call: {error}"))?;
    let verdict = match question(&call) {
        Some((kind, text)) => {
            let dns = match (kind, mesh_safety::WebTarget::parse(&text)) {
                (Kind::Url, Ok(target)) => [(target.host(), resolve(&target.host()))].into(),
                _ => Default::default(),
            };
            let case = Case {
                kind,
                input: text,
                mode: Some(wanted.mode.clone()),
                cwd: call.cwd.clone(),
                home,
                is_unconfined: !wanted.confined,
                rules: rules(&call.cwd)?,
                dns,
                redirects: Vec::new(),
            };
            case.judge().ok_or_else(|| "there is no such mode".to_owned())?
        }
        None => Verdict {
            verdict: "ask",
            reasons: vec![format!("nothing is known about what `{}` would do with this", call.tool_name)],
            redacted: None,
        },
    };
    let decision = if verdict.verdict == "block" { "deny" } else { verdict.verdict };
    Ok(json!({"hookSpecificOutput": {
        "hookEventName": "PreToolUse",
        "permissionDecision": decision,
        "permissionDecisionReason": verdict.reasons.join("; "),
    }}))
}

fn question(call: &Call) -> Option<(Kind, String)> {
    let (_, field, kind) = TOOLS.iter().find(|(names, ..)| names.contains(&call.tool_name.as_str()))?;
    // Our own tools say `path` where others say `file_path`; a search without one is of the folder itself.
    let text = call.tool_input.get(field).or_else(|| call.tool_input.get("path")).and_then(Value::as_str);
    match (text, *field) {
        (Some(text), _) => Some((*kind, text.to_owned())),
        (None, "path") => Some((*kind, call.cwd.display().to_string())),
        (None, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(mode: &str) -> Hook {
        Hook { mode: mode.to_owned(), confined: false }
    }

    fn none(_: &Path) -> Result<Rules, String> {
        Ok(Rules::default())
    }

    #[track_caller]
    fn decision(tool: &str, input: Value) -> String {
        let call =
            json!({"tool_name": tool, "tool_input": input, "cwd": "/w", "session_id": "s"}).to_string();
        let public = |_: &str| vec!["93.184.216.34".parse().unwrap()];
        let answer = answer(&call, &hook("auto"), Some("/home/dev".into()), none, public).unwrap();
        answer["hookSpecificOutput"]["permissionDecision"].as_str().unwrap().to_owned()
    }

    #[test]
    fn tools_are_known_by_their_names() {
        assert_eq!(decision("Bash", json!({"command": "ls"})), "allow");
        assert_eq!(decision("Bash", json!({"command": "sudo ls"})), "ask");
        assert_eq!(decision("Write", json!({"file_path": "/w/a.txt"})), "allow");
        assert_eq!(decision("Edit", json!({"file_path": "/w/.git/config"})), "ask");
        assert_eq!(decision("Read", json!({"file_path": "/home/dev/.ssh/id_rsa"})), "ask");
        assert_eq!(decision("Grep", json!({"pattern": "x"})), "allow");
        assert_eq!(decision("WebFetch", json!({"url": "https://example.com"})), "allow");
        assert_eq!(decision("WebFetch", json!({"url": "http://169.254.169.254/"})), "ask");
        assert_eq!(decision("Bash", json!({"command": 7})), "ask");
        assert_eq!(decision("Bash", json!({"command": "frobnicate"})), "ask");
        assert_eq!(decision("mcp__x__y", json!({})), "ask");
    }

    #[test]
    fn what_is_no_call_is_an_error() {
        for bad in ["", "{}", "[]", r#"{"tool_name": 7, "cwd": "/"}"#] {
            assert!(answer(bad, &hook("auto"), None, none, |_| Vec::new()).is_err(), "{bad}");
        }
        let call = r#"{"tool_name": "Bash", "tool_input": {"command": "ls"}, "cwd": "/w"}"#;
        assert!(answer(call, &hook("mad"), None, none, |_| Vec::new()).is_err());
    }
}
