//! `meshapi proxy`: any client's requests made cheaper on their way, with a receipt for each and a cap on what they cost.
//!
//! - `args`: its flags
//! - `relay`: what goes where
//! - `job`: a request with its levers, and its receipt; `spent`: what of a day's cap is gone, in a file
//!
//! Passing on, who may come in and what models cost is `mesh_client`; sums, caps, usage reports and the page are
//! `mesh_optimize::relay`.
pub mod args;
mod job;
mod relay;
mod spent;

use std::{
    io::{Write as _, stderr},
    sync::{Mutex, MutexGuard, PoisonError},
};

use mesh_client::{BaseUrl, http};
use mesh_optimize::{
    Dial,
    relay::{Books, Caps},
};
use tokio::net::TcpListener;

use crate::{
    cli::RunSettings,
    commands,
    config::{ConfigError, Environment, Folder},
    exit::{Exit, Failure},
    sys::{self, StopSignals},
    ui::theme::Theme,
};
use args::Proxy;
use relay::Relay;
use spent::Spent;

/// Serves until told to stop.
///
/// # Errors
/// A setting that is none, or an address that cannot be had.
pub fn run(wanted: &Proxy, settings: &RunSettings, env: &Environment, theme: Theme) -> Result<Exit, Failure> {
    let usage = |message: String| Failure::new(Exit::Usage, "usage", message);
    let dial: Dial = wanted.dial.parse().map_err(|error| usage(format!("--dial: {error}")))?;
    let upstream: BaseUrl = match &wanted.upstream {
        Some(url) => url.parse().map_err(|error| usage(format!("--upstream: {error}")))?,
        None => commands::settings(settings, env, &mut stderr(), theme)?.base_url().clone(),
    };
    let caps = Caps { day: wanted.max_cost, session: wanted.max_session_cost };
    if [caps.day, caps.session].into_iter().flatten().any(|cap| !(cap >= 0.0 && cap.is_finite())) {
        return Err(usage("a cap is an amount in USD from 0 on".to_owned()));
    }
    let is_local = wanted.listen.ip().is_loopback();
    if !is_local && wanted.token.is_none() {
        let message = format!("{} can be reached from other machines", wanted.listen);
        return Err(usage(message).hint("give --token: callers then have to send it in x-proxy-token"));
    }
    let spent = match caps.day {
        Some(_) => Some(Spent::new(Folder::of(env.home.as_deref().ok_or(ConfigError::NoHome)?))),
        None => None,
    };
    let today = spent.as_ref().map(Spent::load).transpose()?.unwrap_or_default();
    sys::raise_open_files();
    runtime()?.block_on(async {
        let listener = TcpListener::bind(wanted.listen).await.map_err(|error| {
            Failure::new(Exit::Failure, "listen", format!("cannot listen on {}: {error}", wanted.listen))
        })?;
        let address = listener.local_addr()?;
        let door = relay::door(is_local, wanted.token.as_deref());
        let relay = Relay::new(upstream, dial, caps, door, Books::begin(today), spent);
        // For people; that nobody reads it is no failure.
        let _ = writeln!(stderr(), "proxy on http://{address}/v1, its page on http://{address}/");
        let mut signals = StopSignals::watch()?;
        let stop = async move {
            signals.next().await;
        };
        let options =
            http::ServerOptions { http1_only: true, max_connections: CONNECTIONS, ..Default::default() };
        http::serve(listener, options, stop, move |request, _| relay.clone().answer(request)).await?;
        // One thread writes the receipts in their order: behind this all are written.
        let _ = tokio::task::spawn_blocking(|| ()).await;
        Ok(Exit::Ok)
    })
}

/// One thread serves. Another prepares large requests, one after the other as they share what is known of the sessions: with more
/// threads the allocator would keep a heap for each.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build();
    runtime.map_err(|error| Failure::new(Exit::Failure, "internal", format_args!("no event loop: {error}")))
}

/// Most connections at a time. Each may bring one to the gateway; both count against the limit of open files.
const CONNECTIONS: usize = 4096;

/// What a thread holds that panicked is still whole: nothing here is left half written.
fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
