//! `--inbox`: works the messages of peers, one message, one turn, one acknowledgement.
//!
//! What the user wants done with them stands in the prompt. A message is data: it comes as the result of a call that reads it, in a
//! conversation of its own, and what is allowed is what the mode and the user's rules allow. The last words of the turn go back to
//! the sender of a question, once, however often the message is handed out.

use std::time::Duration;

use mesh_agent::{Budget, Hands, Interrupt, Nobody, mail::Outcome};
use mesh_client::wire::Content;

use super::exec::Output;
use crate::{
    exit::{Exit, Failure},
    mail::{
        Desk, Job,
        settle::{Settled, brief, opening, settle},
    },
    ui::json::{self, MailState},
    wiring::Wired,
};

/// What to work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Queue {
    /// End after this many.
    pub(super) max_messages: Option<u32>,
    /// Wait so long for the next one.
    pub(super) wait: Duration,
    /// What each may cost, in USD.
    pub(super) max_cost: Option<f64>,
}

/// Turns in a row that fail before it is no use to go on.
const FAILURES: u32 = 3;
/// A gateway that does not answer is asked for so long at least before a run without `--wait` ends.
const LEAST: Duration = Duration::from_secs(2);
/// What became of one message.
enum Worked {
    /// It is dealt with.
    Settled(Exit),
    /// It comes again.
    GivenBack,
    /// It was no turn's fault, and the next would fare no better.
    Stopped,
}

/// Works the queue until it is empty, enough were worked, or somebody wants an end.
///
/// # Errors
/// There is no mailbox, the gateway refuses, or what was done cannot be kept.
pub(super) async fn work(
    queue: &Queue,
    wired: &mut Wired,
    words: &str,
    output: &mut Output,
    interrupt: &Interrupt,
) -> Result<Exit, Failure> {
    let desk = wired.mail.clone().ok_or_else(|| {
        Failure::new(Exit::Usage, "no_mailbox", "no mailbox is set")
            .hint("set MESH_NODE and MESH_GATEWAY_URL, or `mail` in ~/.meshapi/config.json")
    })?;
    let (mut exit, mut worked, mut failures) = (Exit::Ok, 0, 0);
    let mut before: Option<(String, Option<String>)> = None;
    while queue.max_messages.is_none_or(|most| worked < most) {
        let wait = if queue.wait.is_zero() && worked == 0 { LEAST } else { queue.wait };
        let Some(job) = interrupt.unless(next(&desk, wait, queue.wait.is_zero())).await else { break };
        let Some(job) = job? else { break };
        if desk.is_of_unfinished_work(&job) {
            // The work that asked for it comes again when its lease has ended, and takes it then.
            desk.hand_back(desk.lease()).await;
            continue;
        }
        // A peer sees nothing of what others wrote: a conversation goes on only within its thread.
        let about = (job.mail.from.clone(), job.mail.thread.clone());
        if job.mail.thread.is_none() || before.as_ref() != Some(&about) {
            let fresh = wired.agent.fresh();
            wired.agent.swap(fresh);
        }
        before = Some(about);
        match one(queue, &desk, wired, words, &job, output, interrupt).await? {
            Worked::Settled(one) => (exit, failures) = (exit.and(one), 0),
            Worked::GivenBack => {
                failures += 1;
                if failures >= FAILURES {
                    exit = exit.and(Exit::Failure);
                    break;
                }
            }
            Worked::Stopped => {
                exit = exit.and(Exit::Failure);
                break;
            }
        }
        worked += 1;
        if interrupt.is_raised() {
            break;
        }
    }
    Ok(exit)
}

/// The next message. Without a wait what is there is taken, but a gateway that is away for a moment is asked again.
async fn next(desk: &Desk, wait: Duration, is_short: bool) -> Result<Option<Job>, Failure> {
    if is_short {
        let first = desk.next_job(Duration::ZERO).await;
        match first {
            Err(error) if error.is_transient() => {}
            other => return Ok(other?),
        }
    }
    Ok(desk.next_job(wait).await?)
}

async fn one(
    queue: &Queue,
    desk: &Desk,
    wired: &mut Wired,
    words: &str,
    job: &Job,
    output: &mut Output,
    interrupt: &Interrupt,
) -> Result<Worked, Failure> {
    let kept = |error| Failure::new(Exit::Failure, "journal", format_args!("your mail's journal: {error}"));
    output.mail(&told(job, MailState::Taken, None));
    // Its answer was written before a crash: what is left is to send and to acknowledge it.
    if desk.is_answer_written(job) {
        desk.finish(job, Outcome::Done, None).await.map_err(kept)?;
        output.mail(&told(job, MailState::Settled(Outcome::Done), Some("it was answered before a crash")));
        return Ok(Worked::Settled(Exit::Ok));
    }
    let tokens = match desk.budget(job, desk.worker_allowance()) {
        Ok(tokens) => tokens,
        Err(why) => {
            desk.finish(job, Outcome::Rejected, Some(&why)).await.map_err(kept)?;
            output.mail(&told(job, MailState::Settled(Outcome::Rejected), Some(&why)));
            return Ok(Worked::Settled(Exit::Limit));
        }
    };
    wired.agent.set_budget(Budget { usd: queue.max_cost, tokens: Some(tokens) });
    let hands = Hands { listener: output.listener(), approver: &mut Nobody, interrupt };
    let report = wired.agent.run_turn_on(Content::Text(brief(words, job)), opening(job), hands).await;
    let report = report.map_err(|error| Failure::new(Exit::Failure, "record", error))?;
    wired.servers.kill_all().await;
    match settle(desk, &wired.agent, job, &report).await.map_err(kept)? {
        Settled::Done(outcome, note) => {
            output.mail(&told(job, MailState::Settled(outcome), note.as_deref()));
            Ok(Worked::Settled(Exit::of_turn(&report)))
        }
        given_back => {
            output.mail(&told(job, MailState::GivenBack, None));
            Ok(match given_back {
                Settled::Useless => Worked::Stopped,
                _ if interrupt.is_raised() => Worked::Settled(Exit::Ok),
                _ => Worked::GivenBack,
            })
        }
    }
}

fn told<'a>(job: &'a Job, state: MailState, note: Option<&'a str>) -> json::Mail<'a> {
    let mail = &job.mail;
    let (id, is_verified) = (mail.id, mail.is_verified);
    let (from, kind, thread) = (mail.from.as_str(), mail.kind.as_str(), mail.thread.as_deref());
    json::Mail { id, from, kind, thread, is_verified, state, note }
}
