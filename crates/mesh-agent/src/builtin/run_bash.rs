//! A command in the shell, with a deadline. Nothing that it started outlives the call.

use std::time::Duration;

use mesh_safety::{
    Action,
    sandbox::{Denial, Rule},
};
use serde_json::Value;

use crate::{
    process::{self, Ending, Finished, ShellCommand},
    tool::{
        Args, Tool, ToolContext, ToolFuture, ToolOutput, ToolSpec,
        output::{COMMAND_OUTPUT_CHARS, HeadTail},
    },
};

/// How long a command may run unless the call says otherwise. From the seed, section 10: 120 s.
const DEFAULT_LIMIT: Duration = Duration::from_secs(120);

/// Shortest and longest time that a call may ask for, in seconds. From beyond-the-seed G.
const LIMIT_SECONDS: (u64, u64) = (5, 600);

/// Characters of the command in its summary. Seed 10.4.
const SUMMARY_CHARS: usize = 200;

const SPEC: ToolSpec = ToolSpec {
    name: "run_bash",
    description: "Run a shell command to its end. Limit 120 s unless timeout (5-600) is given; what it \
                  leaves running is killed.",
    parameters: r#"{"type":"object","properties":{"command":{"type":"string"},"timeout":{"type":"integer"}},"required":["command"]}"#,
    required: &["command"],
};

/// Runs one shell command: stdin empty, both outputs merged in order, killed with all that it started at its deadline.
///
/// The result is the output, cut to head and tail, and a last line `[exit N]`; a negative N is the signal.
#[derive(Clone, Copy, Debug)]
pub struct RunBash {
    default_limit: Duration,
}

impl Default for RunBash {
    fn default() -> RunBash {
        RunBash::new()
    }
}

impl RunBash {
    /// The tool with the seed's limit of 120 s.
    pub const fn new() -> RunBash {
        RunBash { default_limit: DEFAULT_LIMIT }
    }

    /// The tool with another limit for calls that name none.
    pub const fn with_default_limit(default_limit: Duration) -> RunBash {
        RunBash { default_limit }
    }

    /// How long a call with these arguments may run: 5 to 600 s.
    pub fn limit(&self, args: &Args) -> Duration {
        let (least, most) = LIMIT_SECONDS;
        let asked =
            args.get("timeout").and_then(whole_seconds).map_or(self.default_limit, Duration::from_secs);
        asked.clamp(Duration::from_secs(least), Duration::from_secs(most))
    }

    async fn execute(&self, args: &Args, ctx: &ToolContext) -> ToolOutput {
        let command = command(args);
        if command.is_empty() {
            return ToolOutput::error("run_bash requires a `command` argument.");
        }
        let limit = self.limit(args);
        let shell = ShellCommand {
            text: command,
            cwd: &ctx.cwd,
            env: &ctx.env,
            variables: &[],
            sandbox: ctx.sandbox.as_deref(),
            grants: &ctx.grants,
            serves: false,
        };
        let mut output = HeadTail::new(COMMAND_OUTPUT_CHARS);
        let finished = match process::run(shell, limit, ctx.line.stopped(), |bytes| output.push(bytes)).await
        {
            Ok(finished) => finished,
            Err(_) if !ctx.cwd.is_dir() => {
                return ToolOutput::error(format_args!(
                    "the working folder {} is not there any more; nothing was run",
                    ctx.cwd.display()
                ));
            }
            Err(error) => {
                return ToolOutput::error(format_args!(
                    "the shell did not run in {}: {error}",
                    ctx.cwd.display()
                ));
            }
        };
        let text = output.finish();
        match finished.ending {
            Ending::Exited(code) => {
                let note = if finished.cut_short { CUT_SHORT } else { "" };
                let denials = if code == 0 { Vec::new() } else { denials(&finished, &text, ctx) };
                let notes = finished.confined.map(|report| report.notes).unwrap_or_default();
                // The notes have the hosts, with the reason.
                let rules = denials.iter().filter(|denial| denial.rule != Rule::Host).map(Denial::to_string);
                let said: String =
                    notes.into_iter().chain(rules).map(|note| format!("[sandbox: {note}]\n")).collect();
                let text = format!("{text}\n{said}{note}[exit {code}]");
                ToolOutput { exit_code: Some(code), denials, ..ToolOutput::ok(text) }
            }
            Ending::TimedOut => timed_out(limit, &text),
            Ending::Stopped => stopped(&text),
        }
    }
}

/// What the sandbox kept a command from, which has failed.
fn denials(finished: &Finished, output: &str, ctx: &ToolContext) -> Vec<Denial> {
    let (Some(sandbox), Some(report)) = (&ctx.sandbox, &finished.confined) else { return Vec::new() };
    let mut denials = report.denials.clone();
    let is_asked = !denials.is_empty();
    let told = sandbox.explain(output, &ctx.cwd);
    // A host that the proxy named explains why a name was not found.
    denials.extend(told.into_iter().filter(|denial| !(is_asked && denial.rule == Rule::Network)));
    denials
}

/// Said when something in the background was ended with its shell, so that nobody waits for it.
const CUT_SHORT: &str = "[background processes were killed with their shell; a server needs start_server]\n";

fn timed_out(limit: Duration, text: &str) -> ToolOutput {
    let seconds = limit.as_secs();
    let said = if text.is_empty() { "(no output)" } else { text };
    ToolOutput::error(format_args!(
        "command timed out after {seconds}s; it was killed with everything it had started. Its stdin is empty, so nothing \
         can be typed: use flags such as --yes. Split long work, raise timeout (at most {}), or start a server with \
         start_server. Output until then:\n{said}",
        LIMIT_SECONDS.1
    ))
}

fn stopped(text: &str) -> ToolOutput {
    let said = if text.is_empty() { "(no output)" } else { text };
    ToolOutput::error(format_args!(
        "the user stopped the command; it was killed with everything it had started. Output until then:\n{said}"
    ))
}

fn command(args: &Args) -> &str {
    args.get("command").and_then(Value::as_str).unwrap_or_default()
}

/// Models write whole numbers as 5, 5.0 and sometimes below zero; the clamp does the rest.
fn whole_seconds(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_f64().map(|seconds| seconds as u64))
}

/// The text, or its first characters and `…`.
pub(super) fn shorten(text: &str, max_chars: usize) -> String {
    match text.char_indices().nth(max_chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// An argument in a summary: the text, cut; another kind of value as JSON; or that it is missing.
pub(super) fn shown(args: &Args, name: &str, max_chars: usize) -> String {
    match args.get(name) {
        None | Some(Value::Null) => format!("(missing {name})"),
        Some(Value::String(text)) if text.is_empty() => format!("(missing {name})"),
        Some(Value::String(text)) => shorten(text, max_chars),
        Some(other) => shorten(&other.to_string(), max_chars),
    }
}

impl Tool for RunBash {
    fn spec(&self) -> &ToolSpec {
        &SPEC
    }

    fn action(&self, args: &Args, _ctx: &ToolContext) -> Action {
        Action::Run { command: command(args).to_owned() }
    }

    fn summary(&self, args: &Args) -> String {
        format!("run_bash: {}", shown(args, "command", SUMMARY_CHARS))
    }

    fn run<'a>(&'a self, args: &'a Args, ctx: &'a ToolContext) -> ToolFuture<'a> {
        Box::pin(self.execute(args, ctx))
    }
}
