//! From a request to an answer: who calls, may it, what does it ask for, what does the store say.
//!
//! - `table`: which address is what
//! - `messages`: send, fetch, stream, batch
//! - `work`: claim, acknowledge, give back
//! - `peers`: names, tokens, invitations, presence
//! - `shared`: threads and groups
//! - `status`: health, readiness, counters
mod messages;
mod peers;
mod shared;
mod status;
mod stream;
pub(crate) mod table;
mod work;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use bytes::Bytes;
use mesh_client::http::{Body, BodyReader, HttpError, Request, Response, header};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::directory::{Caller, Directory, Unknown};
use super::engine::Engine;
use super::hub::Hub;
use super::limits::{Limits, Rates};
use super::metrics::Metrics;
use super::news::Looked;
use super::reply::{Picture, Problem, Reply};
use super::stamp::Stamp;
use super::store::{Command, Done, Refusal, Seen, Store};
pub(super) use peers::new_token;
use table::{Miss, Route};

/// Longest time that a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);
/// Longest wait for memory.
const MEMORY_TIME: Duration = Duration::from_secs(5);
/// How often a request looks again who is known, when others change the same at the same moment.
const MAX_LOOKS: usize = 5;
/// Bytes of a body that is refused which are read all the same, so that its sender gets to read the answer.
const DRAIN_BYTES: usize = 32 << 20;

/// All that requests share.
pub(crate) struct Shared<S: Store> {
    pub(super) engine: Engine<S>,
    pub(super) directory: RwLock<Directory>,
    /// How new the directory is, where other gateways change it too.
    pub(super) looked: Option<Looked>,
    pub(super) hub: Arc<Hub>,
    pub(super) limits: Limits,
    pub(super) metrics: Arc<Metrics>,
    pub(super) rates: Mutex<Rates>,
    /// Who was heard of since this was last written down.
    pub(super) seen: Mutex<HashMap<String, Seen>>,
    /// Memory for bodies, in KiB.
    pub(super) bodies: Arc<Semaphore>,
    /// Memory for answers, in KiB.
    pub(super) answers: Arc<Semaphore>,
    /// Whether the gateway is told to stop.
    pub(super) stopping: watch::Receiver<bool>,
    /// What must not be sent as content.
    pub(super) operator_token: String,
}

/// A lock whose holder panicked still holds what it held: counters and names.
pub(super) fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A request without its body.
pub(super) struct Call {
    pub(super) caller: Caller,
    pub(super) query: String,
    pub(super) idempotency_key: Option<Result<String, ()>>,
    pub(super) last_event_id: Option<String>,
}

impl<S: Store> Shared<S> {
    /// Answers a request; whatever happens, there is an answer.
    pub(crate) async fn answer(self: Arc<Self>, request: Request<BodyReader>) -> Response<Body> {
        let reply = match self.dispatch(request).await {
            Ok(reply) => reply,
            Err(problem) => problem.into_reply(),
        };
        self.metrics.answered(reply.status);
        reply.into_response()
    }

    async fn dispatch(self: &Arc<Self>, request: Request<BodyReader>) -> Result<Reply, Problem> {
        let (parts, body) = request.into_parts();
        let route = table::find(&parts.method, parts.uri.path()).map_err(|miss| match miss {
            Miss::NotFound => Problem::new(404, "Not Found"),
            Miss::Method(allow) => Problem { allow: Some(allow), ..Problem::new(405, "Method Not Allowed") },
            Miss::NotHere(what) => Problem::not_here(&what),
        })?;
        match route {
            Route::Health => return Ok(self.health()),
            Route::Ready => return self.ready(),
            Route::Metrics => return self.metrics_text().await,
            _ => {}
        }
        let text =
            |name: &str| parts.headers.get(name).map(|value| value.to_str().map(str::to_owned).map_err(drop));
        let authorization = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let mut caller = self.directory().caller(authorization, Stamp::now());
        if caller == Err(Unknown::Bad) && self.learn().await? {
            caller = self.directory().caller(authorization, Stamp::now());
        }
        let caller = caller?;
        if let Some(name) = caller.name() {
            self.note_seen(name);
        }
        let call = Call {
            caller,
            query: parts.uri.query().unwrap_or_default().to_owned(),
            idempotency_key: text("idempotency-key"),
            last_event_id: text("last-event-id").and_then(Result::ok),
        };
        let limit = if route == Route::Batch { self.limits.batch_bytes } else { self.limits.body_bytes };
        let announced = parts.headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
        // One who waits for mail holds no headers meanwhile.
        drop(parts);
        let (body, permit) = self.read(body, announced, limit).await?;
        let mut reply = self.route(route.clone(), &call, body.clone()).await;
        // What the directory refuses was not begun. A send has looked again by itself, for each receiver.
        let mut has_learned = route == Route::Send;
        for _ in 0..MAX_LOOKS {
            let Err(problem) = &reply else { break };
            match problem.picture {
                Picture::Old => self.look_again().await?,
                Picture::PerhapsOld if !has_learned && self.learn().await? => has_learned = true,
                Picture::PerhapsOld | Picture::Irrelevant => break,
            }
            reply = self.route(route.clone(), &call, body.clone()).await;
        }
        drop(permit);
        reply
    }

    async fn route(self: &Arc<Self>, route: Route, call: &Call, body: Bytes) -> Result<Reply, Problem> {
        match route {
            Route::Send => self.send(call, &body).await,
            Route::Batch => self.batch(call, &body).await,
            Route::Fetch => self.fetch(call).await,
            Route::Stream => self.stream(call).await,
            Route::Message(id) => self.message(call, &id).await,
            Route::Claim => self.claim(call, &body).await,
            Route::Work(id, work) => self.work(call, &id, work, &body).await,
            Route::Peers => self.peers(call).await,
            Route::Peer(name) => self.peer(&name).await,
            Route::Register => self.register(call, &body).await,
            Route::Disable(name) => self.enable(call, &name, false).await,
            Route::Enable(name) => self.enable(call, &name, true).await,
            Route::Rotate(name) => self.rotate(call, &name).await,
            Route::Revoke(name) => self.revoke(call, &name).await,
            Route::Invite => self.invite(call, &body).await,
            Route::Presence => self.presence(call, &body),
            Route::Threads => self.threads(call).await,
            Route::MintThread => self.mint_thread(call, &body).await,
            Route::Thread(uuid) => self.thread(call, &uuid).await,
            Route::Groups => Ok(self.groups()),
            Route::PutGroup => self.put_group(call, &body).await,
            Route::DropGroup(name) => self.drop_group(call, &name).await,
            Route::Members(name) => self.members(&name),
            Route::AddMember(name) => self.add_member(call, &name, &body).await,
            Route::RemoveMember(name, peer) => self.remove_member(call, &name, &peer).await,
            Route::Health | Route::Ready | Route::Metrics => Err(Problem::new(404, "Not Found")),
        }
    }

    /// Reads a body, with its memory reserved; one that is too large is refused before it is parsed.
    async fn read(
        &self,
        mut body: BodyReader,
        announced: Option<usize>,
        limit: usize,
    ) -> Result<(Bytes, Option<OwnedSemaphorePermit>), Problem> {
        if body.is_ended() {
            return Ok((Bytes::new(), None));
        }
        if announced.is_some_and(|length| length > limit) {
            body.drain(DRAIN_BYTES, MEMORY_TIME).await;
            return Err(Problem::too_large(limit));
        }
        let permit = reserve(&self.bodies, announced.unwrap_or(limit)).await?;
        match tokio::time::timeout(BODY_TIME, body.collect(limit)).await {
            Ok(Ok(bytes)) => Ok((bytes, Some(permit))),
            Ok(Err(HttpError::TooLarge { limit })) => Err(Problem::too_large(limit)),
            Ok(Err(HttpError::Timeout { .. })) | Err(_) => Err(Problem::new(408, "the body took too long")),
            Ok(Err(_)) => Err(Problem::new(400, "the body was cut off")),
        }
    }

    /// Notes that a peer was heard of; written down every few seconds.
    pub(super) fn note_seen(&self, name: &str) {
        let at = Stamp::now();
        let mut seen = held(&self.seen);
        match seen.get_mut(name) {
            Some(seen) => seen.at = at,
            None => {
                let new = Seen { name: name.to_owned(), at, online_until: None };
                seen.insert(name.to_owned(), new);
            }
        }
    }

    pub(super) fn directory(&self) -> RwLockReadGuard<'_, Directory> {
        self.directory.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn directory_mut(&self) -> RwLockWriteGuard<'_, Directory> {
        self.directory.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has one command done; what the store refuses is a problem of the caller.
    pub(super) async fn done(&self, command: Command) -> Result<Done, Problem> {
        self.engine.one(command).await?.map_err(|refusal: Refusal| refusal.into())
    }
}

/// Reserves memory, in steps of KiB.
///
/// # Errors
/// There is none for some time.
pub(super) async fn reserve(memory: &Arc<Semaphore>, bytes: usize) -> Result<OwnedSemaphorePermit, Problem> {
    let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
    match tokio::time::timeout(MEMORY_TIME, Arc::clone(memory).acquire_many_owned(kib)).await {
        Ok(Ok(permit)) => Ok(permit),
        Ok(Err(_)) | Err(_) => Err(Problem::busy()),
    }
}
