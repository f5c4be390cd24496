//! The agent as a whole, with a scripted model: who is asked, what runs, what is kept, what it cost.
#![expect(clippy::unwrap_used, reason = "a journey that cannot go on has failed")]

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::SystemTime,
};

use mesh_agent::{
    Agent, AgentParts, Approval, ApprovalRequest, Approver, CallOutcome, Event, Hands, Interrupt, Model,
    Prices, Recorder, ReplyFuture, Settings, SharedMode, Sink, Tool, ToolContext, ToolOutput, ToolSet,
    TurnEnd, TurnReport,
    approval::ApprovalFuture,
    builtin::{Grep, ReadFile, WriteFile},
    cost::PriceFuture,
    plan::{CREATE_PLAN, UPDATE_STEP},
    record::{Record, RecordFuture},
    tool::{Args, ToolFuture, ToolSpec},
};
use mesh_client::{
    Catalog, ClientError, Completion, Cost, StreamEvent, Usd,
    wire::{CompletionRequest, Content, Role, ToolCall},
};
use mesh_safety::{Action, PermissionMode, Policy};

/// Plays replies in order and keeps the requests.
#[derive(Default)]
struct Script {
    replies: Mutex<Vec<Result<Completion, ClientError>>>,
    requests: Mutex<Vec<CompletionRequest>>,
}

impl Model for Script {
    fn complete<'a>(&'a self, request: CompletionRequest, sink: Sink<'a>) -> ReplyFuture<'a> {
        Box::pin(async move {
            self.requests.lock().unwrap().push(request);
            sink(StreamEvent::Started { request_id: Some("req") });
            let reply = self.replies.lock().unwrap().remove(0)?;
            sink(StreamEvent::Text(&reply.text));
            Ok(reply)
        })
    }
}

fn text(text: &str) -> Result<Completion, ClientError> {
    Ok(Completion { text: text.into(), ..Completion::default() })
}

fn calls(names: &[&str]) -> Result<Completion, ClientError> {
    let call = |(i, name): (usize, &&str)| ToolCall {
        id: format!("c{i}"),
        name: (*name).to_owned(),
        arguments: "{}".into(),
    };
    Ok(Completion { tool_calls: names.iter().enumerate().map(call).collect(), ..Completion::default() })
}

/// A tool that writes, hangs or panics as its name says.
struct Odd(ToolSpec);

const fn odd(name: &'static str) -> Odd {
    Odd(ToolSpec { name, description: "", parameters: r#"{"type":"object","properties":{}}"#, required: &[] })
}

impl Tool for Odd {
    fn spec(&self) -> &ToolSpec {
        &self.0
    }

    fn action(&self, _: &Args, ctx: &ToolContext) -> Action {
        Action::Write { path: ctx.cwd.join("out.txt") }
    }

    fn summary(&self, _: &Args) -> String {
        self.0.name.to_owned()
    }

    fn run<'a>(&'a self, _: &'a Args, _: &'a ToolContext) -> ToolFuture<'a> {
        Box::pin(async move {
            match self.0.name {
                "hangs" => std::future::pending().await,
                "panics" => panic!("out of ideas"),
                _ => ToolOutput::ok("done"),
            }
        })
    }
}

/// Answers questions in order and keeps what was asked.
#[derive(Default)]
struct Person {
    answers: Vec<Approval>,
    asked: Vec<String>,
    /// What happens on the machine while the person thinks.
    meanwhile: Option<Box<dyn Fn() + Send>>,
}

impl Approver for Person {
    fn ask<'a>(&'a mut self, request: ApprovalRequest<'a>) -> ApprovalFuture<'a> {
        self.asked.push(request.tool.to_owned());
        if let Some(meanwhile) = &self.meanwhile {
            meanwhile();
        }
        Box::pin(std::future::ready(self.answers.remove(0)))
    }
}

struct Stage {
    script: Arc<Script>,
    agent: Agent,
    person: Person,
    outcomes: Vec<(String, CallOutcome, String)>,
}

impl Stage {
    fn new(mode: PermissionMode, replies: Vec<Result<Completion, ClientError>>) -> Stage {
        let tools = ["writes", "hangs", "panics"]
            .into_iter()
            .fold(ToolSet::builder(), |set, name| set.tool(odd(name)));
        let tools = tools.spec(CREATE_PLAN).spec(UPDATE_STEP).build().unwrap();
        Stage::at(PathBuf::from("/nowhere/work"), tools, mode, replies)
    }

    fn at(
        cwd: PathBuf,
        tools: ToolSet,
        mode: PermissionMode,
        replies: Vec<Result<Completion, ClientError>>,
    ) -> Stage {
        let script = Arc::new(Script { replies: Mutex::new(replies), ..Script::default() });
        let agent = Agent::new(AgentParts {
            model: script.clone(),
            prices: Some(Arc::new(Bill)),
            tools,
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
            mode: SharedMode::new(mode),
            settings: Settings { model: "m/x".into(), ..Settings::default() },
            system: "system".into(),
            max_hops: None,
        });
        Stage { script, agent, person: Person::default(), outcomes: Vec::new() }
    }

    async fn turn(&mut self, interrupt: &Interrupt) -> TurnReport {
        let outcomes = &mut self.outcomes;
        let mut listener = |event: Event<'_>| {
            if let Event::CallEnded { name, outcome, output, .. } = event {
                outcomes.push((name.to_owned(), outcome, output.text.clone()));
            }
            if let Event::CallStarted { name: "hangs", .. } = event {
                interrupt.raise();
            }
        };
        let hands = Hands { listener: &mut listener, approver: &mut self.person, interrupt };
        self.agent.run_turn(Content::Text("go".into()), hands).await.unwrap()
    }

    fn roles(&self) -> Vec<Role> {
        self.agent.session().history().messages().iter().map(|m| m.role().unwrap()).collect()
    }
}

/// Bills every request it is asked about.
struct Bill;

impl Prices for Bill {
    fn billed<'a>(&'a self, ids: &'a [String], _: SystemTime) -> PriceFuture<'a, HashMap<String, Usd>> {
        Box::pin(std::future::ready(ids.iter().map(|id| (id.clone(), Usd(0.5))).collect()))
    }

    fn catalog(&self) -> PriceFuture<'_, Option<Arc<Catalog>>> {
        Box::pin(std::future::ready(None))
    }
}

#[tokio::test]
async fn a_person_is_asked_and_the_model_hears_a_no() {
    let mut stage = Stage::new(PermissionMode::Default, vec![calls(&["writes", "writes"]), text("ok")]);
    stage.person.answers = vec![Approval::No, Approval::Yes];
    let report = stage.turn(&Interrupt::default()).await;
    assert_eq!(stage.person.asked, ["writes", "writes"]);
    let outcomes: Vec<_> = stage.outcomes.iter().map(|(_, o, t)| (*o, t.as_str())).collect();
    assert_eq!(outcomes, [(CallOutcome::Denied, "User denied this tool call."), (CallOutcome::Ran, "done")]);
    assert!(matches!(report.end, TurnEnd::Finished { .. }) && report.refused.is_empty());
}

#[tokio::test]
async fn always_holds_for_the_tool_and_the_session() {
    let mut stage = Stage::new(
        PermissionMode::Default,
        vec![calls(&["writes", "writes"]), text("ok"), calls(&["writes"]), text("ok")],
    );
    stage.person.answers = vec![Approval::Always];
    stage.turn(&Interrupt::default()).await;
    stage.turn(&Interrupt::default()).await;
    assert_eq!(stage.person.asked, ["writes"]);
    assert_eq!(stage.agent.always_allowed(), ["writes"]);
    stage.agent.forget_always();
    assert!(stage.agent.always_allowed().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_stopped_call_has_a_result_and_the_turn_goes_on() {
    let mut stage = Stage::new(PermissionMode::AcceptEdits, vec![calls(&["hangs", "writes"]), text("ok")]);
    let interrupt = Interrupt::default();
    let outcomes = &mut stage.outcomes;
    let mut listener = |event: Event<'_>| match event {
        Event::CallEnded { name, outcome, output, .. } => {
            outcomes.push((name.to_owned(), outcome, output.text.clone()));
        }
        Event::CallStarted { name: "hangs", .. } => interrupt.stop_call(),
        _ => {}
    };
    let hands = Hands { listener: &mut listener, approver: &mut stage.person, interrupt: &interrupt };
    let report = stage.agent.run_turn(Content::Text("go".into()), hands).await.unwrap();
    assert!(matches!(report.end, TurnEnd::Finished { .. }));
    let outcomes: Vec<_> = stage.outcomes.iter().map(|(_, o, t)| (*o, t.as_str())).collect();
    let stopped = "Error: stopped by the user before it was done; it may have run in part.";
    assert_eq!(outcomes, [(CallOutcome::Stopped, stopped), (CallOutcome::Ran, "done")]);
}

#[tokio::test]
async fn text_can_be_told_without_an_answer() {
    let mut stage = Stage::new(PermissionMode::Default, vec![text("ok")]);
    stage.agent.tell("File: a.txt".into()).await.unwrap();
    stage.turn(&Interrupt::default()).await;
    assert_eq!(stage.roles(), [Role::System, Role::User, Role::User, Role::Assistant]);
}

#[tokio::test]
async fn accepted_edits_are_not_asked() {
    let mut stage = Stage::new(PermissionMode::AcceptEdits, vec![calls(&["writes"]), text("ok")]);
    stage.turn(&Interrupt::default()).await;
    assert!(stage.person.asked.is_empty());
    assert_eq!(stage.outcomes.len(), 1);
}

#[tokio::test]
async fn a_tool_that_panics_spoils_its_own_call_only() {
    let mut stage = Stage::new(PermissionMode::AcceptEdits, vec![calls(&["panics", "writes"]), text("ok")]);
    let report = stage.turn(&Interrupt::default()).await;
    assert!(stage.outcomes[0].2.contains("out of ideas"), "{:?}", stage.outcomes);
    assert_eq!(stage.outcomes[1].2, "done");
    assert!(matches!(report.end, TurnEnd::Finished { .. }));
}

#[tokio::test]
async fn an_interrupt_keeps_what_was_done() {
    let mut stage = Stage::new(PermissionMode::AcceptEdits, vec![calls(&["writes", "hangs"])]);
    let report = stage.turn(&Interrupt::default()).await;
    assert_eq!(report.end, TurnEnd::Interrupted { kept: 1 });
    let roles = stage.roles();
    assert_eq!(roles[2..], [Role::Assistant, Role::Tool, Role::Tool, Role::System]);
}

#[tokio::test]
async fn what_replies_do_not_price_is_asked_of_the_gateway() {
    let mut stage = Stage::new(PermissionMode::Default, vec![text("one"), text("two")]);
    let first = stage.turn(&Interrupt::default()).await;
    let second = stage.turn(&Interrupt::default()).await;
    assert_eq!(first.turn_cost.total(), Some(Cost::Billed(Usd(0.5))));
    assert_eq!(second.session_cost.total(), Some(Cost::Billed(Usd(1.0))));
}

#[tokio::test]
async fn the_prefix_of_a_request_never_changes() {
    let plan = Completion {
        tool_calls: vec![ToolCall {
            id: "p".into(),
            name: "create_plan".into(),
            arguments: r#"{"steps":["a"]}"#.into(),
        }],
        ..Completion::default()
    };
    let replies = vec![Ok(plan), calls(&["writes"]), text("ok")];
    let mut stage = Stage::new(PermissionMode::AcceptEdits, replies);
    stage.turn(&Interrupt::default()).await;
    let requests = stage.script.requests.lock().unwrap();
    assert_eq!(requests.len(), 3);
    for (earlier, later) in requests.iter().zip(&requests[1..]) {
        assert_eq!(earlier.tools, later.tools);
        // The reminder goes last and is not kept; all before it stands in the next request byte for byte.
        let kept = earlier.messages.iter().filter(|m| m.role() != Some(Role::System)).count();
        let bytes =
            |r: &CompletionRequest| r.messages.iter().map(|m| m.as_bytes().clone()).collect::<Vec<_>>();
        assert_eq!(bytes(earlier)[..=kept], bytes(later)[..=kept]);
    }
    let last = requests[2].messages.last().unwrap().decode().unwrap();
    assert!(matches!(last.content, Some(Content::Text(t)) if t.contains("  1. a")));
}

/// Keeps a few records and then has no room.
struct Full(usize);

impl Recorder for Full {
    fn record<'a>(&'a mut self, _: &'a Record) -> RecordFuture<'a> {
        let room = self.0;
        self.0 = room.saturating_sub(1);
        let kept = if room > 0 { Ok(()) } else { Err(std::io::ErrorKind::StorageFull.into()) };
        Box::pin(std::future::ready(kept))
    }
}

#[tokio::test]
async fn nothing_is_done_that_cannot_be_recorded() {
    let mut stage = Stage::new(PermissionMode::AcceptEdits, vec![calls(&["writes"]), text("ok")]);
    // The prompt, the request, the reply; then the effect that would run the call.
    stage.agent.record_with(Box::new(Full(3)));
    let (mut ran, interrupt) = (0, Interrupt::default());
    let mut listener = |event: Event<'_>| ran += usize::from(matches!(event, Event::CallStarted { .. }));
    let hands = Hands { listener: &mut listener, approver: &mut stage.person, interrupt: &interrupt };
    assert!(stage.agent.run_turn(Content::Text("go".into()), hands).await.is_err());
    assert_eq!(ran, 0);
}

#[cfg(unix)]
#[tokio::test]
async fn what_is_replaced_while_the_user_thinks_is_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    for (place, text) in [("work/dir/file", "inside"), ("away/file", "outside")] {
        std::fs::create_dir_all(root.join(place).parent().unwrap()).unwrap();
        std::fs::write(root.join(place), text).unwrap();
    }
    let args = r#"{"path":"dir/file","content":"new","pattern":"side"}"#;
    let calls = ["read_file", "write_file", "grep"].map(|name| ToolCall {
        id: name.into(),
        name: name.into(),
        arguments: args.into(),
    });
    let tools = ToolSet::builder().tool(ReadFile).tool(WriteFile).tool(Grep).build().unwrap();
    let call = |call| Ok(Completion { tool_calls: vec![call], ..Completion::default() });
    let replies = calls.into_iter().flat_map(|one| [call(one), text("ok")]).collect();
    let mut stage = Stage::at(root.join("work"), tools, PermissionMode::Default, replies);
    stage.person.answers = vec![Approval::Yes; 3];
    let turned = root.clone();
    stage.person.meanwhile = Some(Box::new(move || {
        // Each call was judged by the folder, and finds a link in its place.
        let (dir, old) = (turned.join("work/dir"), turned.join("work/old"));
        std::fs::rename(&dir, &old).unwrap();
        std::os::unix::fs::symlink(turned.join("away"), &dir).unwrap();
    }));
    let (dir, old) = (root.join("work/dir"), root.join("work/old"));
    for _ in 0..3 {
        stage.turn(&Interrupt::default()).await;
        assert!(dir.is_symlink());
        std::fs::remove_file(&dir).unwrap();
        std::fs::rename(&old, &dir).unwrap();
    }
    for (name, _, told) in &stage.outcomes {
        assert!(told.contains("Error: cannot") && told.contains("replaced"), "{name}: {told}");
    }
    assert_eq!(stage.outcomes.len(), 3);
    assert_eq!(std::fs::read_to_string(root.join("away/file")).unwrap(), "outside");
}
