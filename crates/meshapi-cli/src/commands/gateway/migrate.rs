//! `meshapi gateway migrate`.

use mesh_mailbox::gateway::migrate;
use mesh_mailbox::gateway::store::sqlite::StoreLock;
use serde_json::json;

use super::args::Migrate;
use super::database::Database;
use super::serve::store_failure;
use crate::commands::mail::{print, print_json};
use crate::config::Environment;
use crate::exit::{Exit, Failure};

/// Copies a file into a PostgreSQL database that is empty.
///
/// # Errors
/// One is not what it should be, or cannot be reached; then nothing was copied.
pub(super) fn run(wanted: &Migrate, env: &Environment, json: bool) -> Result<Exit, Failure> {
    let usage = |message: &str| Failure::new(Exit::Usage, "usage", message);
    let from =
        if wanted.from == "sqlite" { Database::own_file(env)? } else { Database::named(&wanted.from, env)? };
    let to = if wanted.to == "postgres" {
        Database::of_variable(env)?
    } else {
        Some(Database::named(&wanted.to, env)?)
    };
    let Database::File(from) = from else {
        return Err(usage("--from has to be a file, such as ~/.meshapi/gateway/mesh.db"));
    };
    let Some(Database::Shared { place, .. }) = to else {
        return Err(usage("--to has to be an address, such as postgres://USER:PASSWORD@HOST/NAME"));
    };
    if !from.is_file() {
        return Err(Failure::new(Exit::Failure, "store", format!("{} is not there", from.display())));
    }
    let _lock = StoreLock::take(&from).map_err(store_failure)?;
    let copied = migrate::migrate(&from, &place).map_err(store_failure)?;
    if json {
        print_json(
            &json!({ "messages": copied.messages, "inboxes": copied.inboxes, "peers": copied.peers }),
        )?;
    } else {
        print(&format!(
            "{} messages in {} inboxes and {} peers are in {} now",
            copied.messages,
            copied.inboxes,
            copied.peers,
            place.shown()
        ))?;
        print(&format!("{} is as it was; serve only one of the two from now on", from.display()))?;
    }
    Ok(Exit::Ok)
}
