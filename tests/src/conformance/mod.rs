//! Answers to conformance vectors, each by the very function that the product calls; here are only translations of
//! kinds, codes and figures.
//!
//! - [`protocol`]: lines in, lines out
//! - `stream`, `config`, `attachments`, `commands`, `tools`, `turns` (the set `loop`), `agent`, `mailbox`, `permissions`, `render`: one
//!   file a set; `optimize`: both sets of that name
//! - `toolbox`: the built-in tools and a place to run them, for all of these
//!
//! A set or an operation that the product does not have yet is skipped, which is counted apart and fails nothing. Input
//! of any shape gets an answer: what cannot be made sense of is an output with `error`, and so is a fault inside.
mod agent;
mod attachments;
mod commands;
mod config;
mod mailbox;
mod optimize;
mod permissions;
pub mod protocol;
mod render;
mod stream;
mod toolbox;
mod tools;
mod turns;

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    time::Duration,
};

use meshapi_cli::sys::HOME_VARIABLE;
use serde_json::{Map, Value, json};
use tokio::runtime::{Builder, Runtime};

use toolbox::Toolbox;

/// Longest work on one record. Below the patience of the runner, which is 60 s.
const LIMIT: Duration = Duration::from_secs(50);

/// Why a record is not answered.
const NOT_BUILT: &str = "not built yet";

/// The answer to one record.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// What the product does.
    Output(Value),
    /// The product does not do this yet.
    Skip(&'static str),
}

/// Answers records. Keeps what they share: the runtime and the tools.
pub struct Adapter {
    runtime: Runtime,
    toolbox: Toolbox,
}

/// What came of a record: an answer, or why there is none.
type Outcome = Result<Answer, String>;

impl Adapter {
    /// An adapter with a runtime of its own.
    ///
    /// # Errors
    /// The system refuses what an event loop needs.
    pub fn new() -> io::Result<Adapter> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Adapter { runtime, toolbox: Toolbox::default() })
    }

    /// Answers one record. Never panics, whatever the input.
    pub fn answer(&self, set: &str, input: &Value) -> Answer {
        let op = input["op"].as_str().unwrap_or_default();
        let outcome = catch_unwind(AssertUnwindSafe(|| self.dispatch(set, op, input)));
        match outcome {
            Ok(Ok(answer)) => answer,
            Ok(Err(problem)) => Answer::Output(json!({ "error": problem })),
            Err(_) => Answer::Output(json!({"error": "a fault inside; it is told on standard error"})),
        }
    }

    fn dispatch(&self, set: &str, op: &str, input: &Value) -> Outcome {
        match (set, op) {
            ("stream", "stream") => self.wait(stream::answer(input)),
            ("config", "config" | "history") => config::answer(op, input),
            ("tools", "execute") => {
                at_home(input)?;
                self.wait(tools::execute(input))
            }
            ("tools", "schema") => tools::schema(&self.toolbox),
            ("tools", "plan_tools") => tools::plan(input),
            ("loop", "loop") => {
                at_home(input)?;
                self.wait(turns::answer(input))
            }
            ("attachments", _) => self.wait(attachments::answer(op, input)),
            ("agent", _) => agent::answer(&self.toolbox, op, input),
            ("mailbox", _) => mailbox::answer(op, input),
            ("commands", "command") => self.wait(commands::answer(input)),
            ("permissions", _) => permissions::answer(op, input),
            ("optimize-ts", _) => optimize::typescript(op, input),
            ("optimize-py", _) => optimize::python(op, input),
            ("render", _) => render::answer(&self.toolbox, op, input),
            _ => Ok(Answer::Skip(NOT_BUILT)),
        }
    }

    /// Waits for work that is not done at once.
    fn wait(&self, work: impl Future<Output = Outcome>) -> Outcome {
        self.runtime.block_on(async {
            tokio::time::timeout(LIMIT, work)
                .await
                .unwrap_or_else(|_| Err(format!("no answer within {} s", LIMIT.as_secs())))
        })
    }
}

fn output(value: Value) -> Outcome {
    Ok(Answer::Output(value))
}

/// A text of the input; another kind of value is its JSON text, and nothing is the empty text.
fn text(input: &Value, key: &str) -> String {
    match &input[key] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn list<'v>(input: &'v Value, key: &str) -> &'v [Value] {
    input[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

/// Commands of a record run with this process's environment: it must be one whose home is the record's, so that what
/// they do to `~` they do to a throw-away folder.
fn at_home(input: &Value) -> Result<(), String> {
    let (_, home) = folders(input)?;
    let is_at_home = std::env::var_os(HOME_VARIABLE).is_some_and(|own| own == home.as_os_str());
    if is_at_home {
        Ok(())
    } else {
        Err("commands run only in a process whose home is the record's".to_owned())
    }
}

/// The folders of a record with a fixture.
fn folders(input: &Value) -> Result<(PathBuf, PathBuf), String> {
    let folder = |key: &str| {
        let path = PathBuf::from(text(input, key));
        if path.is_absolute() { Ok(path) } else { Err(format!("`{key}` is not an absolute path")) }
    };
    Ok((folder("cwd")?, folder("home")?))
}
