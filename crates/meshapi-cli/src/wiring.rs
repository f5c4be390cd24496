//! From settings to an agent: the only place that puts one together, and that names every crate.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use mesh_agent::{
    Agent, AgentParts, GatewayModel, GatewayPrices, Mailroom, Model, OptimizeAt, Outgoing, Prices, Receipt,
    Saver, Saving, Settings, SharedMode, ToolContext,
    builtin::{self, Asker, Servers},
    prompt::{HANDBOOK, system_prompt},
    recall,
    tool::ChildEnv,
    web::Web,
};
use mesh_client::{ApiKey, Catalog, ClientError, MeshClient, RequestBody, RetryPolicy, wire};
use mesh_optimize::{
    Basis, Cache, Dial, Helpers, Hints, Lever, Miss, Optimizer, Plan, Provider, ProviderChoice, Recall,
    SessionState, Usage,
};
use mesh_safety::{PermissionMode, Policy};

use crate::{
    config::Config,
    confine::{Confinement, Confining},
    exit::{Exit, Failure},
    mail::{Desk, desk::LEASE},
    permissions::Permissions,
    savings::{Books, Cut},
};

/// An agent, and what lives beside it.
pub struct Wired {
    /// The agent.
    pub agent: Agent,
    /// Servers that it started; end them before the process ends.
    pub servers: Servers,
    /// The gateway, for everything that is not a turn.
    pub client: MeshClient,
    /// What the dial did.
    pub savings: Books,
    /// What the user always allows, asks or denies.
    pub permissions: Permissions,
    /// What confines commands; while it is looked for the agent runs none.
    pub confined: Confining,
    /// The user's mailbox, where name and gateway are set.
    pub mail: Option<Arc<Desk>>,
    /// Why there is none although they are.
    pub mail_warning: Option<String>,
}

impl Wired {
    /// Waits until it is known what confines commands, and gives it to the agent. Returns a warning the first time, if there is one.
    pub fn confine(&mut self) -> Option<String> {
        if !self.confined.wait() {
            return None;
        }
        let found = self.confined.found();
        self.agent.confine(found.sandbox.clone(), self.confined.judged());
        found.warning()
    }
}

/// Who answers, and who knows the prices.
pub struct Gateway {
    /// For everything that is not a turn.
    pub client: MeshClient,
    /// Answers the requests of turns.
    pub model: Arc<dyn Model>,
    /// Where prices come from when replies do not say theirs.
    pub prices: Option<Arc<dyn Prices>>,
}

/// Steps in which a live screen shows a reply that runs faster than anyone reads: 15 a second, at which text still seems to flow.
const STEP: Duration = Duration::from_millis(66);

impl Gateway {
    /// The gateway of the settings, with the retries that the program makes. A headless reader gets every piece at once.
    pub fn of(config: &Config, key: &ApiKey, headless: bool) -> Gateway {
        // A daemon that a command leaves behind becomes our child, so that it ends with its call.
        mesh_agent::adopt_orphans();
        let client = MeshClient::builder(config.base_url().clone(), key.clone());
        let client = if headless { client } else { client.gather(STEP) }.build();
        Gateway {
            model: Arc::new(GatewayModel { client: client.clone(), retry: RetryPolicy::default() }),
            prices: Some(Arc::new(GatewayPrices::new(client.clone()))),
            client,
        }
    }
}

/// Puts an agent together that works in `cwd` and talks to the gateway of the settings. Without somebody who can be asked
/// it is headless.
///
/// # Errors
/// The built-in tools do not make a set, which is a fault of this program.
pub fn wire(
    config: &Config,
    key: &ApiKey,
    cwd: &Path,
    home: Option<&Path>,
    mode: PermissionMode,
    asker: Option<Arc<dyn Asker>>,
) -> Result<Wired, Failure> {
    let headless = asker.is_none();
    let confined = match config.is_sandboxed() {
        true => Confining::search(config.folder(), cwd, home, config.allow_net()),
        false => Confinement::off().into(),
    };
    let (mail, warning) = match desk(config, key) {
        None => (None, None),
        Some(Ok(desk)) => (Some(Arc::new(desk)), None),
        Some(Err(error)) => (None, Some(format!("your mailbox is not used: {error}"))),
    };
    let gateway = Gateway::of(config, key, headless);
    let mut wired = wire_confined(gateway, config, cwd, home, mode, headless, asker, confined, mail)?;
    wired.mail_warning = warning;
    Ok(wired)
}

/// The mailbox of a run, if name and gateway are set. What must go into no message: the key, and what variables hold whose names say
/// that it is a credential.
fn desk(config: &Config, key: &ApiKey) -> Option<Result<Desk, String>> {
    let account = config.mail()?.clone();
    let named = std::env::vars().filter(|(name, _)| mesh_safety::env::names_credential(name));
    let secrets = named.map(|(_, value)| value).chain([key.expose().to_owned()]).collect();
    Some(Desk::open(account, config.values().mail.clone(), secrets, config.lease().unwrap_or(LEASE)))
}

/// The same for any gateway, with commands that are not confined.
///
/// # Errors
/// As [`wire()`].
pub fn wire_to(
    gateway: Gateway,
    config: &Config,
    cwd: &Path,
    home: Option<&Path>,
    mode: PermissionMode,
    headless: bool,
    asker: Option<Arc<dyn Asker>>,
) -> Result<Wired, Failure> {
    wire_confined(gateway, config, cwd, home, mode, headless, asker, Confinement::off().into(), None)
}

#[expect(clippy::too_many_arguments, reason = "what the two doors above take, the sandbox and the mailbox")]
fn wire_confined(
    gateway: Gateway,
    config: &Config,
    cwd: &Path,
    home: Option<&Path>,
    mode: PermissionMode,
    headless: bool,
    asker: Option<Arc<dyn Asker>>,
    confined: Confining,
    mail: Option<Arc<Desk>>,
) -> Result<Wired, Failure> {
    let Gateway { client, model, prices } = gateway;
    let servers = Servers::new(Some(config.folder().path().to_owned()));
    let room = mail.clone().map(|desk| desk as Arc<dyn Mailroom>);
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let removed = names.filter(|name| mesh_safety::env::is_withheld(name)).collect();
    let values = config.values();
    let session_id = uuid::Uuid::new_v4().to_string();
    let savings = Books::new(config.folder(), &session_id);
    let optimize_at = match config.optimize_at_gateway() {
        true => OptimizeAt::Gateway { session_id: session_id.into() },
        false => OptimizeAt::Client,
    };
    let home = home.map(Path::to_owned);
    let policy = Policy {
        workspace: cwd.to_owned(),
        home: home.clone(),
        headless,
        workspace_reads: values.workspace_reads,
        confined: confined.judged(),
        ..Policy::default()
    };
    let permissions = Permissions::load(config.folder(), &policy)?;
    let web = Web::default().with_rules(permissions.rules().clone());
    let tools = builtin::with_mail(servers.clone(), Arc::new(client.clone()), web, asker, room.as_ref());
    let tools = tools.map_err(|error| Failure::new(Exit::Failure, "internal", error))?;
    let mut agent = Agent::new(AgentParts {
        model,
        prices,
        tools,
        context: ToolContext {
            cwd: cwd.to_owned(),
            home,
            env: Arc::new(ChildEnv { removed }),
            line: Default::default(),
            sandbox: confined.found().sandbox.clone(),
            grants: Vec::new(),
            sighting: None,
        },
        policy,
        rules: permissions.rules().clone(),
        mode: SharedMode::new(mode),
        settings: Settings {
            model: config.model().to_owned(),
            route: config.route().map(str::to_owned),
            fallback_models: values.fallback_models.clone(),
            reasoning_effort: values.reasoning_effort.clone(),
            optimize: config.optimize(),
            optimize_at,
        },
        system: system_prompt(config.system(), cwd),
        max_hops: config.max_hops(),
    });
    agent.save_with(Arc::new(Levers {
        books: savings.clone(),
        state: Arc::default(),
        notes: HANDBOOK.into(),
    }));
    if let Some(room) = room {
        agent.mail_with(room);
    }
    Ok(Wired { agent, servers, client, savings, confined, permissions, mail, mail_warning: None })
}

/// What a dial runs with a model, in words: `cache breakpoints, lossless clean-up`, and the provider's cache rules.
pub fn levers_of(dial: f64, model: &str) -> (String, String) {
    let provider = Provider::of_model(model);
    let levers = Dial::new(dial).map(|dial| mesh_optimize::levers(dial, &provider)).unwrap_or_default();
    let mut names: Vec<&str> = levers.into_iter().map(lever_name).collect();
    // Where less is needed, the prompt and the tools are long enough.
    if !names.is_empty() && matches!(provider.cache, Cache::Marked { minimum } if minimum > 2_000) {
        names.push("notes that fill a short prefix");
    }
    (names.join(", "), provider.to_string())
}

fn lever_name(lever: Lever) -> &'static str {
    match lever {
        Lever::Breakpoints => "cache breakpoints",
        Lever::CleanUp => "lossless clean-up",
        Lever::Prune => "shortened results",
        Lever::Arguments => "shortened calls",
        Lever::Fold => "compaction",
        Lever::Summary => "summaries",
    }
}

fn miss_name(miss: Miss) -> &'static str {
    match miss {
        Miss::First => "first request",
        Miss::Idle => "idle for too long",
        Miss::Head => "model, tools or system changed",
        Miss::History => "history changed",
        Miss::Unexplained => "unexplained",
    }
}

/// The optimiser, as the agent takes it.
struct Levers {
    books: Books,
    state: Arc<Mutex<LeverState>>,
    notes: Arc<str>,
}

/// What the optimiser remembers of a conversation, and what it must not do any more.
#[derive(Default)]
struct LeverState {
    session: SessionState,
    /// By model.
    off: HashMap<String, Off>,
}

/// What a model's gateway has refused.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Off {
    Breakpoints,
    Everything,
}

/// A request that the optimiser prepared.
struct Lightened {
    books: Books,
    state: Arc<Mutex<LeverState>>,
    optimizer: Optimizer,
    plan: Plan,
    body: RequestBody,
}

impl Saver for Levers {
    fn prepare(&self, outgoing: Outgoing<'_>) -> Option<Box<dyn Saving>> {
        let Outgoing { body, model, dial, transient, window, now } = outgoing;
        let dial = Dial::new(dial.min(Dial::MAX.value())).ok()?;
        let mut state = lock(&self.state);
        let provider = match state.off.get(model) {
            Some(Off::Everything) => return None,
            Some(Off::Breakpoints) => {
                ProviderChoice::Is(Provider { cache: Cache::Prefix, ..Provider::of_model(model) })
            }
            None => ProviderChoice::Auto,
        };
        let recall = Some(Recall::Tool(recall::TOOL.to_owned()));
        let notes = Some(self.notes.clone());
        let optimizer =
            Optimizer::new(mesh_optimize::Config { dial, provider, recall, cheaper: None, notes });
        let hints = Hints { now: Some(now), transient_tail: transient, window, held_out: false };
        let prepare = || {
            let prepared = optimizer.prepare_with(&body, &mut state.session, hints, Helpers::default());
            (RequestBody::from_pieces(&body, prepared.segments()), prepared.plan)
        };
        // A fault in the optimiser is no reason that a turn fails.
        let Ok((lighter, plan)) = catch_unwind(AssertUnwindSafe(prepare)) else {
            state.session = SessionState::default();
            state.off.insert(model.to_owned(), Off::Everything);
            self.books.refused(&format!(
                "the optimiser failed inside; the dial is off for {model} in this session"
            ));
            return None;
        };
        if plan.untouched.is_some() {
            return None;
        }
        self.books.prepared(model, plan.cuts.iter().map(cut).collect(), plan.breakpoints.len());
        let (books, state) = (self.books.clone(), self.state.clone());
        Some(Box::new(Lightened { books, state, optimizer, plan, body: lighter }))
    }

    fn is_in_use(&self) -> bool {
        lock(&self.state).session.messages() > 0
    }

    fn recalled(&self) {
        self.books.recalled();
    }

    fn cleared(&self) {
        lock(&self.state).session = SessionState::default();
    }
}

impl Saving for Lightened {
    fn body(&self) -> RequestBody {
        self.body.clone()
    }

    fn settled(
        self: Box<Self>,
        model: Option<&str>,
        usage: Option<&wire::Usage>,
        catalog: Option<&Catalog>,
    ) -> Receipt {
        let usage = usage.map(|usage| Usage {
            input: usage.prompt_tokens.unwrap_or(0),
            cache_read: usage.cached_tokens(),
            cache_write: usage.cache_creation_tokens(),
            output: usage.completion_tokens.unwrap_or(0),
        });
        // Another model than the one asked for has its own price.
        let row = catalog.and_then(|catalog| catalog.lookup(model.unwrap_or(&self.plan.model)));
        let prices = row.and_then(prices);
        let receipt = self.optimizer.settle(
            &self.plan,
            usage.as_ref(),
            prices.as_ref(),
            &mut lock(&self.state).session,
        );
        let mut receipt = Receipt {
            dial: receipt.dial,
            is_estimate: receipt.basis == Basis::Estimate,
            billed_usd: receipt.billed_usd,
            saved_vs_native_usd: receipt.saved_vs_native_usd,
            saved_vs_uncached_usd: receipt.saved_vs_uncached_usd,
            tokens_cut: receipt.tokens_cut,
            tokens_rewritten: receipt.tokens_rewritten,
            tokens_added: receipt.tokens_added,
            input: receipt.input,
            cache_read: receipt.cache_read,
            cache_write: receipt.cache_write,
            miss: receipt.miss.map(miss_name),
            session: Default::default(),
        };
        receipt.session = self.books.settled(&receipt);
        receipt
    }

    fn rejected(self: Box<Self>, error: &ClientError) -> String {
        let model = &self.plan.model;
        let mut state = lock(&self.state);
        // Breakpoints change the shape of a message: they are the first to be suspected, and the cuts only when it was not them.
        let are_suspected = !self.plan.breakpoints.is_empty() && !state.off.contains_key(model);
        let (off, what) = match are_suspected {
            true => (Off::Breakpoints, "cache breakpoints are"),
            false => (Off::Everything, "the dial is"),
        };
        state.off.insert(model.clone(), off);
        let note = format!(
            "the gateway refused an optimised request and took it as it was; {what} off for {model} in this session"
        );
        self.books.refused(&format!("{note} ({error})"));
        note
    }
}

fn lock(state: &Mutex<LeverState>) -> MutexGuard<'_, LeverState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn cut(cut: &mesh_optimize::Cut) -> Cut {
    Cut {
        id: cut.id.clone(),
        message: cut.message,
        lever: lever_name(cut.lever),
        sha256: cut.sha256.clone(),
        before: cut.before,
        after: cut.after,
        is_lossy: cut.lossy,
    }
}

/// What the user pays for a token of a model of the catalogue; `None` where that does not say what a prompt costs.
pub fn prices(row: &wire::Model) -> Option<mesh_optimize::Prices> {
    let pricing = &row.pricing;
    let token = |per_million: f64| per_million / 1e6 * (1.0 - pricing.discount_percent / 100.0);
    Some(mesh_optimize::Prices {
        input: token(pricing.prompt_per_million?),
        output: token(pricing.completion_per_million.unwrap_or(0.0)),
        cache_read: pricing.cache_read_per_million.map(token),
        cache_write: None,
    })
}
