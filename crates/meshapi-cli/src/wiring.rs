//! From settings to an agent: the only place that puts one together, and that names every crate.

use std::{path::Path, sync::Arc, time::Duration};

use mesh_agent::{
    Agent, AgentParts, GatewayModel, GatewayPrices, Model, OptimizeAt, Prices, Settings, SharedMode,
    ToolContext,
    builtin::{self, Asker, Servers},
    prompt::system_prompt,
    tool::ChildEnv,
};
use mesh_client::{ApiKey, MeshClient, RetryPolicy};
use mesh_safety::{PermissionMode, Policy};

use crate::{
    config::Config,
    exit::{Exit, Failure},
};

/// An agent, and what lives beside it.
pub struct Wired {
    /// The agent.
    pub agent: Agent,
    /// Servers that it started; end them before the process ends.
    pub servers: Servers,
    /// The gateway, for everything that is not a turn.
    pub client: MeshClient,
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

/// How often a live screen is drawn at most: 30 times a second.
const REDRAW: Duration = Duration::from_millis(33);

impl Gateway {
    /// The gateway of the settings, with the retries that the program makes. A headless reader gets every piece at once.
    pub fn of(config: &Config, key: &ApiKey, headless: bool) -> Gateway {
        // A daemon that a command leaves behind becomes our child, so that it ends with its call.
        mesh_agent::adopt_orphans();
        let client = MeshClient::builder(config.base_url().clone(), key.clone());
        let client = if headless { client } else { client.gather(REDRAW) }.build();
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
    wire_to(Gateway::of(config, key, headless), config, cwd, home, mode, headless, asker)
}

/// The same for any gateway.
///
/// # Errors
/// As [`wire`].
pub fn wire_to(
    gateway: Gateway,
    config: &Config,
    cwd: &Path,
    home: Option<&Path>,
    mode: PermissionMode,
    headless: bool,
    asker: Option<Arc<dyn Asker>>,
) -> Result<Wired, Failure> {
    let Gateway { client, model, prices } = gateway;
    let servers = Servers::new(Some(config.folder().path().to_owned()));
    let tools = builtin::standard(servers.clone(), Arc::new(client.clone()), asker);
    let tools = tools.map_err(|error| Failure::new(Exit::Failure, "internal", error))?;
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let removed = names.filter(|name| mesh_safety::env::is_withheld(name)).collect();
    let values = config.values();
    let home = home.map(Path::to_owned);
    let agent = Agent::new(AgentParts {
        model,
        prices,
        tools,
        context: ToolContext {
            cwd: cwd.to_owned(),
            home: home.clone(),
            env: Arc::new(ChildEnv { removed }),
            line: Default::default(),
        },
        policy: Policy { workspace: cwd.to_owned(), home, headless, workspace_reads: values.workspace_reads },
        mode: SharedMode::new(mode),
        settings: Settings {
            model: config.model().to_owned(),
            route: config.route().map(str::to_owned),
            fallback_models: values.fallback_models.clone(),
            reasoning_effort: values.reasoning_effort.clone(),
            optimize: values.optimize,
            optimize_at: OptimizeAt::Client,
        },
        system: system_prompt(config.system(), cwd),
        max_hops: config.max_hops(),
    });
    Ok(Wired { agent, servers, client })
}
