//! Names and threads.

use std::time::Duration;

use mesh_mailbox::{Mailbox, TokenFile};
use serde_json::{Map, Value};

use super::{print, print_json};
use crate::exit::{Exit, Failure};

/// Lists the peers that the gateway knows.
///
/// # Errors
/// The gateway cannot be asked.
pub(super) async fn peers(mailbox: &Mailbox, json: bool) -> Result<Exit, Failure> {
    for row in mailbox.list_peers().await? {
        if json {
            print_json(&row)?;
            continue;
        }
        let name = row.get("name").and_then(Value::as_str).or_else(|| row.as_str()).unwrap_or("?");
        let seen = row.get("last_seen").and_then(Value::as_str).unwrap_or("never");
        let online = if row.get("online") == Some(&Value::Bool(true)) { "  online" } else { "" };
        print(&crate::ui::text::one_line(&format!("{name}  last seen {seen}{online}")))?;
    }
    Ok(Exit::Ok)
}

/// Lists the threads that have names.
///
/// # Errors
/// The gateway cannot be asked.
pub(super) async fn threads(mailbox: &Mailbox, json: bool) -> Result<Exit, Failure> {
    let answer = mailbox.call("GET", "/threads", None, Duration::ZERO).await?;
    for row in answer["threads"].as_array().into_iter().flatten() {
        if json {
            print_json(row)?;
            continue;
        }
        let text = |field: &str| row[field].as_str().unwrap_or("?").to_owned();
        let line =
            format!("{}  {}  last used {}", text("thread_uuid"), text("thread_name"), text("last_used_at"));
        print(&crate::ui::text::one_line(&line))?;
    }
    Ok(Exit::Ok)
}

/// Makes the own name known, and keeps the token that this gives.
///
/// # Errors
/// The gateway refuses, or the token cannot be kept.
pub(super) async fn register(
    mailbox: &Mailbox,
    tokens: &TokenFile,
    url: Option<&str>,
    capabilities: Option<&str>,
    json: bool,
) -> Result<Exit, Failure> {
    let capabilities: Option<Map<String, Value>> =
        capabilities.map(serde_json::from_str).transpose().map_err(|error| {
            Failure::new(Exit::Usage, "usage", format!("--capabilities is no JSON object: {error}"))
        })?;
    let registered = mailbox.register(url, capabilities.as_ref()).await?;
    if let Some(token) = &registered.token {
        // It is shown only once: where it cannot be kept, its owner has to know.
        tokens.set(mailbox.gateway_url(), mailbox.node(), Some(token)).map_err(|error| {
            Failure::new(Exit::Failure, "token", format!("the token cannot be kept: {error}"))
                .hint("the operator can give a new one: meshapi gateway peers rotate NAME")
        })?;
    }
    if json {
        print_json(&registered.answer)?;
    } else if registered.token.is_some() {
        print(&format!("registered {}; its token is in {}", registered.name, tokens.path().display()))?;
    } else {
        print(&format!("registered {}", registered.name))?;
    }
    Ok(Exit::Ok)
}
