//! Counters, and their text for Prometheus.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a gateway counts.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: [AtomicU64; 5],
    /// Messages that were acknowledged to their senders, repeats not counted.
    pub sends: AtomicU64,
    /// Sends that were repeats.
    pub replays: AtomicU64,
    /// Requests that were turned away: too many, too large, too full.
    pub refused: AtomicU64,
    batches: AtomicU64,
    commands: AtomicU64,
    failed_batches: AtomicU64,
}

/// Adds one.
pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Metrics {
    /// Notes an answer.
    pub fn answered(&self, status: u16) {
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        count(&self.requests[class]);
        if matches!(status, 413 | 429 | 503 | 507) {
            count(&self.refused);
        }
    }

    /// Notes a transaction.
    pub fn batch(&self, commands: usize, is_written: bool) {
        count(if is_written { &self.batches } else { &self.failed_batches });
        self.commands.fetch_add(commands as u64, Ordering::Relaxed);
    }

    /// The counters as text, with gauges that the caller knows.
    pub fn text(&self, gauges: &[(&str, &str, u64)]) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "# HELP mailbox_requests_total Answers by class of status.");
        let _ = writeln!(out, "# TYPE mailbox_requests_total counter");
        for (class, counter) in self.requests.iter().enumerate() {
            let value = counter.load(Ordering::Relaxed);
            let _ = writeln!(out, "mailbox_requests_total{{class=\"{}xx\"}} {value}", class + 1);
        }
        let counters = [
            ("mailbox_sends_total", "Messages acknowledged to their senders.", &self.sends),
            ("mailbox_replays_total", "Sends that repeated an earlier one.", &self.replays),
            (
                "mailbox_refused_total",
                "Requests turned away for their size, their rate or want of room.",
                &self.refused,
            ),
            (
                "mailbox_batches_total",
                "Transactions; each that changed something is one sync of the log.",
                &self.batches,
            ),
            ("mailbox_commands_total", "Changes in these transactions.", &self.commands),
            ("mailbox_failed_batches_total", "Transactions that failed.", &self.failed_batches),
        ];
        for (name, help, counter) in counters {
            let value = counter.load(Ordering::Relaxed);
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {value}");
        }
        for (name, help, value) in gauges {
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}");
        }
        out
    }
}
