//! How the gateway is.

use serde_json::json;

use super::Shared;
use crate::gateway::reply::{Problem, Reply};
use crate::gateway::store::sqlite::schema::SCHEMA_VERSION;
use crate::gateway::store::{Reader as _, Store};

impl<S: Store> Shared<S> {
    /// The fields of the Python gateway, but no path of the server.
    pub(super) fn health(&self) -> Reply {
        let enabled = self.directory().peers().filter(|peer| peer.is_enabled).count();
        Reply::json(&json!({
            "status": "ok",
            "service": "mesh-gateway",
            "version": env!("CARGO_PKG_VERSION"),
            "schema_version": SCHEMA_VERSION,
            "n_peers_enabled": enabled,
            "n_tasks_pending": 0,
        }))
    }

    pub(super) fn ready(&self) -> Result<Reply, Problem> {
        if *self.stopping.borrow() {
            return Err(Problem::new(503, "the gateway stops"));
        }
        if !self.engine.is_sound() {
            return Err(Problem::new(503, "the last write failed; the log says why"));
        }
        Ok(Reply::json(&json!({"status": "ready"})))
    }

    pub(super) async fn metrics_text(&self) -> Result<Reply, Problem> {
        let counts = self.engine.look(|reader| reader.counts()).await?;
        let peers = self.directory().peers().count() as u64;
        let gauges = [
            ("mailbox_messages", "Messages stored.", counts.messages),
            ("mailbox_unread", "Messages that wait to be read.", counts.unread),
            ("mailbox_dead", "Messages that were given up.", counts.dead),
            ("mailbox_peers", "Names registered.", peers),
            ("mailbox_inboxes_awaited", "Inboxes that somebody waits for.", self.hub.waiting() as u64),
        ];
        let mut reply = Reply::raw(self.metrics.text(&gauges));
        reply.content_type = "text/plain; version=0.0.4; charset=utf-8";
        Ok(reply)
    }
}
