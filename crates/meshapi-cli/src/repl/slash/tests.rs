//! Commands over a whole session: what they say, change and store.

use std::sync::Arc;

use mesh_agent::{Event, Hands, Interrupt, Nobody};
use mesh_client::{
    Catalog, MeshClient, RetryPolicy,
    scripted::{Reply, Script, ScriptedGateway},
    wire::Content,
};
use mesh_safety::PermissionMode;
use serde_json::{Value, json};

use super::*;
use crate::{
    config::{CONFIG, Environment, Overrides},
    wiring::{Gateway, wire_to},
};

/// A session in a home of its own; without a gateway nobody answers.
struct Lab {
    home: tempfile::TempDir,
    wired: Wired,
    config: Config,
    attachments: Attachments,
    models: ModelList,
}

impl Lab {
    fn new(gateway: Option<&ScriptedGateway>, overrides: Overrides) -> Lab {
        let home = tempfile::tempdir().unwrap();
        let dead = "http://127.0.0.1:9/v1".to_owned();
        let env = Environment {
            api_key: Some("rsk_x".into()),
            base_url: Some(gateway.map_or(dead, |gateway| gateway.base_url().to_string())),
            ..Environment::default()
        };
        let config = Config::load(home.path(), &env, overrides).unwrap();
        let client = MeshClient::builder(config.base_url().clone(), "rsk_x".parse().unwrap()).build();
        let model = mesh_agent::GatewayModel { client: client.clone(), retry: RetryPolicy::default() };
        let gateway = Gateway { client, model: Arc::new(model), prices: None };
        let mode = PermissionMode::Default;
        let wired = wire_to(gateway, &config, home.path(), Some(home.path()), mode, false, None);
        let Ok(wired) = wired else { panic!("not wired") };
        let attachments = Attachments::new(home.path(), Some(home.path()));
        Lab { home, wired, config, attachments, models: ModelList::default() }
    }

    async fn run(&mut self, line: &str) -> Outcome {
        let mut context = SlashContext {
            wired: &mut self.wired,
            config: &mut self.config,
            attachments: &mut self.attachments,
            models: &self.models,
            columns: 80,
        };
        run(line, &mut context).await
    }

    /// What a line says, with a mark for what is not in passing.
    async fn say(&mut self, line: &str) -> Vec<String> {
        marked(&self.run(line).await.lines)
    }

    fn stored(&self) -> Value {
        serde_json::from_slice(&self.config.folder().read(CONFIG).unwrap().unwrap()).unwrap()
    }
}

fn marked(lines: &[Line]) -> Vec<String> {
    let mark = |line: &Line| match line.spans().first().map(crate::ui::line::Span::style) {
        Some(Style::Bad) => "! ",
        Some(Style::Warn) => "? ",
        _ => "",
    };
    lines.iter().map(|line| format!("{}{}", mark(line), line.plain())).collect()
}

fn catalog() -> Catalog {
    Catalog::from_value(&json!([{"id": "openai/gpt-4o"}, {"id": "x/y"}])).unwrap()
}

#[tokio::test]
async fn settings_hold_for_the_next_request_and_are_stored() {
    let mut lab = Lab::new(None, Overrides::default());
    lab.models.set(catalog());
    let rows = [
        ("/model x/y", "Model set to x/y"),
        ("/model", "Current model: x/y"),
        ("/ROUTE fastest", "Routing set to fastest"),
        ("/rea High", "Reasoning effort set to high"),
        ("/fallback x/y, openai/gpt-4o x/y", "Falling back to x/y, then openai/gpt-4o"),
        ("/hops 5", "Requests before a turn pauses: 5"),
        ("/optimize .2", "optimize (beta) set to .2. Levers: lossless clean-up, shortened results"),
        ("/mode yolo", "Mode set to bypass permissions on (bypass)"),
        ("/mode", "Current mode: bypass permissions on (bypass)"),
        ("/mode default", "Mode set to ask first (default)"),
    ];
    for (line, want) in rows {
        assert_eq!(lab.say(line).await[0], want, "{line}");
    }
    let settings = lab.wired.agent.settings().get();
    assert_eq!((settings.model.as_str(), settings.route.as_deref()), ("x/y", Some("fastest")));
    assert_eq!(settings.fallback_models, ["x/y", "openai/gpt-4o"]);
    assert_eq!((settings.reasoning_effort.as_deref(), settings.optimize), (Some("high"), 0.2));
    let stored = lab.stored();
    let want = json!(["x/y", "fastest", "high", ["x/y", "openai/gpt-4o"], 5, 0.2]);
    let keys = ["model", "route", "reasoning_effort", "fallback_models", "max_hops", "optimize"];
    assert_eq!(json!(keys.map(|key| &stored[key])), want);
    for line in ["/route default", "/reasoning off", "/fallback off", "/hops 0", "/optimize off"] {
        assert_eq!(lab.say(line).await.len(), 1, "{line}");
    }
    let settings = lab.wired.agent.settings().get();
    assert_eq!((settings.route, settings.reasoning_effort, settings.fallback_models.len()), (None, None, 0));
}

#[tokio::test]
async fn what_holds_for_the_session_is_not_stored_with_the_next_setting() {
    let overrides = Overrides { model: Some("flag/m".into()), ..Overrides::default() };
    let mut lab = Lab::new(None, overrides);
    lab.run("/system Be terse.").await;
    lab.run("/route cheapest").await;
    let stored = lab.stored();
    assert_eq!(stored["route"], "cheapest");
    assert_eq!(stored["model"], crate::config::settings::DEFAULT_MODEL);
    assert_eq!(stored["system"], crate::config::settings::DEFAULT_SYSTEM);
    assert_eq!(lab.say("/system").await, ["Be terse."]);
    assert_eq!(lab.config.model(), "flag/m");
}

#[tokio::test]
async fn a_model_is_taken_with_a_warning_where_it_is_not_known() {
    let mut lab = Lab::new(None, Overrides::default());
    assert_eq!(
        lab.say("/model gpt-4o").await,
        ["Model set to gpt-4o", "? gpt-4o was not checked: the gateway's models are not known"]
    );
    lab.models.set(catalog());
    let want = "? the gateway does not list gpt-4o; close: openai/gpt-4o";
    assert_eq!(lab.say("/model gpt-4o").await[1], want);
    assert_eq!(lab.stored()["model"], "gpt-4o");
    assert_eq!(lab.say("/fallback a/b").await[1], "? the gateway does not list a/b; try /models");
    assert_eq!(lab.say("/model auto").await.len(), 1);
}

#[tokio::test]
async fn a_pinned_model_ends_automatic_routing() {
    let mut lab = Lab::new(None, Overrides::default());
    lab.config.store([("auto_route", &json!(true))]).unwrap();
    lab.models.set(catalog());
    lab.run("/model x/y").await;
    assert_eq!((lab.stored()["auto_route"].clone(), lab.config.model()), (json!(false), "x/y"));
}

#[tokio::test]
async fn lines_that_make_no_sense_are_answered_and_change_nothing() {
    let mut lab = Lab::new(None, Overrides::default());
    let before = lab.stored();
    let rows = [
        ("/", "! Unknown command: /. Type /help"),
        ("/zzz 1", "! Unknown command: /zzz. Type /help"),
        ("/tmp/a.png look", "! Unknown command: /tmp/a.png. Type /help, or put a word before the path"),
        ("/mo auto", "? /mo could be /model, /models, /mode"),
        ("/\u{1b}[2J", "! Unknown command: /␛[2J. Type /help"),
        ("/route Cheapest", "! Unknown route. Try: balanced, cheapest, fastest, default"),
        ("/mode a b", "! unknown mode: 'a b' (try default, accept-edits, auto, bypass)"),
        ("/optimize nan", "! Not a number: the dial takes 0 to 0.95, or off"),
        ("/optimize 1_0", "! Not a number: the dial takes 0 to 0.95, or off"),
        ("/optimize \u{661}", "! Not a number: the dial takes 0 to 0.95, or off"),
        ("/optimize -1", "! Dial range is 0 to 0.95."),
        ("/hops -1", "! /hops takes a whole number, or off"),
        ("/reasoning x", "! Unknown reasoning effort. Try: high, medium, low, none, off"),
        ("/fallback ,", "! usage: /fallback MODEL[, MODEL]… or /fallback off"),
        ("/servers kill", "! usage: /servers, /servers kill N|all, /servers log N"),
        ("/servers kill 1", "! No server 1. /servers lists them"),
        ("/servers", "No server runs."),
        ("/file", "! usage: /file PATH puts a text file into the conversation"),
    ];
    for (line, want) in rows {
        assert_eq!(lab.say(line).await, [want], "{line}");
    }
    assert_eq!(lab.stored(), before);
}

#[tokio::test]
async fn the_dial_names_what_it_really_runs() {
    let overrides = Overrides { optimize: Some(0.1), ..Overrides::default() };
    let mut lab = Lab::new(None, overrides);
    let mut shown = Vec::new();
    for line in [
        "/optimize",
        "/optimize 0.3",
        "/model openai/gpt-4o",
        "/optimize 0.2",
        "/optimize off",
        "/optimize",
        "/savings",
        "/savings audit",
        "/savings x",
    ] {
        shown.push(format!("> {line}"));
        shown.extend(lab.say(line).await);
    }
    insta::assert_snapshot!(shown.join("\n"));
}

#[tokio::test]
async fn a_file_is_told_and_a_key_in_it_is_named() {
    let mut lab = Lab::new(None, Overrides::default());
    std::fs::write(lab.home.path().join("a.txt"), "é\n").unwrap();
    std::fs::write(lab.home.path().join("env"), "KEY=rsk_abcdefghij").unwrap();
    assert_eq!(lab.say("/file ~/a.txt").await, ["Added a.txt (2 chars) to context"]);
    assert_eq!(lab.say("/file env").await.len(), 2);
    let messages = lab.wired.agent.session().history().messages();
    let last: Value = serde_json::from_slice(messages[1].as_bytes()).unwrap();
    assert_eq!(last, json!({"role": "user", "content": "File: a.txt\n\n```\né\n\n```"}));
    assert_eq!(lab.say("/clear").await, ["Conversation cleared."]);
    assert_eq!(lab.wired.agent.session().history().len(), 1);
}

#[tokio::test]
async fn the_cost_counts_a_turn_that_was_aborted() {
    let interrupt = Interrupt::default();
    let raised = interrupt.clone();
    let replies =
        [Reply::stream().text("one").cost("0.25").finish("stop").done(), Reply::stream().text("two").stall()];
    let script =
        Script::in_order(replies).route("/balance", |_| Reply::json(json!({"available_usd": "7.5"})));
    let gateway = ScriptedGateway::start(script).await.unwrap();
    let mut lab = Lab::new(Some(&gateway), Overrides::default());
    assert_eq!(lab.say("/cost").await, ["Session spend: —", "Balance: $7.50"]);
    let mut listener = move |event: Event<'_>| {
        if matches!(event, Event::Text("two")) {
            raised.raise();
        }
    };
    for _ in 0..2 {
        let hands = Hands { listener: &mut listener, approver: &mut Nobody, interrupt: &interrupt };
        lab.wired.agent.run_turn(Content::Text("go".into()), hands).await.unwrap();
    }
    let want = [
        "Session spend: ~$0.250000",
        "1 request(s) that may have cost something could not be priced",
        "Balance: $7.50",
    ];
    assert_eq!(lab.say("/cost").await, want);
}

#[tokio::test]
async fn models_are_fetched_once_and_a_failure_is_told() {
    let list = |_: &_| Reply::json(json!({"data": [{"id": "a/b"}]}));
    let script = Script::in_order([Reply::completion("x")]).route("/models", list);
    let gateway = ScriptedGateway::start(script).await.unwrap();
    let mut lab = Lab::new(Some(&gateway), Overrides::default());
    assert_eq!(lab.say("/models").await.len(), 2);
    assert_eq!(lab.say("/model a/b").await, ["Model set to a/b"]);
    assert_eq!(gateway.requests().len(), 1);

    let mut lab = Lab::new(None, Overrides::default());
    let said = lab.say("/models").await;
    assert!(said[0].starts_with("! The gateway's models cannot be listed: "), "{said:?}");
}

#[tokio::test]
async fn some_commands_run_while_a_turn_runs_and_others_wait() {
    let mut lab = Lab::new(None, Overrides::default());
    let mut controls = LiveControls {
        settings: lab.wired.agent.settings().clone(),
        mode: lab.wired.agent.mode().clone(),
        config: &mut lab.config,
        models: lab.models.clone(),
        savings: lab.wired.savings.clone(),
        permissions: lab.wired.permissions.clone(),
        last: lab.wired.agent.last_decision().clone(),
        always: Vec::new(),
    };
    controls.models.set(catalog());
    for (line, want) in [
        ("/model x/y", Some("Model set to x/y")),
        ("/mode auto", Some("Mode set to auto mode on (auto)")),
        ("/route nowhere", Some("! Unknown route. Try: balanced, cheapest, fastest, default")),
        ("/mo", Some("? /mo could be /model, /models, /mode")),
        ("/clear", None),
        ("/exit", None),
        ("/file x", None),
    ] {
        let said = run_live(line, &mut controls).map(|lines| marked(&lines).remove(0));
        assert_eq!(said.as_deref(), want, "{line}");
    }
    assert_eq!(lab.wired.agent.settings().get().model, "x/y");
    assert_eq!(lab.wired.agent.mode().get(), PermissionMode::Auto);
}

#[tokio::test]
async fn leaving_and_logging_in_are_left_to_the_caller() {
    let mut lab = Lab::new(None, Overrides::default());
    for line in ["/exit", "/quit", "/Q", "/ex", "exit", "QUIT"] {
        assert!(lab.run(line).await.leave, "{line}");
    }
    assert_eq!(lab.run("/login").await, Outcome { login: true, ..Outcome::default() });
}

#[tokio::test]
async fn a_fault_in_a_command_is_no_end() {
    assert_eq!(isolated(async { 1 }).await, Some(1));
    assert_eq!(isolated(async { panic!("a fault made for this test") }).await, None::<()>);
}

#[cfg(unix)]
#[tokio::test]
async fn a_setting_that_cannot_be_stored_holds_for_the_session() {
    let mut lab = Lab::new(None, Overrides::default());
    let path = lab.config.folder().file(CONFIG);
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let said = lab.say("/route fastest").await;
    assert!(said[0].starts_with("? Routing set to fastest, for this session only: "), "{said:?}");
    assert_eq!(lab.wired.agent.settings().get().route.as_deref(), Some("fastest"));
}

#[test]
fn which_lines_are_commands() {
    for (input, want) in [
        ("/help me", true),
        ("/", true),
        ("exit", true),
        (" Quit\n", true),
        ("help", true),
        ("clear", false),
        ("help me", false),
        (" /help", false),
        ("", false),
    ] {
        assert_eq!(command_line(input).is_some(), want, "{input:?}");
    }
}
