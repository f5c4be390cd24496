//! Messages as pieces of work: those of a queue, those that may start a turn at the prompt, and what their threads may use.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use mesh_agent::mail::{Mail, Mailroom as _, Outcome, clean_name};
use mesh_mailbox::ClientError;

use super::{
    Allowance, Desk,
    hold::{Waiting, Work, answer_key, parent_of},
};
use crate::ui::{
    events,
    line::{Line, Style},
};

/// A message that a run works on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The message.
    pub mail: Mail,
}

impl Desk {
    /// What a peer's messages may start at the prompt: what was said there goes before the settings file.
    pub fn allowance(&self, peer: &str) -> Option<Allowance> {
        self.journal.auto(peer).unwrap_or_else(|| self.values.auto_reply.get(peer).copied())
    }

    /// Peers whose messages may start turns.
    pub fn allowances(&self) -> Vec<(String, Allowance)> {
        let stored = self.values.auto_reply.iter().map(|(peer, allowance)| (peer.clone(), Some(*allowance)));
        let mut all: BTreeMap<String, Option<Allowance>> = stored.collect();
        all.extend(self.journal.autos());
        all.into_iter().filter_map(|(peer, allowance)| Some((peer, allowance?))).collect()
    }

    /// Lets a peer's messages start turns at the prompt, or takes that back.
    ///
    /// # Errors
    /// It cannot be kept.
    pub fn allow(&self, peer: &str, allowance: Option<Allowance>) -> std::io::Result<()> {
        self.journal.allow(peer, allowance)
    }

    /// The next message of the queue to work on by itself; `None` when none came in time.
    ///
    /// # Errors
    /// The gateway refuses.
    ///
    /// # Cancel safety
    /// A message that was just taken comes again when its lease has ended.
    pub async fn next_job(&self, wait: Duration) -> Result<Option<Job>, ClientError> {
        self.shared.hold().work = None;
        let taken = self.claim_within(1, wait).await?;
        Ok(taken.into_iter().next().map(|held| self.begin(held.mail)))
    }

    /// The next message that may start a turn at the prompt; `None` where none may.
    ///
    /// # Errors
    /// The gateway refuses.
    ///
    /// # Cancel safety
    /// That of [`Desk::next_job`].
    pub async fn next_auto(&self) -> Result<Option<Job>, ClientError> {
        // Where none can be had now, it is not asked for again until something has changed.
        self.shared.set_due(false);
        let (thread, is_any) = {
            let hold = self.shared.hold();
            let may = |id, waiting: &Waiting| !hold.left_alone.contains(&id) && self.may_start(waiting);
            let Some((_, first)) = hold.waiting().find(|(id, waiting)| may(*id, waiting)) else {
                return Ok(None);
            };
            (first.thread.clone(), hold.waiting().all(|(id, waiting)| may(id, waiting)))
        };
        // A claim cannot name a sender: without a thread it might take what is not meant.
        if thread.is_none() && !is_any {
            return Ok(None);
        }
        let claimed = self.claim(1, Duration::ZERO, thread.as_deref()).await?;
        let Some(held) = claimed.into_iter().next() else { return Ok(None) };
        let Mail { from, is_verified, thread, at, .. } = held.mail.clone();
        if !self.may_start(&Waiting { from, is_verified, thread, at }) {
            self.give_back(&held, Duration::ZERO).await;
            return Ok(None);
        }
        self.shared.hold().hold(held.clone());
        self.shared.set_due(true);
        Ok(Some(self.begin(held.mail)))
    }

    /// This message starts no turn in this session any more.
    pub fn leave(&self, job: &Job) {
        self.shared.hold().left_alone.insert(job.mail.id);
    }

    /// Whether mail waits that may start a turn.
    pub fn has_auto(&self) -> bool {
        let hold = self.shared.hold();
        self.shared.is_due()
            && hold.waiting().any(|(id, waiting)| !hold.left_alone.contains(&id) && self.may_start(waiting))
    }

    /// The user allowed this peer, the gateway vouches for it, and its thread has something left.
    fn may_start(&self, waiting: &Waiting) -> bool {
        waiting.is_verified && matches!(self.left_for(waiting), Some(Ok(_)))
    }

    /// What a message's thread may use; `None` where the user allowed its sender nothing.
    fn left_for(&self, waiting: &Waiting) -> Option<Result<u64, String>> {
        let allowance = self.allowance(&waiting.from)?;
        Some(self.left(&waiting.from, waiting.thread.as_deref(), waiting.at.as_deref(), allowance))
    }

    /// What the user is told at the prompt: mail that came, and threads that start no turn any more; each once.
    pub fn notes(&self) -> Vec<Line> {
        let news = self.untold().map(|news| events::news(&news.line()));
        let mut hold = self.shared.hold();
        let mut spent: Vec<(i64, String, String)> = Vec::new();
        for (id, waiting) in hold.waiting() {
            if let Some(Err(why)) =
                self.left_for(waiting).filter(|_| waiting.is_verified && !hold.spent.contains(&id))
            {
                spent.push((id, clean_name(&waiting.from), why));
            }
        }
        hold.spent.extend(spent.iter().map(|(id, ..)| *id));
        let spent = spent.into_iter().map(|(id, from, why)| {
            Line::prose(Style::Warn, &format!("✉ #{id} of {from} waits for you: {why}"))
        });
        news.into_iter().chain(spent).collect()
    }

    fn begin(&self, mail: Mail) -> Job {
        let (id, from) = (mail.id, mail.from.clone());
        let threads = BTreeSet::new();
        self.shared.hold().work = Some(Work { id, from, threads, is_answered: false });
        Job { mail }
    }

    /// What the message's thread may still use.
    ///
    /// # Errors
    /// Nothing; why.
    pub fn budget(&self, job: &Job, allowance: Allowance) -> Result<u64, String> {
        self.left(&job.mail.from, job.mail.thread.as_deref(), job.mail.at.as_deref(), allowance)
    }

    fn left(
        &self,
        from: &str,
        thread: Option<&str>,
        at: Option<&str>,
        allowance: Allowance,
    ) -> Result<u64, String> {
        let allowance = if thread.is_some() { allowance } else { allowance.without_thread() };
        allowance.next(self.journal.used(self.node(), from, &account_of(thread, at)))
    }

    /// What a thread may use of a worker.
    pub fn worker_allowance(&self) -> Allowance {
        self.values.thread
    }

    /// Notes what a message's turn has used.
    ///
    /// # Errors
    /// It cannot be kept: then no further turn may run.
    pub fn spend(&self, job: &Job, tokens: u64) -> std::io::Result<()> {
        let account = account_of(job.mail.thread.as_deref(), job.mail.at.as_deref());
        self.journal.spend(self.node(), &job.mail.from, &account, tokens)
    }

    /// Whether this message is the answer to a question of earlier work that is not done: it is that work's, which comes again.
    pub fn is_of_unfinished_work(&self, job: &Job) -> bool {
        let parent =
            job.mail.thread.as_deref().and_then(|thread| parent_of(thread, self.node(), &job.mail.from));
        parent.is_some_and(|parent| !self.journal.knows(self.node(), parent))
    }

    /// Whether the answer to this message was written before a crash.
    pub fn is_answer_written(&self, job: &Job) -> bool {
        let key = answer_key(&job.mail);
        self.left.contains(&key) || self.outbox.find(&key).is_ok()
    }

    /// Whether the model itself has given the sender an answer in this turn.
    pub fn is_answered(&self) -> bool {
        self.shared.hold().work.as_ref().is_some_and(|work| work.is_answered)
    }

    /// What the model said comes of a message that is held.
    pub fn decided(&self, job: &Job) -> Option<(Outcome, Option<String>)> {
        let hold = self.shared.hold();
        hold.held.iter().find(|held| held.mail.id == job.mail.id).and_then(|held| held.decided.clone())
    }

    /// Ends the work on a message: the journal, then what waits in the outbox, then the acknowledgements.
    ///
    /// # Errors
    /// The journal cannot be written: the message comes again.
    pub async fn finish(&self, job: &Job, outcome: Outcome, note: Option<&str>) -> std::io::Result<()> {
        {
            let mut hold = self.shared.hold();
            for held in hold.held.iter_mut().filter(|held| held.mail.id == job.mail.id) {
                held.decided = Some((outcome, note.map(str::to_owned)));
            }
            hold.work = None;
        }
        let held = self.shared.hold().release(false);
        let done = self.note_all(&held);
        self.send_answer(job).await;
        self.acknowledge_all(&held).await;
        done
    }

    /// Gives a message back, and what was taken for it; it can be taken again after this delay.
    pub async fn hand_back(&self, delay: Duration) {
        self.shared.hold().work = None;
        let held = self.shared.hold().release(true);
        for held in &held {
            self.give_back(held, delay).await;
        }
    }
}

/// The thread whose books a message is in: messages without one count by the day.
fn account_of(thread: Option<&str>, at: Option<&str>) -> String {
    match thread {
        Some(thread) => thread.to_owned(),
        None => format!("@{}", at.unwrap_or_default().chars().take(10).collect::<String>()),
    }
}
