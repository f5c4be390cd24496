//! The built-in tools and a place to run them.

use std::{path::Path, sync::Arc, time::Duration};

use mesh_agent::{
    Tool, ToolContext, ToolSet,
    builtin::{self, AnswersFuture, Asker, Question, RunBash, SearchError, SearchFuture, Servers, WebSearch},
    tool::{ChildEnv, ToolSpec},
    web::Web,
};

/// The tools of the reference and their arguments: what vectors may name, and all that is reported.
pub(super) const REFERENCE: [(&str, &[&str]); 9] = [
    ("ask_user", &["questions"]),
    ("create_plan", &["steps"]),
    ("read_file", &["path"]),
    ("remember", &["note"]),
    ("run_bash", &["command", "timeout"]),
    ("start_server", &["command", "port", "cwd", "wait_seconds"]),
    ("update_step", &["index", "status"]),
    ("web_search", &["query"]),
    ("write_file", &["path", "content"]),
];

/// The tools that the program offers.
pub(super) struct Toolbox {
    tools: ToolSet,
}

impl Default for Toolbox {
    fn default() -> Toolbox {
        Toolbox::with_servers(&Servers::new(None))
    }
}

impl Toolbox {
    /// Tools that keep the servers they start here.
    pub(super) fn with_servers(servers: &Servers) -> Toolbox {
        let tools =
            builtin::standard(servers.clone(), Arc::new(NoWeb), Web::default(), Some(Arc::new(NoPerson)));
        Toolbox { tools: tools.expect("the built-in tools have names of their own and valid schemas") }
    }

    pub(super) fn set(&self) -> &ToolSet {
        &self.tools
    }

    pub(super) fn spec(&self, name: &str) -> Option<&ToolSpec> {
        self.tools.spec(name)
    }

    /// Whether the reference has a tool of this name that the program lacks.
    pub(super) fn lacks(&self, name: &str) -> bool {
        self.spec(name).is_none() && REFERENCE.iter().any(|(known, _)| *known == name)
    }

    /// The tool of that name, with another limit for commands that name none.
    pub(super) fn tool(&self, name: &str, limit: Option<Duration>) -> Option<Arc<dyn Tool>> {
        let tool = self.tools.get(name)?;
        match limit {
            Some(limit) if name == "run_bash" => Some(Arc::new(RunBash::with_default_limit(limit))),
            _ => Some(Arc::clone(tool)),
        }
    }
}

/// Where the tools of a record work.
pub(super) fn context(cwd: &Path, home: &Path) -> ToolContext {
    ToolContext {
        cwd: cwd.to_owned(),
        home: Some(home.to_owned()),
        env: Arc::new(ChildEnv::default()),
        line: Default::default(),
        sandbox: None,
        grants: Vec::new(),
        sighting: None,
    }
}

/// No network but loopback.
struct NoWeb;

impl WebSearch for NoWeb {
    fn search<'a>(&'a self, _query: &'a str) -> SearchFuture<'a> {
        Box::pin(std::future::ready(Err(SearchError::Unsupported)))
    }
}

/// Nobody answers.
struct NoPerson;

impl Asker for NoPerson {
    fn ask<'a>(&'a self, _: &'a [Question]) -> AnswersFuture<'a> {
        Box::pin(std::future::ready(None))
    }
}
