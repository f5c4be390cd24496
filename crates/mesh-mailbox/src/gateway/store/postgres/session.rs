//! One connection: how it is set up, what is prepared on it, and how statements are sent ahead of their answers.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client, Connection, Error, Notification, Row, Statement};

use super::error::explain;
use super::place::{Endpoint, PostgresPlace};
use super::step::Step;
use crate::gateway::store::StoreError;

/// Statements that a connection keeps prepared; beyond it all are forgotten.
const STATEMENTS: usize = 128;

/// Every statement has an index to go by. A plan that was made while the tables were small would read all of them, and be kept
/// while they grow, until the server next counts them: measured at 2.4 ms instead of 1.0 for a batch of 32.
const BY_INDEX: &str =
    "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off";

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Mail: what is committed is on the disk, and on a synchronous standby where there is one.
    Mail,
    /// Only looks.
    Looks,
    /// Only notifications, which are hints: they wait for no disk.
    Hints,
}

/// An open connection.
pub(super) struct Session {
    client: Client,
    driver: JoinHandle<()>,
    warnings: Arc<AtomicU64>,
    notifications: UnboundedReceiver<Notification>,
    statements: HashMap<String, Statement>,
    /// Its address, without the password.
    pub(super) shown: String,
    /// The commit was sent, and not answered.
    pub(super) is_committing: bool,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Session {
    /// Connects to a host and makes sure that it keeps what it acknowledges.
    ///
    /// # Errors
    /// It cannot be reached, does not let us in, or cannot be written to.
    pub(super) async fn open(
        place: &PostgresPlace,
        host: &Endpoint,
        purpose: Purpose,
    ) -> Result<Session, StoreError> {
        let failed = |error: Error| explain(&error, &host.shown);
        let (client, connection) = host.config.connect(place.tls.clone()).await.map_err(failed)?;
        let warnings = Arc::new(AtomicU64::new(0));
        let (tell, notifications) = unbounded_channel();
        let driver = tokio::spawn(drive(connection, Arc::clone(&warnings), tell));
        let mut session = Session {
            client,
            driver,
            warnings,
            notifications,
            statements: HashMap::new(),
            shown: host.shown.clone(),
            is_committing: false,
        };
        session.set_up(place.limit, purpose).await?;
        Ok(session)
    }

    async fn set_up(&mut self, limit: Duration, purpose: Purpose) -> Result<(), StoreError> {
        // Who waits for a lock in vain is told so before the time of the batch is over.
        let (millis, patience) = (limit.as_millis(), limit.as_millis() * 3 / 4);
        // A commit that waits for its standby and is cut off by a limit would count as done, and be on one disk only: where mail
        // is stored, no statement has a limit, but locks and pauses have.
        let whole = if purpose == Purpose::Mail { 0 } else { millis };
        // A gateway that is cut off in the middle of a batch must not hold its locks for longer than the others wait.
        // Warnings are asked for: one of them says that a commit did not reach the standby.
        let settings = format!(
            "SET client_min_messages = warning; SET statement_timeout = {whole}; SET lock_timeout = {patience}; \
             SET idle_in_transaction_session_timeout = {millis}"
        );
        self.client.batch_execute(&settings).await.map_err(|error| self.explain(&error))?;
        // A database that has no such settings has a planner of its own.
        let _ = self.client.batch_execute(BY_INDEX).await;
        let wanted: &[&str] = match purpose {
            Purpose::Mail => &["on", "remote_apply"],
            Purpose::Looks => return self.refuse_standby().await,
            Purpose::Hints => &["off"],
        };
        let is_kept = |found: &str| wanted.contains(&found);
        if !is_kept(&self.setting("synchronous_commit").await?) {
            let set = format!("SET synchronous_commit = {}", wanted[0]);
            self.client.batch_execute(&set).await.map_err(|error| self.explain(&error))?;
        }
        let found = self.setting("synchronous_commit").await?;
        if !is_kept(&found) && purpose == Purpose::Mail {
            return Err(StoreError::Refused {
                place: self.shown.clone(),
                cause: format!("synchronous_commit stays `{found}`, so what it acknowledges can be lost"),
                hint: "connect to the server itself, not through a pooler that changes settings",
            });
        }
        self.refuse_standby().await
    }

    async fn refuse_standby(&self) -> Result<(), StoreError> {
        match self.setting("transaction_read_only").await?.as_str() {
            "on" => Err(StoreError::ReadOnly { place: self.shown.clone() }),
            _ => Ok(()),
        }
    }

    /// The value of a setting, as this session has it.
    async fn setting(&self, name: &str) -> Result<String, StoreError> {
        let rows = self.client.simple_query(&format!("SHOW {name}")).await;
        let rows = rows.map_err(|error| self.explain(&error))?;
        let found = rows.iter().find_map(|row| match row {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        Ok(found.unwrap_or_default())
    }

    pub(super) fn explain(&self, error: &Error) -> StoreError {
        explain(error, &self.shown)
    }

    /// Ends the connection now, not when the runtime is next at work: the server keeps a lost session's locks.
    pub(super) async fn end(mut self) {
        self.driver.abort();
        // That it was ended is what it says.
        let _ = (&mut self.driver).await;
    }

    /// Whether the connection has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// How many warnings the server has sent.
    pub(super) fn warnings(&self) -> u64 {
        self.warnings.load(Ordering::Relaxed)
    }

    /// Statements without values, each awaited.
    pub(super) async fn script(&self, sql: &str) -> Result<(), Error> {
        self.client.batch_execute(sql).await
    }

    /// The next notification.
    pub(super) async fn notified(&mut self) -> Option<Notification> {
        self.notifications.recv().await
    }

    /// A notification that is there already.
    pub(super) fn notified_already(&mut self) -> Option<Notification> {
        self.notifications.try_recv().ok()
    }

    async fn prepared(&mut self, sql: &str) -> Result<Statement, Error> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        if self.statements.len() >= STATEMENTS {
            self.statements.clear();
        }
        let statement = self.client.prepare(sql).await?;
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    /// Runs one statement.
    pub(super) async fn rows(&mut self, step: Step<'_>) -> Result<Vec<Row>, Error> {
        Ok(self.together(vec![step]).await?.pop().unwrap_or_default())
    }

    /// Sends statements one behind the other without waiting for answers in between; returns each one's rows.
    ///
    /// # Errors
    /// The first that failed; the server did none of those after it if they are of one transaction.
    pub(super) async fn together(&mut self, steps: Vec<Step<'_>>) -> Result<Vec<Vec<Row>>, Error> {
        let mut ready = Vec::with_capacity(steps.len());
        for step in steps {
            ready.push((self.prepared(&step.sql).await?, step.values));
        }
        let client = &self.client;
        let mut running: Vec<Running<'_>> = ready
            .into_iter()
            .map(|(statement, values)| {
                let run = async move {
                    client.query_raw(&statement, values).await?.try_collect::<Vec<Row>>().await
                };
                Running::Waits(Box::pin(run))
            })
            .collect();
        // Each is sent when it is first polled: in order.
        poll_fn(|cx| {
            let mut is_done = true;
            for one in &mut running {
                if let Running::Waits(run) = one {
                    match run.as_mut().poll(cx) {
                        Poll::Ready(rows) => *one = Running::Done(rows),
                        Poll::Pending => is_done = false,
                    }
                }
            }
            if is_done { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        running
            .into_iter()
            .map(|one| match one {
                Running::Done(rows) => rows,
                Running::Waits(_) => Ok(Vec::new()),
            })
            .collect()
    }
}

type Run<'r> = Pin<Box<dyn Future<Output = Result<Vec<Row>, Error>> + Send + 'r>>;

enum Running<'r> {
    Waits(Run<'r>),
    Done(Result<Vec<Row>, Error>),
}

/// Carries bytes, counts warnings and hands on notifications until the connection ends.
async fn drive<S, T>(
    mut connection: Connection<S, T>,
    warnings: Arc<AtomicU64>,
    tell: UnboundedSender<Notification>,
) where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    loop {
        match poll_fn(|cx| connection.poll_message(cx)).await {
            Some(Ok(AsyncMessage::Notice(notice))) => {
                warnings.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(target: "mesh_mailbox::gateway", message = notice.message(), "the database warns");
            }
            Some(Ok(AsyncMessage::Notification(notification))) => {
                // Nobody listening any more is the end of the session, too.
                let _ = tell.send(notification);
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return,
        }
    }
}
