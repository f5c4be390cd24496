//! Texts that the program itself says to the model: reminder, breadcrumbs, refusals. Pure.

use mesh_client::ClientError;

use crate::plan::Plan;

/// What the model gets when the user says no. From the seed, 11.7.
pub(crate) const DENIED: &str = "User denied this tool call.";

/// What the model gets when the user stops a call that has nothing to show.
pub(crate) const STOPPED: &str = "stopped by the user before it was done; it may have run in part.";

/// Goes last into each request while the plan is open; not kept. Seed 9.3.
pub(crate) fn reminder(plan: &Plan) -> String {
    format!(
        "{} Open:\n{}\nNot finished, server or not: keep working or mark blocked.",
        plan.summary(),
        plan.remaining()
    )
}

/// What the model gets when a message would carry a credential away.
pub(crate) fn holds_a_secret(rule: &str) -> String {
    format!(
        "the message holds what looks like a credential ({rule}); nothing was sent. Say it without, secrets go by another way"
    )
}

/// What the model gets when it puts a placeholder into an address.
pub(crate) fn holds_a_placeholder() -> String {
    "the address holds the placeholder of a credential; nothing was sent. Credentials never go into an address".to_owned()
}

/// What the model gets for an address that no yes would let it read.
pub(crate) fn not_fetched(why: &str) -> String {
    format!(
        "the address is refused: {why}. Only public pages are read, or hosts that a rule of the user names; for a server of this machine \
         use curl in run_bash"
    )
}

/// Goes last into each request while mail waits; not kept. Counts and names only: what a message says comes by a tool.
pub(crate) fn mail_waits(news: &str) -> String {
    format!("Mailbox: {news}. check_inbox reads them, when it fits the task.")
}

/// Stays in the conversation when the hop limit is reached with an open plan. Seed 9.2.
pub(crate) fn paused(hops: u32, plan: &Plan) -> String {
    format!(
        "Execution paused after {hops} tool hops. {} Remaining:\n{}\nWhen the user says \"continue\", resume there. Do not claim the work is \
         finished.",
        plan.summary(),
        plan.remaining()
    )
}

/// Stays in the conversation when a turn was cut off after some of its calls had run.
pub(crate) fn cut_off(actions: usize) -> String {
    format!(
        "The turn was cut off here. {actions} tool call(s) above were completed and their effects stand: do not redo them. Go on from there \
         when asked."
    )
}

/// What the user is told when the gateway does not take the dial.
pub(crate) fn gateway_refuses_dial(error: &ClientError) -> String {
    format!(
        "the gateway refused a request with the dial in it and took it without: optimize is off for this session ({error})"
    )
}

/// What the model gets when nobody could be asked.
pub(crate) fn refused(reasons: &str) -> String {
    format!(
        "Not run: this call needs approval and nobody can be asked in a headless run ({reasons}). Find another way, or finish and say what \
         was not done."
    )
}
