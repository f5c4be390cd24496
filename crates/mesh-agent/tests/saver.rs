//! The agent with something that makes requests cheaper: what is asked of it, what is sent, what is told.
#![expect(clippy::unwrap_used, reason = "a journey that cannot go on has failed")]

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use mesh_agent::{
    Agent, AgentParts, Event, GatewayModel, GatewayPrices, Hands, Interrupt, Nobody, OptimizeAt, Outgoing,
    Receipt, Saver, Saving, Settings, SharedMode, ToolContext, ToolSet, TurnReport,
    builtin::ReadFile,
    plan::{CREATE_PLAN, UPDATE_STEP},
    saver::Sum,
};
use mesh_client::{
    Catalog, ClientError, MeshClient, RetryPolicy, Usage,
    scripted::{Reply, Script, ScriptedGateway},
    wire::{Content, RequestBody},
};
use mesh_safety::{PermissionMode, Policy};
use serde_json::{Value, json};

/// Takes notes, and marks what it has prepared.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

struct Marked {
    notes: Arc<Notes>,
    body: RequestBody,
}

impl Notes {
    fn note(&self, text: String) {
        self.0.lock().unwrap().push(text);
    }
}

/// A saver that adds one field.
struct Marks(Arc<Notes>);

impl Saver for Marks {
    fn prepare(&self, outgoing: Outgoing<'_>) -> Option<Box<dyn Saving>> {
        let Outgoing { body, model, dial, transient, now, .. } = outgoing;
        assert!(now > 1.0e9);
        self.0.note(format!("prepare {model} {dial} transient {transient}"));
        let mut json: Value = serde_json::from_slice(&body).unwrap();
        json["marked"] = true.into();
        Some(Box::new(Marked { notes: self.0.clone(), body: RequestBody::from_bytes(json.to_string()) }))
    }

    fn is_in_use(&self) -> bool {
        true
    }

    fn recalled(&self) {
        self.0.note("recalled".into());
    }

    fn cleared(&self) {
        self.0.note("cleared".into());
    }
}

impl Saving for Marked {
    fn body(&self) -> RequestBody {
        self.body.clone()
    }

    fn settled(
        self: Box<Self>,
        _: Option<&str>,
        usage: Option<&Usage>,
        catalog: Option<&Catalog>,
    ) -> Receipt {
        let price = catalog.and_then(|c| c.lookup("m/x")?.pricing.prompt_per_million);
        self.notes.note(format!("settled {:?} at {price:?}", usage.and_then(|u| u.prompt_tokens)));
        let session = Sum { requests: 7, ..Sum::default() };
        Receipt { dial: 0.3, billed_usd: price, saved_vs_native_usd: price, session, ..Receipt::default() }
    }

    fn rejected(self: Box<Self>, error: &ClientError) -> String {
        self.notes.note(format!("rejected {}", error.kind().as_str()));
        "sent as it is".into()
    }
}

struct Stage {
    gateway: ScriptedGateway,
    agent: Agent,
    notes: Arc<Notes>,
    told: Vec<String>,
}

impl Stage {
    async fn new(optimize: f64, optimize_at: OptimizeAt, script: Script) -> Stage {
        let script = script.route("/models", |_| {
            let row = json!({"id": "m/x", "pricing": {"prompt_usd_per_1m": "3"}});
            Reply::status(200, "application/json", json!({"data": [row]}).to_string())
        });
        let gateway = ScriptedGateway::start(script).await.unwrap();
        let client = MeshClient::builder(gateway.base_url(), "rsk_test".parse().unwrap()).build();
        let cwd = PathBuf::from("/nowhere/work");
        let mut agent = Agent::new(AgentParts {
            model: Arc::new(GatewayModel { client: client.clone(), retry: RetryPolicy::default() }),
            prices: Some(Arc::new(GatewayPrices::new(client))),
            tools: ToolSet::builder().spec(CREATE_PLAN).spec(UPDATE_STEP).tool(ReadFile).build().unwrap(),
            context: ToolContext {
                cwd: cwd.clone(),
                home: None,
                env: Arc::default(),
                line: Default::default(),
                sandbox: None,
                grants: Vec::new(),
                sighting: None,
            },
            policy: Policy { workspace: cwd, ..Policy::default() },
            rules: Default::default(),
            mode: SharedMode::new(PermissionMode::Default),
            settings: Settings { model: "m/x".into(), optimize, optimize_at, ..Settings::default() },
            system: "system".into(),
            max_hops: None,
        });
        let notes = Arc::new(Notes::default());
        agent.save_with(Arc::new(Marks(notes.clone())));
        Stage { gateway, agent, notes, told: Vec::new() }
    }

    async fn turn(&mut self) -> TurnReport {
        let told = &mut self.told;
        let mut listener = |event: Event<'_>| match event {
            Event::SavingsOff { note } => told.push(format!("off: {note}")),
            Event::CallStarted { summary, .. } => told.push(format!("started: {summary}")),
            Event::CallEnded { name: "read_file", output, .. } => told.push(output.text.clone()),
            _ => {}
        };
        let interrupt = Interrupt::default();
        let hands = Hands { listener: &mut listener, approver: &mut Nobody, interrupt: &interrupt };
        self.agent.run_turn(Content::Text("go".into()), hands).await.unwrap()
    }

    fn notes(&self) -> Vec<String> {
        self.notes.0.lock().unwrap().clone()
    }

    /// The bodies of the requests for completions.
    fn bodies(&self) -> Vec<Value> {
        let requests = self.gateway.requests().into_iter();
        requests.filter(|r| r.path == "/chat/completions").map(|r| r.json).collect()
    }
}

fn plan() -> Reply {
    Reply::stream().tool_call("c1", "create_plan", r#"{"steps":["a"]}"#, 9).usage(20, 2).done()
}

fn says() -> Reply {
    Reply::stream().text("done").usage(30, 3).done()
}

#[tokio::test]
async fn prepared_requests_are_sent_and_settled_in_order() {
    let mut stage = Stage::new(0.3, OptimizeAt::Client, Script::in_order([plan(), says()])).await;
    let report = stage.turn().await;
    assert!(stage.bodies().iter().all(|body| body["marked"] == true));
    let notes = stage.notes();
    let settled: Vec<&String> = notes.iter().filter(|note| note.starts_with("settled")).collect();
    assert_eq!(settled, ["settled Some(20) at Some(3.0)", "settled Some(30) at Some(3.0)"]);
    let prepared: Vec<&String> = notes.iter().filter(|note| note.starts_with("prepare")).collect();
    assert_eq!(prepared, ["prepare m/x 0.3 transient 0", "prepare m/x 0.3 transient 1"]);
    assert_eq!(report.savings.receipts.len(), 2);
    assert_eq!((report.savings.sum().saved_vs_native_usd, report.savings.session().requests), (6.0, 7));
    stage.agent.clear();
    assert_eq!(stage.notes().last().unwrap(), "cleared");
}

#[tokio::test]
async fn at_zero_nothing_is_asked_and_nothing_changes() {
    let script = || Script::in_order([plan(), says()]);
    let mut stage = Stage::new(0.0, OptimizeAt::Client, script()).await;
    let report = stage.turn().await;
    assert!(stage.notes().is_empty() && report.savings.is_empty());
    assert!(stage.bodies().iter().all(|body| body.get("marked").is_none()));
    let mut without = Stage::new(f64::NAN, OptimizeAt::Client, script()).await;
    without.turn().await;
    assert_eq!(stage.bodies(), without.bodies());
}

#[tokio::test]
async fn the_dial_is_read_at_every_request() {
    let mut stage = Stage::new(0.3, OptimizeAt::Client, Script::in_order([says(), says()])).await;
    stage.turn().await;
    stage.agent.settings().update(|settings| settings.optimize = 0.0);
    stage.turn().await;
    let marked: Vec<bool> = stage.bodies().iter().map(|body| body["marked"] == true).collect();
    assert_eq!(marked, [true, false]);
}

#[tokio::test]
async fn a_refusal_never_fails_the_turn() {
    let script = Script::new(|request| match request.json.get("marked") {
        Some(_) => Reply::error(400, "invalid_request_error", "no such field"),
        None => says(),
    });
    let mut stage = Stage::new(0.3, OptimizeAt::Client, script).await;
    let report = stage.turn().await;
    assert_eq!(report.end.clone(), mesh_agent::TurnEnd::Finished { text: "done".into(), open_steps: vec![] });
    assert_eq!(stage.told, ["off: sent as it is"]);
    assert_eq!(stage.notes(), ["prepare m/x 0.3 transient 0", "rejected invalid_request"]);
    assert!(report.savings.is_empty());
}

#[tokio::test]
async fn the_gateway_can_be_told_to_do_it() {
    let at = OptimizeAt::Gateway { session_id: "s-1".into() };
    let mut stage = Stage::new(0.3, at, Script::in_order([plan(), says()])).await;
    stage.turn().await;
    assert!(stage.notes().is_empty());
    let bodies = stage.bodies();
    assert_eq!(bodies[0]["mesh_optimize"], 0.3);
    assert_eq!(bodies[0]["mesh_hints"], json!({"session_id": "s-1"}));
    assert_eq!(bodies[1]["mesh_hints"], json!({"session_id": "s-1", "transient_tail": 1}));
}

#[tokio::test]
async fn a_gateway_that_does_not_know_the_dial_gets_it_once() {
    let script = Script::new(|request| match request.json.get("mesh_optimize") {
        Some(_) => Reply::error(422, "validation_error", "mesh_optimize: extra field"),
        None => says(),
    });
    let at = OptimizeAt::Gateway { session_id: "s-1".into() };
    let mut stage = Stage::new(0.3, at, script).await;
    stage.turn().await;
    stage.turn().await;
    assert_eq!(stage.bodies().len(), 3);
    assert!(stage.told.len() == 1 && stage.told[0].contains("optimize is off"), "{:?}", stage.told);
}

#[tokio::test]
async fn cut_texts_are_read_again_from_the_history() {
    let again = Reply::stream().tool_call("c2", "read_file", r#"{"path":"r2"}"#, 9).usage(5, 1).done();
    let mut stage = Stage::new(0.3, OptimizeAt::Client, Script::in_order([plan(), again, says()])).await;
    let report = stage.turn().await;
    assert_eq!(stage.told, ["started: read_file: r2, cut before", "steps: [\"a\"]\n"]);
    assert_eq!(report.savings.recalls, 1);
    assert!(stage.notes().contains(&"recalled".to_owned()));
    let last = stage.bodies().pop().unwrap();
    let mut results = last["messages"].as_array().unwrap().iter().filter(|m| m["role"] == "tool");
    assert_eq!(results.next_back().unwrap()["content"], "steps: [\"a\"]\n");
}
