//! Filling an empty database with the rows of another store, all in one transaction.

use std::sync::Arc;

use rusqlite::types::Value;

use super::error::Failure;
use super::link::{Link, Runner};
use super::place::PostgresPlace;
use super::schema;
use super::session::{Purpose, Session};
use super::step::Step;
use super::text::Text;
use crate::gateway::stamp::Stamp;
use crate::gateway::store::StoreError;

/// What the cells of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gateway) enum Cells {
    /// `text`.
    Text,
    /// `bigint`.
    Number,
    /// `bytea`.
    Bytes,
    /// `boolean`; 0 is false.
    Boolean,
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub(in crate::gateway) struct Column {
    /// Its name.
    pub(in crate::gateway) name: &'static str,
    /// Its cells.
    pub(in crate::gateway) cells: Cells,
}

/// A database that is being filled; dropped before [`Load::commit`], it stays empty.
pub(in crate::gateway) struct Load {
    runner: Runner,
    session: Session,
}

impl Load {
    /// Makes the tables if need be, and begins.
    ///
    /// # Errors
    /// The database cannot be reached or written, or holds something already.
    pub(in crate::gateway) fn begin(place: &PostgresPlace) -> Result<Load, StoreError> {
        let runner = Runner::new()?;
        let mut link = Link::new(Arc::new(place.clone()), Purpose::Mail);
        let session = runner.run(async {
            let mut session = link.connect().await?;
            let begun = begin(&mut session).await;
            begun.map_err(|failure| failure.into_error(&session.shown))?;
            Ok::<_, StoreError>(session)
        })?;
        Ok(Load { runner, session })
    }

    /// Puts rows into a table.
    ///
    /// # Errors
    /// The database refuses them, or does not answer.
    pub(in crate::gateway) fn rows(
        &mut self,
        table: &str,
        columns: &[Column],
        rows: &[Vec<Value>],
    ) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
        let arrays: Vec<String> = (1..).zip(columns).map(|(at, column)| array(at, column.cells)).collect();
        let sql =
            format!("INSERT INTO {table} ({}) SELECT * FROM unnest({})", names.join(", "), arrays.join(", "));
        let mut step = Step::new(sql);
        for (at, column) in columns.iter().enumerate() {
            step = with_column(step, column.cells, rows.iter().map(|row| &row[at]));
        }
        self.runner.run(async {
            let done = self.session.rows(step).await;
            done.map(drop).map_err(|error| self.session.explain(&error))
        })
    }

    /// Ends: from now on ids begin at `next_id`, and moments after `newest`.
    ///
    /// # Errors
    /// The database does not say that it is done: then it is empty, unless the connection broke in this very moment.
    pub(in crate::gateway) fn commit(mut self, next_id: i64, newest: Stamp) -> Result<(), StoreError> {
        let newest = newest.micros();
        self.runner.run(async {
            let steps = vec![
                Step::new("SELECT setval('mesh_ids', $1, false)").with(next_id),
                Step::new("UPDATE mesh_inboxes SET last_stamp = $1").with(newest),
                Step::new("UPDATE mesh_counters SET value = value + 1 WHERE name = 'directory'"),
                // What was given a number and is not there any more was dropped there.
                Step::new(
                    "UPDATE mesh_counters SET value = (SELECT coalesce(sum(last_seq), 0)::bigint FROM mesh_inboxes) \
                     - (SELECT count(*) FROM mesh_messages) WHERE name = 'dropped'",
                ),
            ];
            let session = &mut self.session;
            session.together(steps).await.map_err(|error| session.explain(&error))?;
            session.script("COMMIT").await.map_err(|error| session.explain(&error))
        })
    }
}

async fn begin(session: &mut Session) -> Result<(), Failure> {
    schema::prepare(session).await?;
    session.script("BEGIN").await?;
    // Nobody else fills it meanwhile, and no gateway that serves it takes mail.
    session.script("LOCK TABLE mesh_inboxes, mesh_messages, mesh_peers IN EXCLUSIVE MODE").await?;
    let sql = "SELECT (SELECT count(*) FROM mesh_messages) + (SELECT count(*) FROM mesh_peers) \
               + (SELECT count(*) FROM mesh_inboxes)";
    let found = session.rows(Step::new(sql)).await?;
    let there: i64 = found.first().map_or(Ok(0), |row| row.try_get(0))?;
    if there > 0 {
        let path = session.shown.clone();
        return Err(
            StoreError::Foreign { path, hint: " that is empty: it holds mail or names already" }.into()
        );
    }
    Ok(())
}

fn array(at: usize, cells: Cells) -> String {
    let kind = match cells {
        Cells::Text => "text",
        Cells::Number => "bigint",
        Cells::Bytes => "bytea",
        Cells::Boolean => "boolean",
    };
    format!("${at}::{kind}[]")
}

/// Adds a column of rows as the next value. A cell of another kind is none: SQLite's tables are strict.
fn with_column<'r>(
    step: Step<'static>,
    cells: Cells,
    column: impl Iterator<Item = &'r Value>,
) -> Step<'static> {
    match cells {
        Cells::Text => {
            let text =
                |cell: &Value| if let Value::Text(text) = cell { Some(Text::owned(text)) } else { None };
            step.with(column.map(text).collect::<Vec<_>>())
        }
        Cells::Number => step.with(column.map(number).collect::<Vec<_>>()),
        Cells::Bytes => {
            let bytes = |cell: &Value| if let Value::Blob(bytes) = cell { Some(bytes.clone()) } else { None };
            step.with(column.map(bytes).collect::<Vec<_>>())
        }
        Cells::Boolean => {
            let is_set = |cell: &Value| number(cell).map(|number| number != 0);
            step.with(column.map(is_set).collect::<Vec<_>>())
        }
    }
}

fn number(cell: &Value) -> Option<i64> {
    if let Value::Integer(number) = cell { Some(*number) } else { None }
}
