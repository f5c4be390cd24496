//! The tables, their versions, and the state in which a database has to be to be served.
//!
//! Plain SQL: tables, indexes over a part of the rows, one sequence. No extension, no function of ours, no trigger.

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use super::error::Failure;
use super::session::Session;
use super::step::Step;
use crate::gateway::store::StoreError;

/// Steps from one version to the next, the first from nothing. What has been released is never changed, only added to.
const MIGRATIONS: [&str; 1] = [FIRST];

/// Two gateways that start at once on an empty database: the second finds that the first was quicker, and looks again.
const TRIES: usize = 5;

/// The number of the lock under which tables are changed, where the database has such locks: the letters `meshapi`.
const LOCK: i64 = 0x6d_6573_6861_7069;

/// Texts are compared by their bytes, as SQLite does. Inboxes have room beside them: each batch writes some of them anew.
const FIRST: &str = r#"
CREATE TABLE mesh_schema (name text PRIMARY KEY, version bigint NOT NULL);
CREATE SEQUENCE mesh_ids;
CREATE TABLE mesh_inboxes (
    name text COLLATE "C" PRIMARY KEY,
    last_seq bigint NOT NULL DEFAULT 0,
    last_stamp bigint NOT NULL DEFAULT 0,
    version bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
CREATE TABLE mesh_messages (
    id bigint PRIMARY KEY,
    seq bigint NOT NULL,
    leased_until bigint,
    available_at bigint NOT NULL DEFAULT 0,
    dead_at bigint,
    expires_at bigint,
    priority bigint NOT NULL DEFAULT 0,
    attempts bigint NOT NULL DEFAULT 0,
    verified bigint NOT NULL,
    inbox text COLLATE "C" NOT NULL,
    sender text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    thread text COLLATE "C",
    created_at text COLLATE "C" NOT NULL,
    read_at text COLLATE "C",
    lease text COLLATE "C",
    outcome text COLLATE "C",
    note text COLLATE "C",
    head text COLLATE "C" NOT NULL
);
CREATE UNIQUE INDEX mesh_messages_inbox ON mesh_messages (inbox, seq);
CREATE INDEX mesh_messages_unread ON mesh_messages (inbox, seq) WHERE read_at IS NULL AND dead_at IS NULL;
CREATE INDEX mesh_messages_urgent ON mesh_messages (inbox, priority DESC, seq)
    WHERE priority > 0 AND read_at IS NULL AND dead_at IS NULL;
CREATE INDEX mesh_messages_leased ON mesh_messages (leased_until)
    WHERE leased_until IS NOT NULL AND read_at IS NULL AND dead_at IS NULL;
CREATE INDEX mesh_messages_dead ON mesh_messages (inbox, id) WHERE dead_at IS NOT NULL;
CREATE INDEX mesh_messages_expiring ON mesh_messages (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX mesh_messages_thread ON mesh_messages (thread, id) WHERE thread IS NOT NULL;
CREATE TABLE mesh_keys (
    sender text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    digest bytea NOT NULL,
    answer text COLLATE "C" NOT NULL,
    created_at bigint NOT NULL,
    PRIMARY KEY (sender, key)
);
CREATE INDEX mesh_keys_age ON mesh_keys (created_at);
CREATE TABLE mesh_peers (
    name text COLLATE "C" PRIMARY KEY,
    url text COLLATE "C" NOT NULL,
    capabilities text COLLATE "C" NOT NULL,
    registered_at text COLLATE "C" NOT NULL,
    last_seen text COLLATE "C",
    enabled boolean NOT NULL,
    token bytea,
    online_until bigint
);
CREATE TABLE mesh_invites (token bytea PRIMARY KEY, name text COLLATE "C", expires_at bigint NOT NULL);
CREATE TABLE mesh_threads (
    uuid text COLLATE "C" PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE,
    session_id text COLLATE "C",
    created_at text COLLATE "C" NOT NULL,
    last_used_at text COLLATE "C" NOT NULL
);
CREATE TABLE mesh_groups (
    name text COLLATE "C" PRIMARY KEY,
    description text COLLATE "C" NOT NULL,
    created_by text COLLATE "C" NOT NULL,
    created_at text COLLATE "C" NOT NULL,
    members text COLLATE "C" NOT NULL
);
CREATE TABLE mesh_counters (name text PRIMARY KEY, value bigint NOT NULL);
INSERT INTO mesh_counters (name, value) VALUES ('directory', 0), ('dropped', 0);
INSERT INTO mesh_schema (name, version) VALUES ('mailbox', 0);
"#;

/// Makes an empty database ours, brings an older one to this version, and refuses what is neither.
///
/// # Errors
/// It is another's, or of a newer version; or the role may not change tables.
pub(super) async fn prepare(session: &mut Session) -> Result<(), Failure> {
    for _ in 0..TRIES {
        let state = state(session).await?;
        if is_served(session, &state)? {
            return Ok(());
        }
        match migrate(session).await {
            Ok(()) => tidy_often(session).await,
            Err(Failure::Database(error)) if is_race(&error) => {}
            Err(failure) => return Err(failure),
        }
    }
    Err(StoreError::Locked.into())
}

/// Has the server clear away what is dropped before it piles up: mail comes and goes all the time, and by its own measure it
/// waits until a fifth of the table is gone. A database that knows no such setting does without.
async fn tidy_often(session: &mut Session) {
    for table in ["mesh_messages", "mesh_keys", "mesh_inboxes"] {
        let set = "autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0";
        if let Err(error) = session.script(&format!("ALTER TABLE {table} SET ({set})")).await {
            tracing::debug!(target: "mesh_mailbox::gateway", %error, table, "the server clears away at its own pace");
        }
    }
}

/// Lets only a database of this version pass, as it has to be when a gateway comes back to it.
///
/// # Errors
/// It is another's, or of another version.
pub(super) async fn check(session: &mut Session) -> Result<(), Failure> {
    let state = state(session).await?;
    match is_served(session, &state)? {
        true => Ok(()),
        false => Err(StoreError::Foreign { path: session.shown.clone(), hint: ": it has no tables" }.into()),
    }
}

enum State {
    Empty,
    Ours(i64),
    Foreign,
}

/// Whether it can be served as it is; false when it can be brought there.
fn is_served(session: &Session, state: &State) -> Result<bool, StoreError> {
    let path = session.shown.clone();
    match *state {
        State::Ours(found) if found == version() => Ok(true),
        State::Ours(found) if found > version() => Err(StoreError::TooNew { path, found, known: version() }),
        State::Ours(_) | State::Empty => Ok(false),
        State::Foreign => {
            let hint =
                ": another program's tables have the names of ours; give another database or search_path";
            Err(StoreError::Foreign { path, hint })
        }
    }
}

/// The version of the tables that this gateway knows.
fn version() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

async fn state(session: &mut Session) -> Result<State, Error> {
    let found = session.rows(Step::new("SELECT version FROM mesh_schema WHERE name = 'mailbox'")).await;
    match found {
        Ok(rows) => match rows.first() {
            Some(row) => Ok(State::Ours(row.try_get(0)?)),
            None => Ok(State::Foreign),
        },
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_COLUMN) => Ok(State::Foreign),
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => {
            // Both in one look: another gateway may have made them all just now.
            let sql = "SELECT count(*) FILTER (WHERE table_name = 'mesh_schema'), count(*) FROM information_schema.tables \
                       WHERE table_schema = current_schema() AND table_name IN ('mesh_schema', 'mesh_inboxes', \
                       'mesh_messages', 'mesh_keys', 'mesh_peers', 'mesh_invites', 'mesh_threads', 'mesh_groups', \
                       'mesh_counters')";
            let rows = session.rows(Step::new(sql)).await?;
            let count = |at: usize| rows.first().map_or(Ok(0), |row| row.try_get::<_, i64>(at));
            let is_unmarked = count(0)? == 0 && count(1)? > 0;
            Ok(if is_unmarked { State::Foreign } else { State::Empty })
        }
        Err(error) => Err(error),
    }
}

async fn migrate(session: &mut Session) -> Result<(), Failure> {
    let done = migrate_in_transaction(session).await;
    if done.is_err() {
        // The failure itself is told.
        let _ = session.script("ROLLBACK").await;
    }
    done
}

async fn migrate_in_transaction(session: &mut Session) -> Result<(), Failure> {
    let has_locks = !session
        .rows(Step::new("SELECT 1 FROM pg_proc WHERE proname = 'pg_advisory_xact_lock' LIMIT 1"))
        .await?
        .is_empty();
    session.script("BEGIN").await?;
    if has_locks {
        session.script(&format!("SELECT pg_advisory_xact_lock({LOCK})")).await?;
    }
    let found = session
        .rows(Step::new(
            "SELECT count(*) FROM information_schema.tables WHERE table_schema = current_schema() \
             AND table_name = 'mesh_schema'",
        ))
        .await?;
    let is_empty = found.first().map_or(Ok(0), |row| row.try_get::<_, i64>(0))? == 0;
    let mut from = 0;
    if !is_empty {
        let lock = "SELECT version FROM mesh_schema WHERE name = 'mailbox' FOR UPDATE";
        from = session.rows(Step::new(lock)).await?.first().map_or(Ok(0), |row| row.try_get(0))?;
    }
    let steps = MIGRATIONS.iter().skip(usize::try_from(from).unwrap_or(usize::MAX));
    for step in steps {
        session.script(step).await?;
    }
    let version = version().max(from);
    session.script(&format!("UPDATE mesh_schema SET version = {version} WHERE name = 'mailbox'")).await?;
    session.script("COMMIT").await?;
    Ok(())
}

/// Whether another gateway made the tables at the same time.
fn is_race(error: &Error) -> bool {
    error.code().is_some_and(|code| {
        [
            SqlState::DUPLICATE_TABLE,
            SqlState::DUPLICATE_OBJECT,
            SqlState::UNIQUE_VIOLATION,
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
        ]
        .contains(code)
    })
}
