//! Chunks folded to one completion.
use crate::accumulate::ToolCallAccumulator;
use crate::cost::{BilledCost, Cost};
use crate::error::{ClientError, NetworkKind, classify_inband};
use crate::http::sse;
use crate::wire::{Chunk, Template, ToolCall, ToolCallDelta, Usage};
use serde_json::Value;

/// How much of an unreadable chunk is kept for the error report.
const SAMPLE_CHARS: usize = 200;

/// What the model answered to one request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Completion {
    /// The text.
    pub text: String,
    /// What the model thought, when the provider shows it.
    pub reasoning: String,
    /// Why the model refuses, when it says so in a field of its own.
    pub refusal: String,
    /// Tool calls in order, each with an id and a name; arguments may be broken JSON.
    pub tool_calls: Vec<ToolCall>,
    /// Token counts.
    pub usage: Option<Usage>,
    /// The cost field, when the gateway sends one.
    pub cost: Option<BilledCost>,
    /// The model that answered: the last that a chunk named, else the one in the headers.
    pub model: Option<String>,
    /// Why the model stopped: `stop`, `length`, `tool_calls`, ..
    pub finish_reason: Option<String>,
    /// What the response headers say.
    pub headers: ResponseHeaders,
    /// Chunks that were not a JSON object.
    pub malformed: u32,
    /// Fragments of tool calls that belong to no call.
    pub dropped_fragments: u32,
    /// Whether `[DONE]` came (always true for a whole body).
    pub done: bool,
}

/// The response headers worth keeping.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseHeaders {
    /// `x-request-id`: the key of the usage events.
    pub request_id: Option<String>,
    /// `x-resolved-model-id`.
    pub resolved_model: Option<String>,
    /// `x-auto-routed`.
    pub auto_routed: Option<String>,
    /// `x-cache`: `HIT` for a replayed answer.
    pub cache: Option<String>,
    /// `x-provider-latency-ms`.
    pub provider_latency_ms: Option<u64>,
    /// `x-mesh-routing-attempts`.
    pub routing_attempts: Option<String>,
    /// `x-mesh-routing-fallback`.
    pub routing_fallback: Option<String>,
    /// `retry-after`, as it came.
    pub retry_after: Option<String>,
    /// All `x-ratelimit-*`, names in lower case.
    pub ratelimit: Vec<(String, String)>,
}

/// One step of an answer, as soon as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delta<'a> {
    /// More text.
    Text(&'a str),
    /// More reasoning.
    Reasoning(&'a str),
    /// More of a refusal.
    Refusal(&'a str),
    /// More arguments of a tool call.
    ToolArguments {
        /// Name of the tool; empty while it is not known.
        name: &'a str,
        /// Characters of arguments so far.
        chars: usize,
    },
}

/// Whether the stream has more to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Feed the next event.
    Continue,
    /// `[DONE]` or an error came: what follows means nothing.
    Done,
}

/// How the bytes of a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndOfStream {
    /// The body ended where its framing said it would.
    Clean,
    /// The body was cut: its framing broken, or the connection lost.
    Cut,
}

/// Folds the events of one stream. Nothing in an event is fatal but an error that the gateway reports.
#[derive(Debug, Default)]
pub struct Assembler {
    completion: Completion,
    calls: ToolCallAccumulator,
    error: Option<ClientError>,
    sample: Option<String>,
    template: Template,
}

impl Assembler {
    /// An assembler for the answer with these headers.
    pub fn new(headers: ResponseHeaders) -> Assembler {
        Assembler { completion: Completion { headers, ..Completion::default() }, ..Assembler::default() }
    }

    /// Takes one event and hands on what it adds.
    pub fn event(&mut self, event: &sse::Event<'_>, on_delta: &mut impl FnMut(Delta<'_>)) -> Flow {
        if self.is_over() {
            return Flow::Done;
        }
        let data = event.data.as_ref();
        let is_error = event.event == "error";
        if let Some(chunk) = self.template.read(data).filter(|_| !is_error) {
            self.chunk(chunk, on_delta);
            return Flow::Continue;
        }
        match data.trim() {
            "" => {}
            "[DONE]" => self.completion.done = true,
            _ => self.parse(data, is_error, on_delta),
        }
        if self.is_over() { Flow::Done } else { Flow::Continue }
    }

    /// The error that the gateway reported in the stream.
    pub fn error(&self) -> Option<&ClientError> {
        self.error.as_ref()
    }

    /// What has come so far; tool calls are filled in at the end.
    pub fn partial(&self) -> &Completion {
        &self.completion
    }

    /// Whether `[DONE]` or an error came.
    pub fn is_over(&self) -> bool {
        self.completion.done || self.error.is_some()
    }

    /// Whether the model itself has come to its end, so that a connection that breaks now costs nothing.
    pub fn is_complete(&self) -> bool {
        self.completion.done || self.completion.finish_reason.is_some()
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// The gateway reported an error, the stream was cut before the model was done, nothing came, or nothing could be read.
    pub fn finish(self, end: EndOfStream) -> Result<Completion, ClientError> {
        match self.conclude(end) {
            (completion, None) => Ok(completion),
            (_, Some(error)) => Err(error),
        }
    }

    /// Ends the stream like [`Assembler::finish`], and gives what had come beside the error too.
    pub fn conclude(self, end: EndOfStream) -> (Completion, Option<ClientError>) {
        let mut completion = self.completion;
        let (tool_calls, dropped) = self.calls.finish();
        completion.tool_calls = tool_calls;
        completion.dropped_fragments = dropped;
        completion.model = completion.model.or_else(|| completion.headers.resolved_model.clone());
        let error = self.error.or_else(|| completion.fault(end, self.sample.as_deref()));
        (completion, error)
    }

    fn parse(&mut self, data: &str, is_error_event: bool, on_delta: &mut impl FnMut(Delta<'_>)) {
        let Some(chunk) = Chunk::parse(data) else { return self.unreadable(data, on_delta) };
        let error = chunk.error.clone().or_else(|| if is_error_event { bare_error(data) } else { None });
        match error {
            Some(error) => {
                let request_id = self.completion.headers.request_id.as_deref();
                self.error = Some(classify_inband(&error, request_id));
            }
            None => {
                self.template.learn(data, &chunk);
                self.chunk(chunk, on_delta);
            }
        }
    }

    fn chunk(&mut self, chunk: Chunk<'_>, on_delta: &mut impl FnMut(Delta<'_>)) {
        self.meta(&chunk);
        // A closing `message` repeats what the deltas said; it counts only where there were none.
        if chunk.is_message && !(self.completion.says_nothing() && self.calls.is_empty()) {
            return;
        }
        self.reasoning(&chunk.reasoning, on_delta);
        self.text(&chunk.content, on_delta);
        if !chunk.refusal.is_empty() {
            self.completion.refusal.push_str(&chunk.refusal);
            on_delta(Delta::Refusal(&chunk.refusal));
        }
        for call in &chunk.tool_calls {
            self.call(call, on_delta);
        }
    }

    fn meta(&mut self, chunk: &Chunk<'_>) {
        let known = self.completion.model.as_deref();
        if let Some(model) = chunk.model.as_deref().filter(|model| known != Some(model)) {
            self.completion.model = Some(model.to_owned());
        }
        if let Some(reason) = &chunk.finish_reason {
            self.completion.finish_reason = Some(reason.to_string());
        }
        if let Some(usage) = chunk.usage.clone().and_then(Usage::from_value) {
            self.completion.usage = Some(usage);
        }
        if let Some(raw) = chunk.cost.clone() {
            self.completion.cost = Some(BilledCost { raw });
        }
    }

    fn text(&mut self, text: &str, on_delta: &mut impl FnMut(Delta<'_>)) {
        if !text.is_empty() {
            self.completion.text.push_str(text);
            on_delta(Delta::Text(text));
        }
    }

    fn reasoning(&mut self, text: &str, on_delta: &mut impl FnMut(Delta<'_>)) {
        if !text.is_empty() {
            self.completion.reasoning.push_str(text);
            on_delta(Delta::Reasoning(text));
        }
    }

    fn call(&mut self, delta: &ToolCallDelta<'_>, on_delta: &mut impl FnMut(Delta<'_>)) {
        let progress = self.calls.push(delta);
        on_delta(Delta::ToolArguments { name: progress.name, chars: progress.chars });
    }

    /// Counts what is no JSON object. Some gateways forget the blank line between events: then each line is a chunk.
    fn unreadable(&mut self, data: &str, on_delta: &mut impl FnMut(Delta<'_>)) {
        self.completion.malformed += 1;
        let lines = || data.lines().map(str::trim).filter(|line| !line.is_empty());
        if data.contains('\n') && lines().all(|line| line == "[DONE]" || Chunk::parse(line).is_some()) {
            for line in lines() {
                match line {
                    "[DONE]" => self.completion.done = true,
                    _ => self.parse(line, false, on_delta),
                }
                if self.is_over() {
                    return;
                }
            }
        } else if self.sample.is_none() {
            self.sample = Some(data.trim().chars().take(SAMPLE_CHARS).collect());
        }
    }
}

impl Completion {
    /// Reads the body of a non-streaming answer.
    ///
    /// # Errors
    /// The body is an error, no JSON object, or says nothing.
    pub fn from_whole(body: &[u8], headers: ResponseHeaders) -> Result<Completion, ClientError> {
        let text = String::from_utf8_lossy(body);
        let event = sse::Event { event: "", data: text, id: None };
        let mut assembler = Assembler::new(headers);
        assembler.event(&event, &mut |_| {});
        assembler.completion.done = true;
        assembler.finish(EndOfStream::Clean)
    }

    /// The cost that the gateway billed, when the answer says it.
    pub fn billed(&self) -> Option<Cost> {
        self.cost.as_ref()?.usd().map(Cost::Billed)
    }

    /// Whether the answer was cut by the token limit.
    pub fn is_cut_by_length(&self) -> bool {
        self.finish_reason.as_deref() == Some("length")
    }

    fn says_nothing(&self) -> bool {
        self.text.trim().is_empty() && self.refusal.trim().is_empty() && self.tool_calls.is_empty()
    }

    /// What is wrong with an answer that has ended.
    fn fault(&self, end: EndOfStream, sample: Option<&str>) -> Option<ClientError> {
        let request_id = self.headers.request_id.clone();
        let is_complete = self.done || self.finish_reason.is_some();
        let is_cut = match end {
            EndOfStream::Cut => !is_complete,
            // Without [DONE] and finish_reason half a tool call is the only trace of a cut.
            EndOfStream::Clean => !is_complete && self.tool_calls.iter().any(|call| !call.is_whole()),
        };
        if is_cut {
            return Some(ClientError::network(
                NetworkKind::Truncated,
                "the stream ended in the middle of the answer",
                request_id,
            ));
        }
        if !self.says_nothing() {
            return None;
        }
        if self.malformed > 0 || self.dropped_fragments > 0 {
            let detail = sample.unwrap_or("a tool call without a name");
            return Some(ClientError::malformed(detail, request_id));
        }
        Some(ClientError::Empty { finish_reason: self.finish_reason.clone(), request_id })
    }
}

impl ToolCall {
    /// Whether the arguments are JSON, or absent.
    pub fn is_whole(&self) -> bool {
        self.arguments.trim().is_empty()
            || serde_json::from_str::<serde::de::IgnoredAny>(&self.arguments).is_ok()
    }
}

impl ResponseHeaders {
    /// Picks the headers worth keeping out of name and value pairs; names in any case.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> ResponseHeaders {
        let mut headers = ResponseHeaders::default();
        for (name, value) in pairs {
            let name = name.to_ascii_lowercase();
            let value = value.trim();
            if value.is_empty() {
                continue;
            }
            let text = Some(value.to_owned());
            match name.as_str() {
                "x-request-id" => headers.request_id = text,
                "x-resolved-model-id" => headers.resolved_model = text,
                "x-auto-routed" => headers.auto_routed = text,
                "x-cache" => headers.cache = text,
                "x-provider-latency-ms" => headers.provider_latency_ms = value.parse().ok(),
                "x-mesh-routing-attempts" => headers.routing_attempts = text,
                "x-mesh-routing-fallback" => headers.routing_fallback = text,
                "retry-after" => headers.retry_after = text,
                _ if name.starts_with("x-ratelimit-") => headers.ratelimit.push((name, value.to_owned())),
                _ => {}
            }
        }
        headers
    }
}

/// The body of an `event: error` that does without the `error` field: `{"type":..,"message":..}`.
fn bare_error(data: &str) -> Option<Value> {
    let value: Value = serde_json::from_str(data).ok()?;
    let is_error = value.get("choices").is_none() && value.get("message").is_some_and(Value::is_string);
    is_error.then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    /// Feeds the data of events and ends the stream.
    fn run(data: &[&str], end: EndOfStream) -> (Completion, Option<ClientError>) {
        let mut assembler = Assembler::new(ResponseHeaders::default());
        for data in data {
            assembler.event(&sse::Event { event: "", data: (*data).into(), id: None }, &mut |_| {});
        }
        assembler.conclude(end)
    }

    #[track_caller]
    fn check(data: &[&str], end: EndOfStream, want: Option<ErrorKind>) {
        assert_eq!(run(data, end).1.map(|error| error.kind()), want, "{data:?} {end:?}");
    }

    const TEXT: &str = r#"{"choices":[{"delta":{"content":"Hello"}}]}"#;
    const STOP: &str = r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#;
    const HALF_CALL: &str = r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{\"x\":"}}]}}]}"#;
    const BROKEN: &str = "oops";

    #[test]
    fn a_cut_counts_until_the_model_is_done() {
        check(&[TEXT], EndOfStream::Clean, None);
        check(&[TEXT], EndOfStream::Cut, Some(ErrorKind::Network));
        check(&[TEXT, STOP], EndOfStream::Cut, None);
        check(&[TEXT, "[DONE]"], EndOfStream::Cut, None);
        check(&[], EndOfStream::Cut, Some(ErrorKind::Network));
    }

    #[test]
    fn half_a_tool_call_at_a_clean_end_is_a_cut() {
        check(&[HALF_CALL], EndOfStream::Clean, Some(ErrorKind::Network));
        // The model's own broken JSON: what to say of it is the caller's.
        check(&[HALF_CALL, STOP], EndOfStream::Clean, None);
        check(&[HALF_CALL, "[DONE]"], EndOfStream::Clean, None);
    }

    #[test]
    fn an_answer_that_says_nothing_is_an_error() {
        check(&[], EndOfStream::Clean, Some(ErrorKind::Empty));
        check(&["[DONE]"], EndOfStream::Clean, Some(ErrorKind::Empty));
        check(&[STOP, "[DONE]"], EndOfStream::Clean, Some(ErrorKind::Empty));
        check(&[BROKEN, "[DONE]"], EndOfStream::Clean, Some(ErrorKind::Malformed));
        check(&[BROKEN, TEXT, "[DONE]"], EndOfStream::Clean, None);
    }

    #[test]
    fn an_error_ends_the_stream_and_keeps_what_came() {
        let (completion, error) = run(&[TEXT, r#"{"error":"bad"}"#, TEXT], EndOfStream::Clean);
        assert_eq!(completion.text, "Hello");
        assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::InvalidRequest));
    }

    #[test]
    fn an_error_event_needs_no_error_field() {
        let mut assembler = Assembler::new(ResponseHeaders::default());
        let data = r#"{"type":"overloaded_error","message":"busy"}"#;
        let flow = assembler.event(&sse::Event { event: "error", data: data.into(), id: None }, &mut |_| {});
        assert_eq!(flow, Flow::Done);
        assert_eq!(assembler.error().map(ClientError::kind), Some(ErrorKind::Upstream));
    }

    #[test]
    fn a_closing_message_does_not_repeat_the_deltas() {
        let closing = r#"{"choices":[{"message":{"content":"Hello"},"finish_reason":"stop"}]}"#;
        assert_eq!(run(&[TEXT, closing], EndOfStream::Clean).0.text, "Hello");
        assert_eq!(run(&[closing], EndOfStream::Clean).0.text, "Hello");
    }

    #[test]
    fn lines_without_a_blank_one_between_are_chunks() {
        let (completion, error) = run(&[&format!("{TEXT}\n{TEXT}\n[DONE]\n{TEXT}")], EndOfStream::Clean);
        assert!(error.is_none());
        assert_eq!(
            (completion.text.as_str(), completion.malformed, completion.done),
            ("HelloHello", 1, true)
        );
    }

    #[test]
    fn a_model_that_comes_back_is_the_last() {
        let from = |model: &str| TEXT.replacen('{', &format!("{{\"model\":\"{model}\","), 1);
        let (first, second) = (from("m1"), from("m2"));
        let (completion, _) = run(&[&first, &first, &second, &first], EndOfStream::Clean);
        assert_eq!((completion.model.as_deref(), completion.text.len()), (Some("m1"), 20));
    }

    #[test]
    fn a_whole_body_is_read_like_a_stream_of_one() {
        let body = br#"{"id":"x","model":"a/b","choices":[{"message":{"role":"assistant","content":null,
            "tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},
            "finish_reason":"tool_calls"}],"usage":{"prompt_tokens":3},"cost":"0.5"}"#;
        let completion = Completion::from_whole(body, ResponseHeaders::default()).unwrap();
        assert_eq!(completion.tool_calls.len(), 1);
        assert_eq!(completion.billed(), Some(Cost::Billed(crate::cost::Usd(0.5))));
        assert_eq!(completion.usage.and_then(|usage| usage.prompt_tokens), Some(3));
        for (body, kind) in [
            (&b"<html>"[..], ErrorKind::Malformed),
            (b"", ErrorKind::Empty),
            (b"{}", ErrorKind::Empty),
            (br#"{"error":{"code":429,"message":"slow"}}"#, ErrorKind::RateLimited),
        ] {
            let error = Completion::from_whole(body, ResponseHeaders::default()).unwrap_err();
            assert_eq!(error.kind(), kind, "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn headers_are_found_in_any_case() {
        let headers = ResponseHeaders::from_pairs([
            ("X-Request-Id", " req_1 "),
            ("x-provider-latency-ms", "12"),
            ("X-RateLimit-Remaining", "3"),
            ("x-cache", ""),
        ]);
        assert_eq!(headers.request_id.as_deref(), Some("req_1"));
        assert_eq!(headers.provider_latency_ms, Some(12));
        assert_eq!(headers.ratelimit, [("x-ratelimit-remaining".to_owned(), "3".to_owned())]);
        assert_eq!(headers.cache, None);
    }
}
