//! What a scripted gateway can answer: streams built delta by delta, whole bodies, faults.
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use super::ScriptedRequest;

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// `transfer-encoding: chunked`, one chunk a piece.
    #[default]
    Chunked,
    /// `content-length`.
    Length,
    /// The end of the connection.
    Close,
    /// Chunked, and cut off without the last chunk.
    ChunkedAbort,
    /// A `content-length` that is 100 bytes more than what comes.
    LengthShort,
}

impl FromStr for Framing {
    type Err = String;

    /// Reads `chunked`, `length`, `close`, `chunked-abort` or `length-short`.
    fn from_str(name: &str) -> Result<Framing, String> {
        match name {
            "chunked" => Ok(Framing::Chunked),
            "length" => Ok(Framing::Length),
            "close" => Ok(Framing::Close),
            "chunked-abort" => Ok(Framing::ChunkedAbort),
            "length-short" => Ok(Framing::LengthShort),
            other => Err(format!("unknown framing `{other}`")),
        }
    }
}

/// Holds a stream up until a test opens it, so that no test has to sleep. Clones are the same gate.
#[derive(Clone, Debug)]
pub struct Gate(watch::Sender<bool>);

impl Default for Gate {
    fn default() -> Gate {
        Gate(watch::Sender::new(false))
    }
}

impl Gate {
    /// Returns a closed gate.
    pub fn new() -> Gate {
        Gate::default()
    }

    /// Opens it for good.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    /// Waits until it is open.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn opened(&self) {
        // The sender is `self`, so it cannot have gone.
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

/// One step of an answer.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Bytes(Bytes),
    Pause(Duration),
    Gate(Gate),
    /// Nothing more, and the connection stays open.
    Stall,
    /// The connection is reset.
    Reset,
}

/// An answer to one request.
#[derive(Clone, Debug)]
pub struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) framing: Framing,
    pub(super) steps: Vec<Step>,
    /// No head at all: the bytes are the answer.
    pub(super) headless: bool,
    /// Shut until the answer may begin.
    pub(super) gate: Option<Gate>,
    /// What a client that asked for a whole answer gets in place of the stream.
    whole: Option<Value>,
    /// Whether `x-request-id` is left alone when it is missing.
    has_own_id: bool,
}

impl Reply {
    fn new(status: u16, content_type: &str, framing: Framing, body: impl Into<Bytes>) -> Reply {
        Reply {
            status,
            headers: vec![("content-type".to_owned(), content_type.to_owned())],
            framing,
            steps: vec![Step::Bytes(body.into())],
            headless: false,
            gate: None,
            whole: None,
            has_own_id: false,
        }
    }

    /// Begins a stream of server-sent events.
    pub fn stream() -> StreamReply {
        StreamReply::default()
    }

    /// Answers 200 with a JSON body.
    pub fn json(body: Value) -> Reply {
        Reply::status(200, "application/json", body.to_string())
    }

    /// Answers with any status and body.
    pub fn status(status: u16, content_type: &str, body: impl Into<Bytes>) -> Reply {
        Reply::new(status, content_type, Framing::Length, body)
    }

    /// Answers with the first error shape: a status and `{"error":{"code","message"},"request_id"}`.
    /// (The second shape, an error inside a stream, is [`StreamReply::error`].)
    pub fn error(status: u16, code: &str, message: &str) -> Reply {
        let body = json!({"error": {"code": code, "message": message}, "request_id": "req_scripted"});
        Reply::status(status, "application/json", body.to_string())
    }

    /// Answers with a whole completion, whatever was asked for.
    pub fn completion(text: &str) -> Reply {
        Reply::json(StreamReply::default().text(text).whole_body())
    }

    /// Answers with exactly these headers and bytes: nothing is added but what the framing needs. `splits` are
    /// offsets into the body where a new piece begins (a chunk of its own when chunked).
    pub fn bytes(
        status: u16,
        headers: Vec<(String, String)>,
        body: impl Into<Bytes>,
        framing: Framing,
        splits: &[usize],
    ) -> Reply {
        let mut rest: Bytes = body.into();
        let mut steps = Vec::new();
        let mut at = 0;
        for split in splits.iter().copied() {
            if split > at && split - at < rest.len() {
                steps.push(Step::Bytes(rest.split_to(split - at)));
                at = split;
            }
        }
        steps.push(Step::Bytes(rest));
        Reply { headers, steps, has_own_id: true, ..Reply::new(status, "", framing, Bytes::new()) }
    }

    /// Closes the connection without a byte.
    pub fn close() -> Reply {
        Reply::garbage(Bytes::new())
    }

    /// Sends bytes that need not be HTTP, then closes the connection.
    pub fn garbage(bytes: impl Into<Bytes>) -> Reply {
        Reply { headless: true, ..Reply::new(0, "", Framing::Close, bytes) }
    }

    /// Adds a header, or replaces the one of that name.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Reply {
        set_header(&mut self.headers, name, value);
        self
    }

    /// Waits for the gate before anything is sent, the head included.
    #[must_use]
    pub fn behind(mut self, gate: &Gate) -> Reply {
        self.gate = Some(gate.clone());
        self
    }

    /// Fits the reply to its request.
    pub(super) fn prepared(mut self, request: &ScriptedRequest) -> Reply {
        let wants_whole = request.json["stream"] == false;
        if let Some(whole) = self.whole.take().filter(|_| wants_whole) {
            let mut reply = Reply::json(whole);
            reply.gate = self.gate;
            reply.headers.extend(self.headers.into_iter().filter(|(name, _)| name != "content-type"));
            self = reply;
        }
        let has_id = self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("x-request-id"));
        if !has_id && !self.has_own_id {
            self.headers.push(("x-request-id".to_owned(), format!("req_{}", request.number)));
        }
        self
    }

    /// Says whether the answer is one that no proper server would give.
    pub(super) fn needs_socket(&self) -> bool {
        let is_odd = matches!(self.framing, Framing::Close | Framing::ChunkedAbort | Framing::LengthShort);
        self.headless || is_odd || self.steps.iter().any(|step| matches!(step, Step::Reset))
    }

    /// Length of all bytes of the body.
    pub(super) fn length(&self) -> usize {
        self.steps.iter().map(|step| if let Step::Bytes(bytes) = step { bytes.len() } else { 0 }).sum()
    }
}

fn set_header(headers: &mut Vec<(String, String)>, name: &str, value: &str) {
    headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    headers.push((name.to_ascii_lowercase(), value.to_owned()));
}

/// A stream of events, built step by step. Each event travels as a chunk of its own unless [`StreamReply::cut`]
/// says otherwise. A client that asks for a whole answer gets the same content as one body.
#[derive(Clone, Debug)]
pub struct StreamReply {
    status: u16,
    headers: Vec<(String, String)>,
    steps: Vec<Step>,
    model: String,
    line_end: &'static str,
    cut: Option<usize>,
    abort: bool,
    text: String,
    calls: Vec<Value>,
    usage: Option<Value>,
    cost: Option<Value>,
    finish: Option<String>,
}

impl Default for StreamReply {
    fn default() -> StreamReply {
        StreamReply {
            status: 200,
            headers: vec![("content-type".to_owned(), "text/event-stream".to_owned())],
            steps: Vec::new(),
            model: "scripted/model".to_owned(),
            line_end: "\n",
            cut: None,
            abort: false,
            text: String::new(),
            calls: Vec::new(),
            usage: None,
            cost: None,
            finish: None,
        }
    }
}

impl StreamReply {
    /// Names the model in the chunks that follow.
    #[must_use]
    pub fn model(mut self, model: &str) -> StreamReply {
        self.model = model.to_owned();
        self
    }

    /// Adds a header, or replaces the one of that name.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> StreamReply {
        set_header(&mut self.headers, name, value);
        self
    }

    /// Ends the lines that follow by this (`"\r\n"`, `"\r"`) in place of a line feed.
    #[must_use]
    pub fn line_end(mut self, line_end: &'static str) -> StreamReply {
        self.line_end = line_end;
        self
    }

    /// Cuts everything into pieces of this many bytes.
    #[must_use]
    pub fn cut(mut self, bytes: usize) -> StreamReply {
        self.cut = Some(bytes.max(1));
        self
    }

    /// Sends a piece of text.
    #[must_use]
    pub fn text(mut self, text: &str) -> StreamReply {
        self.text.push_str(text);
        self.delta(json!({"content": text}))
    }

    /// Sends many pieces of text.
    #[must_use]
    pub fn texts<'t>(self, texts: impl IntoIterator<Item = &'t str>) -> StreamReply {
        texts.into_iter().fold(self, StreamReply::text)
    }

    /// Sends a piece of reasoning.
    #[must_use]
    pub fn reasoning(self, text: &str) -> StreamReply {
        self.delta(json!({"reasoning_content": text}))
    }

    /// Sends a piece of a refusal.
    #[must_use]
    pub fn refusal(self, text: &str) -> StreamReply {
        self.delta(json!({"refusal": text}))
    }

    /// Sends a tool call: id and name first, then the arguments in fragments of `cut` characters.
    #[must_use]
    pub fn tool_call(mut self, id: &str, name: &str, arguments: &str, cut: usize) -> StreamReply {
        let index = self.calls.len();
        let function = json!({"name": name, "arguments": arguments});
        self.calls.push(json!({"id": id, "type": "function", "function": function}));
        let head = json!({"name": name, "arguments": ""});
        let head = json!({"index": index, "id": id, "type": "function", "function": head});
        let mut stream = self.delta(json!({"tool_calls": [head]}));
        let characters: Vec<char> = arguments.chars().collect();
        for piece in characters.chunks(cut.max(1)) {
            let piece: String = piece.iter().collect();
            let fragment = json!({"index": index, "function": {"arguments": piece}});
            stream = stream.delta(json!({"tool_calls": [fragment]}));
        }
        stream
    }

    /// Sends the token counts, in a chunk without choices as the gateway does.
    #[must_use]
    pub fn usage(mut self, prompt_tokens: u64, completion_tokens: u64) -> StreamReply {
        let usage = json!({
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
        });
        self.usage = Some(usage.clone());
        let chunk = self.chunk(json!([]), [("usage", usage)]);
        self.event(&chunk)
    }

    /// Sends the cost in USD, as older gateways do.
    #[must_use]
    pub fn cost(mut self, usd: &str) -> StreamReply {
        self.cost = Some(json!(usd));
        let chunk = self.chunk(json!([]), [("cost", json!(usd))]);
        self.event(&chunk)
    }

    /// Says why the model stopped; `done` says it when this was not called.
    #[must_use]
    pub fn finish(mut self, reason: &str) -> StreamReply {
        self.finish = Some(reason.to_owned());
        let choices = json!([{"index": 0, "delta": {}, "finish_reason": reason}]);
        let chunk = self.chunk(choices, []);
        self.event(&chunk)
    }

    /// Ends the stream as a model does: the finish reason, then `[DONE]`.
    pub fn done(mut self) -> Reply {
        if self.finish.is_none() {
            let reason = if self.calls.is_empty() { "stop" } else { "tool_calls" };
            self = self.finish(reason);
        }
        self.data("[DONE]").into()
    }

    /// Sends the second error shape, an error inside the stream, and ends it.
    pub fn error(self, error: Value) -> Reply {
        self.event(&json!({"error": error})).data("[DONE]").into()
    }

    /// Sends any delta of the first choice.
    #[must_use]
    pub fn delta(self, delta: Value) -> StreamReply {
        let chunk = self.chunk(json!([{"index": 0, "delta": delta, "finish_reason": null}]), []);
        self.event(&chunk)
    }

    /// Sends any JSON as an event.
    #[must_use]
    pub fn event(self, json: &Value) -> StreamReply {
        self.data(&json.to_string())
    }

    /// Sends any text without line breaks as an event.
    #[must_use]
    pub fn data(self, data: &str) -> StreamReply {
        let end = self.line_end;
        self.raw(format!("data: {data}{end}{end}"))
    }

    /// Sends any bytes.
    #[must_use]
    pub fn raw(mut self, bytes: impl Into<Bytes>) -> StreamReply {
        self.steps.push(Step::Bytes(bytes.into()));
        self
    }

    /// Waits before what follows.
    #[must_use]
    pub fn pause(mut self, pause: Duration) -> StreamReply {
        self.steps.push(Step::Pause(pause));
        self
    }

    /// Waits for the gate before what follows.
    #[must_use]
    pub fn gate(mut self, gate: &Gate) -> StreamReply {
        self.steps.push(Step::Gate(gate.clone()));
        self
    }

    /// Sends nothing more and leaves the connection open until the client goes.
    pub fn stall(mut self) -> Reply {
        self.steps.push(Step::Stall);
        self.into()
    }

    /// Resets the connection. A [`StreamReply::gate`] before it lets the client read what was sent first.
    pub fn reset(mut self) -> Reply {
        self.steps.push(Step::Reset);
        self.into()
    }

    /// Closes the connection in the middle of the body.
    pub fn truncate(mut self) -> Reply {
        self.abort = true;
        self.into()
    }

    /// Ends the body properly but without `[DONE]`.
    pub fn end(self) -> Reply {
        self.into()
    }

    fn chunk<const N: usize>(&self, choices: Value, more: [(&str, Value); N]) -> Value {
        let mut chunk = Map::new();
        chunk.insert("id".to_owned(), json!("chatcmpl-scripted"));
        chunk.insert("object".to_owned(), json!("chat.completion.chunk"));
        chunk.insert("created".to_owned(), json!(0));
        chunk.insert("model".to_owned(), json!(self.model));
        chunk.insert("choices".to_owned(), choices);
        chunk.extend(more.map(|(name, value)| (name.to_owned(), value)));
        Value::Object(chunk)
    }

    fn whole_body(&self) -> Value {
        let mut message = json!({"role": "assistant", "content": self.text});
        if !self.calls.is_empty() {
            message["tool_calls"] = json!(self.calls);
        }
        let reason = self.finish.as_deref().unwrap_or("stop");
        let choices = json!([{"index": 0, "message": message, "finish_reason": reason}]);
        let mut whole = self.chunk(choices, []);
        whole["object"] = json!("chat.completion");
        for (name, value) in [("usage", &self.usage), ("cost", &self.cost)] {
            if let Some(value) = value {
                whole[name] = value.clone();
            }
        }
        whole
    }
}

impl From<StreamReply> for Reply {
    fn from(stream: StreamReply) -> Reply {
        let whole = stream.whole_body();
        let framing = if stream.abort { Framing::ChunkedAbort } else { Framing::Chunked };
        let steps = match stream.cut {
            None => stream.steps,
            Some(size) => stream.steps.into_iter().flat_map(|step| cut(step, size)).collect(),
        };
        let is_faulty = stream.abort || steps.iter().any(|step| matches!(step, Step::Stall | Step::Reset));
        Reply {
            status: stream.status,
            headers: stream.headers,
            framing,
            steps,
            headless: false,
            gate: None,
            whole: (!is_faulty).then_some(whole),
            has_own_id: false,
        }
    }
}

fn cut(step: Step, size: usize) -> Vec<Step> {
    match step {
        Step::Bytes(bytes) => (0..bytes.len())
            .step_by(size)
            .map(|start| Step::Bytes(bytes.slice(start..bytes.len().min(start + size))))
            .collect(),
        other => vec![other],
    }
}
