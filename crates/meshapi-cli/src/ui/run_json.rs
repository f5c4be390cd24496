//! A run as JSON: agent events become the events of `ui/json.rs`, one per line, or one result at the end.

use std::io::{self, Write};

use mesh_agent::{BUDGET, CallOutcome, Event, Interrupt, Listener, TurnEnd, TurnReport};
use mesh_client::{Completion, Usage};
use mesh_safety::sandbox::Denial as Held;
use serde_json::Value;

use crate::{
    exit::Exit,
    ui::json::{self, Assistant, Call, CallResult, Denial, Finish, Outcome, Retry, Run, Tokens},
};

/// Which events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// The result alone.
    Result,
    /// Every event.
    Stream,
    /// Every event, and text piece by piece.
    Partial,
}

/// Writes a run as JSON lines.
pub struct JsonRun<O> {
    out: O,
    detail: Detail,
    session_id: String,
    model: String,
    interrupt: Interrupt,
    /// Results of the batch that runs: they go out together.
    results: Vec<OwnedResult>,
    /// Text of the last answer.
    last_text: String,
    failed: Option<io::Error>,
}

struct OwnedResult {
    id: String,
    text: String,
    is_error: bool,
    exit_code: Option<i32>,
    denials: Vec<Held>,
}

impl<O: Write + Send> JsonRun<O> {
    /// Writes to `out`. When `out` is gone, the interrupt is raised.
    pub fn new(
        out: O,
        detail: Detail,
        session_id: String,
        model: String,
        interrupt: Interrupt,
    ) -> JsonRun<O> {
        let (results, last_text) = (Vec::new(), String::new());
        JsonRun { out, detail, session_id, model, interrupt, results, last_text, failed: None }
    }

    /// Writes the first event of a run.
    pub fn init(&mut self, init: &json::Init<'_>) {
        self.tell(|run| json::init(run, init));
    }

    /// Tells something a person should know.
    pub fn notice(&mut self, text: &str) {
        self.tell(|run| json::notice(run, text));
    }

    /// Says how far the work on a message is.
    pub fn mail(&mut self, mail: &json::Mail<'_>) {
        self.tell(|run| json::mail(run, mail));
    }

    /// Why the output ended early, if it did.
    pub fn failure(&mut self) -> Option<io::Error> {
        self.failed.take()
    }

    fn run(&self) -> Run<'_> {
        Run { session_id: &self.session_id, model: &self.model }
    }

    /// Writes an event that only a stream carries.
    fn tell(&mut self, event: impl FnOnce(Run<'_>) -> Value) {
        if self.detail != Detail::Result {
            let event = event(self.run());
            self.write(&event);
        }
    }

    fn write(&mut self, event: &Value) {
        if self.failed.is_some() {
            return;
        }
        let line = json::line(event);
        if let Err(error) = self.out.write_all(line.as_bytes()).and_then(|()| self.out.flush()) {
            self.failed = Some(error);
            self.interrupt.raise();
        }
    }

    fn flush_results(&mut self) {
        if self.results.is_empty() {
            return;
        }
        let owned = std::mem::take(&mut self.results);
        let results: Vec<CallResult<'_>> = owned
            .iter()
            .map(|r| CallResult {
                call_id: &r.id,
                text: &r.text,
                is_error: r.is_error,
                exit_code: r.exit_code,
                denials: &r.denials,
            })
            .collect();
        self.tell(|run| json::tool_results(run, &results));
    }

    fn assistant(&mut self, completion: &Completion) {
        let text = if completion.text.is_empty() { &completion.refusal } else { &completion.text };
        self.last_text.clone_from(text);
        let inputs: Vec<Value> = completion.tool_calls.iter().map(|c| object(&c.arguments)).collect();
        let calls = completion.tool_calls.iter().zip(&inputs);
        let calls: Vec<Call<'_>> =
            calls.map(|(call, input)| Call { id: &call.id, name: &call.name, input }).collect();
        self.tell(|run| {
            json::assistant(
                run,
                &Assistant {
                    id: completion.headers.request_id.as_deref().unwrap_or_default(),
                    model: completion.model.as_deref().unwrap_or(run.model),
                    text,
                    calls: &calls,
                    finish_reason: completion.finish_reason.as_deref(),
                    tokens: completion.usage.as_ref().map(tokens),
                },
            )
        });
    }

    fn finish(&mut self, report: &TurnReport) {
        let inputs: Vec<Value> = report.refused.iter().map(|r| object(&r.arguments)).collect();
        let denials: Vec<Denial<'_>> = report
            .refused
            .iter()
            .zip(&inputs)
            .map(|(r, input)| Denial { call: Call { id: &r.id, name: &r.name, input }, reason: &r.reason })
            .collect();
        let usage = report.usage;
        let spent = usage.prompt + usage.completion > 0;
        let finish = Finish {
            outcome: outcome(&report.end),
            text: &self.last_text,
            duration_ms: millis(report.wall_time),
            api_ms: millis(report.model_time),
            hops: report.hops,
            tokens: spent.then_some(Tokens {
                prompt: usage.prompt,
                completion: usage.completion,
                cache_read: usage.cache_read,
                cache_written: usage.cache_write,
            }),
            cost: report.turn_cost.total(),
            savings: Some(&report.savings),
            denials: &denials,
            exit_code: Exit::of_turn(report).code(),
        };
        let run = Run { session_id: &self.session_id, model: &report.model };
        let event = json::result(run, &finish);
        self.write(&event);
    }
}

impl<O: Write + Send> Listener for JsonRun<O> {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::HopStarted { .. } => self.flush_results(),
            Event::Text(text) if self.detail == Detail::Partial => {
                self.tell(|run| json::text_delta(run, text));
            }
            Event::HopEnded { completion } => self.assistant(completion),
            Event::Retry { attempt, of, wait, error, text_shown } => {
                let (error, wait_ms) = (error.to_string(), millis(wait));
                let retry = Retry { attempt, of, wait_ms, whole: false, error: &error, text_shown };
                self.tell(|run| json::retry(run, &retry));
            }
            Event::WholeRequest { error, text_shown } => {
                let error = error.to_string();
                let retry = Retry { attempt: 0, of: 0, wait_ms: 0, whole: true, error: &error, text_shown };
                self.tell(|run| json::retry(run, &retry));
            }
            Event::SavingsOff { note } => self.notice(note),
            Event::News { line } => self.notice(line),
            Event::CallEnded { id, output, outcome, .. } => self.results.push(OwnedResult {
                id: id.to_owned(),
                text: output.text.clone(),
                is_error: output.is_error || outcome != CallOutcome::Ran,
                exit_code: output.exit_code,
                denials: output.denials.clone(),
            }),
            Event::TurnEnded(report) => {
                self.flush_results();
                self.finish(report);
            }
            Event::Text(_)
            | Event::Reasoning(_)
            | Event::ToolArguments { .. }
            | Event::CallStarted { .. }
            | Event::CallHeld { .. }
            | Event::CallStopped { .. } => {}
        }
    }
}

fn outcome(end: &TurnEnd) -> Outcome<'_> {
    match end {
        TurnEnd::Finished { .. } => Outcome::Success,
        TurnEnd::HopLimit { .. } => Outcome::Limit,
        TurnEnd::Failed { failure, .. } if failure.kind == BUDGET => Outcome::Limit,
        TurnEnd::Failed { failure, .. } => {
            Outcome::Error { kind: &failure.kind, message: &failure.message, hint: None }
        }
        TurnEnd::Interrupted { .. } => {
            Outcome::Error { kind: "interrupted", message: "interrupted by the user", hint: None }
        }
    }
}

fn tokens(usage: &Usage) -> Tokens {
    Tokens {
        prompt: usage.prompt_tokens.unwrap_or(0),
        completion: usage.completion_tokens.unwrap_or(0),
        cache_read: usage.cached_tokens(),
        cache_written: usage.cache_creation_tokens(),
    }
}

fn object(arguments: &str) -> Value {
    let value = serde_json::from_str::<Value>(arguments).ok().filter(Value::is_object);
    value.unwrap_or_else(|| Value::Object(serde_json::Map::new()))
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
