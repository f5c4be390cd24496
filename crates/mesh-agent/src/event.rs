//! What a listener may know of a running turn. Terminal, headless formats and logs are listeners of the same events.

use std::time::Duration;

use mesh_client::{ClientError, Completion};
use mesh_safety::sandbox::Denial;

use crate::{
    cost::Spend,
    plan::Step,
    saver::Savings,
    tool::{Args, ToolOutput},
    turn::TurnEnd,
};

/// One thing that happened in a turn, in order.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A request goes out; `hop` counts from 1 within the turn.
    HopStarted {
        /// Number of the hop.
        hop: u32,
    },
    /// The model wrote text. Control characters are still in it: whoever prints it strips them.
    Text(&'a str),
    /// The model thought aloud.
    Reasoning(&'a str),
    /// The model is writing the arguments of a call.
    ToolArguments {
        /// The tool's name.
        name: &'a str,
        /// Characters so far.
        chars: usize,
    },
    /// An attempt failed and another follows after `wait`. Text that was shown for this hop is void.
    Retry {
        /// Number of the attempt that follows, from 2.
        attempt: u32,
        /// Attempts in all.
        of: u32,
        /// How long it waits.
        wait: Duration,
        /// Why.
        error: &'a ClientError,
        /// Text of the failed attempt was handed out as [`Event::Text`].
        text_shown: bool,
    },
    /// The streaming attempts are used up: one request without streaming follows.
    WholeRequest {
        /// Why.
        error: &'a ClientError,
        /// Text of the failed attempt was handed out as [`Event::Text`].
        text_shown: bool,
    },
    /// The cheaper form of this hop's request was refused and the request itself was answered.
    SavingsOff {
        /// What the user is told, in a line.
        note: &'a str,
    },
    /// Mail came that nobody was told of yet: counts and names of senders, as the model is told them.
    News {
        /// The line.
        line: &'a str,
    },
    /// The reply of this hop is whole.
    HopEnded {
        /// Everything that came.
        completion: &'a Completion,
    },
    /// A call was approved and begins to run.
    CallStarted {
        /// Its id.
        id: &'a str,
        /// The tool's name.
        name: &'a str,
        /// One line for a person.
        summary: &'a str,
        /// Its checked arguments.
        args: &'a Args,
    },
    /// A call that a person, or the want of one, keeps from running. Its result follows.
    CallStopped {
        /// One line for a person: what would have run.
        summary: &'a str,
        /// Why it does not.
        reason: &'a str,
    },
    /// The sandbox kept a call from something. It may be run again with more, or its result follows.
    CallHeld {
        /// Its id.
        id: &'a str,
        /// What it was kept from, and by which rule.
        denials: &'a [Denial],
    },
    /// A call has its result.
    CallEnded {
        /// Its id.
        id: &'a str,
        /// The tool's name.
        name: &'a str,
        /// The result.
        output: &'a ToolOutput,
        /// Did it run, or what kept it from running?
        outcome: CallOutcome,
        /// The plan after the call, when it changed the plan.
        plan: Option<&'a [Step]>,
    },
    /// The turn is over; nothing follows.
    TurnEnded(&'a TurnReport),
}

/// Did a call run?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// It ran, or was answered by the session itself.
    Ran,
    /// The user said no.
    Denied,
    /// The user stopped it while it ran.
    Stopped,
    /// It needed approval and nobody could be asked.
    Refused,
    /// Its arguments could not be used, or there is no such tool.
    Invalid,
}

/// A turn in figures, after its end.
#[derive(Clone, Debug)]
pub struct TurnReport {
    /// How it ended.
    pub end: TurnEnd,
    /// Requests that were sent, retries not counted.
    pub hops: u32,
    /// The model that answered last; the configured one if none said.
    pub model: String,
    /// Prompt tokens of the last hop.
    pub prompt_tokens: Option<u64>,
    /// Completion tokens of the last hop.
    pub completion_tokens: Option<u64>,
    /// Tokens of all hops, cache shares included.
    pub usage: TurnUsage,
    /// What this turn cost.
    pub turn_cost: Spend,
    /// What the session has cost, this turn included.
    pub session_cost: Spend,
    /// What the dial saved; empty where it is at 0.
    pub savings: Savings,
    /// Time spent waiting for replies; time of tools is not in it.
    pub model_time: Duration,
    /// Wall time of the turn.
    pub wall_time: Duration,
    /// Calls that were refused for want of approval.
    pub refused: Vec<RefusedCall>,
}

/// Tokens of a turn, summed over its hops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TurnUsage {
    /// Prompt tokens, cached ones included.
    pub prompt: u64,
    /// Completion tokens.
    pub completion: u64,
    /// Prompt tokens that were read from a cache.
    pub cache_read: u64,
    /// Prompt tokens that were written to a cache.
    pub cache_write: u64,
}

/// A call that did not run because nobody could be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedCall {
    /// Its id.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// Its arguments as JSON text.
    pub arguments: String,
    /// Why it needed approval.
    pub reason: String,
}

/// Takes events as they happen. Called between awaits: it has to be quick.
pub trait Listener: Send {
    /// One event.
    fn event(&mut self, event: Event<'_>);
}

impl<F: FnMut(Event<'_>) + Send> Listener for F {
    fn event(&mut self, event: Event<'_>) {
        self(event);
    }
}
