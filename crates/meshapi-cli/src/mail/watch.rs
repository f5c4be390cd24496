//! Looks for new mail in the background, and keeps hold of what is worked on. A thread with a loop of its own: at the prompt nothing
//! else runs. It takes no message and reads no word of one aloud; it counts.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use mesh_mailbox::{
    ClientError, Look, Mailbox, Outbox,
    outbox::{pause, random},
};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{Account, desk::Shared, hold::Waiting};

/// How long one request waits for mail.
const WAIT: Duration = Duration::from_secs(25);
/// How often a gateway is asked that does not wait. The Python client asks every 30 s.
const POLL: Duration = Duration::from_secs(10);
/// Rows of one look.
const PAGE: u32 = 50;
/// How often everything unread is looked at anew: others may have read it, or given it back.
const ANEW: Duration = Duration::from_secs(300);

/// Ends what runs in the background when it is dropped.
pub(super) struct Watch {
    _stop: watch::Sender<()>,
}

/// Begins.
///
/// # Errors
/// The address is none, or no thread can be had.
pub(super) fn begin(account: &Account, shared: Arc<Shared>, lease: Duration) -> Result<Watch, ClientError> {
    // Connections belong to the loop that made them: this one has its own.
    let mailbox = account.mailbox()?;
    let outbox = Outbox::in_folder(&account.folder);
    let (stop, mut stopped) = watch::channel(());
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            tokio::select! {
                () = count(&mailbox, &outbox, &shared) => {}
                () = keep_hold(&mailbox, &shared, lease) => {}
                _ = stopped.changed() => {}
            }
        });
    };
    if let Err(error) = std::thread::Builder::new().name("mail".to_owned()).spawn(run) {
        tracing::warn!(%error, "nobody looks for new mail");
    }
    Ok(Watch { _stop: stop })
}

/// Looks for unread mail, for good.
async fn count(mailbox: &Mailbox, outbox: &Outbox, shared: &Shared) {
    let (mut after, mut failures, mut begun) = (0, 0, Instant::now());
    // What one walk through all that is unread has seen.
    let mut seen = Some(BTreeSet::new());
    loop {
        // The first walk does not wait: it finds what came before.
        let wait = if seen.is_some() { Duration::ZERO } else { WAIT };
        let look = Look { limit: Some(PAGE), after: Some(after), oldest_first: true, wait, ..Look::unread() };
        match mailbox.fetch_page(&look).await {
            Ok((inbox, next)) => {
                failures = 0;
                drain(mailbox, outbox).await;
                let rows = inbox.envelopes;
                let is_last = rows.len() < PAGE as usize;
                let mut is_new = false;
                for row in &rows {
                    // Somebody else works on it.
                    if row.extra.contains_key("claimed_until") {
                        continue;
                    }
                    if let Some(seen) = &mut seen {
                        seen.insert(row.id.0);
                    }
                    let is_verified = row.extra.get("verified") == Some(&Value::Bool(true));
                    let waiting = Waiting {
                        from: row.from_node.clone(),
                        is_verified,
                        thread: row.thread_id.clone(),
                        at: row.created_at.clone(),
                    };
                    is_new |= shared.hold().arrived(row.id.0, waiting);
                }
                after = next.unwrap_or(0);
                if let Some(seen) = seen.take_if(|_| is_last) {
                    shared.hold().only(&seen);
                    is_new = true;
                }
                if is_new {
                    shared.ring();
                }
                if next.is_none() {
                    tokio::time::sleep(POLL).await;
                }
                if next.is_none() || begun.elapsed() > ANEW {
                    (after, seen, begun) = (0, Some(BTreeSet::new()), Instant::now());
                }
            }
            Err(error) => {
                failures += 1;
                tracing::debug!(%error, "the gateway cannot be asked for unread mail");
                // What is refused may be allowed later, when the name is registered: it is asked for seldom.
                let least = if error.is_transient() { Duration::from_millis(500) } else { POLL };
                tokio::time::sleep(pause(failures, None, random()).max(least)).await;
            }
        }
    }
}

/// The gateway answers: what waited for that goes out.
async fn drain(mailbox: &Mailbox, outbox: &Outbox) {
    if outbox.path().exists()
        && let Err(error) = outbox.drain(mailbox).await
    {
        tracing::warn!(%error, "the outbox cannot be read");
    }
}

/// Sets the end of each lease anew before it comes.
async fn keep_hold(mailbox: &Mailbox, shared: &Shared, lease: Duration) {
    loop {
        tokio::time::sleep(lease / 3).await;
        let held: Vec<(i64, String)> = {
            let hold = shared.hold();
            hold.held.iter().filter_map(|held| Some((held.mail.id, held.lease.clone()?))).collect()
        };
        for (id, lease_id) in held {
            let body = json!({ "lease_id": lease_id, "lease_s": lease.as_secs_f64() });
            let path = format!("/messages/{id}/extend");
            if let Err(error) = mailbox.call("POST", &path, Some(&body), Duration::ZERO).await {
                tracing::warn!(%error, id, "a message cannot be held for longer");
            }
        }
    }
}
