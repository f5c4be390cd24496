//! The turn as a state machine: inputs in, effects out. Pure: no clock, no file, no socket, no await.
//!
//! [`Session::step`] takes what happened ([`Input`]) and says what to do next ([`Effect`]). `agent.rs` performs the effects and
//! feeds the answers back; it holds no rule. Inputs and effects are plain values with a version, so a recorded run can be replayed
//! from its inputs alone.

use mesh_client::wire::{Content, ToolCall};
use serde::{Deserialize, Serialize};

use crate::{
    history::{Batch, History, INTERRUPTED},
    notes,
    plan::{self, Plan, Step},
    tool::{
        ToolOutput, ToolSpec,
        args::{self, Prepared},
    },
};

/// Version of [`Input`] and [`Effect`] as they are recorded.
pub const RECORD_VERSION: u32 = 1;

/// Hops of a turn without a plan. From the seed, 9.1.
pub const HOPS_WITHOUT_PLAN: u32 = 8;

/// Hops of a turn with a plan. From the seed, 9.1.
pub const HOPS_WITH_PLAN: u32 = 60;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "input", rename_all = "snake_case")]
pub enum Input {
    /// The user said something; starts a turn.
    Prompt {
        /// Text, or text and images.
        content: Content,
    },
    /// The user said something, and the program makes the first call in the model's place; starts a turn.
    Briefed {
        /// Text, or text and images.
        content: Content,
        /// The call; its arguments are a JSON object.
        call: ToolCall,
    },
    /// The user put text into the conversation without asking for an answer; between turns.
    Told {
        /// The text.
        text: String,
    },
    /// The model's reply to a request came in whole.
    Completed {
        /// What it said.
        text: String,
        /// What it wants done, arguments as the model wrote them.
        tool_calls: Vec<ToolCall>,
    },
    /// A request failed for good, retries included.
    Failed {
        /// What went wrong.
        failure: Failure,
    },
    /// A tool call came to its end.
    CallEnded {
        /// Position in its batch.
        index: usize,
        /// What the model is told.
        text: String,
    },
    /// The user interrupted.
    Interrupted,
    /// The conversation starts afresh.
    Cleared {
        /// Its system prompt.
        system: String,
    },
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "snake_case")]
pub enum Effect {
    /// Send the conversation to the model.
    SendRequest {
        /// Number of this hop in its turn, from 1.
        hop: u32,
    },
    /// Judge, ask if need be, run one call; then feed [`Input::CallEnded`].
    RunCall {
        /// Position in its batch.
        index: usize,
        /// The call, its arguments checked and repaired.
        call: ToolCall,
    },
    /// A call was answered here, without running anything.
    Answered {
        /// The call as it stands in history.
        call: ToolCall,
        /// What the model is told.
        text: String,
        /// Did it fail?
        is_error: bool,
        /// The plan after the call, when this was a plan tool.
        plan: Option<Vec<Step>>,
    },
    /// The turn is over.
    EndTurn {
        /// How.
        end: TurnEnd,
    },
}

/// How a turn ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum TurnEnd {
    /// The model had no more calls.
    Finished {
        /// Its last words.
        text: String,
        /// Plan steps that it left open, numbered from 1.
        open_steps: Vec<(usize, Step)>,
    },
    /// The hop limit: a pause, nothing is lost.
    HopLimit {
        /// Hops that were done.
        hops: u32,
    },
    /// A request failed.
    Failed {
        /// What went wrong.
        failure: Failure,
        /// Tool calls of this turn whose work is kept.
        kept: usize,
    },
    /// The user interrupted.
    Interrupted {
        /// Tool calls of this turn whose work is kept.
        kept: usize,
    },
}

/// A request that failed for good, as a person and a program are told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// One word for programs, such as `auth` or `network`.
    pub kind: String,
    /// What happened, on what, and what to do next; one line.
    pub message: String,
}

/// A conversation with its plan, and the turn that runs in it.
#[derive(Clone, Debug)]
pub struct Session {
    history: History,
    plan: Option<Plan>,
    turn: Option<Turn>,
    specs: Vec<ToolSpec>,
    max_hops: Option<u32>,
}

/// A running turn.
#[derive(Clone, Debug)]
struct Turn {
    /// Length of the history before the prompt.
    mark: usize,
    hops: u32,
    /// Calls of earlier batches of this turn.
    actions: usize,
    batch: Option<Batch>,
    /// Calls in a row of each tool whose arguments could not be used.
    malformed: Vec<(String, u32)>,
}

impl Session {
    /// A session with its system prompt, the tools that the model knows, and a hop limit that overrides the two defaults.
    pub fn new(system: &str, specs: Vec<ToolSpec>, max_hops: Option<u32>) -> Session {
        Session { history: History::new(system), plan: None, turn: None, specs, max_hops }
    }

    /// The conversation.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The plan, if there is one.
    pub fn plan(&self) -> Option<&Plan> {
        self.plan.as_ref()
    }

    /// Changes the hop limit; `None` leaves it to the two defaults. It is looked at before every hop.
    pub fn set_max_hops(&mut self, max_hops: Option<u32>) {
        self.max_hops = max_hops;
    }

    /// A note that goes last into the next request and is not kept: what the plan still holds. Seed 9.3.
    pub fn reminder(&self) -> Option<String> {
        self.plan.as_ref().filter(|p| !p.is_complete()).map(notes::reminder)
    }

    /// Takes one input and says what to do. Inputs that do not fit the state have no effect.
    pub fn step(&mut self, input: Input) -> Vec<Effect> {
        match input {
            Input::Prompt { content } => {
                let mut effects = self.begin(content);
                effects.extend(self.next_hop());
                effects
            }
            Input::Briefed { content, call } => {
                let mut effects = self.begin(content);
                if let Some(turn) = &mut self.turn {
                    turn.batch = Some(Batch::open("", vec![call]));
                }
                effects.extend(self.advance(Vec::new()));
                effects
            }
            Input::Told { text } => {
                if self.turn.is_none() {
                    self.history.push_user(Content::Text(text));
                }
                Vec::new()
            }
            Input::Completed { text, tool_calls } => self.completed(text, tool_calls),
            Input::CallEnded { index, text } => self.call_ended(index, text),
            Input::Failed { failure } => self.cut_off(|kept| TurnEnd::Failed { failure, kept }),
            Input::Interrupted => self.cut_off(|kept| TurnEnd::Interrupted { kept }),
            Input::Cleared { system } => {
                self.history = History::new(&system);
                self.plan = None;
                self.turn = None;
                Vec::new()
            }
        }
    }

    fn begin(&mut self, content: Content) -> Vec<Effect> {
        let effects = self.cut_off(|kept| TurnEnd::Interrupted { kept });
        let mark = self.history.len();
        self.history.push_user(content);
        self.turn = Some(Turn { mark, hops: 0, actions: 0, batch: None, malformed: Vec::new() });
        effects
    }

    /// The cap is looked at before every hop, so a plan made in mid-turn raises it.
    fn next_hop(&mut self) -> Vec<Effect> {
        let Some(turn) = &mut self.turn else { return Vec::new() };
        let default = if self.plan.is_some() { HOPS_WITH_PLAN } else { HOPS_WITHOUT_PLAN };
        if turn.hops < self.max_hops.unwrap_or(default) {
            turn.hops += 1;
            return vec![Effect::SendRequest { hop: turn.hops }];
        }
        let hops = turn.hops;
        if let Some(plan) = self.plan.as_ref().filter(|p| !p.is_complete()) {
            self.history.push_note(&notes::paused(hops, plan));
        }
        self.end(TurnEnd::HopLimit { hops })
    }

    fn completed(&mut self, text: String, tool_calls: Vec<ToolCall>) -> Vec<Effect> {
        let Some(turn) = &mut self.turn else { return Vec::new() };
        if turn.batch.is_some() {
            return Vec::new();
        }
        if tool_calls.is_empty() {
            self.history.push_answer(&text);
            let open = self.plan.iter().flat_map(|p| p.open().map(|(i, s)| (i, s.clone()))).collect();
            return self.end(TurnEnd::Finished { text, open_steps: open });
        }
        let mut doomed = Vec::with_capacity(tool_calls.len());
        let calls = tool_calls
            .into_iter()
            .map(|call| {
                let (call, answer) = Self::admit(&self.specs, &mut turn.malformed, call);
                doomed.push(answer);
                call
            })
            .collect();
        turn.batch = Some(Batch::open(&text, calls));
        self.advance(doomed)
    }

    /// Checks one call at the door: its arguments become valid JSON for the history, and a call that cannot run gets its answer.
    fn admit(
        specs: &[ToolSpec],
        malformed: &mut Vec<(String, u32)>,
        call: ToolCall,
    ) -> (ToolCall, Option<String>) {
        let spec = specs.iter().find(|s| s.name == call.name);
        let Prepared { history_args, feedback, .. } = args::prepare_call(spec, &call.arguments);
        let feedback = match spec {
            Some(_) => feedback,
            None => Some(ToolOutput::error(format!("unknown tool `{}`", call.name)).text),
        };
        let at = malformed.iter().position(|(name, _)| *name == call.name);
        let answer = feedback.map(|feedback| {
            let at = at.unwrap_or_else(|| {
                malformed.push((call.name.clone(), 0));
                malformed.len() - 1
            });
            malformed[at].1 += 1;
            match args::escape_hatch(&call.name, malformed[at].1) {
                Some(hint) => format!("{feedback}\n{hint}"),
                None => feedback,
            }
        });
        if let (None, Some(at)) = (&answer, at) {
            malformed[at].1 = 0;
        }
        (ToolCall { arguments: history_args, ..call }, answer)
    }

    /// Answers what can be answered here, up to the first call that must run; after the last call, the next hop.
    fn advance(&mut self, doomed: Vec<Option<String>>) -> Vec<Effect> {
        let mut effects = Vec::new();
        let Some(turn) = &mut self.turn else { return effects };
        let Some(batch) = &mut turn.batch else { return effects };
        for (index, answer) in doomed.into_iter().enumerate() {
            if let Some(text) = answer {
                effects.push(Effect::Answered {
                    call: batch.calls()[index].clone(),
                    text: text.clone(),
                    is_error: true,
                    plan: None,
                });
                batch.answer(index, text);
            }
        }
        while let Some(index) = batch.next_open() {
            let call = batch.calls()[index].clone();
            if !plan::is_plan_tool(&call.name) {
                effects.push(Effect::RunCall { index, call });
                return effects;
            }
            let args = serde_json::from_str(&call.arguments).unwrap_or_default();
            let output = plan::answer(&mut self.plan, &call.name, &args);
            batch.answer(index, output.text.clone());
            let steps = self.plan.as_ref().map(|p| p.steps().to_vec());
            let is_error = output.is_error;
            effects.push(Effect::Answered { call, text: output.text, is_error, plan: steps });
        }
        turn.actions += batch.answered();
        if let Some(batch) = turn.batch.take() {
            self.history.push_batch(batch.seal(INTERRUPTED));
        }
        effects.extend(self.next_hop());
        effects
    }

    fn call_ended(&mut self, index: usize, text: String) -> Vec<Effect> {
        match self.turn.as_mut().and_then(|t| t.batch.as_mut()) {
            Some(batch) if batch.next_open() == Some(index) => batch.answer(index, text),
            _ => return Vec::new(),
        }
        self.advance(Vec::new())
    }

    /// Ends a turn before its time: what was done stays, sealed and with a breadcrumb; a turn that did nothing leaves no trace.
    fn cut_off(&mut self, end: impl FnOnce(usize) -> TurnEnd) -> Vec<Effect> {
        let Some(turn) = &mut self.turn else { return Vec::new() };
        let mut kept = turn.actions;
        if let Some(batch) = turn.batch.take() {
            let answered = batch.answered();
            kept += answered;
            if kept > 0 {
                self.history.push_batch(batch.seal(INTERRUPTED));
            }
        }
        if kept == 0 {
            let mark = turn.mark;
            self.history.truncate(mark);
        } else {
            self.history.push_note(&notes::cut_off(kept));
        }
        self.end(end(kept))
    }

    fn end(&mut self, end: TurnEnd) -> Vec<Effect> {
        self.turn = None;
        vec![Effect::EndTurn { end }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: ToolSpec = ToolSpec {
        name: "read_file",
        description: "",
        parameters: r#"{"type":"object","properties":{"path":{"type":"string"}},"required":["path"]}"#,
        required: &["path"],
    };

    fn session() -> Session {
        Session::new("s", vec![READ, plan::CREATE_PLAN, plan::UPDATE_STEP], None)
    }

    fn prompt(session: &mut Session) -> Vec<Effect> {
        session.step(Input::Prompt { content: Content::Text("go".into()) })
    }

    fn calls(calls: &[(&str, &str)]) -> Input {
        let tool_calls = calls
            .iter()
            .enumerate()
            .map(|(i, (name, arguments))| ToolCall {
                id: format!("c{i}"),
                name: (*name).into(),
                arguments: (*arguments).into(),
            })
            .collect();
        Input::Completed { text: String::new(), tool_calls }
    }

    fn ended(index: usize) -> Input {
        Input::CallEnded { index, text: "body".into() }
    }

    const READ_A: (&str, &str) = ("read_file", r#"{"path":"a"}"#);
    const PLAN: (&str, &str) = ("create_plan", r#"{"steps":["a","b"]}"#);

    #[test]
    fn calls_run_one_after_the_other_and_then_the_next_request_goes_out() {
        let mut s = session();
        assert_eq!(prompt(&mut s), [Effect::SendRequest { hop: 1 }]);
        let effects = s.step(calls(&[READ_A, READ_A]));
        assert!(matches!(effects[..], [Effect::RunCall { index: 0, .. }]));
        assert!(matches!(s.step(ended(0))[..], [Effect::RunCall { index: 1, .. }]));
        assert_eq!(s.step(ended(1)), [Effect::SendRequest { hop: 2 }]);
        assert_eq!(s.history().len(), 5);
    }

    #[test]
    fn a_turn_may_begin_with_a_call_of_ours() {
        let mut s = session();
        let call = ToolCall { id: "m1".into(), name: READ_A.0.into(), arguments: READ_A.1.into() };
        let effects = s.step(Input::Briefed { content: Content::Text("go".into()), call });
        assert!(matches!(&effects[..], [Effect::RunCall { index: 0, call }] if call.id == "m1"));
        assert_eq!(s.step(ended(0)), [Effect::SendRequest { hop: 1 }]);
        assert_eq!(s.history().len(), 4);
        // Cut off before its first request it is a turn that did one thing.
        let ends = s.step(Input::Interrupted);
        assert_eq!(ends, [Effect::EndTurn { end: TurnEnd::Interrupted { kept: 1 } }]);
    }

    #[test]
    fn a_call_that_cannot_run_is_answered_and_stands_as_an_empty_object() {
        let mut s = session();
        prompt(&mut s);
        let effects = s.step(calls(&[("read_file", "{bad"), ("nope", "{}")]));
        assert!(matches!(
            effects[..],
            [
                Effect::Answered { is_error: true, .. },
                Effect::Answered { is_error: true, .. },
                Effect::SendRequest { hop: 2 }
            ]
        ));
        assert_eq!(s.history().messages()[2].decode().unwrap().tool_calls[0].arguments, "{}");
    }

    #[test]
    fn a_plan_made_in_mid_turn_raises_the_cap() {
        let mut s = session();
        prompt(&mut s);
        s.step(calls(&[PLAN]));
        for _ in 0..20 {
            s.step(calls(&[READ_A]));
            assert!(matches!(s.step(ended(0))[..], [Effect::SendRequest { .. }]));
        }
        assert!(s.reminder().unwrap().contains("  1. a"));
    }

    #[test]
    fn the_cap_is_a_pause_that_keeps_all_work() {
        let mut s = Session::new("s", vec![READ, plan::CREATE_PLAN], Some(1));
        prompt(&mut s);
        let effects = s.step(calls(&[PLAN]));
        assert_eq!(effects.last(), Some(&Effect::EndTurn { end: TurnEnd::HopLimit { hops: 1 } }));
        let last = s.history().messages().last().unwrap().decode().unwrap();
        assert!(matches!(last.content, Some(Content::Text(t)) if t.contains("paused after 1 tool hops")));
    }

    #[test]
    fn a_turn_that_did_nothing_leaves_no_trace() {
        for input in
            [Input::Interrupted, Input::Failed { failure: Failure { kind: "k".into(), message: "x".into() } }]
        {
            let mut s = session();
            prompt(&mut s);
            s.step(input);
            assert_eq!(s.history().len(), 1);
        }
    }

    #[test]
    fn an_interrupt_keeps_finished_calls_and_seals_the_rest() {
        let mut s = session();
        prompt(&mut s);
        s.step(calls(&[READ_A, READ_A]));
        s.step(ended(0));
        let effects = s.step(Input::Interrupted);
        assert_eq!(effects, [Effect::EndTurn { end: TurnEnd::Interrupted { kept: 1 } }]);
        let texts: Vec<_> = s.history().messages()[3..].iter().map(|m| m.decode().unwrap().content).collect();
        let text = |t: &str| Some(Content::Text(t.into()));
        assert_eq!(texts[..2], [text("body"), text(INTERRUPTED)]);
        assert_eq!(texts.len(), 3);
    }

    #[test]
    fn an_end_with_open_steps_names_them() {
        let mut s = session();
        prompt(&mut s);
        s.step(calls(&[PLAN]));
        let effects = s.step(Input::Completed { text: "done".into(), tool_calls: Vec::new() });
        let [Effect::EndTurn { end: TurnEnd::Finished { open_steps, .. } }] = &effects[..] else {
            panic!("{effects:?}")
        };
        assert_eq!(open_steps.len(), 2);
    }

    #[test]
    fn inputs_that_do_not_fit_change_nothing() {
        let mut s = session();
        assert!(s.step(ended(0)).is_empty());
        assert!(s.step(calls(&[READ_A])).is_empty());
        assert!(s.step(Input::Interrupted).is_empty());
        prompt(&mut s);
        s.step(calls(&[READ_A]));
        assert!(s.step(calls(&[READ_A])).is_empty());
        assert!(s.step(ended(3)).is_empty());
    }
}
