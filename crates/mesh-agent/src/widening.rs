//! A command that the sandbox kept from something: the user is asked, and it is run again with what they grant.

use std::sync::{Mutex, PoisonError};

use mesh_safety::{
    PermissionMode,
    sandbox::{Denial, Grant},
};

use crate::{
    approval::{Approver, WideningAnswer, WideningRequest},
    event::{CallOutcome, Event, Listener},
    interrupt::Interrupt,
    tool::{ToolContext, ToolOutput},
};

/// How often one call is run again at most: each time it may meet another rule.
const MOST_TIMES: usize = 4;

/// What the user said no to: they are not asked again in this session.
#[derive(Debug, Default)]
pub(crate) struct Declined(Mutex<Vec<Grant>>);

/// A call that may be run again.
pub(crate) struct Widening<'a> {
    id: &'a str,
    summary: &'a str,
    mode: PermissionMode,
    declined: &'a Declined,
    /// With what was granted so far.
    context: ToolContext,
    times: usize,
    /// What was granted, for the model.
    said: String,
}

impl Declined {
    /// What of these denials could be granted, and was not declined before.
    fn open(&self, denials: &[Denial]) -> Vec<Grant> {
        let declined = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut grants: Vec<Grant> = Vec::new();
        for grant in denials.iter().filter_map(|denial| denial.grant.clone()) {
            if !declined.contains(&grant) && !grants.contains(&grant) {
                grants.push(grant);
            }
        }
        grants
    }

    fn remember(&self, grants: Vec<Grant>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(grants);
    }

    /// Asks anew from now on.
    pub(crate) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl<'a> Widening<'a> {
    /// A call that runs in this context at first.
    pub(crate) fn new(
        id: &'a str,
        summary: &'a str,
        mode: PermissionMode,
        declined: &'a Declined,
        context: &ToolContext,
    ) -> Widening<'a> {
        Widening { id, summary, mode, declined, context: context.clone(), times: 0, said: String::new() }
    }

    /// The context in which the call is to be run again, if the sandbox kept it from something and the user grants that. In
    /// bypass nobody is asked.
    pub(crate) async fn more(
        &mut self,
        (output, outcome): &(ToolOutput, CallOutcome),
        listener: &mut dyn Listener,
        approver: &mut dyn Approver,
        interrupt: &Interrupt,
    ) -> Option<ToolContext> {
        if output.denials.is_empty() || *outcome != CallOutcome::Ran {
            return None;
        }
        let (summary, denials) = (self.summary, &*output.denials);
        listener.event(Event::CallHeld { id: self.id, denials });
        let mut grants = self.declined.open(denials);
        // What was granted already did not help.
        grants.retain(|grant| !self.context.grants.contains(grant));
        if grants.is_empty() || self.mode == PermissionMode::Bypass || self.times == MOST_TIMES {
            return None;
        }
        self.times += 1;
        let request = WideningRequest { summary, denials, grants: &grants };
        let answer = tokio::select! {
            biased;
            answer = approver.widen(request) => answer,
            () = interrupt.call_stopped() => WideningAnswer::No,
        };
        let names = grants.iter().map(Grant::to_string).collect::<Vec<_>>().join(", ");
        let until = match answer {
            WideningAnswer::No => {
                self.declined.remember(grants);
                return None;
            }
            WideningAnswer::Once => "this call",
            WideningAnswer::Session => {
                if let Some(sandbox) = &self.context.sandbox {
                    grants.iter().cloned().for_each(|grant| sandbox.grant(grant));
                }
                "this session"
            }
        };
        self.context.grants.extend(grants);
        self.said
            .push_str(&format!("[sandbox: the user allowed {names} for {until}; the command ran again]\n"));
        Some(self.context.clone())
    }

    /// Tells the model what was granted.
    pub(crate) fn tell(self, output: &mut ToolOutput) {
        output.text.insert_str(0, &self.said);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denial(host: &str) -> Denial {
        Denial::host(host, 443)
    }

    #[test]
    fn what_was_declined_is_not_offered_again() {
        let declined = Declined::default();
        let denials = [denial("a.org"), denial("b.org"), denial("a.org"), Denial::host("127.0.0.1", 80)];
        let offered = declined.open(&denials);
        assert_eq!(offered, [Grant::Host("a.org".into()), Grant::Host("b.org".into())]);
        declined.remember(offered[..1].to_vec());
        assert_eq!(declined.open(&denials), [Grant::Host("b.org".into())]);
        declined.forget();
        assert_eq!(declined.open(&denials).len(), 2);
    }
}
