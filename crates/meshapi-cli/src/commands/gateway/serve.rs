//! `meshapi gateway serve`.

use std::fs::OpenOptions;
use std::io::{self, Write as _, stderr};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mesh_mailbox::gateway::store::postgres::Postgres;
use mesh_mailbox::gateway::store::sqlite::{Place, Sqlite, StoreLock};
use mesh_mailbox::gateway::store::{Store, StoreError};
use mesh_mailbox::gateway::{self, Options};
use tokio::net::TcpListener;

use super::args::{Notify, Serve};
use super::database::Database;
use crate::{
    commands,
    exit::{Exit, Failure, with_causes},
    sys::{self, StopSignals},
};

/// A key is remembered for as long as settled mail, but so long at least: longer than any client tries again. From the mailbox's
/// design.
const KEYS_LEAST: Duration = Duration::from_secs(7 * 86_400);
/// Variable that holds the operator's token.
const TOKEN_VARIABLE: &str = "MESH_GATEWAY_TOKEN";

/// Serves until told to stop.
///
/// # Errors
/// The address or the database cannot be had.
pub(super) fn run(wanted: &Serve, database: &Database) -> Result<Exit, Failure> {
    let is_open = !wanted.listen.ip().is_loopback();
    if is_open && wanted.tls_cert.is_none() && !wanted.insecure {
        let message = format!(
            "{} can be reached from other machines, and plain HTTP shows tokens and mail",
            wanted.listen
        );
        return Err(Failure::new(Exit::Usage, "usage", message)
            .hint("give --tls-cert and --tls-key, or --insecure if the network is your own"));
    }
    let tls = match (&wanted.tls_cert, &wanted.tls_key) {
        (Some(certificates), Some(key)) => {
            let config = gateway::tls_config(certificates, key);
            Some(config.map_err(|error| Failure::new(Exit::Usage, "tls", error))?)
        }
        _ => None,
    };
    let (token, made_at) = operator_token(wanted, database)?;
    sys::raise_open_files();
    let mut options = Options::new(token);
    options.tls = tls;
    options.allow_unregistered = wanted.allow_unregistered;
    options.retention.settled = wanted.keep_settled;
    options.retention.unread = wanted.keep_unread;
    options.retention.max_per_inbox = wanted.keep_most;
    options.retention.keys = options.retention.keys.min(KEYS_LEAST.max(wanted.keep_settled));
    let told = Told { database, made_at };
    match database {
        Database::File(path) => {
            let mut lock = StoreLock::take(path).map_err(store_failure)?;
            let store = Sqlite::open(Place::new(path)).map_err(store_failure)?;
            tighten(path);
            serve(store, options, wanted.listen, &told, |address| lock.note(address))
        }
        Database::Shared { place, .. } => {
            let place = place.clone().with_notify(wanted.notify == Notify::On);
            let store = Postgres::open(place).map_err(store_failure)?;
            serve(store, options, wanted.listen, &told, |_| ())
        }
    }
}

/// What is told at the start.
struct Told<'a> {
    database: &'a Database,
    /// Where the operator's token was made, if it was.
    made_at: Option<PathBuf>,
}

fn serve<S: Store>(
    store: S,
    options: Options,
    listen: SocketAddr,
    told: &Told<'_>,
    note: impl FnOnce(&str),
) -> Result<Exit, Failure> {
    let scheme = if options.tls.is_some() { "https" } else { "http" };
    let gateway = gateway::Gateway::new(store, options).map_err(store_failure)?;
    commands::runtime()?.block_on(async {
        let listener = TcpListener::bind(listen).await.map_err(|error| {
            Failure::new(Exit::Failure, "listen", format!("cannot listen on {listen}: {error}"))
        })?;
        let address = format!("{scheme}://{}", listener.local_addr()?);
        note(&address);
        // For people; that nobody reads it is no failure.
        let _ = writeln!(stderr(), "gateway on {address}, mail in {}", told.database);
        if let Some(path) = &told.made_at {
            let _ = writeln!(stderr(), "the operator's token was made: {}", path.display());
        }
        let mut signals = StopSignals::watch()?;
        let stop = async move {
            signals.next().await;
        };
        gateway.serve(listener, stop).await?;
        Ok(Exit::Ok)
    })
}

/// The operator's token: from the flag's file, the environment, or the file beside the database, which is made if need be.
fn operator_token(wanted: &Serve, database: &Database) -> Result<(String, Option<PathBuf>), Failure> {
    let read = |path: &Path| -> Result<String, Failure> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::new(Exit::Usage, "token", format!("{} cannot be read: {error}", path.display()))
        })?;
        Ok(text.trim().to_owned())
    };
    let checked = |token: String| {
        if token.chars().count() < 8 || token.chars().any(|c| c.is_whitespace() || c.is_control()) {
            let message = "the operator's token has to be 8 characters at least, without blanks";
            return Err(Failure::new(Exit::Usage, "token", message));
        }
        Ok(token)
    };
    if let Some(path) = &wanted.token_file {
        return Ok((checked(read(path)?)?, None));
    }
    if let Some(token) = std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.trim().is_empty()) {
        return Ok((checked(token.trim().to_owned())?, None));
    }
    let path = database.token_path();
    if path.exists() {
        return Ok((checked(read(&path)?)?, None));
    }
    let token = gateway::new_operator_token().map_err(|error| Failure::new(Exit::Failure, "token", error))?;
    match write_token(&path, &token) {
        Ok(()) => Ok((token, Some(path))),
        // Another gateway of this home was quicker.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok((checked(read(&path)?)?, None)),
        Err(error) => {
            let message = format!("{} cannot be made: {error}", path.display());
            Err(Failure::new(Exit::Failure, "token", message))
        }
    }
}

/// The token of the operator as a command beside the gateway finds it: in the environment, or in the file beside the database.
///
/// # Errors
/// It is in neither.
pub(super) fn stored_token(database: &Database) -> Result<String, Failure> {
    if let Some(token) = std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.trim().is_empty()) {
        return Ok(token.trim().to_owned());
    }
    let path = database.token_path();
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) => {
            let message =
                format!("a gateway serves this database, and {} cannot be read: {error}", path.display());
            Err(Failure::new(Exit::Failure, "token", message).hint(format!("set {TOKEN_VARIABLE}")))
        }
    }
}

/// Writes the token beside its place and links it there: whoever finds it finds it whole, and it is never overwritten.
fn write_token(path: &Path, token: &str) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let beside = PathBuf::from(name);
    let mut file = sys::private(OpenOptions::new().write(true).create(true).truncate(true)).open(&beside)?;
    let written = writeln!(file, "{token}")
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::hard_link(&beside, path));
    // It has another name by now, or is of no use.
    let _ = std::fs::remove_file(&beside);
    written
}

/// Takes from the database's files what others may do with them.
fn tighten(database: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = database.as_os_str().to_owned();
        name.push(suffix);
        if let Ok(file) = std::fs::File::open(PathBuf::from(name)) {
            // On a disk without modes the folder's have to do.
            let _ = sys::tighten_file(&file);
        }
    }
}

pub(super) fn store_failure(error: StoreError) -> Failure {
    let failure = Failure::new(Exit::Failure, "store", with_causes(&error));
    match error {
        StoreError::InUse { .. } => failure.hint("stop it first, or give another --db"),
        StoreError::Damaged(_) => failure.hint("restore a backup: meshapi gateway backup makes one"),
        _ => failure,
    }
}
