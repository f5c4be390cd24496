//! Whether a recipient is known, by the gateway's list of peers. The list is kept for a while, per gateway.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::call::{Call, Caller};
use super::error::ClientError;
use crate::name::PeerName;
use crate::registry::Registry;

/// How long a list is taken as it is. From the Python client.
const FRESH: Duration = Duration::from_secs(300);
/// How long a list is used when no newer one can be had. From the Python client.
const STALE: Duration = Duration::from_secs(3600);
/// Deadline for the list. From the Python client.
const TIMEOUT: Duration = Duration::from_secs(5);

static LISTS: Mutex<Option<HashMap<String, (Instant, Registry)>>> = Mutex::new(None);

/// Lets a recipient pass that the gateway knows.
///
/// # Errors
/// It does not, or the list cannot be had.
pub(super) async fn check(caller: &Caller, name: &PeerName) -> Result<(), ClientError> {
    let kept = kept(&caller.base);
    if let Some((age, registry)) = &kept
        && *age < FRESH
        && registry.admit(name).is_ok()
    {
        return Ok(());
    }
    // A name that the kept list lacks may have been registered since.
    match fetch(caller).await {
        Ok(registry) => {
            let admitted = registry.admit(name);
            keep(&caller.base, registry);
            Ok(admitted?)
        }
        Err(error) => match kept {
            Some((age, registry)) if age < STALE => {
                tracing::warn!(target: "mesh_mailbox", %error, age_s = age.as_secs(), "the list of peers is an old one");
                Ok(registry.admit(name)?)
            }
            // A refused token is told as what it is.
            _ if matches!(error, ClientError::Auth { .. }) => Err(error),
            _ => Err(ClientError::RegistryUnreachable { name: name.to_string(), source: Box::new(error) }),
        },
    }
}

async fn fetch(caller: &Caller) -> Result<Registry, ClientError> {
    let caller = Caller { timeout: caller.timeout.min(TIMEOUT), ..caller.clone() };
    let answer = caller.json(Call::new("GET", "/peers")).await?.unwrap_or_default();
    let registry = Registry::from_json(&answer)?;
    if registry.nameless() > 0 {
        tracing::warn!(target: "mesh_mailbox", count = registry.nameless(), "peers without a name were left out");
    }
    Ok(registry)
}

fn kept(base: &str) -> Option<(Duration, Registry)> {
    let lists = LISTS.lock().unwrap_or_else(PoisonError::into_inner);
    lists.as_ref()?.get(base).map(|(at, registry)| (at.elapsed(), registry.clone()))
}

fn keep(base: &str, registry: Registry) {
    let mut lists = LISTS.lock().unwrap_or_else(PoisonError::into_inner);
    lists.get_or_insert_with(HashMap::new).insert(base.to_owned(), (Instant::now(), registry));
}
