//! The set `loop`: whole turns of the program's agent with a scripted model and scripted answers to its questions.

use std::{
    collections::VecDeque,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mesh_agent::{
    CallOutcome, Event, Hands, Interrupt, Model, ReplyFuture, Sink,
    approval::{Approval, ApprovalFuture, ApprovalRequest, Approver},
    history::INTERRUPTED,
    plan::CREATE_PLAN,
};
use mesh_client::{
    ClientError, Completion, MeshClient, NetworkKind, ResponseHeaders, StreamEvent,
    error::classify_status,
    wire::{Catalog, CompletionRequest},
};
use meshapi_cli::{
    cli,
    config::{Config, Environment},
    repl::slash::{self, Attachments, ModelList, SlashContext},
    sys::HOME_VARIABLE,
    wiring::{self, Gateway, Wired},
};
use serde_json::{Value, json};

use super::{Outcome, folders, list, output, text, tools};

pub(super) async fn answer(input: &Value) -> Outcome {
    let (cwd, home) = folders(input)?;
    let interrupt = Interrupt::default();
    let script = Arc::new(Script {
        hops: list(input, "script").to_vec(),
        interrupt: interrupt.clone(),
        tails: Mutex::default(),
    });
    let (wired, config) = start(input, &cwd, &home, Arc::clone(&script) as Arc<dyn Model>)?;
    let mut run = Run {
        wired,
        config,
        attachments: Attachments::new(&cwd, Some(&home)),
        models: ModelList::default(),
        interrupt,
        person: Person { answers: list(input, "answers").iter().cloned().collect(), asked: Vec::new() },
        words: Words::default(),
    };
    // Known, so that no record asks a gateway for them.
    run.models.set(Catalog::default());
    run.lines(input).await?;
    run.wired.servers.kill_all().await;
    let agent = &run.wired.agent;
    let messages = agent.session().history().messages().iter().map(|m| read(m.as_bytes()));
    let messages: Vec<Value> = messages.enumerate().map(|(at, m)| run.words.reduced(at, &m)).collect();
    let tails = script.tails().clone();
    let cost = agent.ledger().session().total().map_or(0.0, |cost| cost.usd().0);
    output(json!({
        "messages": messages,
        "requests": tails.len(),
        "request_tail": tails.iter().map(|(at, m)| run.words.reduced(*at, m)).collect::<Vec<_>>(),
        "asked": run.person.asked,
        "session_cost": cost,
        "session_image_bytes": run.attachments.session_bytes(),
        "mode": agent.mode().get().name(),
        "files": tools::shown(tools::files(&cwd)),
    }))
}

fn read(message: &[u8]) -> Value {
    serde_json::from_slice(message).unwrap_or_default()
}

/// The program as it starts at a terminal with this command line, but for who answers.
fn start(input: &Value, cwd: &Path, home: &Path, model: Arc<dyn Model>) -> Result<(Wired, Config), String> {
    let arguments = list(input, "argv").iter().map(|argument| argument.as_str().unwrap_or_default());
    let arguments = std::iter::once("meshapi").chain(arguments).map(Into::into);
    let cli = cli::parse(arguments).map_err(|stop| stop.text)?;
    let env = Environment::from_lookup(|name| match name {
        HOME_VARIABLE => Some(home.into()),
        "MESHAPI_API_KEY" => Some("rsk_conformance".into()),
        _ => None,
    });
    let config = Config::load(home, &env, cli.settings.overrides()).map_err(|error| error.to_string())?;
    let key = config.key().map(|found| found.key.clone()).ok_or("no key")?;
    let client = MeshClient::builder(config.base_url().clone(), key).build();
    let gateway = Gateway { client, model, prices: None };
    let wired = wiring::wire_to(gateway, &config, cwd, Some(home), cli.settings.mode, false, None);
    Ok((wired.map_err(|failure| failure.message)?, config))
}

struct Run {
    wired: Wired,
    config: Config,
    attachments: Attachments,
    models: ModelList,
    interrupt: Interrupt,
    person: Person,
    words: Words,
}

impl Run {
    /// Prompts and slash commands of one session, as the program takes them from lines.
    async fn lines(&mut self, input: &Value) -> Result<(), String> {
        for line in list(input, "prompts") {
            let line = line.as_str().unwrap_or_default();
            if line.starts_with('/') {
                let mut context = SlashContext {
                    wired: &mut self.wired,
                    config: &mut self.config,
                    attachments: &mut self.attachments,
                    models: &self.models,
                    columns: 80,
                };
                if slash::run(line, &mut context).await.leave {
                    break;
                }
            } else if !line.trim().is_empty() {
                let mut listen = |event: Event<'_>| self.words.hear(event);
                let content = self.attachments.prepare(line).await.content;
                let hands =
                    Hands { listener: &mut listen, approver: &mut self.person, interrupt: &self.interrupt };
                let turn = self.wired.agent.run_turn(content, hands).await;
                turn.map_err(|error| error.to_string())?;
                self.interrupt.clear();
            }
        }
        Ok(())
    }
}

/// Says yes or no as the record has it, and no when that is at its end.
struct Person {
    answers: VecDeque<Value>,
    asked: Vec<String>,
}

impl Approver for Person {
    fn ask<'a>(&'a mut self, request: ApprovalRequest<'a>) -> ApprovalFuture<'a> {
        self.asked.push(request.tool.to_owned());
        let yes = self.answers.pop_front().is_some_and(|answer| answer == true);
        Box::pin(std::future::ready(if yes { Approval::Yes } else { Approval::No }))
    }
}

/// Plays the hops of the record; the last one again when there are no more.
struct Script {
    hops: Vec<Value>,
    interrupt: Interrupt,
    /// Position and last message of each request.
    tails: Mutex<Vec<(usize, Value)>>,
}

impl Script {
    fn tails(&self) -> MutexGuard<'_, Vec<(usize, Value)>> {
        self.tails.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn play(&self, hop: &[Value], sink: Sink<'_>) -> Result<Completion, ClientError> {
        let mut said = String::new();
        let mut meta = json!({});
        let mut has_begun = false;
        for part in hop {
            match part["raise"].as_str() {
                Some("interrupt") => {
                    self.interrupt.raise();
                    return std::future::pending().await;
                }
                Some(what) => return Err(failure(what)),
                None => {}
            }
            if !has_begun {
                has_begun = true;
                sink(StreamEvent::Started { request_id: None });
            }
            if let Some(text) = part["text"].as_str() {
                said.push_str(text);
                sink(StreamEvent::Text(text));
            }
            if part["meta"].is_object() {
                meta = part["meta"].clone();
            }
        }
        Completion::from_whole(body(&said, &meta).to_string().as_bytes(), ResponseHeaders::default())
    }
}

impl Model for Script {
    fn complete<'a>(&'a self, request: CompletionRequest, sink: Sink<'a>) -> ReplyFuture<'a> {
        Box::pin(async move {
            let last = request.messages.last().map(|message| read(message.as_bytes())).unwrap_or_default();
            let number = {
                let mut tails = self.tails();
                tails.push((request.messages.len().saturating_sub(1), last));
                tails.len() - 1
            };
            let hop = self.hops.get(number).or(self.hops.last());
            self.play(hop.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default(), sink).await
        })
    }
}

/// A hop that failed after all retries: a status, or the network.
fn failure(what: &str) -> ClientError {
    match what.parse() {
        Ok(status) => classify_status(status, &ResponseHeaders::default(), b"", 0.0),
        Err(_) => ClientError::network(NetworkKind::Connect, what, None),
    }
}

/// The reply as a gateway would send it whole.
fn body(said: &str, meta: &Value) -> Value {
    let calls = list(meta, "tool_calls").iter().map(|call| {
        let function = json!({"name": call["name"], "arguments": call["arguments"]});
        json!({"id": call["id"], "type": "function", "function": function})
    });
    let message = json!({"role": "assistant", "content": said, "tool_calls": calls.collect::<Vec<_>>()});
    json!({
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": meta["usage"],
        "cost": meta["cost"],
        "model": meta["model"],
    })
}

/// Texts of results that are words of ours, by what they say.
#[derive(Default)]
struct Words {
    results: Vec<(String, String, &'static str)>,
}

impl Words {
    fn hear(&mut self, event: Event<'_>) {
        let Event::CallEnded { id, name, output, outcome, .. } = event else { return };
        let kind = match outcome {
            CallOutcome::Denied => "<denied>",
            CallOutcome::Stopped => "<stopped>",
            CallOutcome::Refused => "<refused>",
            CallOutcome::Invalid => "<error>",
            CallOutcome::Ran if output.is_error => "<error>",
            CallOutcome::Ran if name == CREATE_PLAN.name => "<plan created>",
            CallOutcome::Ran => return,
        };
        self.results.push((id.to_owned(), output.text.clone(), kind));
    }

    /// A message at its place in a conversation, with our own words reduced to what they say.
    fn reduced(&self, at: usize, message: &Value) -> Value {
        let mut message = message.clone();
        let said = text(&message, "content");
        let word = match message["role"].as_str() {
            Some("system") if at == 0 => Some("<system prompt>".to_owned()),
            Some("system") => Some(note(&said)),
            Some("tool") => self.result(&text(&message, "tool_call_id"), &said),
            _ => None,
        };
        if let Some(word) = word {
            message["content"] = json!(word);
        }
        message
    }

    fn result(&self, id: &str, said: &str) -> Option<String> {
        if said == INTERRUPTED {
            return Some("<interrupted>".to_owned());
        }
        let known = self.results.iter().find(|(call, text, _)| call == id && text == said);
        known.map(|(_, _, kind)| (*kind).to_owned())
    }
}

/// Which of our notes it is: the plan that goes with a request, the pause at the hop limit, or another.
fn note(said: &str) -> String {
    let figures = said.split_once("Plan: ").and_then(|(_, rest)| rest.split_once(" steps done"));
    let paused = said.strip_prefix("Execution paused after ").and_then(|rest| rest.split_once(' '));
    match (paused, figures) {
        (Some((hops, _)), _) => format!("<paused after {hops}>"),
        (None, Some((done, _))) => format!("<plan reminder ({done} done)>"),
        (None, None) => "<note>".to_owned(),
    }
}
