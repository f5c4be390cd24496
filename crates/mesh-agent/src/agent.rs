//! Drives a turn to its end: performs the effects of [`Session::step`] and feeds the answers back. Holds no rule of its own.

use std::{
    collections::VecDeque,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::{Duration, Instant, SystemTime},
};

use mesh_client::{
    Answer, ClientError, Completion, Delivery, StreamEvent,
    wire::{Catalog, CompletionRequest, Content, EncodedMessage, Message, RequestBody, ToolCall, Usage},
};
use mesh_safety::{
    Action, Confined, Decision, PermissionMode, Policy, Reason, judge, judge_allowed, offer, reaches_out,
    rules::Rule, sandbox::Sandbox,
};
use tracing::Instrument;

use crate::{
    AgentError,
    approval::{Approval, ApprovalRequest, Approver},
    builtin::read_text,
    cost::{Ledger, Prices},
    event::{CallOutcome, Event, Listener, RefusedCall, TurnReport, TurnUsage},
    interrupt::Interrupt,
    mode::SharedMode,
    model::Model,
    notes,
    permit::{Decided, LastDecision, SharedRules},
    price_list::PriceList,
    recall,
    record::{Entry, NoRecorder, Record, Recorder},
    saver::{Outgoing, Saver, Saving, Savings},
    screen::{self, Screen},
    settings::{OptimizeAt, Settings, SharedSettings},
    tool::{Args, CallLine, Tool, ToolContext, ToolOutput, ToolSet},
    turn::{Effect, Failure, Input, Session, TurnEnd},
    widening::{Declined, Widening},
};

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
    seq: u64,
    tools_json: bytes::Bytes,
}

/// What a turn has seen so far, for its report.
struct Tally {
    started: Instant,
    wall: SystemTime,
    hops: u32,
    model: String,
    last: Option<mesh_client::wire::Usage>,
    usage: TurnUsage,
    model_time: Duration,
    refused: Vec<RefusedCall>,
    savings: Savings,
    /// Requests that were sent in their prepared form and wait for a price list.
    unsettled: Vec<Unsettled>,
}

/// A request that was answered in its prepared form.
struct Unsettled {
    saving: Box<dyn Saving>,
    model: Option<String>,
    usage: Option<Usage>,
}

/// A request in two forms.
struct Prepared {
    body: RequestBody,
    /// `None` where the gateway does the work.
    saving: Option<Box<dyn Saving>>,
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
        self.session.set_max_hops(max_hops);
    }

    /// Starts the conversation afresh under another system prompt; the books go on.
    pub fn set_system(&mut self, system: &str) {
        self.system = system.to_owned();
        self.session.step(Input::Cleared { system: system.to_owned() });
        self.forget_savings();
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
    pub async fn run_turn(
        &mut self,
        content: Content,
        mut hands: Hands<'_>,
    ) -> Result<TurnReport, AgentError> {
        let mut tally = Tally {
            started: Instant::now(),
            wall: SystemTime::now(),
            hops: 0,
            model: self.settings.get().model,
            last: None,
            usage: TurnUsage::default(),
            model_time: Duration::ZERO,
            refused: Vec::new(),
            savings: Savings::default(),
            unsettled: Vec::new(),
        };
        self.screen().begin_turn();
        let prices = self.prices.clone();
        let mut list = PriceList::new(prices.as_deref());
        let mut effects: VecDeque<Effect> = self.take(Input::Prompt { content }).await?.into();
        while let Some(effect) = effects.pop_front() {
            self.keep(|| Entry::Effect(effect.clone())).await?;
            let input = match effect {
                Effect::SendRequest { hop } => self.send(hop, &mut tally, &mut list, &mut hands).await,
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
                Effect::EndTurn { end } => return Ok(self.report(end, tally, list, hands.listener).await),
            };
            effects.extend(self.take(input).await?);
        }
        Ok(self.report(TurnEnd::Interrupted { kept: 0 }, tally, list, hands.listener).await)
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

    /// The request, and how many of its messages at the end will not be in the next one.
    fn request(&self, settings: Settings) -> (CompletionRequest, usize) {
        let mut messages = self.session.history().messages().to_vec();
        let kept = messages.len();
        messages.extend(self.session.reminder().map(|text| EncodedMessage::from(&Message::system(&text))));
        let transient = messages.len() - kept;
        let request = CompletionRequest {
            model: settings.model,
            messages,
            tools: self.tools.specs().next().map(|_| self.tools_json.clone()),
            route: settings.route,
            fallback_models: settings.fallback_models,
            reasoning_effort: settings.reasoning_effort,
            ..CompletionRequest::default()
        };
        (request, transient)
    }

    /// The cheaper form of a request; nothing is looked at where the dial is at 0.
    fn prepare(
        &self,
        request: &CompletionRequest,
        transient: usize,
        window: Option<u64>,
        dial: f64,
        at: &OptimizeAt,
    ) -> Option<Prepared> {
        // NaN is no dial either.
        if !dial.is_finite() || dial <= 0.0 {
            return None;
        }
        if let OptimizeAt::Gateway { session_id } = at {
            let mut asked = request.clone();
            let mut hints = serde_json::json!({ "session_id": &**session_id });
            if transient > 0 {
                hints["transient_tail"] = transient.into();
            }
            asked.extra.insert("mesh_optimize".to_owned(), dial.into());
            asked.extra.insert("mesh_hints".to_owned(), hints);
            return Some(Prepared { body: asked.encode(true), saving: None });
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let saving = self.saver.as_ref()?.prepare(Outgoing {
            body: request.encode(true).to_bytes(),
            model: &request.model,
            dial,
            transient,
            window,
            now: now.map_or(0.0, |since| since.as_secs_f64()),
        })?;
        Some(Prepared { body: saving.body(), saving: Some(saving) })
    }

    async fn send(
        &mut self,
        hop: u32,
        tally: &mut Tally,
        list: &mut PriceList<'_>,
        hands: &mut Hands<'_>,
    ) -> Input {
        let (listener, interrupt) = (&mut *hands.listener, hands.interrupt);
        tally.hops = hop;
        listener.event(Event::HopStarted { hop });
        let settings = self.settings.get();
        let (dial, at) = (settings.optimize, settings.optimize_at.clone());
        let asked = settings.model.clone();
        let (request, transient) = self.request(settings);
        let window = list.known().and_then(|catalog| catalog.context_tokens(&asked));
        let prepared = self.prepare(&request, transient, window, dial, &at);
        if prepared.as_ref().is_some_and(|prepared| prepared.saving.is_some()) {
            list.want();
        }
        let began = Instant::now();
        let (ledger, model) = (&mut self.ledger, &asked);
        let mut sink = |event: StreamEvent<'_>| match event {
            StreamEvent::Started { request_id } => ledger.started(request_id, model),
            StreamEvent::Text(text) => listener.event(Event::Text(text)),
            StreamEvent::Reasoning(text) => listener.event(Event::Reasoning(text)),
            StreamEvent::Refusal(text) => listener.event(Event::Text(text)),
            StreamEvent::ToolArguments { name, chars } => {
                listener.event(Event::ToolArguments { name, chars })
            }
            StreamEvent::Retry { attempt, of, wait, error, text_shown } => {
                listener.event(Event::Retry { attempt, of, wait, error, text_shown })
            }
            StreamEvent::WholeRequest { error, text_shown } => {
                listener.event(Event::WholeRequest { error, text_shown })
            }
            _ => {}
        };
        let span = tracing::info_span!("hop", hop, model = %asked);
        let (body, saving) = prepared.map_or((None, None), |p| (Some(p.body), p.saving));
        let reply = async {
            match body {
                Some(body) => self.model.complete_optimised(request, body, &mut sink).await,
                None => {
                    let completion = self.model.complete(request, &mut sink).await?;
                    Ok(Answer { completion, delivery: Delivery::Raw })
                }
            }
        };
        let reply = list.beside(interrupt.unless(reply.instrument(span))).await;
        tally.model_time += began.elapsed();
        match reply {
            None => Input::Interrupted,
            Some(Err(error)) => Input::Failed { failure: describe(&error) },
            Some(Ok(Answer { completion, delivery })) => {
                self.book(&completion, tally);
                match (delivery, saving) {
                    (Delivery::Optimised, Some(saving)) => {
                        let (model, usage) = (completion.model.clone(), completion.usage.clone());
                        tally.unsettled.push(Unsettled { saving, model, usage });
                        tally.settle(list);
                    }
                    (Delivery::RawAfter(error), Some(saving)) => {
                        listener.event(Event::SavingsOff { note: &saving.rejected(&error) });
                    }
                    (Delivery::RawAfter(error), None) => {
                        self.settings.update(|settings| settings.optimize = 0.0);
                        listener.event(Event::SavingsOff { note: &notes::gateway_refuses_dial(&error) });
                    }
                    (Delivery::Raw, _) | (Delivery::Optimised, None) => {}
                }
                listener.event(Event::HopEnded { completion: &completion });
                let text = if completion.text.is_empty() { completion.refusal } else { completion.text };
                Input::Completed { text, tool_calls: completion.tool_calls }
            }
        }
    }

    fn book(&mut self, completion: &Completion, tally: &mut Tally) {
        let billed = completion.cost.as_ref().and_then(|cost| cost.usd());
        self.ledger.completed(completion.model.as_deref(), completion.usage.as_ref(), billed);
        if let Some(model) = &completion.model {
            tally.model.clone_from(model);
        }
        tally.last.clone_from(&completion.usage);
        if let Some(usage) = &completion.usage {
            tally.usage.prompt += usage.prompt_tokens.unwrap_or(0);
            tally.usage.completion += usage.completion_tokens.unwrap_or(0);
            tally.usage.cache_read += usage.cached_tokens();
            tally.usage.cache_write += usage.cache_creation_tokens();
        }
    }

    /// Judges, asks if need be, runs. Returns what the model is told.
    async fn call(&self, call: &ToolCall, refused: &mut Vec<RefusedCall>, hands: &mut Hands<'_>) -> String {
        let (listener, approver) = (&mut *hands.listener, &mut *hands.approver);
        let args: Args = serde_json::from_str(&call.arguments).unwrap_or_default();
        let (id, name) = (&*call.id, &*call.name);
        let Some(tool) = self.tools.get(name) else {
            let output = ToolOutput::error(format!("unknown tool `{name}`"));
            let outcome = CallOutcome::Invalid;
            listener.event(Event::CallEnded { id, name, output: &output, outcome, plan: None });
            return output.text;
        };
        let summary = tool.summary(&args);
        let shown = tool.action(&args, &self.context);
        // What the model knows by a placeholder is itself again here, and is judged as what it is.
        let given = args.clone();
        let (args, hidden) = self.screen().restore(args);
        let action = tool.action(&args, &self.context);
        let (mode, policy) = (self.mode.get(), self.policy());
        let mut decision = self.judge(name, &action);
        if !hidden.is_empty() && reaches_out(&action, &policy) {
            decision = decision.join(screen::leaves(&hidden));
        }
        let verdict = match &decision {
            Decision::Allow => Approval::Yes,
            Decision::Block(_) => Approval::Unavailable,
            Decision::Ask(reasons) => {
                let rule = if hidden.is_empty() { offer(&action, mode, &policy) } else { None };
                let question = ApprovalRequest {
                    tool: name,
                    summary: &summary,
                    action: &shown,
                    args: &given,
                    reasons,
                    rule: rule.as_ref(),
                };
                let stopped = hands.interrupt.call_stopped();
                tokio::select! {
                    biased;
                    answer = approver.ask(question) => answer,
                    () = stopped => Approval::No,
                }
            }
        };
        let answer = matches!(decision, Decision::Ask(_)).then_some(verdict);
        let rule = if decision.is_allow() { self.allowing(&action, mode) } else { None };
        self.last.set(Decided { summary: summary.clone(), mode, decision: decision.clone(), rule, answer });
        if verdict == Approval::Always {
            self.always.lock().unwrap_or_else(PoisonError::into_inner).push(name.to_owned());
        }
        let (output, outcome) = match verdict {
            Approval::Yes | Approval::Always => {
                // From here on it may be stopped.
                let stopped = hands.interrupt.call_stopped();
                listener.event(Event::CallStarted { id, name, summary: &summary, args: &given });
                let (mode, interrupt) = (self.mode.get(), hands.interrupt);
                let mut widening = Widening::new(id, &summary, mode, &self.declined, &self.context);
                let mut ran = run_call(&**tool, &args, &self.context, stopped).await;
                while let Some(context) = widening.more(&ran, listener, approver, interrupt).await {
                    ran = run_call(&**tool, &args, &context, interrupt.call_stopped()).await;
                }
                widening.tell(&mut ran.0);
                ran.0.text = self.screen().pass(std::mem::take(&mut ran.0.text), &action, &policy);
                ran
            }
            Approval::No => {
                listener.event(Event::CallStopped { summary: &summary, reason: "by the user" });
                (said_no(notes::DENIED.to_owned()), CallOutcome::Denied)
            }
            Approval::Unavailable => {
                let reason = join(decision.reasons().iter());
                listener.event(Event::CallStopped { summary: &summary, reason: &reason });
                let arguments = call.arguments.clone();
                refused.push(RefusedCall {
                    id: id.into(),
                    name: name.into(),
                    arguments,
                    reason: reason.clone(),
                });
                (said_no(notes::refused(&reason)), CallOutcome::Refused)
            }
        };
        listener.event(Event::CallEnded { id, name, output: &output, outcome, plan: None });
        output.text
    }

    fn judge(&self, tool: &str, action: &Action) -> Decision {
        let is_allowed = self.always.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|t| t == tool);
        let judge = if is_allowed { judge_allowed } else { judge };
        judge(action, self.mode.get(), &self.policy())
    }

    fn screen(&self) -> MutexGuard<'_, Screen> {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rule without which an action would not have been allowed.
    fn allowing(&self, action: &Action, mode: PermissionMode) -> Option<String> {
        let rules = self.rules.get();
        let without = |left_out: &Rule| {
            let rules = rules.iter().filter(|rule| *rule != left_out).cloned().collect();
            judge(action, mode, &Policy { rules, ..self.policy.clone() })
        };
        rules.iter().find(|rule| !without(rule).is_allow()).map(|rule| rule.text().to_owned())
    }

    /// What the judgement leans on now.
    fn policy(&self) -> Policy {
        // What the user opened for the session is judged by the command's text again.
        let is_open = self.context.sandbox.as_ref().is_some_and(|sandbox| !sandbox.granted().is_empty());
        let confined = match self.policy.confined {
            Confined::Fully if is_open => Confined::Partly,
            confined => confined,
        };
        let untrusted = self.screen().is_untrusted();
        Policy { rules: self.rules.get(), confined, untrusted, ..self.policy.clone() }
    }

    /// Answers a call that reads a cut text again by its name, where no file is called so. It reads nothing but what the model
    /// was shown before, so nobody is asked.
    fn recall(&self, call: &ToolCall, tally: &mut Tally, listener: &mut dyn Listener) -> Option<String> {
        let saver = self.saver.as_ref().filter(|saver| saver.is_in_use())?;
        let args: Args = serde_json::from_str(&call.arguments).unwrap_or_default();
        let path = recall::asked(&call.name, &args)?;
        if self.context.cwd.join(path).exists() {
            return None;
        }
        let output = read_text(&recall::original(self.session.history(), path)?, &args);
        saver.recalled();
        tally.savings.recalls += 1;
        let (id, name, summary) = (&*call.id, &*call.name, format!("{}: {path}, cut before", call.name));
        listener.event(Event::CallStarted { id, name, summary: &summary, args: &args });
        let outcome = CallOutcome::Ran;
        listener.event(Event::CallEnded { id, name, output: &output, outcome, plan: None });
        Some(output.text)
    }

    async fn report(
        &mut self,
        end: TurnEnd,
        mut tally: Tally,
        mut list: PriceList<'_>,
        listener: &mut dyn Listener,
    ) -> TurnReport {
        // Whoever interrupted waits for the prompt, not for a price.
        let catalog = match end {
            TurnEnd::Interrupted { .. } => list.known().cloned(),
            TurnEnd::Finished { .. } | TurnEnd::HopLimit { .. } | TurnEnd::Failed { .. } => {
                self.look_up(&tally, &mut list).await
            }
        };
        tally.settle_all(catalog.as_deref());
        let turn_cost = self.ledger.settle(catalog.as_deref());
        let report = TurnReport {
            end,
            hops: tally.hops,
            model: tally.model,
            prompt_tokens: tally.last.as_ref().and_then(|u| u.prompt_tokens),
            completion_tokens: tally.last.as_ref().and_then(|u| u.completion_tokens),
            usage: tally.usage,
            savings: tally.savings,
            turn_cost,
            session_cost: self.ledger.session(),
            model_time: tally.model_time,
            wall_time: tally.started.elapsed(),
            refused: tally.refused,
        };
        listener.event(Event::TurnEnded(&report));
        report
    }

    /// Asks for what the replies did not say of their price: billed amounts first, then the price list.
    async fn look_up(&mut self, tally: &Tally, list: &mut PriceList<'_>) -> Option<Arc<Catalog>> {
        let prices = self.prices.clone()?;
        let ids = self.ledger.unsettled();
        if !ids.is_empty() {
            let amounts = list.beside(prices.billed(&ids, tally.wall)).await;
            self.ledger.bill(&amounts);
        }
        if self.ledger.wants_prices() || !tally.unsettled.is_empty() {
            list.want();
            list.arrive().await;
        }
        list.known().cloned()
    }
}

impl Tally {
    /// Writes the receipts that wait, in the order of their requests, once it is known whether there are prices.
    fn settle(&mut self, list: &PriceList<'_>) {
        if !list.is_under_way() {
            self.settle_all(list.known().map(|catalog| &**catalog));
        }
    }

    fn settle_all(&mut self, catalog: Option<&Catalog>) {
        for Unsettled { saving, model, usage } in self.unsettled.drain(..) {
            let receipt = saving.settled(model.as_deref(), usage.as_ref(), catalog);
            self.savings.receipts.push(receipt);
        }
    }
}

/// Twelve letters that nobody outside can know.
fn random_mark() -> String {
    let random = std::hash::BuildHasher::build_hasher(&std::hash::RandomState::new());
    format!("{:012x}", std::hash::Hasher::finish(&random) >> 16)
}

fn said_no(text: String) -> ToolOutput {
    ToolOutput { text, is_error: true, ..ToolOutput::default() }
}

fn join<'a>(reasons: impl Iterator<Item = &'a Reason>) -> String {
    reasons.map(|r| r.text.as_str()).collect::<Vec<_>>().join("; ")
}

fn describe(error: &ClientError) -> Failure {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        cause = inner.source();
    }
    Failure { kind: error.kind().as_str().to_owned(), message }
}

/// How long a tool that is asked to stop may take to say what it has done so far.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Runs a call, once.
async fn run_call(
    tool: &dyn Tool,
    args: &Args,
    context: &ToolContext,
    stopped: impl Future<Output = ()>,
) -> (ToolOutput, CallOutcome) {
    context.line.clear();
    let span = tracing::info_span!("tool", name = tool.spec().name);
    let run = isolated(tool.run(args, context)).instrument(span);
    stoppable(run, stopped, &context.line).await
}

/// Runs a call that the user may stop: it is asked to, and dropped when it does not answer.
async fn stoppable(
    run: impl Future<Output = ToolOutput>,
    stopped: impl Future<Output = ()>,
    line: &CallLine,
) -> (ToolOutput, CallOutcome) {
    let mut run = std::pin::pin!(run);
    tokio::select! {
        biased;
        output = &mut run => return (output, CallOutcome::Ran),
        () = stopped => line.stop(),
    }
    let output = tokio::time::timeout(LAST_WORDS, run).await;
    (output.unwrap_or_else(|_| ToolOutput::error(notes::STOPPED)), CallOutcome::Stopped)
}

/// A tool that panics spoils its own call only. Seed 9.6.
async fn isolated(future: crate::tool::ToolFuture<'_>) -> ToolOutput {
    let mut future: Pin<Box<_>> = future;
    std::future::poll_fn(move |cx| {
        match std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(poll) => poll,
            Err(panic) => {
                let message = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
                let message = message.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
                Poll::Ready(ToolOutput::error(format!("the tool failed inside: {message}")))
            }
        }
    })
    .await
}
