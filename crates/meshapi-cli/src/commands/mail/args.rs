//! The flags of `meshapi mail`; their names follow the Python client's parameters.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use mesh_mailbox::Kind;

/// `meshapi mail`.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct Mail {
    /// Own name (else MESH_NODE)
    #[arg(long, global = true, value_name = "NAME")]
    pub node: Option<String>,
    /// Address of the gateway (else MESH_GATEWAY_URL)
    #[arg(long, global = true, value_name = "URL")]
    pub gateway_url: Option<String>,
    /// File with the token; else the one that registering gave, else MESH_GATEWAY_TOKEN
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Longest time for each part of a call, in seconds
    #[arg(long, global = true, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub timeout: f64,
    /// Print JSON, one value a line
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: MailCommand,
}

/// What `meshapi mail` does.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum MailCommand {
    /// Send a message; exits with 0 when it is stored, 75 when it waits in the outbox, 1 when it is refused
    Send(Send),
    /// List messages; nothing is marked read
    Inbox(InboxArgs),
    /// Print a message and mark it read
    Read {
        /// Its number
        id: i64,
    },
    /// Take messages to work on, for a while
    Claim {
        /// Most messages
        #[arg(long, default_value_t = 1)]
        max: u32,
        /// For how long, in seconds
        #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
        lease: f64,
        /// Wait so long for a first message, in seconds
        #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds)]
        wait: f64,
    },
    /// Say what came of a message
    Ack {
        /// Its number
        id: i64,
        /// The lease that claiming it gave
        #[arg(long)]
        lease_id: Option<String>,
        /// What came of it
        #[arg(long, default_value = "done", value_parser = ["done", "failed", "rejected"])]
        outcome: String,
        /// A word about it
        #[arg(long)]
        note: Option<String>,
    },
    /// Give a claimed message back
    Nack {
        /// Its number
        id: i64,
        /// The lease that claiming it gave
        #[arg(long)]
        lease_id: String,
        /// Not to be claimed again before so long, in seconds
        #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds)]
        delay: f64,
    },
    /// List the threads that have names
    Threads,
    /// List the peers that the gateway knows
    Peers,
    /// Make the own name known to the gateway; the token that it gives is kept
    Register {
        /// Where this peer can be reached
        #[arg(long)]
        url: Option<String>,
        /// What this peer can do, as a JSON object
        #[arg(long, value_name = "JSON")]
        capabilities: Option<String>,
    },
    /// Wait for unread mail; exits with 0 when there is some, 1 when none came
    Wait {
        /// For how long, in seconds
        #[arg(long = "for", value_name = "SECONDS", default_value = "60", value_parser = seconds)]
        time: f64,
    },
    /// Show mail as it arrives; nothing is marked read
    Watch {
        /// Run this command by the shell for each message, which it gets as JSON on standard input
        #[arg(long, value_name = "COMMAND")]
        exec: Option<String>,
    },
    /// Messages that wait here, or that were refused later
    Outbox {
        /// What to do with them
        #[command(subcommand)]
        command: Option<OutboxCommand>,
    },
}

/// `meshapi mail send`.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct Send {
    /// To whom
    #[arg(long, value_name = "NAME")]
    pub to: String,
    /// What for: fyi, question, answer, status or unblock
    #[arg(long, default_value = "fyi")]
    pub kind: Kind,
    /// Its thread
    #[arg(long, value_name = "ID")]
    pub thread_id: Option<String>,
    /// The task that it is about
    #[arg(long, value_name = "ID")]
    pub related_task_id: Option<String>,
    /// Send it although it looks as if it held a credential; a token in use is refused all the same
    #[arg(long)]
    pub skip_secret_check: bool,
    /// Do not keep it in the outbox when the gateway cannot be reached
    #[arg(long)]
    pub no_queue: bool,
    /// Take the content from this file
    #[arg(long, value_name = "FILE", conflicts_with = "content")]
    pub file: Option<PathBuf>,
    /// What it says; without it, or with `-`, standard input
    #[arg(allow_hyphen_values = true)]
    pub content: Option<String>,
}

/// `meshapi mail inbox`.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct InboxArgs {
    /// Another inbox than the own one
    #[arg(long, value_name = "NAME")]
    pub of: Option<String>,
    /// Only what is unread
    #[arg(long)]
    pub unread: bool,
    /// Most messages
    #[arg(long, value_name = "N")]
    pub limit: Option<u32>,
    /// Only what stands after this place of the inbox, the oldest first
    #[arg(long, value_name = "SEQUENCE")]
    pub after: Option<i64>,
    /// Only from this peer
    #[arg(long, value_name = "NAME")]
    pub from: Option<String>,
    /// Only of this thread
    #[arg(long, value_name = "ID")]
    pub thread_id: Option<String>,
    /// Wait so long for a first message, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds)]
    pub wait: f64,
}

/// `meshapi mail outbox`.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum OutboxCommand {
    /// Show what waits and what was refused
    List,
    /// Show what a message says
    Show {
        /// Its key, or the beginning of it
        key: String,
    },
    /// Try now to send what waits; with a key also what was refused
    Retry {
        /// Its key, or the beginning of it
        key: Option<String>,
    },
    /// Forget a message
    Drop {
        /// Its key, or the beginning of it
        key: String,
    },
}

fn seconds(text: &str) -> Result<f64, &'static str> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds, at most a day"),
    }
}
