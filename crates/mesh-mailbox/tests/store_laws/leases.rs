//! Leases against a model, with a clock that only the test moves.
//!
//! The model knows no lease ids and no attempts table: it keeps, for each message, who may have it and until when, and is asked
//! after every step what the store should have said.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_mailbox::gateway::lease::{MAX_ATTEMPTS, Outcome};
use mesh_mailbox::gateway::query::Look;
use mesh_mailbox::gateway::store::{Command, Done, Refusal, Scope};
use proptest::prelude::*;
use serde_json::Value;

use crate::{Opened, append, at, engines, message};

#[derive(Clone, Debug)]
enum Step {
    Send,
    Claim { max: usize, seconds: u64 },
    Ack { claim: prop::sample::Index, outcome: bool },
    Nack { claim: prop::sample::Index, delay: u64 },
    Extend { claim: prop::sample::Index, seconds: u64 },
    Read { message: prop::sample::Index },
    Requeue { message: prop::sample::Index },
    Sweep,
    Pass { seconds: u64 },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        3 => Just(Step::Send),
        5 => (1usize..4, 1u64..30).prop_map(|(max, seconds)| Step::Claim { max, seconds }),
        3 => (index(), any::<bool>()).prop_map(|(claim, outcome)| Step::Ack { claim, outcome }),
        3 => (index(), 0u64..10).prop_map(|(claim, delay)| Step::Nack { claim, delay }),
        1 => (index(), 1u64..30).prop_map(|(claim, seconds)| Step::Extend { claim, seconds }),
        1 => index().prop_map(|message| Step::Read { message }),
        1 => index().prop_map(|message| Step::Requeue { message }),
        1 => Just(Step::Sweep),
        4 => (1u64..20).prop_map(|seconds| Step::Pass { seconds }),
        1 => Just(Step::Restart),
    ]
}

/// What the model knows of a message.
#[derive(Clone, Debug, Default)]
struct Message {
    is_read: bool,
    is_dead: bool,
    /// The number of the claim that holds or held it, and until when.
    held: Option<(usize, u64)>,
    tries: u32,
    not_before: u64,
    settled: Option<(usize, bool)>,
}

impl Message {
    fn is_free(&self, now: u64) -> bool {
        !self.is_read
            && !self.is_dead
            && self.tries < MAX_ATTEMPTS
            && self.not_before <= now
            && self.held.is_none_or(|(_, until)| until <= now)
    }

    fn is_held_by(&self, claim: usize, now: u64) -> bool {
        !self.is_dead
            && self.settled.is_none()
            && self.held.is_some_and(|(by, until)| by == claim && now < until)
    }
}

/// A claim that was given: of which message, under which lease.
struct Claim {
    id: i64,
    lease: String,
}

struct World {
    store: Opened,
    now: u64,
    messages: BTreeMap<i64, Message>,
    claims: Vec<Claim>,
}

impl World {
    fn claim(&mut self, max: usize, seconds: u64) {
        let free: Vec<i64> = self
            .messages
            .iter()
            .filter(|(_, message)| message.is_free(self.now))
            .map(|(id, _)| *id)
            .take(max)
            .collect();
        let lease = Duration::from_secs(seconds);
        let command = Command::Claim { inbox: "bob".into(), max, lease, kind: None, thread_id: None };
        let Ok(Done::Claimed { count, rows }) = self.store.one(at(self.now), command) else { panic!() };
        let rows: Vec<Value> =
            serde_json::from_str(&format!("[{}]", String::from_utf8(rows).unwrap())).unwrap();
        let got: Vec<i64> = rows.iter().map(|row| row["id"].as_i64().unwrap()).collect();
        // All that is free, oldest first, and nothing that another holds.
        assert_eq!((&got, count), (&free, free.len()));
        for row in rows {
            let id = row["id"].as_i64().unwrap();
            let message = self.messages.get_mut(&id).unwrap();
            message.tries += 1;
            message.held = Some((self.claims.len(), self.now + seconds));
            assert_eq!(row["attempt"], message.tries);
            let lease = row["lease_id"].as_str().unwrap().to_owned();
            assert!(self.claims.iter().all(|claim| claim.lease != lease), "a lease is given once");
            self.claims.push(Claim { id, lease });
        }
    }

    fn take(&mut self, step: &Step) {
        let now = at(self.now);
        let chosen = |index: &prop::sample::Index, length: usize| (length > 0).then(|| index.index(length));
        match step {
            Step::Send => {
                let Ok(Done::Appended { answer, .. }) =
                    self.store.one(now, append(message("alice", "bob", "x")))
                else {
                    panic!()
                };
                let id = serde_json::from_str::<Value>(&answer).unwrap()["id"].as_i64().unwrap();
                self.messages.insert(id, Message::default());
            }
            Step::Claim { max, seconds } => self.claim(*max, *seconds),
            Step::Ack { claim, outcome } => {
                let Some(number) = chosen(claim, self.claims.len()) else { return };
                let Claim { id, lease } = &self.claims[number];
                let word = if *outcome { Outcome::Done } else { Outcome::Failed };
                let command = Command::Ack {
                    id: *id,
                    by: Scope::Any,
                    lease: Some(lease.clone()),
                    outcome: word,
                    note: None,
                };
                let answer = self.store.one(now, command);
                let message = self.messages.get_mut(id).unwrap();
                let is_repeat = message.settled == Some((number, *outcome));
                let is_fine = is_repeat || message.is_held_by(number, self.now);
                assert_eq!(answer.is_ok(), is_fine, "ack {message:?} {answer:?}");
                if is_fine && !is_repeat {
                    (message.settled, message.is_read) = (Some((number, *outcome)), true);
                }
            }
            Step::Nack { claim, delay } => {
                let Some(number) = chosen(claim, self.claims.len()) else { return };
                let Claim { id, lease } = &self.claims[number];
                let delay_time = Duration::from_secs(*delay);
                let command =
                    Command::Nack { id: *id, by: Scope::Any, lease: lease.clone(), delay: delay_time };
                let answer = self.store.one(now, command);
                let message = self.messages.get_mut(id).unwrap();
                let is_fine = message.is_held_by(number, self.now);
                assert_eq!(answer.is_ok(), is_fine, "nack {message:?} {answer:?}");
                if is_fine {
                    (message.held, message.not_before) = (None, self.now + delay);
                    message.is_dead = message.tries >= MAX_ATTEMPTS;
                }
            }
            Step::Extend { claim, seconds } => {
                let Some(number) = chosen(claim, self.claims.len()) else { return };
                let Claim { id, lease } = &self.claims[number];
                let time = Duration::from_secs(*seconds);
                let command = Command::Extend { id: *id, by: Scope::Any, lease: lease.clone(), time };
                let answer = self.store.one(now, command);
                let message = self.messages.get_mut(id).unwrap();
                let is_fine = message.is_held_by(number, self.now);
                assert_eq!(answer.is_ok(), is_fine, "extend {message:?} {answer:?}");
                if is_fine {
                    message.held = Some((number, self.now + seconds));
                }
            }
            Step::Read { message } => {
                let Some(index) = chosen(message, self.messages.len()) else { return };
                let (id, message) = self.messages.iter_mut().nth(index).unwrap();
                self.store.one(now, Command::Read { id: *id, by: Scope::Any }).unwrap();
                message.is_read = true;
            }
            Step::Requeue { message } => {
                let Some(index) = chosen(message, self.messages.len()) else { return };
                let (id, message) = self.messages.iter_mut().nth(index).unwrap();
                let answer = self.store.one(now, Command::Requeue { id: *id, by: Scope::Any });
                assert_eq!(answer.is_ok(), message.is_dead);
                if message.is_dead {
                    (message.is_dead, message.tries, message.held, message.not_before) = (false, 0, None, 0);
                } else {
                    assert_eq!(answer, Err(Refusal::NotDead));
                }
            }
            Step::Sweep => {
                self.store.one(now, Command::Sweep(None)).unwrap();
                let now = self.now;
                for message in self.messages.values_mut() {
                    let is_lost = message.held.is_some_and(|(_, until)| until <= now);
                    if message.tries >= MAX_ATTEMPTS && !message.is_read && is_lost {
                        (message.is_dead, message.held) = (true, None);
                    }
                }
            }
            Step::Pass { seconds } => self.now += seconds,
            Step::Restart => {}
        }
    }

    /// What the store shows is what the model knows.
    fn compare(&mut self) {
        let all = |dead| Look { to: Some("bob".into()), limit: 1000, dead, ..Look::default() };
        let (live, dead) =
            (self.store.rows(at(self.now), &all(false)), self.store.rows(at(self.now), &all(true)));
        let shown: BTreeMap<i64, (bool, bool)> = [(live, false), (dead, true)]
            .into_iter()
            .flat_map(|(rows, is_dead)| rows.into_iter().map(move |row| (row, is_dead)))
            .map(|(row, is_dead)| (row["id"].as_i64().unwrap(), (!row["read_at"].is_null(), is_dead)))
            .collect();
        let known: BTreeMap<i64, (bool, bool)> =
            self.messages.iter().map(|(id, message)| (*id, (message.is_read, message.is_dead))).collect();
        assert_eq!(shown, known);
    }
}

fn steps_follow_the_model(steps: &[Step]) {
    for engine in engines() {
        let (store, messages, claims) = (engine.open(), BTreeMap::new(), Vec::new());
        let mut world = World { store, now: 0, messages, claims };
        for step in steps {
            world.take(step);
            if matches!(step, Step::Restart) {
                world.store = engine.open();
            }
            world.compare();
        }
    }
}

#[test]
fn leases_follow_the_model() {
    // A server that is there already is not started anew for each case.
    let _held = engines();
    let config = ProptestConfig { source_file: Some(file!()), ..ProptestConfig::with_cases(48) };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let steps = proptest::collection::vec(step(), 1..70);
    runner
        .run(&steps, |steps| {
            steps_follow_the_model(&steps);
            Ok(())
        })
        .unwrap();
}
