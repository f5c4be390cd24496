//! The threads around a store: one that writes, a few that read. Both have queues with a bound; what finds them full is turned away.
//!
//! The writer takes whatever waits into one batch. While a batch is being synced the next one gathers, so a busy gateway syncs
//! once for many messages and an idle one at once for each. What a batch came to goes back to the event loop as one parcel: a
//! wake-up across threads is a system call, and one for each message was a tenth of the writer's time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::{io, thread};

use tokio::sync::{mpsc, oneshot};

use super::hub::Hub;
use super::metrics::Metrics;
use super::stamp::Stamp;
use super::store::{Command, Done, Reader, Refusal, Store, StoreError};

/// Most commands of one transaction. From the mailbox's design.
const MAX_BATCH: usize = 256;
/// Jobs that may wait to be written; each is a request that is being answered.
const WRITE_QUEUE: usize = 4096;
/// Looks that may wait.
const READ_QUEUE: usize = 4096;
/// Threads that read: looks are short, and memory is held by each.
const READERS: usize = 2;

/// Why work was not done.
#[derive(Clone, Debug)]
pub enum EngineError {
    /// Too much waits already, or the gateway is stopping.
    Busy,
    /// The store could not do it.
    Store(Arc<StoreError>),
}

/// The answers to the commands of one job.
pub type Answers = Result<Vec<Result<Done, Refusal>>, EngineError>;

struct Job {
    commands: Vec<Command>,
    answer: oneshot::Sender<Answers>,
}

/// What a batch came to, for each job.
type Parcel = Vec<(oneshot::Sender<Answers>, Answers)>;

/// Hands out what batches came to, within the event loop; without it nobody is answered.
pub struct Answering {
    parcels: mpsc::UnboundedReceiver<Parcel>,
    hub: Arc<Hub>,
}

impl Answering {
    /// Works until the writer has ended and its last batch is answered.
    pub async fn run(mut self) {
        while let Some(parcel) = self.parcels.recv().await {
            for done in parcel.iter().flat_map(|(_, answers)| answers).flatten().flatten() {
                done.new_mail().iter().for_each(|inbox| self.hub.wake(inbox));
            }
            for (caller, answers) in parcel {
                // A caller that has gone away needs no answer.
                let _ = caller.send(answers);
            }
        }
    }
}

type Look<R> = Box<dyn FnOnce(&mut R) + Send>;

/// The way to a store.
pub struct Engine<S: Store> {
    jobs: SyncSender<Job>,
    looks: SyncSender<Look<S::Reader>>,
    is_sound: Arc<AtomicBool>,
}

impl<S: Store> Clone for Engine<S> {
    fn clone(&self) -> Engine<S> {
        Engine { jobs: self.jobs.clone(), looks: self.looks.clone(), is_sound: Arc::clone(&self.is_sound) }
    }
}

/// The threads of an engine. They end when the last [`Engine`] is gone and all that waited is done.
#[derive(Debug)]
pub struct Threads(Vec<JoinHandle<()>>);

impl Threads {
    /// Waits until all work is done.
    pub fn join(self) {
        for thread in self.0 {
            // A thread that panicked has told so on standard error.
            let _ = thread.join();
        }
    }
}

impl<S: Store> Engine<S> {
    /// Starts the threads. What they did is told only while [`Answering::run`] is polled.
    ///
    /// # Errors
    /// A reader cannot be opened, or a thread not be started.
    pub fn start(
        store: S,
        hub: Arc<Hub>,
        metrics: Arc<Metrics>,
    ) -> Result<(Engine<S>, Answering, Threads), StoreError> {
        let (jobs, waiting_jobs) = sync_channel(WRITE_QUEUE);
        let (looks, waiting_looks) = sync_channel::<Look<S::Reader>>(READ_QUEUE);
        let waiting_looks = Arc::new(std::sync::Mutex::new(waiting_looks));
        let is_sound = Arc::new(AtomicBool::new(true));
        let mut threads = Vec::new();
        for _ in 0..READERS {
            let mut reader = store.reader()?;
            let looks = Arc::clone(&waiting_looks);
            threads.push(spawn("mailbox-reader", move || {
                loop {
                    // The lock is held while waiting, never while looking.
                    let next = looks.lock().unwrap_or_else(std::sync::PoisonError::into_inner).recv();
                    match next {
                        Ok(look) => look(&mut reader),
                        Err(_) => return,
                    }
                }
            })?);
        }
        let sound = Arc::clone(&is_sound);
        // No bound of its own: in it is what the writer's queue let in.
        let (parcels, done) = mpsc::unbounded_channel();
        threads
            .push(spawn("mailbox-writer", move || write(store, &waiting_jobs, &parcels, &metrics, &sound))?);
        Ok((Engine { jobs, looks, is_sound }, Answering { parcels: done, hub }, Threads(threads)))
    }

    /// Has commands done in one transaction; the answer comes after it is durable.
    ///
    /// # Errors
    /// Nothing of it was done, or, when the gateway is stopping, may have been.
    ///
    /// # Cancel safety
    /// Once called, the commands are done whether or not somebody waits for the answer.
    pub async fn apply(&self, commands: Vec<Command>) -> Answers {
        let (answer, answered) = oneshot::channel();
        match self.jobs.try_send(Job { commands, answer }) {
            Ok(()) => answered.await.unwrap_or(Err(EngineError::Busy)),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(EngineError::Busy),
        }
    }

    /// Has one command done.
    ///
    /// # Errors
    /// Those of [`Engine::apply`].
    ///
    /// # Cancel safety
    /// That of [`Engine::apply`].
    pub async fn one(&self, command: Command) -> Result<Result<Done, Refusal>, EngineError> {
        let answers = self.apply(vec![command]).await?;
        answers.into_iter().next().ok_or(EngineError::Busy)
    }

    /// Looks something up.
    ///
    /// # Errors
    /// Too much waits, or the store cannot be read.
    ///
    /// # Cancel safety
    /// Nothing is lost: a look changes nothing.
    pub async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&mut S::Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, EngineError>
    where
        S::Reader: Reader,
    {
        let (answer, answered) = oneshot::channel();
        let look: Look<S::Reader> = Box::new(move |reader| {
            // Nobody waiting any more is no fault of the look.
            let _ = answer.send(look(reader));
        });
        match self.looks.try_send(look) {
            Ok(()) => match answered.await {
                Ok(found) => found.map_err(|error| EngineError::Store(Arc::new(error))),
                Err(_) => Err(EngineError::Busy),
            },
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(EngineError::Busy),
        }
    }

    /// Whether the last batch was written.
    pub fn is_sound(&self) -> bool {
        self.is_sound.load(Ordering::Relaxed)
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    let started: io::Result<_> = thread::Builder::new().name(name.to_owned()).spawn(work);
    started.map_err(|error| StoreError::Failed(format!("no thread: {error}")))
}

fn write<S: Store>(
    mut store: S,
    jobs: &Receiver<Job>,
    parcels: &mpsc::UnboundedSender<Parcel>,
    metrics: &Metrics,
    is_sound: &AtomicBool,
) {
    while let Ok(first) = jobs.recv() {
        let mut callers = Vec::new();
        let mut batch = Vec::new();
        let mut take = |job: Job, batch: &mut Vec<Command>| {
            callers.push((job.commands.len(), job.answer));
            batch.extend(job.commands);
        };
        take(first, &mut batch);
        while batch.len() < MAX_BATCH {
            match jobs.try_recv() {
                Ok(job) => take(job, &mut batch),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        let done = store.apply(Stamp::now(), &batch);
        is_sound.store(done.is_ok(), Ordering::Relaxed);
        metrics.batch(batch.len(), done.is_ok());
        // Nobody takes it any more when the event loop has been dropped: the callers went with it.
        let _ = parcels.send(parcel(done, batch.len(), callers));
    }
}

/// What is told of a batch.
fn parcel(
    done: Result<Vec<Result<Done, Refusal>>, StoreError>,
    commands: usize,
    callers: Vec<(usize, oneshot::Sender<Answers>)>,
) -> Parcel {
    match done {
        Ok(done) => {
            let mut done = done.into_iter();
            let answer = |(count, caller)| (caller, Ok(done.by_ref().take(count).collect()));
            callers.into_iter().map(answer).collect()
        }
        Err(error) => {
            tracing::error!(target: "mesh_mailbox::gateway", %error, commands, "a batch was not written");
            let error = Arc::new(error);
            let answer = |(_, caller)| (caller, Err(EngineError::Store(Arc::clone(&error))));
            callers.into_iter().map(answer).collect()
        }
    }
}
