//! The threads around a store: one that writes, a few that read. Both have queues with a bound; what finds them full is turned away.
//!
//! The writer takes whatever waits into one batch. While a batch is being synced the next one gathers, so a busy gateway syncs
//! once for many messages and an idle one at once for each; where a sync is slow, it waits a little for those who were just
//! answered. What a batch came to goes back to the event loop as one parcel: a wake-up across threads is a system call, and one
//! for each message was a tenth of the writer's time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
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
    let mut pace = Pace::default();
    loop {
        let mut batch = Batch::default();
        batch.take_waiting(jobs);
        let came_meanwhile = batch.callers.len();
        let ended = Instant::now();
        if came_meanwhile == 0 {
            let Ok(first) = jobs.recv() else { return };
            batch.take(first);
            batch.take_waiting(jobs);
        }
        if let Some((callers, patience)) = pace.gather(came_meanwhile, ended.elapsed()) {
            batch.take_until(jobs, callers, Instant::now() + patience);
        }
        let began = Instant::now();
        let done = store.apply(Stamp::now(), &batch.commands);
        pace = Pace { callers: batch.callers.len(), took: began.elapsed() };
        is_sound.store(done.is_ok(), Ordering::Relaxed);
        metrics.batch(batch.commands.len(), done.is_ok());
        // Nobody takes it any more when the event loop has been dropped: the callers went with it.
        let _ = parcels.send(parcel(done, batch.commands.len(), batch.callers));
    }
}

/// What one transaction is to do, and who waits for it.
#[derive(Default)]
struct Batch {
    commands: Vec<Command>,
    callers: Vec<(usize, oneshot::Sender<Answers>)>,
}

impl Batch {
    fn take(&mut self, job: Job) {
        self.callers.push((job.commands.len(), job.answer));
        self.commands.extend(job.commands);
    }

    /// Takes what waits now.
    fn take_waiting(&mut self, jobs: &Receiver<Job>) {
        while self.commands.len() < MAX_BATCH
            && let Ok(job) = jobs.try_recv()
        {
            self.take(job);
        }
    }

    /// Takes what comes until so many callers wait, or until this moment.
    fn take_until(&mut self, jobs: &Receiver<Job>, callers: usize, end: Instant) {
        while self.callers.len() < callers && self.commands.len() < MAX_BATCH {
            match jobs.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(job) => self.take(job),
                Err(_) => return,
            }
        }
    }
}

/// How the last batch went.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    callers: usize,
    took: Duration,
}

impl Pace {
    /// A batch that is written faster than this is not worth waiting for: to wait and be woken takes a good part of it.
    const SLOW: Duration = Duration::from_micros(500);
    /// The share of the last batch's time that the next may wait for company.
    const SHARE: u32 = 4;
    /// The longest wait, on the slowest disk.
    const LONGEST: Duration = Duration::from_millis(5);

    /// For how many callers the next batch waits, and how long, when so many came while the last was written and the writer has
    /// had nothing to do for a while since.
    ///
    /// Those who were just answered often ask again at once, and whoever came meanwhile waits already. Without a short wait they
    /// form two groups that are synced by turns: half as many messages for each sync, and each waits for two of them.
    fn gather(self, came_meanwhile: usize, idle: Duration) -> Option<(usize, Duration)> {
        let is_worth_it = self.took >= Pace::SLOW && idle < self.took;
        is_worth_it.then(|| (came_meanwhile + self.callers, (self.took / Pace::SHARE).min(Pace::LONGEST)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_disk_is_worth_waiting_for_company() {
        let (us, ms) = (Duration::from_micros, Duration::from_millis);
        for (callers, took, came_meanwhile, idle, want) in [
            // Two groups by turns become one, and one stays one.
            (16, ms(4), 16, us(1), Some((32, ms(1)))),
            (32, ms(4), 0, us(200), Some((32, ms(1)))),
            // One caller alone never waits: he is all that is waited for.
            (1, ms(4), 0, us(200), Some((1, ms(1)))),
            // A fast disk, a pause, the very first batch, a very slow disk.
            (16, us(200), 16, us(1), None),
            (32, ms(4), 0, ms(5), None),
            (0, ms(0), 0, us(1), None),
            (16, ms(80), 16, us(1), Some((32, ms(5)))),
        ] {
            assert_eq!(Pace { callers, took }.gather(came_meanwhile, idle), want, "{callers} {took:?}");
        }
    }

    #[test]
    fn a_batch_takes_what_comes_in_time_and_no_more_than_it_may() {
        let (jobs, waiting) = sync_channel(2 * MAX_BATCH);
        let ask = || {
            let (answer, answered) = oneshot::channel();
            jobs.send(Job { commands: vec![Command::Seen(Vec::new())], answer }).unwrap();
            answered
        };
        let callers: Vec<_> = (0..MAX_BATCH + 3).map(|_| ask()).collect();
        let mut batch = Batch::default();
        batch.take_until(&waiting, 5, Instant::now() + Duration::from_secs(60));
        assert_eq!(batch.callers.len(), 5);
        batch.take_until(&waiting, 3, Instant::now() + Duration::from_secs(60));
        assert_eq!(batch.callers.len(), 5, "they are all there already");
        batch.take_waiting(&waiting);
        assert_eq!(batch.callers.len(), MAX_BATCH);
        let mut next = Batch::default();
        next.take_until(&waiting, 100, Instant::now());
        assert!(next.callers.len() <= 3);
        next.take_waiting(&waiting);
        assert_eq!(next.callers.len(), 3);
        drop(callers);
    }
}
