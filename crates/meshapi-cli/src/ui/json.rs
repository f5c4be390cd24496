//! Pure: what a headless run tells a program, as JSON values. Shapes and versions: `docs/formats.md`.
//!
//! The events are those of Claude Code's `--output-format`, so scripts port over; what is ours stands under `mesh`.

use mesh_agent::Savings;
use mesh_client::Cost;
use mesh_safety::sandbox::Denial as Held;
use serde_json::{Map, Value, json};

/// Version of everything under `mesh`. A reader refuses a greater one.
pub const MESH_VERSION: u32 = 1;

/// What every event carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run<'a> {
    /// Identifies the run; the same in all its events.
    pub session_id: &'a str,
    /// Model that was asked for.
    pub model: &'a str,
}

/// How the run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Init<'a> {
    /// Working directory, absolute.
    pub cwd: &'a str,
    /// Names of the tools in the order in which the model sees them.
    pub tools: &'a [&'a str],
    /// Permission mode as on our command line: `default`, `accept-edits`, `auto` or `bypass`.
    pub mode: &'a str,
    /// Where the key came from: `env`, `file` or `none`.
    pub key_source: &'a str,
    /// Version of this program.
    pub version: &'a str,
    /// How well commands are confined: `full`, `no-mounts`, `seatbelt` or `none`.
    pub sandbox: &'a str,
}

/// Tokens of one completion or of a whole run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// All tokens of the prompt, cached ones among them.
    pub prompt: u64,
    /// Tokens of the answer.
    pub completion: u64,
    /// Prompt tokens read from a cache.
    pub cache_read: u64,
    /// Prompt tokens written to a cache.
    pub cache_written: u64,
}

/// A tool call as the model made it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Call<'a> {
    /// Identifier of the call.
    pub id: &'a str,
    /// Name of the tool.
    pub name: &'a str,
    /// Arguments after repair; an object.
    pub input: &'a Value,
}

/// One answer of the model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Assistant<'a> {
    /// Identifier of the message; the gateway's request id where it gave one.
    pub id: &'a str,
    /// Model that answered.
    pub model: &'a str,
    /// Text of the answer; may be empty.
    pub text: &'a str,
    /// Calls in order.
    pub calls: &'a [Call<'a>],
    /// Why it ended, in the gateway's words: `stop`, `tool_calls`, `length`.
    pub finish_reason: Option<&'a str>,
    /// Tokens, where the gateway said.
    pub tokens: Option<Tokens>,
}

/// The result of one tool call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallResult<'a> {
    /// Identifier of the call.
    pub call_id: &'a str,
    /// Text that the model gets.
    pub text: &'a str,
    /// The call did not do what was asked.
    pub is_error: bool,
    /// Exit code of a command.
    pub exit_code: Option<i32>,
    /// What the sandbox kept it from.
    pub denials: &'a [Held],
}

/// A request that is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry<'a> {
    /// Number of the attempt that follows, from 2; with `whole` the one after the last.
    pub attempt: u32,
    /// How many attempts there are.
    pub of: u32,
    /// Wait before it, in milliseconds.
    pub wait_ms: u64,
    /// The next attempt is one non-streaming request.
    pub whole: bool,
    /// What went wrong.
    pub error: &'a str,
    /// Text of this answer was already shown and will come again.
    pub text_shown: bool,
}

/// How far the work on a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailState {
    /// Its turn begins.
    Taken,
    /// It was given back: it comes again.
    GivenBack,
    /// It was dealt with.
    Settled(mesh_agent::mail::Outcome),
}

/// A message of a peer in a run that works the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mail<'a> {
    /// Its number at the gateway.
    pub id: i64,
    /// Its sender, as the gateway says.
    pub from: &'a str,
    /// What for.
    pub kind: &'a str,
    /// Its thread.
    pub thread: Option<&'a str>,
    /// The gateway knows by the sender's token that it is theirs.
    pub is_verified: bool,
    /// How far the work is.
    pub state: MailState,
    /// A word about it.
    pub note: Option<&'a str>,
}

impl MailState {
    fn word(self) -> &'static str {
        match self {
            MailState::Taken => "taken",
            MailState::GivenBack => "given_back",
            MailState::Settled(outcome) => outcome.as_str(),
        }
    }
}

impl Mail<'_> {
    /// The same in a line for a person.
    pub fn line(&self) -> String {
        let unverified = if self.is_verified { "" } else { ", not verified" };
        let thread = self.thread.map(|thread| format!(" in {thread}")).unwrap_or_default();
        let note = self.note.map(|note| format!(": {note}")).unwrap_or_default();
        match self.state {
            MailState::Taken => {
                format!("✉ #{} {} from {}{unverified}{thread}", self.id, self.kind, self.from)
            }
            state => format!("✉ #{} {}{note}", self.id, state.word().replace('_', " ")),
        }
    }
}

/// How the run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// The model came to rest.
    Success,
    /// A model or gateway error, or an interruption.
    Error {
        /// One word for programs, such as `auth`, `network` or `interrupted`.
        kind: &'a str,
        /// One line for people.
        message: &'a str,
        /// What to do next.
        hint: Option<&'a str>,
    },
    /// The hop or budget limit was reached; the work so far is kept.
    Limit,
}

/// A call that was refused for want of approval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Denial<'a> {
    /// The call.
    pub call: Call<'a>,
    /// Why it was not allowed.
    pub reason: &'a str,
}

/// The end of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finish<'a> {
    /// How it ended.
    pub outcome: Outcome<'a>,
    /// The last text of the model.
    pub text: &'a str,
    /// Milliseconds from prompt to rest.
    pub duration_ms: u64,
    /// Milliseconds of that spent waiting for the gateway.
    pub api_ms: u64,
    /// Completions that were asked for.
    pub hops: u32,
    /// Sum over all hops, where the gateway said.
    pub tokens: Option<Tokens>,
    /// What it cost; `None` when nothing can be priced.
    pub cost: Option<Cost>,
    /// What the dial saved.
    pub savings: Option<&'a Savings>,
    /// Calls that were refused.
    pub denials: &'a [Denial<'a>],
    /// Exit code of the process.
    pub exit_code: u8,
}

/// `system`/`init`: the first event of a run.
pub fn init(run: Run<'_>, init: &Init<'_>) -> Value {
    json!({
        "type": "system",
        "subtype": "init",
        "cwd": init.cwd,
        "session_id": run.session_id,
        "tools": init.tools,
        "mcp_servers": [],
        "model": run.model,
        "permissionMode": permission_mode(init.mode),
        "apiKeySource": init.key_source,
        "mesh": {"v": MESH_VERSION, "version": init.version, "mode": init.mode, "sandbox": init.sandbox},
    })
}

/// `assistant`: one whole answer of the model.
pub fn assistant(run: Run<'_>, message: &Assistant<'_>) -> Value {
    let mut content = Vec::new();
    if !message.text.is_empty() {
        content.push(json!({"type": "text", "text": message.text}));
    }
    for call in message.calls {
        content.push(json!({"type": "tool_use", "id": call.id, "name": call.name, "input": call.input}));
    }
    json!({
        "type": "assistant",
        "message": {
            "id": message.id,
            "type": "message",
            "role": "assistant",
            "model": message.model,
            "content": content,
            "stop_reason": message.finish_reason.map(stop_reason),
            "stop_sequence": null,
            "usage": usage(message.tokens),
        },
        "parent_tool_use_id": null,
        "session_id": run.session_id,
    })
}

/// `user`: the results of a batch of tool calls.
pub fn tool_results(run: Run<'_>, results: &[CallResult<'_>]) -> Value {
    let content: Vec<Value> = results
        .iter()
        .map(|r| json!({"type": "tool_result", "tool_use_id": r.call_id, "content": r.text, "is_error": r.is_error}))
        .collect();
    let exit_codes: Map<String, Value> =
        results.iter().filter_map(|r| Some((r.call_id.to_owned(), json!(r.exit_code?)))).collect();
    let mut event = json!({
        "type": "user",
        "message": {"role": "user", "content": content},
        "parent_tool_use_id": null,
        "session_id": run.session_id,
    });
    let held = results.iter().filter(|r| !r.denials.is_empty());
    let held: Map<String, Value> = held.map(|r| (r.call_id.to_owned(), denials(r.denials))).collect();
    if !exit_codes.is_empty() {
        event["mesh"] = json!({"v": MESH_VERSION, "exit_codes": exit_codes});
    }
    if !held.is_empty() {
        event["mesh"]["v"] = MESH_VERSION.into();
        event["mesh"]["sandbox_denials"] = held.into();
    }
    event
}

/// What the sandbox kept a call from, each with its rule.
fn denials(denials: &[Held]) -> Value {
    let one = |held: &Held| json!({"rule": held.rule, "subject": held.subject, "says": held.rule.says()});
    denials.iter().map(one).collect()
}

/// `stream_event`: a piece of text as it arrives; sent with `--include-partial-messages`.
pub fn text_delta(run: Run<'_>, text: &str) -> Value {
    json!({
        "type": "stream_event",
        "event": {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
        "parent_tool_use_id": null,
        "session_id": run.session_id,
    })
}

/// `system`/`retry`: a request is tried again.
pub fn retry(run: Run<'_>, retry: &Retry<'_>) -> Value {
    json!({
        "type": "system",
        "subtype": "retry",
        "session_id": run.session_id,
        "mesh": {
            "v": MESH_VERSION,
            "attempt": retry.attempt,
            "of": retry.of,
            "wait_ms": retry.wait_ms,
            "whole": retry.whole,
            "error": retry.error,
            "text_shown": retry.text_shown,
        },
    })
}

/// `system`/`notice`: something a person should know that changes nothing.
pub fn notice(run: Run<'_>, text: &str) -> Value {
    json!({
        "type": "system",
        "subtype": "notice",
        "session_id": run.session_id,
        "mesh": {"v": MESH_VERSION, "text": text},
    })
}

/// `system`/`mail`: a message of a peer was taken, or is dealt with. Its text is in the result of the call that reads it.
pub fn mail(run: Run<'_>, mail: &Mail<'_>) -> Value {
    json!({
        "type": "system",
        "subtype": "mail",
        "session_id": run.session_id,
        "mesh": {
            "v": MESH_VERSION,
            "id": mail.id,
            "from": mail.from,
            "kind": mail.kind,
            "thread_id": mail.thread,
            "verified": mail.is_verified,
            "state": mail.state.word(),
            "note": mail.note,
        },
    })
}

/// `result`: the last event, and the whole output of `--output-format json`.
///
/// `total_cost_usd` is `null` when nothing can be priced: there is no made-up zero.
pub fn result(run: Run<'_>, finish: &Finish<'_>) -> Value {
    let (subtype, error) = match finish.outcome {
        Outcome::Success => ("success", Value::Null),
        Outcome::Limit => ("error_max_turns", Value::Null),
        Outcome::Error { kind, message, hint } => {
            ("error_during_execution", json!({"kind": kind, "message": message, "hint": hint}))
        }
    };
    let text = match finish.outcome {
        Outcome::Error { message, .. } if finish.text.is_empty() => message,
        _ => finish.text,
    };
    let denials: Vec<Value> = finish
        .denials
        .iter()
        .map(|d| json!({"tool_name": d.call.name, "tool_use_id": d.call.id, "tool_input": d.call.input}))
        .collect();
    let reasons: Vec<&str> = finish.denials.iter().map(|d| d.reason).collect();
    let mut event = json!({
        "type": "result",
        "subtype": subtype,
        "is_error": !matches!(finish.outcome, Outcome::Success),
        "duration_ms": finish.duration_ms,
        "duration_api_ms": finish.api_ms,
        "num_turns": finish.hops,
        "result": text,
        "session_id": run.session_id,
        "total_cost_usd": finish.cost.map(|cost| cost.usd().0),
        "usage": usage(finish.tokens),
        "permission_denials": denials,
        "mesh": {
            "v": MESH_VERSION,
            "exit_code": finish.exit_code,
            "model": run.model,
            "cost_is_estimate": finish.cost.map(Cost::is_estimate),
            "error": error,
            "denial_reasons": reasons,
        },
    });
    if let Some(savings) = finish.savings.filter(|savings| !savings.is_empty()) {
        event["mesh_savings"] = mesh_savings(savings);
    }
    event
}

/// The receipts of the run, summed; money is `null` where no price is known.
fn mesh_savings(savings: &Savings) -> Value {
    let (sum, session) = (savings.sum(), savings.session());
    let is_priced = sum.unpriced < sum.requests;
    let money = |usd: f64| is_priced.then_some(usd);
    let total = |pick: fn(&mesh_agent::Receipt) -> u64| savings.receipts.iter().map(pick).sum::<u64>();
    let misses: Vec<&str> = savings.receipts.iter().filter_map(|receipt| receipt.miss).collect();
    let is_estimate = savings.receipts.iter().any(|receipt| receipt.is_estimate);
    json!({
        "dial": savings.receipts.last().map_or(0.0, |receipt| receipt.dial),
        "basis": if is_estimate { "estimate" } else { "usage" },
        "requests": sum.requests,
        "unpriced": sum.unpriced,
        "billed_usd": money(sum.billed_usd),
        "saved_vs_native_usd": money(sum.saved_vs_native_usd),
        "saved_vs_uncached_usd": money(sum.saved_vs_uncached_usd),
        "session_saved_vs_native_usd": money(session.saved_vs_native_usd),
        "tokens_cut": total(|receipt| receipt.tokens_cut),
        "tokens_added": total(|receipt| receipt.tokens_added),
        "tokens_rewritten": total(|receipt| receipt.tokens_rewritten),
        "input": total(|receipt| receipt.input),
        "cache_read": total(|receipt| receipt.cache_read),
        "cache_write": total(|receipt| receipt.cache_write),
        "miss_causes": misses,
        "recall_calls": savings.recalls,
    })
}

/// The event as one line with its line feed.
///
/// Characters that some readers take for a line end (`U+0085`, `U+2028`, `U+2029`) are escaped.
pub fn line(event: &Value) -> String {
    let mut text = event.to_string();
    for (character, escaped) in [('\u{85}', "\\u0085"), ('\u{2028}', "\\u2028"), ('\u{2029}', "\\u2029")] {
        // In JSON text these can only stand inside a string.
        if text.contains(character) {
            text = text.replace(character, escaped);
        }
    }
    text.push('\n');
    text
}

/// Our modes in Claude Code's words; a mode it does not have keeps our name.
fn permission_mode(mode: &str) -> &str {
    match mode {
        "accept-edits" => "acceptEdits",
        "bypass" => "bypassPermissions",
        other => other,
    }
}

fn stop_reason(finish_reason: &str) -> &str {
    match finish_reason {
        "stop" => "end_turn",
        "tool_calls" | "function_call" => "tool_use",
        "length" => "max_tokens",
        "content_filter" => "refusal",
        other => other,
    }
}

/// The prompt is split as the shape wants it: `input_tokens` are those neither read from nor written to a cache.
fn usage(tokens: Option<Tokens>) -> Value {
    let Some(tokens) = tokens else { return Value::Null };
    json!({
        "input_tokens": tokens.prompt.saturating_sub(tokens.cache_read).saturating_sub(tokens.cache_written),
        "cache_creation_input_tokens": tokens.cache_written,
        "cache_read_input_tokens": tokens.cache_read,
        "output_tokens": tokens.completion,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Run<'static> = Run { session_id: "s-1", model: "a/b" };

    #[test]
    fn events_of_a_run() {
        let input = json!({"command": "ls"});
        let call = Call { id: "call_1", name: "run_bash", input: &input };
        let tokens = Some(Tokens { prompt: 120, completion: 8, cache_read: 100, cache_written: 0 });
        let events = [
            init(
                RUN,
                &Init {
                    cwd: "/repo",
                    tools: &["read_file", "run_bash"],
                    mode: "accept-edits",
                    key_source: "env",
                    version: "0.0.0",
                    sandbox: "full",
                },
            ),
            text_delta(RUN, "let me"),
            assistant(
                RUN,
                &Assistant {
                    id: "req-1",
                    model: "a/b-1",
                    text: "let me\u{2028}look",
                    calls: &[call],
                    finish_reason: Some("tool_calls"),
                    tokens,
                },
            ),
            tool_results(
                RUN,
                &[
                    CallResult {
                        call_id: "call_1",
                        text: "a\n\n[exit 0]",
                        is_error: false,
                        exit_code: Some(0),
                        denials: &[],
                    },
                    CallResult {
                        call_id: "call_2",
                        text: "Error: no",
                        is_error: true,
                        exit_code: None,
                        denials: &[Held::host("a.org", 443)],
                    },
                ],
            ),
            retry(
                RUN,
                &Retry { attempt: 2, of: 5, wait_ms: 900, whole: false, error: "503", text_shown: true },
            ),
            notice(RUN, "MESH_API_KEY is the old name"),
        ];
        insta::assert_snapshot!(events.iter().map(line).collect::<String>());
    }

    #[test]
    fn results_of_a_run() {
        let input = json!({"command": "rm -rf /"});
        let denial = Denial {
            call: Call { id: "call_9", name: "run_bash", input: &input },
            reason: "nobody can be asked in a headless run",
        };
        let finish = Finish {
            outcome: Outcome::Success,
            text: "done",
            duration_ms: 1200,
            api_ms: 900,
            hops: 2,
            tokens: Some(Tokens { prompt: 10, completion: 2, cache_read: 8, cache_written: 4 }),
            cost: Some(Cost::Estimated(mesh_client::Usd(0.001234))),
            savings: None,
            denials: &[],
            exit_code: 0,
        };
        let error = Outcome::Error {
            kind: "auth",
            message: "the gateway refused the key",
            hint: Some("set MESHAPI_API_KEY"),
        };
        let rows = [
            finish,
            Finish { denials: &[denial], exit_code: 3, cost: None, tokens: None, ..finish },
            Finish { outcome: Outcome::Limit, exit_code: 4, ..finish },
            Finish { outcome: error, text: "", exit_code: 1, ..finish },
        ];
        insta::assert_snapshot!(rows.iter().map(|f| line(&result(RUN, f))).collect::<String>());
    }
}
