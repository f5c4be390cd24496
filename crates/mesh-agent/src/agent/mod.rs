//! Drives a turn to its end: performs the effects of [`Session::step`] and feeds the answers back. Holds no rule of its own.
//!
//! - `request`: one request; `calls`: one tool call; `report`: what a turn used and cost; `post`: the mailbox of a turn
mod calls;
mod post;
mod report;
mod request;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use mesh_client::{
    Completion,
    wire::{Content, ToolCall},
};
use mesh_safety::{Confined, Policy, sandbox::Sandbox};

use crate::{
    AgentError,
    approval::Approver,
    cost::{Ledger, Prices},
    event::{CallOutcome, Event, Listener, TurnReport},
    interrupt::Interrupt,
    mail::Mailroom,
    mode::SharedMode,
    model::Model,
    permit::{LastDecision, SharedRules},
    price_list::PriceList,
    record::{Entry, NoRecorder, Record, Recorder},
    saver::Saver,
    screen::{Screen, random_mark},
    settings::{Settings, SharedSettings},
    tool::{CallLine, ToolContext, ToolOutput, ToolSet},
    turn::{Effect, Input, Session, TurnEnd},
    widening::Declined,
};
pub use post::{BUDGET, Budget};
use report::Tally;

/// Everything an [`Agent`] is made of. The parts that a person chooses come in `settings`, `policy` and `mode`.
pub struct AgentParts {
    /// Who answers.
    pub model: Arc<dyn Model>,
    /// Where prices come from when replies do not say theirs.
    pub prices: Option<Arc<dyn Prices>>,
    /// What the model can do.
    pub tools: ToolSet,
    /// Where tools work.
    pub context: ToolContext,
    /// What the judgement of calls leans on.
    pub policy: Policy,
    /// What the user always allows, asks or denies, shared with whoever can change it. It stands in for the policy's own rules.
    pub rules: SharedRules,
    /// The permission mode, shared with whoever can change it.
    pub mode: SharedMode,
    /// How requests are made.
    pub settings: Settings,
    /// The system prompt.
    pub system: String,
    /// Hop limit that overrides the two defaults.
    pub max_hops: Option<u32>,
}

/// A conversation that can act.
pub struct Agent {
    model: Arc<dyn Model>,
    prices: Option<Arc<dyn Prices>>,
    tools: ToolSet,
    context: ToolContext,
    policy: Policy,
    mode: SharedMode,
    settings: SharedSettings,
    rules: SharedRules,
    last: LastDecision,
    screen: Mutex<Screen>,
    /// Tools that the user allowed for this session.
    always: Mutex<Vec<String>>,
    declined: Declined,
    system: String,
    session: Session,
    ledger: Ledger,
    recorder: Box<dyn Recorder>,
    saver: Option<Arc<dyn Saver>>,
    mail: Option<Arc<dyn Mailroom>>,
    budget: Budget,
    max_hops: Option<u32>,
    seq: u64,
    tools_json: bytes::Bytes,
}
/// A conversation with its plan, and what its last turn has seen.
#[derive(Clone, Debug)]
pub struct Conversation {
    session: Session,
    seen: (bool, bool),
}

/// Those who watch and steer a running turn.
pub struct Hands<'a> {
    /// Is told everything.
    pub listener: &'a mut dyn Listener,
    /// Is asked.
    pub approver: &'a mut dyn Approver,
    /// Ends the turn when raised.
    pub interrupt: &'a Interrupt,
}

impl Agent {
    /// Puts an agent together.
    pub fn new(parts: AgentParts) -> Agent {
        let specs = parts.tools.specs().copied().collect();
        Agent {
            session: Session::new(&parts.system, specs, parts.max_hops),
            tools_json: parts.tools.specs_json(),
            model: parts.model,
            prices: parts.prices,
            tools: parts.tools,
            context: parts.context,
            rules: parts.rules,
            last: LastDecision::default(),
            screen: Mutex::new(Screen::new(&random_mark())),
            policy: parts.policy,
            mode: parts.mode,
            settings: SharedSettings::new(parts.settings),
            always: Mutex::default(),
            declined: Declined::default(),
            system: parts.system,
            ledger: Ledger::default(),
            recorder: Box::new(NoRecorder),
            saver: None,
            mail: None,
            budget: Budget::default(),
            max_hops: parts.max_hops,
            seq: 0,
        }
    }

    /// Keeps every input and effect with this recorder from now on.
    pub fn record_with(&mut self, recorder: Box<dyn Recorder>) {
        self.recorder = recorder;
    }

    /// Confines the commands from the next call on; `confined` says to the judgement how far that holds.
    pub fn confine(&mut self, sandbox: Option<Arc<Sandbox>>, confined: Confined) {
        self.context.sandbox = sandbox;
        self.policy.confined = confined;
    }

    /// Makes requests cheaper with this saver from now on, where the dial is above 0.
    pub fn save_with(&mut self, saver: Arc<dyn Saver>) {
        self.saver = Some(saver);
    }

    /// The conversation and its plan.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// How requests are made; what is changed here holds from the next request on.
    pub fn settings(&self) -> &SharedSettings {
        &self.settings
    }

    /// Tools that the user allowed for this session, in the order in which that happened.
    pub fn always_allowed(&self) -> Vec<String> {
        self.always.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets what the user allowed for this session, and what they did not want to be asked again.
    pub fn forget_always(&mut self) {
        self.declined.forget();
        self.always.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The line to the call that runs.
    pub fn call_line(&self) -> &CallLine {
        &self.context.line
    }

    /// What the user always allows, asks or denies; what is changed here holds from the next call on.
    pub fn rules(&self) -> &SharedRules {
        &self.rules
    }

    /// How the last call was decided.
    pub fn last_decision(&self) -> &LastDecision {
        &self.last
    }

    /// The permission mode.
    pub fn mode(&self) -> &SharedMode {
        &self.mode
    }

    /// The books.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Names of the tools, in the order in which the model sees them.
    pub fn tool_names(&self) -> Vec<&'static str> {
        self.tools.specs().map(|s| s.name).collect()
    }

    /// Where tools work.
    pub fn cwd(&self) -> &std::path::Path {
        &self.context.cwd
    }

    /// Forgets the conversation and the plan, and starts the books afresh.
    pub fn clear(&mut self) {
        let system = self.system.clone();
        self.session.step(Input::Cleared { system });
        self.ledger.reset();
        self.forget_savings();
    }

    /// Puts text of the user into the conversation; the model sees it with the next prompt.
    ///
    /// # Errors
    /// The recorder cannot keep a record.
    ///
    /// # Cancel safety
    /// The text is in the conversation or it is not.
    pub async fn tell(&mut self, text: String) -> Result<(), AgentError> {
        self.take(Input::Told { text }).await.map(drop)
    }

    /// Changes after how many requests a turn pauses; `None` leaves it to the two defaults.
    pub fn set_max_hops(&mut self, max_hops: Option<u32>) {
        self.max_hops = max_hops;
        self.session.set_max_hops(max_hops);
    }

    /// Starts the conversation afresh under another system prompt; the books go on.
    pub fn set_system(&mut self, system: &str) {
        self.system = system.to_owned();
        self.session.step(Input::Cleared { system: system.to_owned() });
        self.forget_savings();
    }

    /// A conversation that has not begun, with the same system prompt and tools.
    pub fn fresh(&self) -> Conversation {
        let specs = self.tools.specs().copied().collect();
        Conversation { session: Session::new(&self.system, specs, self.max_hops), seen: (false, false) }
    }

    /// Goes on with another conversation and gives out the present one: neither sees anything of the other. The books go on. No
    /// record tells of it: a recorder follows one conversation.
    pub fn swap(&mut self, other: Conversation) -> Conversation {
        let session = std::mem::replace(&mut self.session, other.session);
        let seen = self.screen().seen();
        self.screen().set_seen(other.seen);
        self.forget_savings();
        Conversation { session, seen }
    }

    fn forget_savings(&self) {
        if let Some(saver) = &self.saver {
            saver.cleared();
        }
    }

    /// Runs one turn: from a prompt to rest.
    ///
    /// # Errors
    /// Only when the recorder cannot keep a record; everything else ends the turn in an orderly way and is in the report.
    ///
    /// # Cancel safety
    /// Dropping the future kills running children and leaves the session without an end to its turn: the next prompt
    /// seals it. To end a turn in order, raise the interrupt.
    pub async fn run_turn(&mut self, content: Content, hands: Hands<'_>) -> Result<TurnReport, AgentError> {
        self.run(Input::Prompt { content }, hands).await
    }

    /// Runs one turn whose first act is a call that the program makes in the model's place: what the turn is about is then the
    /// result of a tool, judged and marked like any other, and no word of the user's.
    ///
    /// # Errors
    /// Those of [`Agent::run_turn`].
    ///
    /// # Cancel safety
    /// That of [`Agent::run_turn`].
    pub async fn run_turn_on(
        &mut self,
        content: Content,
        call: ToolCall,
        hands: Hands<'_>,
    ) -> Result<TurnReport, AgentError> {
        let completion = Completion { tool_calls: vec![call.clone()], ..Completion::default() };
        hands.listener.event(Event::HopEnded { completion: &completion });
        self.run(Input::Briefed { content, call }, hands).await
    }

    async fn run(&mut self, begin: Input, mut hands: Hands<'_>) -> Result<TurnReport, AgentError> {
        let mut tally = Tally::begin(self.settings.get().model);
        // Where the program begins a turn, the user has not spoken since: what was seen counts on, while it is remembered.
        if matches!(begin, Input::Prompt { .. }) || self.session.history().is_empty() {
            self.screen().begin_turn();
        }
        let prices = self.prices.clone();
        let mut list = PriceList::new(prices.as_deref());
        let mut effects: VecDeque<Effect> = self.take(begin).await?.into();
        while let Some(effect) = effects.pop_front() {
            self.keep(|| Entry::Effect(effect.clone())).await?;
            let input = match effect {
                Effect::SendRequest { hop } => match self.overspent(&tally, &mut list).await {
                    Some(failure) => Input::Failed { failure },
                    None => self.send(hop, &mut tally, &mut list, &mut hands).await,
                },
                Effect::RunCall { index, call } => {
                    if let Some(text) = self.recall(&call, &mut tally, hands.listener) {
                        effects.extend(self.take(Input::CallEnded { index, text }).await?);
                        continue;
                    }
                    let interrupt = hands.interrupt;
                    let call = interrupt.unless(self.call(&call, &mut tally.refused, &mut hands));
                    match list.beside(call).await {
                        Some(text) => Input::CallEnded { index, text },
                        None => Input::Interrupted,
                    }
                }
                Effect::Answered { call, text, is_error, plan } => {
                    let outcome =
                        if plan.is_none() && is_error { CallOutcome::Invalid } else { CallOutcome::Ran };
                    let output = ToolOutput { text, is_error, ..ToolOutput::default() };
                    let (id, name, plan) = (&*call.id, &*call.name, plan.as_deref());
                    hands.listener.event(Event::CallEnded { id, name, output: &output, outcome, plan });
                    continue;
                }
                Effect::EndTurn { end } => {
                    let report = self.report(end, tally, list, hands.listener).await;
                    self.post_turn(&report.end).await;
                    return Ok(report);
                }
            };
            effects.extend(self.take(input).await?);
        }
        let report = self.report(TurnEnd::Interrupted { kept: 0 }, tally, list, hands.listener).await;
        self.post_turn(&report.end).await;
        Ok(report)
    }

    async fn take(&mut self, input: Input) -> Result<Vec<Effect>, AgentError> {
        self.keep(|| Entry::Input(input.clone())).await?;
        Ok(self.session.step(input))
    }

    async fn keep(&mut self, entry: impl FnOnce() -> Entry) -> Result<(), AgentError> {
        if self.recorder.is_active() {
            let record = Record::new(self.seq, entry());
            self.recorder.record(&record).await.map_err(AgentError::Record)?;
            self.seq += 1;
        }
        Ok(())
    }
}
