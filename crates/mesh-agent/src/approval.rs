//! Who is asked when a call may not simply run.

use std::{future::Future, pin::Pin};

use mesh_safety::{
    Action, Reason,
    rules::Rule,
    sandbox::{Denial, Grant},
};

use crate::tool::Args;

/// A question to a person about one call.
#[derive(Clone, Copy, Debug)]
pub struct ApprovalRequest<'a> {
    /// The tool's name, or for a page of the web that: who always allows one has not allowed the other.
    pub tool: &'a str,
    /// One line for a person. Text of the model is in it: strip control characters before it is shown.
    pub summary: &'a str,
    /// What the call would do, with the real path or command.
    pub action: &'a Action,
    /// Its arguments.
    pub args: &'a Args,
    /// Why it is asked.
    pub reasons: &'a [Reason],
    /// The rule that would let this call and those like it run unasked from now on; `None` where no narrow one would.
    pub rule: Option<&'a Rule>,
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approval {
    /// Run it.
    Yes,
    /// Run it, and from now on judge this tool as in auto mode: its checks still ask.
    Always,
    /// Do not run it; the model is told that the user said no.
    No,
    /// Nobody can be asked; the model is told the reasons.
    Unavailable,
}

/// A question to a person about a command that the sandbox kept from something.
#[derive(Clone, Copy, Debug)]
pub struct WideningRequest<'a> {
    /// One line for a person. Text of the model is in it: strip control characters before it is shown.
    pub summary: &'a str,
    /// What it was kept from.
    pub denials: &'a [Denial],
    /// What it would be let have, and then be run again.
    pub grants: &'a [Grant],
}

/// The answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WideningAnswer {
    /// Let this one call have it.
    Once,
    /// Let every later call of the session have it.
    Session,
    /// Do not.
    #[default]
    No,
}

/// A boxed answer.
pub type WideningFuture<'a> = Pin<Box<dyn Future<Output = WideningAnswer> + Send + 'a>>;

/// A boxed answer.
pub type ApprovalFuture<'a> = Pin<Box<dyn Future<Output = Approval> + Send + 'a>>;

/// Asks a person, or answers in their place.
pub trait Approver: Send {
    /// Asks about one call.
    ///
    /// # Cancel safety
    /// Dropping the future withdraws the question: the call does not run.
    fn ask<'a>(&'a mut self, request: ApprovalRequest<'a>) -> ApprovalFuture<'a>;

    /// Asks whether a command that the sandbox kept from something may have it and be run again. Unasked, it may not.
    ///
    /// # Cancel safety
    /// Dropping the future withdraws the question: nothing is granted.
    fn widen<'a>(&'a mut self, _: WideningRequest<'a>) -> WideningFuture<'a> {
        Box::pin(std::future::ready(WideningAnswer::No))
    }
}

/// The approver of a headless run: nobody is there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nobody;

impl Approver for Nobody {
    fn ask<'a>(&'a mut self, _: ApprovalRequest<'a>) -> ApprovalFuture<'a> {
        Box::pin(std::future::ready(Approval::Unavailable))
    }
}
