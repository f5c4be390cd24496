//! Looking into an inbox: once, for one message, until something comes, or for good.

use std::collections::HashSet;
use std::process::Stdio;
use std::time::Duration;

use mesh_mailbox::outbox::pause;
use mesh_mailbox::{ClientError, Envelope, Inbox, Look, Mailbox, Outbox};
use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;

use super::args::InboxArgs;
use super::{print, print_json, show};
use crate::exit::{Exit, Failure};

/// How long one request waits for mail.
const WAIT: Duration = Duration::from_secs(30);
/// How often a gateway is asked that does not wait.
const POLL: Duration = Duration::from_secs(2);
/// Rows of one look of a watcher.
const PAGE: u32 = 100;
/// Rows that are looked through for one message where the gateway cannot be asked for it.
const SCAN: u32 = 1000;
/// Lists messages.
///
/// # Errors
/// The gateway cannot be asked.
pub(super) async fn inbox(mailbox: &Mailbox, wanted: &InboxArgs, json: bool) -> Result<Exit, Failure> {
    let look = Look {
        of: wanted.of.clone(),
        unread_only: wanted.unread,
        limit: wanted.limit,
        after: wanted.after,
        oldest_first: wanted.after.is_some(),
        wait: Duration::from_secs_f64(wanted.wait),
        thread_id: wanted.thread_id.clone(),
        from: wanted.from.clone(),
        kind: None,
    };
    let inbox = mailbox.fetch(&look).await?;
    show_all(&inbox, json)?;
    Ok(Exit::Ok)
}

fn show_all(inbox: &Inbox, json: bool) -> Result<(), Failure> {
    for envelope in &inbox.envelopes {
        show_one(envelope, json)?;
    }
    for complaint in &inbox.complaints {
        tracing::warn!(%complaint, "a row was left out");
    }
    if !json && inbox.envelopes.is_empty() {
        print("no messages")?;
    }
    Ok(())
}

fn show_one(envelope: &Envelope, json: bool) -> Result<(), Failure> {
    if json { print_json(&envelope.to_json()) } else { print(&show::message(envelope)) }
}

/// Prints a message and marks it read.
///
/// # Errors
/// There is no such message, or the gateway cannot be asked.
pub(super) async fn read(mailbox: &Mailbox, id: i64, json: bool) -> Result<Exit, Failure> {
    let found = match mailbox.message(id).await? {
        Some(envelope) => Some(envelope),
        // The Python gateway has no route for one message.
        None => {
            let look = Look { limit: Some(SCAN), of: Some(mailbox.node().to_owned()), ..Look::default() };
            mailbox.fetch(&look).await?.envelopes.into_iter().find(|envelope| envelope.id.0 == id)
        }
    };
    let envelope = found.ok_or_else(|| {
        Failure::new(
            Exit::Failure,
            "not_found",
            format!("message {id} is not in the inbox of {}", mailbox.node()),
        )
    })?;
    let marked = mailbox.mark_read(id).await;
    show_one(&envelope, json)?;
    match marked {
        Ok(()) => Ok(Exit::Ok),
        // The Python gateway refuses to mark what is marked.
        Err(ClientError::Refused { status: 404, .. }) if !envelope.is_unread() => Ok(Exit::Ok),
        Err(error) => Err(error.into()),
    }
}

/// Waits until there is unread mail.
///
/// # Errors
/// The gateway cannot be asked.
pub(super) async fn wait(mailbox: &Mailbox, time: Duration, json: bool) -> Result<Exit, Failure> {
    let deadline = Instant::now() + time;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let inbox = mailbox.fetch(&Look { wait: left.min(WAIT), ..Look::unread() }).await?;
        if !inbox.envelopes.is_empty() {
            show_all(&inbox, json)?;
            return Ok(Exit::Ok);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Exit::Failure);
        }
        tokio::time::sleep(left.min(POLL / 4)).await;
    }
}

/// Shows unread mail, and what comes from then on, until it is stopped.
///
/// # Errors
/// The gateway refuses to be asked.
pub(super) async fn watch(
    mailbox: &Mailbox,
    outbox: &Outbox,
    exec: Option<&str>,
    json: bool,
) -> Result<Exit, Failure> {
    let (mut after, mut seen) = (None, HashSet::new());
    let mut failures = 0;
    loop {
        let look = Look {
            limit: Some(PAGE),
            after: Some(after.unwrap_or(0)),
            oldest_first: true,
            wait: WAIT,
            ..Look::unread()
        };
        let begin = Instant::now();
        match mailbox.fetch_page(&look).await {
            Ok((inbox, next)) => {
                failures = 0;
                // The gateway answers: what waited for that goes out.
                outbox.drain(mailbox).await?;
                let is_full = inbox.envelopes.len() >= PAGE as usize;
                // A gateway without a cursor answers the newest first, and the same rows again and again.
                let rows: Vec<Envelope> = match next {
                    Some(_) => inbox.envelopes,
                    None => inbox.envelopes.into_iter().rev().filter(|row| seen.insert(row.id.0)).collect(),
                };
                for envelope in &rows {
                    deliver(envelope, exec, json).await?;
                }
                after = next.or(after);
                let did_wait = begin.elapsed() > POLL || !rows.is_empty() || is_full;
                if next.is_none() || !did_wait {
                    tokio::time::sleep(POLL).await;
                }
            }
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, "the gateway cannot be asked");
                failures += 1;
                tokio::time::sleep(pause(failures, None, mesh_mailbox::outbox::random()).max(POLL)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Shows a message, or hands it to a command. What the command makes of it is its own affair.
async fn deliver(envelope: &Envelope, exec: Option<&str>, json: bool) -> Result<(), Failure> {
    let Some(command) = exec else { return show_one(envelope, json) };
    let shell = if cfg!(windows) { ["cmd", "/C"] } else { ["sh", "-c"] };
    let failed = |error: std::io::Error| {
        Failure::new(Exit::Failure, "exec", format!("the command cannot be run: {error}"))
    };
    let mut child = tokio::process::Command::new(shell[0])
        .args([shell[1], command])
        .env("MESH_MESSAGE_ID", envelope.id.to_string())
        .stdin(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut input) = child.stdin.take() {
        // A command that does not read its input is no failure.
        let _ = input.write_all(format!("{}\n", envelope.to_json()).as_bytes()).await;
    }
    let status = child.wait().await.map_err(failed)?;
    if !status.success() {
        tracing::warn!(id = %envelope.id, %status, "the command failed for a message");
    }
    Ok(())
}
