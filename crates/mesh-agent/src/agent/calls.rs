//! One tool call: judged, asked about if need be, run, stopped.

use std::{
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{MutexGuard, PoisonError},
    task::Poll,
    time::Duration,
};

use mesh_client::wire::ToolCall;
use mesh_safety::{
    Action, Confined, Decision, Judge, PermissionMode, Policy, Reason, ReasonSource, Sighting, judge,
    judge_written, offer, reaches_out, rules::Rule,
};
use tracing::Instrument;

use super::{Agent, Hands, report::Tally};
use crate::{
    approval::{Approval, ApprovalRequest},
    builtin::{READ_CHARS, read_text},
    event::{CallOutcome, Event, Listener, RefusedCall},
    notes,
    permit::Decided,
    recall,
    screen::Screen,
    tool::{Args, CallLine, Tool, ToolContext, ToolOutput},
    widening::Widening,
};

impl Agent {
    /// Judges, asks if need be, runs. Returns what the model is told.
    pub(super) async fn call(
        &self,
        call: &ToolCall,
        refused: &mut Vec<RefusedCall>,
        hands: &mut Hands<'_>,
    ) -> String {
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
        // A message and an address leave the machine: there a placeholder stays one.
        let stays = matches!(shown, Action::SendMail { .. } | Action::ReadMail | Action::Fetch { .. });
        let (args, hidden) = if stays { (args, Vec::new()) } else { self.screen().restore(args) };
        if let Some(problem) = self.unfit(&shown, &args) {
            let output = ToolOutput::error(problem);
            let outcome = CallOutcome::Invalid;
            listener.event(Event::CallEnded { id, name, output: &output, outcome, plan: None });
            return output.text;
        }
        let action = tool.action(&args, &self.context);
        let (mode, policy) = (self.mode.get(), self.policy());
        let kind = kind(name, &action);
        let (mut decision, sighting) = self.judge(kind, &action, &policy);
        let leaving = match &action {
            Action::Fetch { is_kept: false, .. } => self.screen().leak(&args).map(crate::screen::in_address),
            action if reaches_out(action, &policy) => crate::screen::leaves(&hidden),
            _ => None,
        };
        let is_plain = hidden.is_empty() && leaving.is_none();
        decision = leaving.into_iter().fold(decision, Decision::join);
        let verdict = match &decision {
            Decision::Allow => Approval::Yes,
            Decision::Block(_) => Approval::Unavailable,
            Decision::Ask(reasons) => {
                let rule = if is_plain { offer(&action, mode, &policy) } else { None };
                let question = ApprovalRequest {
                    tool: kind,
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
            self.always.lock().unwrap_or_else(PoisonError::into_inner).push(kind.to_owned());
        }
        let (output, outcome) = match verdict {
            Approval::Yes | Approval::Always => {
                // From here on it may be stopped.
                let stopped = hands.interrupt.call_stopped();
                listener.event(Event::CallStarted { id, name, summary: &summary, args: &given });
                let (mode, interrupt) = (self.mode.get(), hands.interrupt);
                let context = ToolContext { sighting, ..self.context.clone() };
                let mut widening = Widening::new(id, &summary, mode, &self.declined, &context);
                let mut ran = run_call(&**tool, &args, &context, stopped).await;
                while let Some(context) = widening.more(&ran, listener, approver, interrupt).await {
                    ran = run_call(&**tool, &args, &context, interrupt.call_stopped()).await;
                }
                let (text, origin) = (std::mem::take(&mut ran.0.text), ran.0.origin);
                ran.0.text = self.screen().pass(text, &action, origin, &policy);
                widening.tell(&mut ran.0);
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

    /// Why nobody is even asked about what would leave the machine: a yes could not make it go.
    fn unfit(&self, action: &Action, args: &Args) -> Option<String> {
        match action {
            Action::SendMail { .. } => self.screen().leak(args).map(notes::holds_a_secret),
            Action::Fetch { url, .. } if self.screen().names_hidden(url) => {
                Some(notes::holds_a_placeholder())
            }
            Action::Fetch { url, .. } => match judge_written(url, &self.rules.get()) {
                Decision::Ask(reasons)
                    if reasons.iter().all(|reason| reason.source == ReasonSource::Check) =>
                {
                    Some(notes::not_fetched(&join(reasons.iter())))
                }
                Decision::Allow | Decision::Ask(_) | Decision::Block(_) => None,
            },
            _ => None,
        }
    }

    /// What is decided, and what the call's path named then: a file tool opens that and nothing else.
    fn judge(&self, kind: &str, action: &Action, policy: &Policy) -> (Decision, Option<Sighting>) {
        let is_allowed =
            self.always.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|one| one == kind);
        let (judge, mode) = (Judge::new(policy), self.mode.get());
        let decision = if is_allowed { judge.judge_allowed(action, mode) } else { judge.judge(action, mode) };
        (decision, judge.sighting(action))
    }

    pub(super) fn screen(&self) -> MutexGuard<'_, Screen> {
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
    pub(super) fn policy(&self) -> Policy {
        // What the user opened for the session is judged by the command's text again.
        let is_open = self.context.sandbox.as_ref().is_some_and(|sandbox| !sandbox.granted().is_empty());
        let confined = match self.policy.confined {
            Confined::Fully if is_open => Confined::Partly,
            confined => confined,
        };
        let (untrusted, private) = {
            let screen = self.screen();
            (screen.is_untrusted(), screen.is_private())
        };
        Policy { rules: self.rules.get(), confined, untrusted, private, ..self.policy.clone() }
    }

    /// Answers a call that reads a cut text again by its name, where no file is called so. It reads nothing but what the model
    /// was shown before, so nobody is asked.
    pub(super) fn recall(
        &self,
        call: &ToolCall,
        tally: &mut Tally,
        listener: &mut dyn Listener,
    ) -> Option<String> {
        let saver = self.saver.as_ref().filter(|saver| saver.is_in_use())?;
        let args: Args = serde_json::from_str(&call.arguments).unwrap_or_default();
        let path = recall::asked(&call.name, &args)?;
        if self.context.cwd.join(path).exists() {
            return None;
        }
        let output = read_text(&recall::original(self.session.history(), path)?, &args, READ_CHARS);
        saver.recalled();
        tally.savings.recalls += 1;
        let (id, name, summary) = (&*call.id, &*call.name, format!("{}: {path}, cut before", call.name));
        listener.event(Event::CallStarted { id, name, summary: &summary, args: &args });
        let outcome = CallOutcome::Ran;
        listener.event(Event::CallEnded { id, name, output: &output, outcome, plan: None });
        Some(output.text)
    }
}

/// What `always` holds for: a tool, but a file that may be read is no page that may be asked for.
fn kind<'a>(tool: &'a str, action: &Action) -> &'a str {
    if matches!(action, Action::Fetch { .. }) { "reading the web" } else { tool }
}

fn said_no(text: String) -> ToolOutput {
    ToolOutput { text, is_error: true, ..ToolOutput::default() }
}

fn join<'a>(reasons: impl Iterator<Item = &'a Reason>) -> String {
    reasons.map(|r| r.text.as_str()).collect::<Vec<_>>().join("; ")
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
