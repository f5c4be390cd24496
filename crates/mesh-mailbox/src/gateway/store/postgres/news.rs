//! Hearing what other gateways do: notifications where there are any, and a look at the counters in any case.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};
use tokio_postgres::Notification;

use super::bell::{CHANNEL, Ring};
use super::error::Failure;
use super::link::{Link, Runner, silent};
use super::place::PostgresPlace;
use super::session::{Purpose, Session};
use super::step::Step;
use super::text::{Text, plain};
use crate::gateway::store::{News, StoreError, Tidings};

/// Inboxes whose counters are remembered beyond those that somebody waits for.
const REMEMBERED: usize = 10_000;

/// A connection that listens.
pub struct PostgresNews {
    link: Link,
    counters: Counters,
    /// What the own gateway calls itself: its own rings are no news.
    own: Option<String>,
    looked: Option<Instant>,
    // After the link: a connection ends within its runtime.
    runner: Runner,
}

impl std::fmt::Debug for PostgresNews {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PostgresNews({})", self.link.place.shown())
    }
}

/// The counters as they were seen last.
#[derive(Debug, Default)]
struct Counters {
    inboxes: HashMap<String, i64>,
    directory: Option<i64>,
}

impl PostgresNews {
    /// # Errors
    /// The system refuses what it needs.
    pub(super) fn new(place: Arc<PostgresPlace>, own: Option<String>) -> Result<PostgresNews, StoreError> {
        let link = Link::new(place, Purpose::Looks);
        Ok(PostgresNews { link, counters: Counters::default(), own, looked: None, runner: Runner::new()? })
    }
}

impl News for PostgresNews {
    fn next(&mut self, waiting: &[String], patience: Duration) -> Result<Tidings, StoreError> {
        let PostgresNews { link, counters, own, looked, runner } = self;
        runner.run(async {
            if !link.is_open() {
                *looked = None;
                let limit = link.place.limit;
                let opened = timeout(limit, listen(link)).await;
                opened.unwrap_or_else(|_| Err(silent(link.place.shown(), limit)))?;
            }
            let limit = link.place.limit;
            let session = link.session().await?;
            let heard = async {
                // What was told while nobody listened is found by a look.
                let due = looked.map_or_else(Instant::now, |at| at + patience);
                let mut tidings = Tidings::default();
                let is_told = hear(session, own.as_deref(), due, &mut tidings).await?;
                if !is_told {
                    let looking = timeout(limit, counters.look(session, waiting, &mut tidings));
                    looking.await.unwrap_or_else(|_| Err(silent(&session.shown, limit).into()))?;
                    *looked = Some(Instant::now());
                }
                Ok(tidings)
            };
            let told = heard.await.map_err(|failure: Failure| failure.into_error(&session.shown));
            if told.is_err() {
                link.close().await;
            }
            told
        })
    }
}

async fn listen(link: &mut Link) -> Result<(), StoreError> {
    let is_notifying = link.place.is_notifying;
    let session = link.session().await?;
    if is_notifying && let Err(error) = session.script(&format!("LISTEN {CHANNEL}")).await {
        let told = session.explain(&error);
        link.close().await;
        return Err(told);
    }
    Ok(())
}

/// Waits for notifications until then; whether they told all there is to know. When nothing came, or something that says no
/// names, a look is due.
async fn hear(
    session: &mut Session,
    own: Option<&str>,
    due: Instant,
    tidings: &mut Tidings,
) -> Result<bool, Failure> {
    while let Ok(heard) = timeout_at(due, session.notified()).await {
        let mut next = Some(heard.ok_or_else(|| StoreError::Unreachable {
            place: session.shown.clone(),
            cause: "the connection ended".to_owned(),
        })?);
        let mut is_named = true;
        while let Some(notification) = next {
            is_named &= take(&notification, own, tidings);
            next = session.notified_already();
        }
        if !is_named {
            return Ok(false);
        }
        if *tidings != Tidings::default() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Takes over what a notification says; false when it says that there is more than it names.
fn take(notification: &Notification, own: Option<&str>, tidings: &mut Tidings) -> bool {
    let ring = Ring::decode(notification.payload());
    if own == Some(ring.from.as_str()) {
        return true;
    }
    tidings.is_directory_changed |= ring.is_directory_changed;
    let is_named = ring.inboxes.is_some();
    for inbox in ring.inboxes.into_iter().flatten() {
        if !tidings.inboxes.contains(&inbox) {
            tidings.inboxes.push(inbox);
        }
    }
    is_named
}

impl Counters {
    async fn look(
        &mut self,
        session: &mut Session,
        waiting: &[String],
        tidings: &mut Tidings,
    ) -> Result<(), Failure> {
        let names: Vec<Text<'_>> = waiting.iter().map(|name| Text::new(name)).collect();
        let steps = vec![
            Step::new("SELECT value FROM mesh_counters WHERE name = 'directory'"),
            Step::new("SELECT name, version FROM mesh_inboxes WHERE name = ANY($1::text[])").with(names),
        ];
        let mut rows = session.together(steps).await?.into_iter();
        let directory = rows.next().unwrap_or_default().first().map(|row| row.try_get(0)).transpose()?;
        tidings.is_directory_changed |= self.directory != directory;
        self.directory = directory;
        let mut now = HashMap::new();
        for row in rows.next().unwrap_or_default() {
            now.insert(plain(row.try_get(0)?).into_owned(), row.try_get(1)?);
        }
        self.compare(waiting, &now, tidings);
        Ok(())
    }

    /// What is looked at for the first time may have been changed since its waiter looked: it counts as changed.
    fn compare(&mut self, waiting: &[String], now: &HashMap<String, i64>, tidings: &mut Tidings) {
        if self.inboxes.len() > REMEMBERED + waiting.len() {
            self.inboxes.retain(|name, _| now.contains_key(name));
        }
        for name in waiting {
            let version = now.get(name).copied().unwrap_or_default();
            let before = self.inboxes.insert(name.clone(), version).unwrap_or_default();
            if before != version && !tidings.inboxes.contains(name) {
                tidings.inboxes.push(name.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_moved_is_news() {
        let mut counters = Counters::default();
        let mut look = |waiting: &[&str], now: &[(&str, i64)]| {
            let mut tidings = Tidings::default();
            let waiting: Vec<String> = waiting.iter().map(|name| (*name).to_owned()).collect();
            let now = now.iter().map(|(name, version)| ((*name).to_owned(), *version)).collect();
            counters.compare(&waiting, &now, &mut tidings);
            tidings.inboxes
        };
        assert_eq!(look(&["bob", "carol"], &[("bob", 3)]), ["bob"]);
        assert!(look(&["bob", "carol"], &[("bob", 3)]).is_empty());
        assert_eq!(look(&["bob", "carol"], &[("bob", 4), ("carol", 1)]), ["bob", "carol"]);
        assert!(look(&[], &[]).is_empty());
        assert_eq!(look(&["bob"], &[("bob", 9)]), ["bob"]);
    }
}
