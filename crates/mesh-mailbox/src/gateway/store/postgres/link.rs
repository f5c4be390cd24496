//! A connection that comes back: who owns it calls from an ordinary thread, and waits no longer than the limit.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::{Instant, timeout, timeout_at};

use super::error::Failure;
use super::place::PostgresPlace;
use super::schema;
use super::session::{Purpose, Session};
use super::step::Step;
use crate::gateway::store::StoreError;

/// Runs futures for callers that are no tasks.
pub(super) struct Runner(Option<Runtime>);

impl Runner {
    /// # Errors
    /// The system refuses what a runtime needs.
    pub(super) fn new() -> Result<Runner, StoreError> {
        let built = Builder::new_current_thread().enable_all().build();
        built
            .map(|runtime| Runner(Some(runtime)))
            .map_err(|error| StoreError::Failed(format!("no runtime: {error}")))
    }

    /// Runs a future to its end. Connections move on only meanwhile.
    pub(super) fn run<F>(&self, future: F) -> F::Output
    where
        F: Future + Send,
        F::Output: Send,
    {
        let runtime = self.0.as_ref().expect("taken only by drop");
        if Handle::try_current().is_err() {
            return runtime.block_on(future);
        }
        // One runtime cannot wait within another: a caller that is a task gets a thread for this.
        let waited = std::thread::scope(|scope| scope.spawn(|| runtime.block_on(future)).join());
        waited.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // Waits for nothing: it may be a task that drops this.
            runtime.shutdown_background();
        }
    }
}

/// The way to a database, open or not.
pub(super) struct Link {
    pub(super) place: Arc<PostgresPlace>,
    pub(super) purpose: Purpose,
    session: Option<Session>,
    /// The host that let us in last.
    last: usize,
}

impl Link {
    pub(super) fn new(place: Arc<PostgresPlace>, purpose: Purpose) -> Link {
        Link { place, purpose, session: None, last: 0 }
    }

    /// Whether a connection is open, as far as is known.
    pub(super) fn is_open(&self) -> bool {
        self.session.as_ref().is_some_and(|session| !session.is_closed())
    }

    /// Forgets the connection; the next use makes a new one.
    pub(super) async fn close(&mut self) {
        if let Some(session) = self.session.take() {
            session.end().await;
        }
    }

    /// The connection; a new one if there is none. The tables have been looked at.
    ///
    /// # Errors
    /// No host lets us in.
    pub(super) async fn session(&mut self) -> Result<&mut Session, StoreError> {
        if !self.is_open() {
            self.close().await;
            let mut session = self.connect().await?;
            if self.purpose != Purpose::Hints {
                let checked = schema::check(&mut session).await;
                checked.map_err(|failure| failure.into_error(&session.shown))?;
            }
            self.session = Some(session);
        }
        self.session.as_mut().ok_or_else(|| StoreError::Failed("no connection".to_owned()))
    }

    /// A new connection to the first host that can be written to, beginning with the one that was it last.
    pub(super) async fn connect(&mut self) -> Result<Session, StoreError> {
        let hosts = self.place.hosts.len();
        let mut failures = Vec::new();
        for at in (0..hosts).map(|step| (self.last + step) % hosts) {
            let host = &self.place.hosts[at];
            let opened =
                timeout(self.place.connect_time(), Session::open(&self.place, host, self.purpose)).await;
            match opened.unwrap_or_else(|_| Err(silent(&host.shown, self.place.connect_time()))) {
                Ok(session) => {
                    self.last = at;
                    return Ok(session);
                }
                Err(error) => failures.push(error),
            }
        }
        Err(one_of(failures, self.place.shown()))
    }

    /// Runs one statement that changes nothing; once more on a new connection if the old one was lost.
    ///
    /// # Errors
    /// The database cannot be reached, or does not answer in time.
    pub(super) async fn look(
        &mut self,
        step: impl Fn() -> Step<'static> + Sync,
    ) -> Result<Vec<tokio_postgres::Row>, StoreError> {
        let limit = self.place.limit;
        let looked = timeout(limit, async {
            let mut is_fresh = !self.is_open();
            loop {
                let session = self.session().await?;
                match session.rows(step()).await {
                    Ok(rows) => return Ok(rows),
                    Err(error) => {
                        let failure = Failure::Database(error);
                        let is_lost = failure.is_lost();
                        let told = failure.into_error(&session.shown);
                        if is_lost {
                            self.close().await;
                        }
                        if !is_lost || is_fresh {
                            return Err(told);
                        }
                        is_fresh = true;
                    }
                }
            }
        });
        match looked.await {
            Ok(looked) => looked,
            Err(_) => {
                self.close().await;
                Err(silent(self.place.shown(), limit))
            }
        }
    }

    /// The open connection, if there is one.
    pub(super) fn open_session(&mut self) -> Option<&mut Session> {
        self.session.as_mut()
    }

    /// Puts a connection in its place.
    pub(super) fn put(&mut self, session: Session) {
        self.session = Some(session);
    }

    /// Waits for a future, but not beyond a moment; what did not end by then has lost the connection.
    pub(super) async fn until<T>(deadline: Instant, future: impl Future<Output = T>) -> Option<T> {
        timeout_at(deadline, future).await.ok()
    }
}

/// A host that does not answer.
pub(super) fn silent(place: &str, limit: Duration) -> StoreError {
    StoreError::Unreachable { place: place.to_owned(), cause: format!("no answer within {limit:?}") }
}

/// One error for all hosts: what a host said itself tells more than silence.
fn one_of(mut failures: Vec<StoreError>, place: &str) -> StoreError {
    let says =
        |error: &StoreError| !matches!(error, StoreError::Unreachable { .. } | StoreError::ReadOnly { .. });
    if let Some(at) = failures.iter().position(says) {
        return failures.swap_remove(at);
    }
    match failures.len() {
        1 => failures.swap_remove(0),
        _ => {
            let causes: Vec<String> = failures
                .into_iter()
                .map(|error| match error {
                    StoreError::Unreachable { place, cause } => format!("{place}: {cause}"),
                    other => other.to_string(),
                })
                .collect();
            StoreError::Unreachable { place: place.to_owned(), cause: causes.join("; ") }
        }
    }
}
