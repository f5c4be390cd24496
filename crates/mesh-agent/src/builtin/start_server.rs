//! A long-lived child: its port, its first answer, its end with the session. Seed 13.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use mesh_safety::Action;
use serde_json::Value;

use super::{
    run_bash::{shorten, shown},
    server::{
        FIRST_AUTO_PORT, RunningServer, Servers,
        launch::{LaunchError, Wanted, answers, launch},
        port_in_command,
        ports::AUTO_PORTS,
    },
};
use crate::tool::{
    Args, Tool, ToolContext, ToolFuture, ToolOutput, ToolSpec,
    output::{COMMAND_OUTPUT_CHARS, cut},
};

/// How long a server may take to answer unless the call says otherwise, and the longest that it may say. Seed 13.2.
const DEFAULT_WAIT_SECONDS: u64 = 30;
const MAX_WAIT_SECONDS: u64 = 300;

/// Characters of the command in its summary. Seed 10.4.
const SUMMARY_CHARS: usize = 100;

const SPEC: ToolSpec = ToolSpec {
    name: "start_server",
    description: "Start a long-running server or watcher and wait for its port. PORT is set; leave port out unless it matters.",
    parameters: r#"{"type":"object","properties":{"command":{"type":"string"},"port":{"type":"integer"},"cwd":{"type":"string"},"wait_seconds":{"type":"integer"}},"required":["command"]}"#,
    required: &["command"],
};

/// Starts a server, waits until it answers, and leaves it running until the session ends.
#[derive(Clone, Debug)]
pub struct StartServer {
    servers: Servers,
}

impl StartServer {
    /// The tool that keeps what it starts in `servers`.
    pub fn new(servers: Servers) -> StartServer {
        StartServer { servers }
    }

    async fn execute(&self, args: &Args, ctx: &ToolContext) -> ToolOutput {
        self.start(args, ctx).await.unwrap_or_else(|output| output)
    }

    async fn start(&self, args: &Args, ctx: &ToolContext) -> Result<ToolOutput, ToolOutput> {
        let command = command(args).trim();
        if command.is_empty() {
            return Err(ToolOutput::error("start_server requires a `command` argument."));
        }
        let named = port_in_command(command, FIRST_AUTO_PORT).port;
        let asked = port_argument(args)?;
        let cwd = folder(args, ctx)?;
        let promised = match named.or(asked) {
            Some(port) => {
                self.check_free(port, command, &cwd).await?;
                self.servers.promise(port)
            }
            None => self.servers.promise_any().ok_or_else(no_free_port)?,
        };
        let command = port_in_command(command, promised.port).command;
        let wait = wait(args);
        let wanted = Wanted {
            command: &command,
            cwd,
            port: promised.port,
            wait,
            env: &ctx.env,
            sandbox: ctx.sandbox.as_deref(),
            grants: &ctx.grants,
        };
        let port = promised.port;
        ctx.line.say(&format!("waiting up to {} s for port {port}", wait.as_secs()));
        let server = launch(&wanted, &self.servers)
            .await
            .map_err(|error| failed(error, promised.port, wait, &wanted))?;
        let text = ready(&server, promised.port);
        Ok(ToolOutput { server: Some(Box::new(server)), ..ToolOutput::ok(text) })
    }

    /// A port that answers already belongs to somebody. If that is us, the model should use what it has.
    async fn check_free(&self, port: u16, command: &str, cwd: &Path) -> Result<(), ToolOutput> {
        if let Some(server) = self.servers.on_port(port) {
            let (url, pid) = (&server.url, server.pid);
            let is_same = port_in_command(command, port).command == server.command && cwd == server.cwd;
            return Err(if is_same {
                ToolOutput::ok(format!(
                    "That is YOUR server: it already runs at {url} (pid {pid}). Nothing was started."
                ))
            } else {
                let running = shorten(&server.command, SUMMARY_CHARS);
                ToolOutput::error(format_args!(
                    "port {port} is in use. That is YOUR server, started before: `{running}` at {url} (pid {pid}). Use it, or \
                     give the new one another port."
                ))
            });
        }
        if answers(port).await {
            return Err(ToolOutput::error(format_args!(
                "port {port} is in use by another program; choose another port, or leave `port` out to get a free one."
            )));
        }
        Ok(())
    }
}

fn ready(server: &RunningServer, wanted: u16) -> String {
    let RunningServer { url, pid, port, .. } = server;
    let moved =
        if *port == wanted { String::new() } else { format!(" It chose port {port} instead of {wanted}.") };
    let seconds = server.ready_after.as_secs_f64();
    format!(
        "Server ready at {url} (pid {pid}, after {seconds:.1} s).{moved} It keeps running in the background. Answer with one \
         short line that gives the URL, and end the turn."
    )
}

fn failed(error: LaunchError, port: u16, wait: Duration, wanted: &Wanted<'_>) -> ToolOutput {
    let (message, tail, exit_code) = match error {
        LaunchError::NotStarted(error) => {
            return ToolOutput::error(format_args!("the server did not start: {error}"));
        }
        LaunchError::Exited { code, tail } => {
            (format!("server exited with code {code} before it answered on port {port}."), tail, Some(code))
        }
        LaunchError::TimedOut { tail } => {
            let seconds = wait.as_secs();
            (
                format!(
                    "timed out after {seconds}s: nothing answered on port {port}, so the server was killed."
                ),
                tail,
                None,
            )
        }
    };
    let tail = tail.join("\n");
    // A server that cannot have something may be given it and started again, as a command.
    let denials = wanted.sandbox.map(|sandbox| sandbox.explain(&tail, &wanted.cwd)).unwrap_or_default();
    let rules: String = denials.iter().map(|denial| format!("\n[sandbox: {denial}]")).collect();
    let tail = if tail.trim().is_empty() { "(no output)".into() } else { cut(&tail, COMMAND_OUTPUT_CHARS) };
    ToolOutput {
        exit_code,
        denials,
        ..ToolOutput::error(format_args!("{message} Last output:\n{tail}{rules}"))
    }
}

fn no_free_port() -> ToolOutput {
    ToolOutput::error(format_args!("no free port in {FIRST_AUTO_PORT}..{}", AUTO_PORTS.end() + 1))
}

fn command(args: &Args) -> &str {
    args.get("command").and_then(Value::as_str).unwrap_or_default()
}

/// A whole number; models also write 5173.0.
fn whole(value: &Value) -> Option<u64> {
    let float = || {
        value.as_f64().filter(|number| number.fract() == 0.0 && *number >= 0.0).map(|number| number as u64)
    };
    value.as_u64().or_else(float)
}

fn port_argument(args: &Args) -> Result<Option<u16>, ToolOutput> {
    match args.get("port") {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match whole(value).and_then(|port| u16::try_from(port).ok()) {
            Some(port @ 1..) => Ok(Some(port)),
            Some(0) | None => Err(ToolOutput::error(format_args!(
                "`port` must be a whole number from 1 to 65535, not {value}"
            ))),
        },
    }
}

fn wait(args: &Args) -> Duration {
    let seconds =
        args.get("wait_seconds").and_then(whole).filter(|seconds| (1..=MAX_WAIT_SECONDS).contains(seconds));
    Duration::from_secs(seconds.unwrap_or(DEFAULT_WAIT_SECONDS))
}

fn folder(args: &Args, ctx: &ToolContext) -> Result<PathBuf, ToolOutput> {
    let text = args.get("cwd").and_then(Value::as_str).unwrap_or_default();
    let from_home = text.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let folder = match (from_home, &ctx.home) {
        (Some(rest), Some(home)) => home.join(rest.trim_start_matches('/')),
        _ => ctx.cwd.join(text),
    };
    let folder = folder.canonicalize().map_err(|error| bad_folder(&folder, &error.to_string()))?;
    if folder.is_dir() { Ok(folder) } else { Err(bad_folder(&folder, "not a folder")) }
}

fn bad_folder(folder: &Path, why: &str) -> ToolOutput {
    ToolOutput::error(format_args!("cannot start in `cwd` {}: {why}", folder.display()))
}

impl Tool for StartServer {
    fn spec(&self) -> &ToolSpec {
        &SPEC
    }

    fn action(&self, args: &Args, _ctx: &ToolContext) -> Action {
        Action::Serve { command: command(args).to_owned() }
    }

    fn summary(&self, args: &Args) -> String {
        let command = shown(args, "command", SUMMARY_CHARS);
        match args.get("port") {
            None | Some(Value::Null) => format!("start_server: {command} (auto-port)"),
            Some(port) if whole(port) == Some(0) => format!("start_server: {command} (auto-port)"),
            Some(port) => format!("start_server: {command} (port {port})"),
        }
    }

    fn run<'a>(&'a self, args: &'a Args, ctx: &'a ToolContext) -> ToolFuture<'a> {
        Box::pin(self.execute(args, ctx))
    }
}
