//! The set `stream`: a loopback gateway sends the bytes of the record, the client reads them. One attempt, no retries.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use mesh_client::{
    BaseUrl, ClientError, Completion, Delta, Flow, MeshClient, ToolCall,
    http::{Deadlines, Proxy},
    scripted::{Framing, Reply, Script, ScriptedGateway},
    wire::{CompletionRequest, EncodedMessage},
};
use meshapi_cli::config::Settings;
use serde_json::{Value, json};

use super::{Answer, Outcome, list, output, text};

/// Longest silence of the gateway: it answers at once or has a fault.
const SILENCE: Duration = Duration::from_secs(20);

/// What came, and what went out.
struct Exchange {
    deltas: Vec<String>,
    completion: Completion,
    error: Option<ClientError>,
    requests: Vec<Value>,
    /// Status of the answer that was sent.
    status: u64,
}

pub(super) async fn answer(input: &Value) -> Outcome {
    if number(&input["cfg"]["optimize"]) > 0.0 {
        return Ok(Answer::Skip("the dial is not built yet"));
    }
    let exchange = exchange(input).await?;
    output(if input["want_requests"] == true { exchange.requested() } else { exchange.read() })
}

/// A number, or text that holds one.
fn number(value: &Value) -> f64 {
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok()).unwrap_or(0.0)
}

async fn exchange(input: &Value) -> Result<Exchange, String> {
    let responses = list(input, "responses");
    let replies = responses.iter().map(reply).collect::<Result<Vec<_>, _>>()?;
    let gateway = ScriptedGateway::start(Script::in_order(replies)).await.map_err(|e| e.to_string())?;
    let body = request(input)?.encode(true);
    let client = client(gateway.base_url())?;
    let mut deltas = Vec::new();
    let (completion, error) = match client.stream(body).await {
        Err(error) => (Completion::default(), Some(error)),
        Ok(mut stream) => {
            let mut keep = |delta: Delta<'_>| {
                if let Delta::Text(text) = delta {
                    deltas.push(text.to_owned());
                }
            };
            while stream.next(&mut keep).await == Flow::Continue {}
            stream.conclude().await
        }
    };
    let sent = gateway.requests();
    let last = sent.len().checked_sub(1).and_then(|at| responses.get(at));
    let status = last.map_or(0, |response| response["status"].as_u64().unwrap_or(200));
    Ok(Exchange { deltas, completion, error, requests: sent.into_iter().map(|r| r.json).collect(), status })
}

fn client(base: BaseUrl) -> Result<MeshClient, String> {
    let key = "rsk_conformance".parse().map_err(|error: mesh_client::ApiKeyError| error.to_string())?;
    let deadlines = Deadlines { first_byte: Some(SILENCE), idle: Some(SILENCE) };
    Ok(MeshClient::builder(base, key).proxy(Proxy::Direct).deadlines(deadlines).build())
}

/// The request that the settings of a record make. They are read as those of the file are.
pub(super) fn request(input: &Value) -> Result<CompletionRequest, String> {
    let mut cfg = super::object(&input["cfg"]);
    cfg.entry("model").or_insert_with(|| "m".into());
    let max_tokens = cfg.get("max_tokens").map(number).filter(|tokens| *tokens >= 1.0);
    let settings = Settings::parse(&Value::Object(cfg).to_string()).map_err(|error| error.to_string())?;
    let (values, _) = settings.values();
    let one = [json!({"role": "user", "content": "hi"})];
    let messages = if input["messages"].is_array() { list(input, "messages") } else { &one };
    let messages = messages.iter().map(EncodedMessage::from_value).collect::<Result<_, _>>();
    Ok(CompletionRequest {
        model: values.asked_model().to_owned(),
        messages: messages.map_err(|error| error.to_string())?,
        tools: input["tools"].as_array().map(|tools| json!(tools).to_string().into()),
        fallback_models: values.fallback_models,
        route: values.route,
        reasoning_effort: values.reasoning_effort,
        max_tokens: max_tokens.map(|tokens| tokens as u64),
        ..CompletionRequest::default()
    })
}

/// What the gateway sends.
fn reply(response: &Value) -> Result<Reply, String> {
    let status = response["status"].as_u64().and_then(|status| u16::try_from(status).ok()).unwrap_or(200);
    let headers = match response["headers"].as_object() {
        Some(headers) => {
            headers.keys().map(|name| (name.clone(), text(&response["headers"], name))).collect()
        }
        None => vec![("content-type".to_owned(), "text/event-stream".to_owned())],
    };
    let mut body = Vec::new();
    for part in list(response, "body") {
        match part["b64"].as_str() {
            Some(bytes) => body.extend(STANDARD.decode(bytes).map_err(|error| error.to_string())?),
            None => body.extend_from_slice(part.as_str().unwrap_or_default().as_bytes()),
        }
    }
    let framing: Framing = response["framing"].as_str().unwrap_or("chunked").parse()?;
    let splits = list(response, "splits").iter().filter_map(|at| usize::try_from(at.as_u64()?).ok());
    Ok(Reply::bytes(status, headers, body, framing, &splits.collect::<Vec<_>>()))
}

impl Exchange {
    /// Everything that was read. A stream that says nothing or cannot be read is told by its own fields.
    fn read(&self) -> Value {
        let Completion { text, reasoning, refusal, malformed, done, finish_reason, model, .. } =
            &self.completion;
        let broken = matches!(&self.error, Some(ClientError::Network { source: Some(_), .. }));
        let error = self.error.as_ref().and_then(|error| match error.report() {
            Some(report) => Some(report.message.clone()),
            None => (self.status != 200 && !broken).then(|| error.to_string()),
        });
        json!({
            "text": text,
            "tool_calls": calls(&self.completion.tool_calls),
            "usage": self.usage(),
            "cost": self.cost(),
            "model": model,
            "error": error,
            "finish_reason": finish_reason,
            "refusal": refusal,
            "reasoning": reasoning,
            "malformed": malformed,
            "done": done,
            "transport_error": broken,
            "request_id": self.completion.headers.request_id,
            "status": self.status,
        })
    }

    /// What was handed on, and what was asked for.
    fn requested(&self) -> Value {
        let meta = json!({"usage": self.usage(), "cost": self.cost(), "model": self.completion.model});
        json!({
            "deltas": self.deltas,
            "text": self.deltas.concat(),
            "meta": if self.error.is_some() { Value::Null } else { meta },
            "exception": self.error.as_ref().map(|error| error.kind().as_str()),
            "requests": self.requests,
        })
    }

    fn usage(&self) -> Option<&Value> {
        self.completion.usage.as_ref().map(|usage| &usage.raw)
    }

    fn cost(&self) -> Option<&Value> {
        self.completion.cost.as_ref().map(|cost| &cost.raw)
    }
}

/// Tool calls in the flat form of the records.
pub(super) fn calls(calls: &[ToolCall]) -> Vec<Value> {
    let flat = |call: &ToolCall| json!({"id": call.id, "name": call.name, "arguments": call.arguments});
    calls.iter().map(flat).collect()
}
