//! `meshapi gateway peers`: through the gateway that serves the database, or through one that is up for this command alone.

use std::net::Ipv4Addr;
use std::time::Duration;

use mesh_mailbox::Mailbox;
use mesh_mailbox::gateway::store::postgres::Postgres;
use mesh_mailbox::gateway::store::sqlite::{Place, Sqlite, StoreLock};
use mesh_mailbox::gateway::store::{Store, StoreError};
use mesh_mailbox::gateway::{self, Options};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::args::PeersCommand;
use super::database::Database;
use super::serve::{store_failure, stored_token};
use crate::commands::mail::{print, print_json};
use crate::exit::{Exit, Failure};
use crate::ui::text;

pub(super) fn run(database: &Database, command: Option<&PeersCommand>, json: bool) -> Result<Exit, Failure> {
    let answer = crate::commands::runtime()?.block_on(async {
        let path = match database {
            Database::File(path) => path,
            // One more gateway for a moment: the others learn what it changes.
            Database::Shared { place, .. } => {
                return alone(Postgres::open(place.clone()).map_err(store_failure)?, command).await;
            }
        };
        match StoreLock::take(path) {
            Ok(lock) => {
                let store = Sqlite::open(Place::new(path)).map_err(store_failure)?;
                let answer = alone(store, command).await;
                drop(lock);
                answer
            }
            Err(StoreError::InUse { .. }) => {
                let note = std::fs::read_to_string(StoreLock::path(path)).unwrap_or_default();
                let token = stored_token(database)?;
                ask(&operator(note.trim(), &token)?, command).await
            }
            Err(error) => Err(store_failure(error)),
        }
    })?;
    if json {
        print_json(&answer)?;
    } else {
        for line in lines(&answer) {
            print(&line)?;
        }
    }
    Ok(Exit::Ok)
}

/// Serves a store on a port of its own for the length of one call.
async fn alone<S: Store>(store: S, command: Option<&PeersCommand>) -> Result<Value, Failure> {
    let token = gateway::new_operator_token()?;
    let served = gateway::Gateway::new(store, Options::new(token.clone())).map_err(store_failure)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let mailbox = operator(&format!("http://{}", listener.local_addr()?), &token)?;
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = served.serve(listener, async {
        // Dropped or told: both end it.
        let _ = stopped.await;
    });
    let asking = async {
        let answer = ask(&mailbox, command).await;
        drop(stop);
        answer
    };
    let (served, answer) = tokio::join!(serving, asking);
    served?;
    answer
}

fn operator(address: &str, token: &str) -> Result<Mailbox, Failure> {
    Ok(Mailbox::builder("operator").gateway_url(address).token(token).build()?)
}

async fn ask(mailbox: &Mailbox, command: Option<&PeersCommand>) -> Result<Value, Failure> {
    let named = |name: &str, rest: &str| {
        let name: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
        format!("/peers/{name}{rest}")
    };
    let body;
    let (method, path, body) = match command {
        None => ("GET", "/peers?enabled_only=false".to_owned(), None),
        Some(PeersCommand::Invite { name }) => {
            body = json!({ "name": name });
            ("POST", "/invites".to_owned(), Some(&body))
        }
        Some(PeersCommand::Rotate { name }) => ("POST", named(name, "/token"), None),
        Some(PeersCommand::Revoke { name }) => ("DELETE", named(name, "/token"), None),
        Some(PeersCommand::Disable { name }) => ("DELETE", named(name, ""), None),
        Some(PeersCommand::Enable { name }) => ("POST", named(name, "/unrevoke"), None),
    };
    Ok(mailbox.call(method, &path, body, Duration::ZERO).await?)
}

fn lines(answer: &Value) -> Vec<String> {
    let text_of = |row: &Value, field: &str| row[field].as_str().unwrap_or("never").to_owned();
    let line = |text: String| text::one_line(&text).into_owned();
    if let Some(rows) = answer["peers"].as_array() {
        let shown = |row: &Value| {
            let state = if row["enabled"] == 0 { "  disabled" } else { "" };
            line(format!("{}  last seen {}{state}", text_of(row, "name"), text_of(row, "last_seen")))
        };
        return if rows.is_empty() { vec!["no peers".to_owned()] } else { rows.iter().map(shown).collect() };
    }
    if let Some(invite) = answer["invite"].as_str() {
        return vec![
            line(invite.to_owned()),
            line(format!(
                "good once, until {}, as the token of `meshapi mail register`",
                text_of(answer, "expires_at")
            )),
        ];
    }
    if let Some(token) = answer["peer_token"].as_str() {
        return vec![line(token.to_owned())];
    }
    let state = match (&answer["token_status"], &answer["enabled"]) {
        (Value::String(state), _) => format!("its token is {state}"),
        (_, Value::Number(enabled)) if enabled.as_i64() == Some(0) => "it is disabled".to_owned(),
        _ => "it is enabled".to_owned(),
    };
    vec![line(format!("{}: {state}", text_of(answer, "name")))]
}
