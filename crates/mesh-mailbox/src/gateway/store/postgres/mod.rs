//! One PostgreSQL that several gateways share: rows are locked where gateways meet, and every moment is the database's.
//!
//! - `place`: where a database is, and `tls`
//! - `link`, `session` and `step`: connections, which come back by themselves, and statements sent ahead of their answers
//! - `schema`: the tables, and what is refused
//! - `first` and `batch`: a transaction from its locks to its commit; `write`, `delivery`, `book`, `sweep`: its commands
//! - `read`: looks
//! - `bell` and `news`: how gateways hear of each other
//! - `check`: looking through all of it; `load`: filling an empty one with what another store has
//! - `text`: what PostgreSQL cannot hold
//! - `error`: what happened, and what to do
//!
//! What is relied on, beside the SQL standard: `ON CONFLICT`, `RETURNING`, `unnest` of several arrays, indexes over a part of
//! the rows, `FOR UPDATE SKIP LOCKED`, one sequence. Locks by number and `NOTIFY` are used where there are any, and can be done
//! without.
mod batch;
mod bell;
mod book;
mod check;
mod delivery;
mod error;
mod first;
mod link;
mod load;
mod news;
mod place;
mod read;
mod schema;
mod session;
mod step;
mod sweep;
mod text;
mod tls;
mod write;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::{Command, Done, News, Refusal, Store, StoreError};
use crate::gateway::stamp::Stamp;
use batch::{Outcome, Tally};
use bell::Bell;
use link::{Link, Runner, silent};
use session::Purpose;

pub use check::check;
pub(in crate::gateway) use load::{Cells, Column, Load};
pub use news::PostgresNews;
pub use place::PostgresPlace;
pub use read::PostgresReader;

/// How often a batch is tried in all when other gateways are in its way.
const TRIES: u32 = 6;
/// Longest pause before the second try, in milliseconds; it doubles with each.
const PAUSE: u64 = 4;

/// The writing end of a database.
pub struct Postgres {
    place: Arc<PostgresPlace>,
    tally: Tally,
    bell: Option<Bell>,
    link: Link,
    // After the link: a connection ends within its runtime.
    runner: Runner,
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Postgres({})", self.place.shown())
    }
}

impl Postgres {
    /// Opens a database; makes its tables when it is empty, and brings older ones to this version.
    ///
    /// # Errors
    /// It cannot be reached, does not let us in, is another's or of a newer version, or cannot be written to.
    pub fn open(place: PostgresPlace) -> Result<Postgres, StoreError> {
        let place = Arc::new(place);
        let runner = Runner::new()?;
        let mut link = Link::new(Arc::clone(&place), Purpose::Mail);
        // Tables may take longer than a batch.
        let limit = place.limit * 4;
        runner.run(async {
            let opened = timeout(limit, async {
                let mut session = link.connect().await?;
                let prepared = schema::prepare(&mut session).await;
                prepared.map_err(|failure| failure.into_error(&session.shown))?;
                link.put(session);
                Ok(())
            });
            opened.await.unwrap_or_else(|_| Err(silent(place.shown(), limit)))
        })?;
        let bell = place.is_notifying.then(|| Bell::new(Arc::clone(&place))).transpose()?;
        Ok(Postgres { place, tally: Tally::default(), bell, link, runner })
    }

    /// Where it is.
    pub fn place(&self) -> &PostgresPlace {
        &self.place
    }
}

impl Store for Postgres {
    type Reader = PostgresReader;

    fn apply(&mut self, now: Stamp, batch: &[Command]) -> Result<Vec<Result<Done, Refusal>>, StoreError> {
        let Postgres { link, tally, runner, .. } = self;
        let outcome = runner.run(apply(link, tally, now, batch))?;
        if let Some(bell) = &self.bell {
            let inboxes = outcome.answers.iter().flatten().flat_map(Done::new_mail);
            bell.ring(inboxes, outcome.is_directory_changed);
        }
        Ok(outcome.answers)
    }

    fn reader(&self) -> Result<PostgresReader, StoreError> {
        PostgresReader::new(Arc::clone(&self.place))
    }

    fn news(&self) -> Result<Option<Box<dyn News>>, StoreError> {
        let own = self.bell.as_ref().map(Bell::name).map(str::to_owned);
        Ok(Some(Box::new(PostgresNews::new(Arc::clone(&self.place), own)?)))
    }
}

/// Applies a batch within the limit: again when other gateways were in its way, on a new connection when the old one was lost
/// before the commit was sent. What was lost after that is not repeated: it may be stored.
async fn apply(
    link: &mut Link,
    tally: &mut Tally,
    now: Stamp,
    commands: &[Command],
) -> Result<Outcome, StoreError> {
    let limit = link.place.limit + time_for(commands);
    let tried = Link::until(Instant::now() + limit, try_to_apply(link, tally, now, commands)).await;
    match tried {
        Some(Ok(outcome)) => Ok(outcome),
        Some(Err(error)) => {
            tally.forget();
            Err(error)
        }
        None => {
            tally.forget();
            let told = match link.open_session() {
                Some(session) if session.is_committing => StoreError::Unknown {
                    place: session.shown.clone(),
                    cause: format!("no answer within {limit:?}"),
                },
                _ => silent(link.place.shown(), limit),
            };
            link.close().await;
            Err(told)
        }
    }
}

/// What the size of a batch adds to its time: a slow disk still takes 8 MiB in a second.
fn time_for(commands: &[Command]) -> Duration {
    let size = |command: &Command| match command {
        Command::Append(message) => message.content_json.len() * message.to_nodes.len(),
        Command::Import(imported) => imported.message.content_json.len(),
        _ => 0,
    };
    let bytes: usize = commands.iter().map(size).sum();
    Duration::from_millis(u64::try_from(bytes >> 13).unwrap_or(u64::MAX))
}

async fn try_to_apply(
    link: &mut Link,
    tally: &mut Tally,
    now: Stamp,
    commands: &[Command],
) -> Result<Outcome, StoreError> {
    let clock = link.place.clock;
    let mut is_fresh = !link.is_open();
    let mut tries = 1;
    loop {
        let session = link.session().await?;
        let failure = match batch::run(session, tally, (clock, now), commands).await {
            Ok(outcome) => return Ok(outcome),
            Err(failure) => failure,
        };
        tally.forget();
        let (is_lost, is_conflict) = (failure.is_lost() || session.is_closed(), failure.is_conflict());
        let was_committing = session.is_committing;
        let place = session.shown.clone();
        let told = failure.into_error(&place);
        if is_lost || was_committing && !is_conflict {
            link.close().await;
        }
        if is_lost && was_committing {
            return Err(StoreError::Unknown { place, cause: told.to_string() });
        }
        if is_lost && !is_fresh {
            is_fresh = true;
            continue;
        }
        if is_lost {
            return Err(told);
        }
        if let Some(session) = link.open_session() {
            session.is_committing = false;
            if session.script("ROLLBACK").await.is_err() {
                link.close().await;
            }
        }
        if !is_conflict || tries >= TRIES {
            return Err(told);
        }
        sleep(Duration::from_millis(fastrand::u64(0..=PAUSE << tries))).await;
        tries += 1;
    }
}
