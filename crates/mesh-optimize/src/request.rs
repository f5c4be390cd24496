//! The fields around the messages: how hard the model thinks, which model answers, what a model would reject. And advice that only
//! the caller can follow.
//!
//! None of it is claimed in a receipt: nobody knows what the other setting would have cost. All of it is disclosed in the plan.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::body::{Body, Own, Shape, Splice};
use crate::classify::TaskClass;
use crate::dial::Dial;
use crate::dialect::Dialect;

/// A field that was set or taken out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// The field, inner ones behind a dot.
    pub field: String,
    /// What it is now; `None` when it was taken out.
    pub value: Option<String>,
    /// Why, in words.
    pub why: String,
}

/// A cheaper model that the user allows instead of the one asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Cheaper {
    /// Its name.
    pub model: String,
    /// Its price as a share of the price of the model that is asked for; only below 1 it is ever chosen.
    pub price: f64,
}

/// What only the caller can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advice {
    /// The client is in no hurry (`mesh_hints.latency` is `flexible`): a batch costs half.
    pub batch: bool,
    /// Where the client starts agents of its own.
    pub subagents: Option<Subagents>,
}

/// How many agents a client should start. Section 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subagents {
    /// At the same time.
    pub parallel: u32,
    /// Agents of agents.
    pub depth: u32,
}

/// From here on agents cost more than they bring. Section 6.
const SUBAGENTS_FROM: f64 = 0.4;
const SUBAGENTS: Subagents = Subagents { parallel: 3, depth: 1 };

/// Small tasks think less from the first, and least from the second. Section 6 and the TypeScript package.
const EFFORT_FROM: (f64, f64) = (0.2, 0.6);

/// Small tasks, then all, may go to a cheaper model. Section 6.
const ROUTING_FROM: (f64, f64) = (0.6, 0.8);

/// Messages that tell of what kind a request is. As [`TaskClass`] looks at them.
const WINDOW: usize = 6;

/// Fields by which a client says itself how hard the model is to think.
const EFFORTS: [&str; 4] = ["reasoning_effort", "reasoning", "output_config", "thinking"];

/// Models that take an effort, by a part of the name, and the field's text around its value. Anthropic's effort page (Opus from
/// 4.5, Sonnet from 4.6, Fable and Mythos) and OpenAI's reasoning guide, 2026-10. Others are not known to: nothing is set.
const EFFORT_FIELDS: &[(&[&str], &str, [&str; 2])] = &[
    (
        &["opus-4.5", "opus-4-5", "opus-4.6", "opus-4-6", "opus-4.7", "opus-4-7", "opus-4.8", "opus-4-8"],
        "output_config.effort",
        CLAUDE,
    ),
    (&["opus-5", "sonnet-4.6", "sonnet-4-6", "sonnet-5", "fable", "mythos"], "output_config.effort", CLAUDE),
    (&["gpt-5", "o3", "o4-mini"], "reasoning_effort", [r#","reasoning_effort":""#, "\""]),
];
const CLAUDE: [&str; 2] = [r#","output_config":{"effort":""#, "\"}"];

/// What is done to the fields of a request.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    pub(crate) splices: Vec<Splice>,
    pub(crate) settings: Vec<Setting>,
    /// Fields to take out, together with those of ours: neighbours share a comma.
    pub(crate) gone: Vec<&'static str>,
}

/// Decides on the fields of a request. `routed` is the session's model, once one was chosen; a session in its first request may
/// choose.
pub(crate) fn fields(
    body: &Body<'_>,
    dial: Dial,
    asked: &str,
    cheaper: Option<&Cheaper>,
    routed: &mut Option<String>,
    first: bool,
) -> Fields {
    let mut fields = Fields::default();
    let class = if dial.value() >= EFFORT_FROM.0 { class(body) } else { TaskClass::Agentic };
    // Later the whole prefix would have to be written again for the other model.
    if first && may_route(dial, class, cheaper) {
        *routed = cheaper.map(|cheaper| cheaper.model.clone());
    }
    if let (Some(model), Some(span)) = (routed.as_ref(), body.field("model")) {
        let quoted = Value::from(model.as_str()).to_string();
        fields.splices.push(Splice { span, with: Own::Shared(quoted.into_bytes().into()) });
        fields.set("model", Some(model), "a cheaper model was allowed, and the session had just begun");
    }
    let model = routed.as_deref().unwrap_or(asked).to_ascii_lowercase();
    guard(body, &model, &mut fields);
    // The responses API has the effort in another field, which its clients set themselves.
    if body.shape == Shape::Messages {
        effort(body, &model, dial, class, &mut fields);
    }
    fields
}

/// Advice for a request.
pub(crate) fn advice(body: &Body<'_>, dial: Dial) -> Advice {
    let latency = body.value("mesh_hints").and_then(|hints| hints.get("latency").cloned());
    Advice {
        batch: latency.is_some_and(|latency| latency == "flexible"),
        subagents: (dial.value() >= SUBAGENTS_FROM).then_some(SUBAGENTS),
    }
}

/// The session that a body names.
pub(crate) fn session_of(body: &Body<'_>) -> Option<String> {
    session_id(body.value("mesh_hints")?.get("session_id")?)
}

/// A session's name: a text or a number.
pub fn session_id(value: &Value) -> Option<String> {
    match value {
        Value::String(id) => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}

impl Fields {
    fn set(&mut self, field: &str, value: Option<&str>, why: &str) {
        let value = value.map(str::to_owned);
        self.settings.push(Setting { field: field.to_owned(), value, why: why.to_owned() });
    }
}

fn class(body: &Body<'_>) -> TaskClass {
    let tools =
        body.value("tools").is_some_and(|tools| tools.as_array().is_some_and(|list| !list.is_empty()));
    let last = &body.messages[body.messages.len().saturating_sub(WINDOW)..];
    let read = |place: &crate::body::Place| serde_json::from_slice(&body.bytes[place.span.clone()]).ok();
    let messages: Vec<Value> = if tools { Vec::new() } else { last.iter().filter_map(read).collect() };
    TaskClass::of_messages(&messages, tools, Dialect::Utf16)
}

fn may_route(dial: Dial, class: TaskClass, cheaper: Option<&Cheaper>) -> bool {
    let pays = cheaper.is_some_and(|cheaper| cheaper.price < 1.0 && !cheaper.model.is_empty());
    let small = matches!(class, TaskClass::Routine | TaskClass::Standard);
    pays && (dial.value() >= ROUTING_FROM.1 || (small && dial.value() >= ROUTING_FROM.0))
}

/// Takes out what the model is known to reject, so that the request does not fail. From the TypeScript package: only Fable models.
fn guard(body: &Body<'_>, model: &str, fields: &mut Fields) {
    if !model.contains("fable") {
        return;
    }
    let rejected = |field: &&&'static str| match (**field, body.value(field)) {
        (_, None) => false,
        ("temperature", Some(value)) => value.as_f64() != Some(1.0),
        ("thinking", Some(value)) => value.get("type").is_some_and(|kind| kind == "disabled"),
        _ => true,
    };
    let all = ["temperature", "top_k", "thinking"];
    let gone: Vec<&'static str> = all.iter().filter(rejected).copied().collect();
    for field in &gone {
        fields.set(field, None, "the model rejects it");
    }
    fields.gone = gone;
}

fn effort(body: &Body<'_>, model: &str, dial: Dial, class: TaskClass, fields: &mut Fields) {
    let value = match class {
        TaskClass::Routine if dial.value() >= EFFORT_FROM.1 => "low",
        TaskClass::Standard if dial.value() >= EFFORT_FROM.1 => "medium",
        TaskClass::Routine if dial.value() >= EFFORT_FROM.0 => "medium",
        _ => return,
    };
    let own = EFFORTS.iter().any(|field| body.field(field).is_some());
    let name = model.rsplit('/').next().unwrap_or(model);
    let known = EFFORT_FIELDS.iter().find(|(parts, ..)| parts.iter().any(|part| name.contains(part)));
    let (Some((_, field, [open, close])), false) = (known, own) else { return };
    let Some(brace) = body.bytes.iter().rposition(|byte| *byte == b'}') else { return };
    let text = format!("{open}{value}{close}");
    fields.splices.push(Splice { span: brace..brace, with: Own::Shared(text.into_bytes().into()) });
    fields.set(field, Some(value), &format!("a {class} request, and the client set none"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(
        body: &str,
        dial: f64,
        cheaper: Option<(&str, f64)>,
    ) -> (String, Vec<(String, Option<String>)>) {
        let read = Body::read(body.as_bytes(), &[]).unwrap();
        let cheaper = cheaper.map(|(model, price)| Cheaper { model: model.to_owned(), price });
        let model = read.text("model").unwrap_or_default();
        let dial = Dial::new(dial).unwrap();
        let mut fields = fields(&read, dial, &model, cheaper.as_ref(), &mut None, true);
        let gone = read.removals(&fields.gone).into_iter();
        fields.splices.extend(gone.map(|span| Splice { span, with: Own::Fixed(b"") }));
        fields.splices.sort_by_key(|splice| splice.span.start);
        let sent = crate::body::segments(body.as_bytes(), &fields.splices).flatten().copied().collect();
        let set = fields.settings.into_iter().map(|setting| (setting.field, setting.value)).collect();
        (String::from_utf8(sent).unwrap(), set)
    }

    const ASK: &str = r#""messages":[{"role":"user","content":"hello"}]}"#;

    #[test]
    fn small_tasks_think_less_where_the_model_takes_it() {
        for (model, dial, want) in [
            ("openai/gpt-5", 0.3, r#","reasoning_effort":"medium"}"#),
            ("openai/gpt-5", 0.6, r#","reasoning_effort":"low"}"#),
            ("anthropic/claude-opus-4.8", 0.6, r#","output_config":{"effort":"low"}}"#),
            ("openai/gpt-5", 0.1, "}"),
            ("openai/gpt-4o", 0.6, "}"),
            ("anthropic/claude-sonnet-4", 0.6, "}"),
        ] {
            let body = format!(r#"{{"model":"{model}",{ASK}"#);
            let want = format!("{}{want}", body.strip_suffix('}').unwrap());
            assert_eq!(settings(&body, dial, None).0, want, "{model} at {dial}");
        }
    }

    #[test]
    fn what_the_client_sets_stays() {
        for field in [r#""reasoning_effort":"high""#, r#""thinking":{"type":"enabled"}"#, r#""tools":[{}]"#] {
            let body = format!(r#"{{"model":"gpt-5",{field},{ASK}"#);
            assert_eq!(settings(&body, 0.7, None), (body, Vec::new()));
        }
    }

    #[test]
    fn rejected_fields_go() {
        let body = format!(r#"{{"model":"claude-fable-5","temperature":0.2,"top_k":4,{ASK}"#);
        let (sent, set) = settings(&body, 0.1, None);
        assert_eq!(sent, format!(r#"{{"model":"claude-fable-5",{ASK}"#));
        assert_eq!(set, [("temperature".to_owned(), None), ("top_k".to_owned(), None)]);
        let kept = format!(r#"{{"model":"claude-fable-5","temperature":1,{ASK}"#);
        assert_eq!(settings(&kept, 0.1, None), (kept, Vec::new()));
    }

    #[test]
    fn a_cheaper_model_answers_only_where_it_is_allowed_and_cheaper() {
        let (small, agentic) =
            (format!(r#"{{"model":"a/big",{ASK}"#), format!(r#"{{"model":"a/big","tools":[{{}}],{ASK}"#));
        let routed =
            |body: &str, dial, price| settings(body, dial, Some(("a/small", price))).0.contains("a/small");
        assert!(routed(&small, 0.6, 0.2));
        assert!(!routed(&small, 0.5, 0.2));
        assert!(!routed(&small, 0.6, 1.0));
        assert!(!routed(&agentic, 0.7, 0.2));
        assert!(routed(&agentic, 0.8, 0.2));
    }
}
