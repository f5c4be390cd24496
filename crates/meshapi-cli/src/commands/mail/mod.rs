//! `meshapi mail`: write to other agents, and read what they wrote.
//!
//! - `args`: its flags
//! - `outbox`: what waits there
//! - `send`: into the outbox, and from there to the gateway
//! - `read`: looking, waiting, watching
//! - `work`: claiming and acknowledging
//! - `peers`: names and threads
//! - `show`: messages on a terminal, where they act on nothing
pub mod args;
mod outbox;
mod peers;
mod read;
mod send;
pub(crate) mod show;
mod work;

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use mesh_mailbox::{ClientError, Mailbox, MailboxBuilder, Outbox, PeerName, TOKEN_VARIABLE, TokenFile};
use serde_json::Value;

use crate::{
    commands,
    config::{ConfigError, Environment, Folder},
    exit::{Exit, Failure, with_causes},
    mail::{account::FOLDER, journal::Journal},
    ui::text,
};
use args::{Mail, MailCommand, OutboxCommand};

/// Variable that holds the own name.
const NODE_VARIABLE: &str = "MESH_NODE";

/// Runs the command.
///
/// # Errors
/// What ended it.
pub fn run(wanted: &Mail, env: &Environment) -> Result<Exit, Failure> {
    let place = Place::of(env)?;
    if let MailCommand::Outbox { command } = &wanted.command
        && !matches!(command, Some(OutboxCommand::Retry { .. }))
    {
        return outbox::look(&place.outbox(), command.as_ref().unwrap_or(&OutboxCommand::List), wanted.json);
    }
    let mailbox = mailbox(wanted, &place)?;
    let json = wanted.json;
    commands::runtime()?.block_on(async {
        match &wanted.command {
            MailCommand::Send(message) => {
                let sent = send::send(&mailbox, &place.outbox(), message, json).await;
                if sent.is_ok() {
                    place.note_known(&message.to);
                }
                sent
            }
            MailCommand::Inbox(look) => read::inbox(&mailbox, look, json).await,
            MailCommand::Read { id } => read::read(&mailbox, *id, json).await,
            MailCommand::Wait { time } => read::wait(&mailbox, Duration::from_secs_f64(*time), json).await,
            MailCommand::Watch { exec } => {
                read::watch(&mailbox, &place.outbox(), exec.as_deref(), json).await
            }
            MailCommand::Claim { .. } | MailCommand::Ack { .. } | MailCommand::Nack { .. } => {
                work::run(&mailbox, &wanted.command, json).await
            }
            MailCommand::Threads => peers::threads(&mailbox, json).await,
            MailCommand::Peers => peers::peers(&mailbox, json).await,
            MailCommand::Register { url, capabilities } => {
                peers::register(&mailbox, &place.tokens(), url.as_deref(), capabilities.as_deref(), json)
                    .await
            }
            MailCommand::Outbox { command } => {
                let key = match command {
                    Some(OutboxCommand::Retry { key }) => key.as_deref(),
                    _ => None,
                };
                outbox::retry(&place.outbox(), &mailbox, key, json).await
            }
        }
    })
}

/// Where the mail's files are.
struct Place {
    folder: PathBuf,
}

impl Place {
    fn of(env: &Environment) -> Result<Place, Failure> {
        let home = env.home.as_deref().ok_or(ConfigError::NoHome)?;
        Ok(Place { folder: Folder::of(home).file(FOLDER) })
    }

    fn outbox(&self) -> Outbox {
        Outbox::in_folder(&self.folder)
    }

    /// The user wrote to this peer: their agent may too, where it would ask about a stranger.
    fn note_known(&self, to: &str) {
        let name = PeerName::parse(to).map_or_else(|_| to.to_owned(), |name| name.to_string());
        let noted = Journal::open(&self.folder).and_then(|journal| journal.write_to(&name));
        if let Err(error) = noted {
            tracing::warn!(%error, "the mail's journal cannot be written");
        }
    }

    fn tokens(&self) -> TokenFile {
        TokenFile::in_folder(&self.folder)
    }
}

/// The mailbox: flags first, then what registering gave, then the environment.
fn mailbox(wanted: &Mail, place: &Place) -> Result<Mailbox, Failure> {
    let variable = |name: &str| std::env::var(name).ok();
    let node = wanted.node.clone().or_else(|| variable(NODE_VARIABLE)).filter(|node| !node.is_empty());
    let node = node.ok_or_else(|| {
        Failure::new(Exit::Usage, "no_node", "no name is set").hint("give --node, or set MESH_NODE")
    })?;
    let builder = |builder: MailboxBuilder| {
        let builder = match &wanted.gateway_url {
            Some(url) => builder.gateway_url(url),
            None => builder,
        };
        builder.timeout(Duration::from_secs_f64(wanted.timeout.max(0.1)))
    };
    let without_token = |name: &str| variable(name).filter(|_| name != TOKEN_VARIABLE);
    let plain = builder(Mailbox::builder(&node)).or_env(without_token).build()?;
    let token = match &wanted.token_file {
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| {
                Failure::new(Exit::Usage, "token", format!("{} cannot be read: {error}", path.display()))
            })?;
            Some(text.trim().to_owned())
        }
        None => place
            .tokens()
            .get(plain.gateway_url(), plain.node())
            .map_err(|error| Failure::new(Exit::Failure, "token", error))?,
    };
    let with_token = match token {
        Some(token) => builder(Mailbox::builder(&node)).token(token),
        None => builder(Mailbox::builder(&node)),
    };
    Ok(with_token.or_env(variable).build()?)
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Failure {
        let exit = if error.kind() == "no_gateway" { Exit::Usage } else { Exit::Failure };
        Failure::new(exit, error.kind(), with_causes(&error))
    }
}

/// Prints a JSON value as one line.
pub(super) fn print_json(value: &Value) -> Result<(), Failure> {
    print(&value.to_string())
}

/// Prints a text that may hold anything, made fit for a terminal.
pub(super) fn print(line: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", text::sanitize(line))?;
    Ok(out.flush()?)
}
