//! The set `permissions`: modes, commands, addresses and paths. Everything is judged, nothing is run or fetched.

use std::{net::IpAddr, path::Path};

use mesh_agent::{
    Tool,
    builtin::{ReadFile, WriteFile},
    tool::Args,
};
use mesh_safety::{
    Action, Decision, PermissionMode, Policy, WebTarget, judge, judge_command, judge_read, judge_url,
    judge_write,
};
use serde_json::{Value, json};

use super::{Answer, NOT_BUILT, Outcome, folders, output, text, toolbox::context};

/// Where commands of records without folders are judged to run.
const WORKSPACE: &str = "/home/dev/app";
const HOME: &str = "/home/dev";

pub(super) fn answer(op: &str, input: &Value) -> Outcome {
    match op {
        "mode_parse" => parse_mode(&text(input, "text")),
        "cmd" => {
            let policy = match folders(input) {
                Ok((cwd, home)) => policy(&cwd, &home),
                Err(_) => policy(Path::new(WORKSPACE), Path::new(HOME)),
            };
            verdict("auto", &judge_command(&text(input, "command"), mode(input)?, &policy))
        }
        "url" => url(input),
        "read_safe" | "write_safe" => path(op, input),
        _ => Ok(Answer::Skip(NOT_BUILT)),
    }
}

fn policy(workspace: &Path, home: &Path) -> Policy {
    Policy { workspace: workspace.to_owned(), home: Some(home.to_owned()), ..Policy::default() }
}

fn mode(input: &Value) -> Result<PermissionMode, String> {
    text(input, "mode").parse().map_err(|error: mesh_safety::UnknownMode| error.to_string())
}

fn verdict(word: &str, decision: &Decision) -> Outcome {
    let why = decision.reasons().first().map(|reason| &reason.text);
    output(json!({word: decision.is_allow(), "why": why}))
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

/// The path goes through the tool that would open it, as in a turn.
fn path(op: &str, input: &Value) -> Outcome {
    let (cwd, home) = folders(input)?;
    let (context, policy) = (context(&cwd, &home), policy(&cwd, &home));
    let args = Args::from_iter([("path".to_owned(), input["path"].clone())]);
    let action = match op {
        "read_safe" => ReadFile.action(&args, &context),
        _ => WriteFile.action(&args, &context),
    };
    let decision = match &action {
        Action::Read { path } => judge_read(path, &policy),
        Action::Write { path } => judge_write(path, mode(input)?, &policy),
        other => judge(other, mode(input)?, &policy),
    };
    verdict("auto", &decision)
}

fn url(input: &Value) -> Outcome {
    let url = text(input, "url");
    let host = WebTarget::parse(&url).map(|target| target.host()).unwrap_or_default();
    let addresses = resolve(&input["dns"], &host);
    verdict("safe", &judge_url(&url, &addresses))
}

/// The addresses that the record gives a name; no other source is asked.
fn resolve(dns: &Value, name: &str) -> Vec<IpAddr> {
    let names = dns.as_object();
    let found = names.and_then(|names| names.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)));
    let addresses = found.and_then(|(_, addresses)| addresses.as_array());
    let address = |value: &Value| value.as_str()?.split('%').next()?.parse().ok();
    addresses.into_iter().flatten().filter_map(address).collect()
}
