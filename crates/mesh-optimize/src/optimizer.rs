//! The front door: a body in, a body and a plan out.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

use crate::body::{Body, Own, Part, Shape, Site, Splice, segments};
use crate::dial::Dial;
use crate::helpers::{Helpers, Retain};
use crate::plan::{Cut, Lever, Miss, Plan, Untouched, fingerprint};
use crate::provider::{BREAKPOINTS, Cache, Provider, ProviderChoice};
use crate::receipt::{self, Prices, Receipt, Usage};
use crate::request::{self, Cheaper, Fields, session_of};
use crate::session::{Decision, SessionState, Terms};
use crate::tier::Tier;

/// How an optimiser works.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The dial, where the body's `mesh_optimize` does not set one.
    pub dial: Dial,
    /// The provider's cache rules.
    pub provider: ProviderChoice,
    /// How the model can read a cut text again; said in the notes.
    pub recall: Option<Recall>,
    /// A cheaper model that the user allows, from 0.6 on.
    pub cheaper: Option<Cheaper>,
    /// Notes that never change and are worth reading, the most useful line first. Where a prefix is too short to be cached and
    /// it pays, as many lines as that takes are put behind the system prompt.
    pub notes: Option<Arc<str>>,
}

/// How a model reads a text again that was cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recall {
    /// By a tool of this name, which takes the text's name.
    Tool(String),
    /// In a file below this folder: `FOLDER/SESSION/NAME.txt`, where SESSION is what [`Recall::session`] says.
    Files(String),
}

impl Recall {
    /// The name of a session's folder: no session id can lead elsewhere.
    pub fn session(id: &str) -> String {
        fingerprint(id.as_bytes())[..16].to_owned()
    }
}

/// What a caller knows beside the body; the body's own `mesh_hints` go before it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Hints {
    /// Seconds of any clock that runs on through the session.
    pub now: Option<f64>,
    /// So many messages at the end will not be in the next request.
    pub transient_tail: usize,
    /// Tokens that the model can take. Unknown, nothing is folded.
    pub window: Option<u64>,
    /// The session goes untouched, for comparison ([`is_held_out`](crate::is_held_out)); it still gets its receipts.
    pub held_out: bool,
}

/// A prepared request.
#[derive(Clone, Debug)]
pub struct Prepared<'a> {
    input: &'a [u8],
    splices: Vec<Splice>,
    /// What was done.
    pub plan: Plan,
}

impl<'a> Prepared<'a> {
    /// A request that is passed on as it is.
    pub(crate) fn untouched(input: &'a [u8], dial: Dial, why: Untouched) -> Prepared<'a> {
        Prepared { input, splices: Vec::new(), plan: Plan::untouched(dial, why) }
    }

    /// The bytes to send: the client's own where nothing was to be done.
    pub fn body(&self) -> Cow<'a, [u8]> {
        match self.splices.is_empty() {
            true => Cow::Borrowed(self.input),
            false => Cow::Owned(self.segments().fold(Vec::new(), |mut body, piece| {
                body.extend_from_slice(piece);
                body
            })),
        }
    }

    /// The bytes to send, piece by piece: nothing is copied.
    pub fn segments(&self) -> impl Iterator<Item = &[u8]> {
        segments(self.input, &self.splices)
    }
}

/// Makes requests cheaper.
#[derive(Clone, Debug, Default)]
pub struct Optimizer {
    config: Config,
}

/// What is written in front of a string that becomes a list of one marked part, and behind it.
const OPEN_PART: &[u8] = br#"[{"type":"text","text":"#;
const CLOSE_PART: &[u8] = br#","cache_control":{"type":"ephemeral"}}]"#;
/// What is written in front of the brace that closes a marked part.
const MARK: &[u8] = br#","cache_control":{"type":"ephemeral"}"#;

/// A provider's count of a whole request is believed within these bounds around the estimate; beyond them something else was counted.
const HEAVIER: std::ops::RangeInclusive<f64> = 0.8..=1.25;

impl Optimizer {
    /// Returns an optimiser that works by `config`.
    pub fn new(config: Config) -> Optimizer {
        Optimizer { config }
    }

    /// The dial where a body sets none.
    pub(crate) fn dial(&self) -> Dial {
        self.config.dial
    }

    /// Prepares a request body.
    ///
    /// It cannot fail: what is not understood is passed on as it is, and the plan says why.
    pub fn prepare<'a>(&self, body: &'a [u8], session: &mut SessionState) -> Prepared<'a> {
        self.prepare_with(body, session, Hints::default(), Helpers::default())
    }

    /// Prepares a request body of which the caller knows more than it says.
    pub fn prepare_with<'a>(
        &self,
        bytes: &'a [u8],
        session: &mut SessionState,
        hints: Hints,
        helpers: Helpers<'_>,
    ) -> Prepared<'a> {
        let body = match Body::read(bytes, &session.saved.seen) {
            Ok(body) => body,
            Err(why) => return Prepared::untouched(bytes, self.config.dial, Untouched::Unreadable(why)),
        };
        self.prepare_read(&body, session, hints, helpers)
    }

    /// Settles a request: what it cost by `usage` (without one: as reckoned) and `prices` (without them: no money figures), and
    /// what it would have cost without us.
    pub fn settle(
        &self,
        plan: &Plan,
        usage: Option<&Usage>,
        prices: Option<&Prices>,
        session: &mut SessionState,
    ) -> Receipt {
        if let Some((weighed, usage)) = plan.weighed.zip(usage.filter(|usage| usage.input > 0)) {
            let heavier = usage.input as f64 / (weighed + plan.tokens_added).max(1.0);
            session.saved.heavier = Some(heavier).filter(|heavier| HEAVIER.contains(heavier));
        }
        receipt::settle(plan, usage, prices, &mut session.saved.tally)
    }

    pub(crate) fn prepare_read<'a>(
        &self,
        body: &Body<'a>,
        session: &mut SessionState,
        hints: Hints,
        helpers: Helpers<'_>,
    ) -> Prepared<'a> {
        let dial = match body.value("mesh_optimize") {
            Some(Value::Null) | None => self.config.dial,
            Some(dial) => Dial::from_json(&dial),
        };
        if dial.is_off() {
            return Prepared::untouched(body.bytes, dial, Untouched::Off);
        }
        let asked = body.text("model").unwrap_or_default();
        let hints = hints_of(body, hints);
        let first = session.saved.seen.is_empty();
        let fields = match hints.held_out {
            true => Fields::default(),
            false => {
                let (cheaper, routed) = (self.config.cheaper.as_ref(), &mut session.saved.routed);
                request::fields(body, dial, &asked, cheaper, routed, first)
            }
        };
        let model = session.saved.routed.clone().unwrap_or(asked);
        let provider = match (self.config.provider.for_model(&model), body.shape) {
            // There is no place for a breakpoint: whoever caches here does it unasked.
            (marked, Shape::Items) if marked.is_marked() => Provider { cache: Cache::Prefix, ..marked },
            (provider, _) => provider,
        };
        let tail = session.transient(body, hints.transient_tail);
        let stay = body.messages.len() - tail.min(body.messages.len());
        let (own_marks, client_marks, locked) = client_marks(body, stay);
        let folder = || session_of(body).map(|id| Recall::session(&id));
        let recall = |name: &str| match &self.config.recall {
            Some(Recall::Tool(tool)) => format!("; read them with {tool}(\"{name}\")"),
            Some(Recall::Files(files)) => {
                folder().map_or(String::new(), |folder| format!("; all in {files}/{folder}/{name}.txt"))
            }
            None => String::new(),
        };
        let terms = Terms {
            tier: if hints.held_out { Tier::default() } else { Tier::of(dial, &provider) },
            optimise: !hints.held_out,
            provider,
            stay,
            locked,
            own_marks,
            slots: BREAKPOINTS.saturating_sub(client_marks),
            now: hints.now,
            head: head(body),
            head_bytes: ["tools", "system", "instructions"]
                .iter()
                .filter_map(|name| body.raw(name))
                .map(<[u8]>::len)
                .sum(),
            window: hints.window.map(|tokens| tokens as f64),
            notes: self.config.notes.as_deref(),
            recall: &recall,
        };
        let frozen_before = session.saved.frozen.keys().next_back().copied();
        let decision = session.follow(body, &terms, helpers.summarize);
        let mut splices = removals(body, &fields.gone);
        splices.extend(fields.splices);
        edits(body, session, &mut splices);
        session.add_notes(body, &terms, &mut splices);
        marks(body, session, &terms, &decision, &mut splices);
        splices.sort_by_key(|splice| (splice.span.start, splice.span.end));
        let plan = Plan {
            model,
            dial: dial.value(),
            provider: Some(provider),
            untouched: hints.held_out.then_some(Untouched::HeldOut),
            breakpoints: decision.marks.clone(),
            cuts: cuts(body, session, &decision, frozen_before, helpers.retain),
            tokens_cut: session.memory.tokens_cut(),
            tokens_added: decision.added,
            weighed: (tail == 0).then(|| session.weigh_prefix(body, &terms, stay)).flatten(),
            tokens_rewritten: decision.rewritten,
            sent: decision.sent,
            native: decision.native,
            miss: if first { Some(Miss::First) } else { decision.miss },
            settings: fields.settings,
            advice: request::advice(body, dial),
            summary_units: decision.summary_units,
        };
        Prepared { input: body.bytes, splices, plan }
    }
}

/// The body's hints, over the caller's.
fn hints_of(body: &Body<'_>, mut hints: Hints) -> Hints {
    if let Some(Value::Object(own)) = body.value("mesh_hints") {
        if let Some(now) = own.get("now").and_then(Value::as_f64).filter(|now| now.is_finite()) {
            hints.now = Some(now);
        }
        if let Some(tail) = own.get("transient_tail").and_then(Value::as_u64) {
            hints.transient_tail = usize::try_from(tail).unwrap_or(usize::MAX);
        }
        hints.window = own.get("context_window").and_then(Value::as_u64).or(hints.window);
    }
    hints
}

/// The messages in which the client set breakpoints, how many breakpoints it set in all, and how many messages lie inside them.
fn client_marks(body: &Body<'_>, stay: usize) -> (Vec<usize>, usize, usize) {
    let finder = memchr::memmem::Finder::new(b"\"cache_control\"");
    if finder.find(body.bytes).is_none() {
        return (Vec::new(), 0, 0);
    }
    let fields = ["tools", "system"].iter().filter_map(|name| body.raw(name));
    let mut count: usize = fields.map(|raw| finder.find_iter(raw).count()).sum();
    let mut marked = Vec::new();
    for (number, place) in body.messages.iter().enumerate() {
        let raw = &body.bytes[place.span.clone()];
        if finder.find(raw).is_none() {
            continue;
        }
        let own = crate::body::Message::read(raw).marks;
        if own > 0 {
            marked.push(number);
            count += own;
        }
    }
    // One at the top follows the last block.
    if body.raw("cache_control").is_some_and(|raw| raw != b"null") {
        marked.extend(stay.checked_sub(1));
        count += 1;
    }
    let locked = marked.iter().map(|number| number + 1).max().unwrap_or(0).min(stay);
    (marked, count, locked)
}

/// Hash of what stands in front of the messages.
fn head(body: &Body<'_>) -> u64 {
    let mut all = Vec::new();
    for name in ["model", "tools", "system", "instructions", "thinking"] {
        all.extend_from_slice(&xxh3_64(body.raw(name).unwrap_or_default()).to_le_bytes());
    }
    xxh3_64(&all)
}

fn removals(body: &Body<'_>, gone: &[&str]) -> Vec<Splice> {
    let spans = body.removals(&[&["mesh_optimize", "mesh_hints"], gone].concat()).into_iter();
    spans.map(|span| Splice { span, with: Own::Fixed(b"") }).collect()
}

fn edits(body: &Body<'_>, session: &SessionState, splices: &mut Vec<Splice>) {
    for id in session.saved.frozen.keys() {
        let Some(fact) = session.memory.texts.get(*id) else { continue };
        let (Some(rendered), Some(place)) = (&fact.rendered, body.messages.get(fact.message)) else {
            continue;
        };
        let inner = &session.memory.messages[fact.message].message.texts[fact.index].span;
        let span = place.span.start + inner.start..place.span.start + inner.end;
        splices.push(Splice { span, with: Own::Shared(rendered.clone()) });
    }
}

fn marks(
    body: &Body<'_>,
    session: &SessionState,
    terms: &Terms<'_>,
    decision: &Decision,
    splices: &mut Vec<Splice>,
) {
    if !terms.provider.is_marked() {
        return;
    }
    let mut insert =
        |at: usize, with: &'static [u8]| splices.push(Splice { span: at..at, with: Own::Fixed(with) });
    for mark in &decision.marks {
        let start = body.messages[*mark].span.start;
        match &session.memory.messages[*mark].message.site {
            Some(Site::Content(span)) => {
                insert(start + span.start, OPEN_PART);
                insert(start + span.end, CLOSE_PART);
            }
            Some(Site::Part(at) | Site::Message(at)) => insert(start + at, MARK),
            None => {}
        }
    }
}

fn cuts(
    body: &Body<'_>,
    session: &SessionState,
    decision: &Decision,
    before: Option<usize>,
    mut retain: Option<&mut (dyn Retain + '_)>,
) -> Vec<Cut> {
    let fresh = session.saved.frozen.keys().copied().filter(|id| before.is_none_or(|before| *id > before));
    let mut ids: Vec<usize> = fresh.chain(decision.cut.iter().copied()).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.into_iter()
        .filter_map(|id| {
            let fact = session.memory.texts.get(id)?;
            let original = session.original(body, id)?;
            let fold = session.saved.frozen.get(&id).is_some_and(|frozen| frozen.fold);
            let lever = match (fact.lossy, fact.part) {
                (false, _) => Lever::CleanUp,
                _ if fold => Lever::Fold,
                (true, Part::Call(_)) => Lever::Arguments,
                (true, Part::Words) => Lever::Summary,
                (true, _) => Lever::Prune,
            };
            let cut = Cut {
                id: session.memory.name(fact),
                message: fact.message,
                lever,
                sha256: fingerprint(original.as_bytes()),
                before: original.len(),
                after: fact.now,
                lossy: fact.lossy,
            };
            if let Some(retain) = retain.as_deref_mut() {
                retain.retain(&cut, &original);
            }
            Some(cut)
        })
        .collect()
}
