//! Mail inside the agent: the binary with a scripted model, beside a real gateway on one SQLite file.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as loudly as tests")]

mod hostile;
mod joint;
#[path = "../../../crates/mesh-mailbox/tests/private_postgres/mod.rs"]
mod private_postgres;
mod prompt;
mod queue;
mod together;
mod turns;

use std::process::{Child, Command, Output};

use mesh_client::scripted::{Reply, ScriptedRequest};
use mesh_tests::{lab::Lab, post::Post};
use serde_json::Value;

/// The user's words to a worker.
const WORDS: &str = "Do what colleagues ask about this folder, nothing else.";

/// A text reply.
fn says(text: &str) -> Reply {
    Reply::stream().text(text).usage(1200, 34).cost("0.0012").done()
}

/// A reply that calls one tool.
fn calls(name: &str, arguments: &Value) -> Reply {
    Reply::stream().tool_call("call_1", name, &arguments.to_string(), 7).usage(900, 20).cost("0.0010").done()
}

/// The binary of a lab as this peer.
fn peer(lab: &Lab, post: &Post, name: &str, token: &str, arguments: &[&str]) -> Command {
    let mut command = lab.command(arguments);
    command.envs(post.environment(name, token));
    command
}

/// A worker.
fn worker(lab: &Lab, post: &Post, name: &str, token: &str, more: &[&str]) -> Command {
    peer(lab, post, name, token, &[&["--inbox", "-p", WORDS][..], more].concat())
}

/// Runs to the end; what it wrote is shown when something else fails.
fn run(command: &mut Command) -> (Output, String) {
    let output = command.output().unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output, text)
}

/// A process that is ended with its test.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Running {
        Running(command.spawn().unwrap())
    }
}

impl Running {
    /// Waits for the end; what was written is read beside it.
    fn end(mut self) -> Output {
        let (mut out, mut err) = (self.0.stdout.take().unwrap(), self.0.stderr.take().unwrap());
        let read = |from: &mut dyn std::io::Read| {
            let mut bytes = Vec::new();
            from.read_to_end(&mut bytes).unwrap();
            bytes
        };
        let (stdout, stderr) = std::thread::scope(|scope| {
            let errors = scope.spawn(|| read(&mut err));
            (read(&mut out), errors.join().unwrap())
        });
        Output { status: self.0.wait().unwrap(), stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The contents of a request's messages of this role.
fn texts(request: &ScriptedRequest, role: &str) -> Vec<String> {
    let messages = request.json["messages"].as_array().unwrap();
    let of_role = messages.iter().filter(|message| message["role"] == role);
    of_role.filter_map(|message| message["content"].as_str().map(str::to_owned)).collect()
}

/// The names of a request's tools.
fn tools(request: &ScriptedRequest) -> Vec<String> {
    let tools = request.json["tools"].as_array().unwrap();
    tools.iter().map(|tool| tool["function"]["name"].as_str().unwrap().to_owned()).collect()
}
