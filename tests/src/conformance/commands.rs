//! The set `commands`: slash commands of one session, what they changed, and what they wrote down.

use std::{fmt::Write as _, path::Path, sync::Arc};

use mesh_agent::{Hands, Interrupt, Model, Nobody, ReplyFuture, Settings, Sink};
use mesh_client::{
    Completion, MeshClient, ResponseHeaders, StreamEvent,
    wire::{Catalog, CompletionRequest, Content},
};
use meshapi_cli::{
    config::{CONFIG, Config, Environment, Overrides},
    repl::slash::{self, Attachments, ModelList, SlashContext},
    sys::HOME_VARIABLE,
    ui::line::Style,
    wiring::{self, Gateway, Wired},
};
use serde_json::{Map, Value, json};

use super::{Answer, Outcome, folders, list, object, text};

/// Commands of 0.5.10 that belong to features which do not exist yet.
const NOT_BUILT: [&str; 5] = ["stall", "compact", "memory", "output", "effort"];
/// The system prompt that a record begins with.
const SYSTEM: &str = "SYS";
/// What was said before a record begins.
const SAID: &str = "hello";

pub(super) async fn answer(input: &Value) -> Outcome {
    let lines: Vec<&str> = list(input, "commands").iter().filter_map(Value::as_str).collect();
    if lines.iter().any(|line| is_missing(line)) {
        return Ok(Answer::Skip("a command of a feature that is not built yet"));
    }
    let (cwd, home) = folders(input)?;
    let mut run = start(input, &cwd, &home).await?;
    let (before, stored) = (run.state(), run.config.stored().to_map());
    // Written again by the first setting that is stored, and by nothing else.
    run.config.folder().remove(CONFIG).map_err(|error| error.to_string())?;
    let mut results = Vec::new();
    for line in lines {
        results.push(run.command(line).await);
    }
    let saved = run.config.folder().read(CONFIG).map_err(|error| error.to_string())?;
    let saved =
        saved.map(|bytes| changed(&stored, &object(&serde_json::from_slice(&bytes).unwrap_or_default())));
    let mut delta = run.state();
    for (part, was) in before {
        match (delta.get_mut(&part), was) {
            (Some(Value::Object(now)), Value::Object(was)) => *now = changed(&was, now),
            (Some(now), was) if *now == was => drop(delta.remove(&part)),
            _ => {}
        }
    }
    super::output(json!({"results": results, "delta": delta, "saved": saved}))
}

/// Whether a line asks for a command that does not exist yet.
fn is_missing(line: &str) -> bool {
    let name = line.trim_start_matches('/').split_whitespace().next().unwrap_or_default();
    NOT_BUILT.contains(&name.to_lowercase().as_str())
}

/// What has another value than before; what was not there counts as null.
fn changed(was: &Map<String, Value>, now: &Map<String, Value>) -> Map<String, Value> {
    let old = |key: &str| was.get(key).unwrap_or(&Value::Null);
    let changed = now.iter().filter(|(key, value)| !is_equal(old(key), value));
    changed.map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn is_equal(one: &Value, other: &Value) -> bool {
    one == other || one.as_f64().is_some_and(|number| other.as_f64() == Some(number))
}

/// A session at its prompt.
struct Run {
    wired: Wired,
    config: Config,
    attachments: Attachments,
    models: ModelList,
}

/// The program as it stands after a prompt that cost what the record says.
async fn start(input: &Value, cwd: &Path, home: &Path) -> Result<Run, String> {
    let env = Environment::from_lookup(|name| match name {
        HOME_VARIABLE => Some(home.into()),
        "MESHAPI_API_KEY" => Some("rsk_conformance".into()),
        // Nobody answers there: the balance is not known.
        "MESHAPI_BASE_URL" => Some("http://127.0.0.1:9/v1".into()),
        _ => None,
    });
    let load = || Config::load(home, &env, Overrides::default()).map_err(|error| error.to_string());
    let mut config = load()?;
    config
        .store(object(&input["cfg"]).iter().map(|(key, value)| (key.as_str(), value)))
        .map_err(|e| e.to_string())?;
    let config = load()?;
    let key = config.key().map(|found| found.key.clone()).ok_or("no key")?;
    let client = MeshClient::builder(config.base_url().clone(), key).build();
    let model = Arc::new(Costly(input["session_cost"].as_f64()));
    let gateway = Gateway { client, model, prices: None };
    let wired = wiring::wire_to(gateway, &config, cwd, Some(home), Default::default(), false, None);
    let mut wired = wired.map_err(|failure| failure.message)?;
    if input["session_cost"].is_f64() || input["session_cost"].is_i64() {
        let (mut listener, interrupt) = (|_: mesh_agent::Event<'_>| {}, Interrupt::default());
        let hands = Hands { listener: &mut listener, approver: &mut Nobody, interrupt: &interrupt };
        wired.agent.run_turn(Content::Text(SAID.into()), hands).await.map_err(|error| error.to_string())?;
    }
    wired.agent.set_system(SYSTEM);
    wired.agent.tell(SAID.into()).await.map_err(|error| error.to_string())?;
    let models = ModelList::default();
    models.set(Catalog::from_value(&input["models"]).unwrap_or_default());
    let attachments = Attachments::new(cwd, Some(home));
    let mut run = Run { wired, config, attachments, models };
    for (number, pending) in list(input, "pending").iter().enumerate() {
        let path = home.join(format!("{number}-{}", text(pending, "name").replace('/', "_")));
        std::fs::write(&path, PIXEL).map_err(|error| error.to_string())?;
        run.command(&format!("/image {}", path.display())).await;
    }
    Ok(run)
}

/// A picture of one dot.
const PIXEL: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0\x90wS\xde";

impl Run {
    async fn command(&mut self, line: &str) -> Value {
        let mut context = SlashContext {
            wired: &mut self.wired,
            config: &mut self.config,
            attachments: &mut self.attachments,
            models: &self.models,
            columns: 80,
        };
        let outcome = slash::run(line, &mut context).await;
        let has =
            |wanted: Style| outcome.lines.iter().flat_map(|l| l.spans()).any(|span| span.style() == wanted);
        let style = match () {
            () if outcome.lines.is_empty() => "silent",
            () if has(Style::Bad) => "error",
            () if has(Style::Warn) => "warn",
            () => "info",
        };
        let said = outcome.lines.iter().fold(String::new(), |mut said, line| {
            let _ = writeln!(said, "{}", line.plain());
            said
        });
        let argument = line.split_once(char::is_whitespace).map_or("", |(_, argument)| argument.trim());
        let mentions = Some(argument).filter(|argument| !argument.is_empty() && said.contains(argument));
        json!({"continue": !outcome.leave, "style": style, "mentions": mentions.into_iter().collect::<Vec<_>>()})
    }

    /// Everything that a command may change.
    fn state(&self) -> Map<String, Value> {
        let agent = &self.wired.agent;
        let Settings { model, route, fallback_models, reasoning_effort, .. } = agent.settings().get();
        let cost = agent.ledger().session().total().map_or(0.0, |cost| cost.usd().0);
        object(&json!({
            "cfg": {
                "model": model,
                "route": route,
                "fallback_models": fallback_models,
                "reasoning_effort": reasoning_effort,
                "optimize": self.config.values().optimize,
                "max_hops": self.config.max_hops(),
                "system": self.config.system(),
            },
            "messages": self.messages(),
            "session_cost": cost,
            "mode": agent.mode().get().name(),
            "pending": vec![Value::Null; self.attachments.queued()],
        }))
    }

    /// The conversation. A system prompt is our own as soon as a command has made the conversation anew.
    fn messages(&self) -> Vec<Value> {
        let messages = self.wired.agent.session().history().messages().iter();
        let mut messages: Vec<Value> =
            messages.map(|message| serde_json::from_slice(message.as_bytes()).unwrap_or_default()).collect();
        let is_untouched = messages.get(1).is_some_and(|message| message["content"] == SAID);
        if let Some(first) = messages.first_mut().filter(|first| !is_untouched || first["content"] != SYSTEM)
        {
            first["content"] = json!("<system prompt>");
        }
        messages
    }
}

/// Answers every request at this price.
struct Costly(Option<f64>);

impl Model for Costly {
    fn complete<'a>(&'a self, _: CompletionRequest, sink: Sink<'a>) -> ReplyFuture<'a> {
        Box::pin(async move {
            sink(StreamEvent::Started { request_id: None });
            let message = json!({"role": "assistant", "content": "done"});
            let body = json!({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "cost": self.0});
            Completion::from_whole(body.to_string().as_bytes(), ResponseHeaders::default())
        })
    }
}
