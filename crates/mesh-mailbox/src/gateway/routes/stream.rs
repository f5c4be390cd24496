//! An inbox as server-sent events: the id of an event is the sequence of its message, and `Last-Event-ID` goes on from there.

use std::sync::Arc;
use std::time::Duration;

use mesh_client::http::{Body, BodySender};

use super::messages::SharedRef;
use super::{Call, Shared, reserve};
use crate::gateway::directory::Denied;
use crate::gateway::query::{Look, Order};
use crate::gateway::reply::{Problem, Reply};
use crate::gateway::stamp::Stamp;
use crate::gateway::store::{Reader as _, Store};

/// A sign of life after so long a silence. From the mailbox's design.
const COMMENT_EVERY: Duration = Duration::from_secs(15);
/// A reader that takes nothing for so long is cut off; it goes on by its cursor.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a reader may take to be told that the gateway stops.
const FAREWELL: Duration = Duration::from_secs(1);
/// Most events that are read at a time. From the mailbox's design.
const EVENTS: i64 = 64;
/// About how many bytes of events are read at a time.
const EVENT_BYTES: usize = 128 << 10;

impl<S: Store> Shared<S> {
    pub(super) async fn stream(self: &Arc<Self>, call: &Call) -> Result<Reply, Problem> {
        let mut look = self.allowed_look(call)?;
        let Some(inbox) = look.to.clone() else {
            return Err(Denied::NotYours { what: "stream all inboxes; name one with `to`".to_owned() }.into());
        };
        let resumed = match call.last_event_id.as_deref().filter(|id| !id.is_empty()) {
            None => None,
            Some(id) => {
                let cursor = id.parse::<i64>().ok().filter(|cursor| *cursor >= 0);
                Some(cursor.ok_or_else(|| Problem::new(422, "Last-Event-ID is no sequence of an inbox"))?)
            }
        };
        let after = match resumed.or(look.after) {
            Some(after) => after,
            // Without a cursor a stream tells what comes from now on.
            None => {
                let inbox = inbox.clone();
                self.engine.look(move |reader| reader.last_sequence(&inbox)).await?
            }
        };
        look.after = Some(after);
        look.order = Order::Ascending;
        look.limit = EVENTS;
        let (sender, body) = Body::channel(2);
        tokio::spawn(events(Arc::clone(self), look, inbox, sender));
        Ok(Reply {
            status: 200,
            headers: vec![("cache-control", "no-store".to_owned())],
            content_type: "text/event-stream; charset=utf-8",
            body,
        })
    }

    /// The next events as text, and the cursor behind them.
    async fn next_events(&self, look: &Look) -> Result<(Vec<u8>, Option<i64>), Problem> {
        let permit = reserve(&self.answers, EVENT_BYTES).await?;
        let look = look.clone();
        let found = self.engine.look(move |reader| {
            let mut rows = vec![b'['];
            let page = reader.page(Stamp::now(), &look, EVENT_BYTES, &mut rows)?;
            rows.push(b']');
            Ok((page, rows))
        });
        let (page, rows) = found.await?;
        drop(permit);
        let mut text = Vec::with_capacity(rows.len() + page.count * 48);
        let rows: Vec<&serde_json::value::RawValue> = serde_json::from_slice(&rows).unwrap_or_default();
        for row in rows {
            let Sequence { seq } = serde_json::from_str(row.get()).unwrap_or_default();
            text.extend_from_slice(format!("id: {seq}\nevent: message\ndata: {}\n\n", row.get()).as_bytes());
        }
        Ok((text, page.last))
    }
}

#[derive(Default, serde::Deserialize)]
struct Sequence {
    seq: i64,
}

/// Feeds one stream until its reader is gone, is too slow, or the gateway stops. Ends with its body, which it holds the end of.
async fn events<S: Store>(shared: SharedRef<S>, mut look: Look, inbox: String, sender: BodySender) {
    let mut waiter = shared.hub.wait_for(&inbox);
    let mut stopping = shared.stopping.clone();
    let mut out = b": connected\n\n".to_vec();
    loop {
        if !out.is_empty() {
            let sent = tokio::time::timeout(PATIENCE, sender.send(std::mem::take(&mut out))).await;
            if sent != Ok(true) {
                // Cut off, not ended: the reader sees that there is more.
                sender.abort("the reader is too slow").await;
                return;
            }
        }
        waiter.look();
        if *stopping.borrow() {
            let farewell = sender.send(": the gateway stops\nretry: 1000\n\n");
            let _ = tokio::time::timeout(FAREWELL, farewell).await;
            return;
        }
        match shared.next_events(&look).await {
            Ok((text, Some(last))) => {
                look.after = Some(last);
                out = text;
                continue;
            }
            Ok((_, None)) => {}
            // The reader comes again by its cursor.
            Err(_) => return,
        }
        tokio::select! {
            () = waiter.woken() => {}
            () = tokio::time::sleep(COMMENT_EVERY) => out = b": still here\n\n".to_vec(),
            () = sender.closed() => return,
            _ = stopping.wait_for(|stop| *stop) => {}
        }
    }
}
