//! `meshapi guard`: what the guards say to a command, a path, an address or a text. Nothing is run or fetched.

use std::{
    io::{self, BufRead, BufWriter, Read, Write, stdin, stdout},
    net::{IpAddr, ToSocketAddrs},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use mesh_safety::{Policy, rules::Rules};
use serde_json::{Value, json};

use crate::{
    config::{Environment, Folder},
    exit::{Exit, Failure},
    permissions::Permissions,
    ui::text,
};

pub mod args;
mod case;
mod hook;

use args::{Ask, Guard, What};
use case::{Case, Kind, Verdict};

/// Judges what is asked.
///
/// # Errors
/// A mode that is none, or a stream that breaks.
pub fn run(wanted: &Guard, env: &Environment) -> Result<Exit, Failure> {
    match &wanted.what {
        None => lines().map_err(|error| Failure::new(Exit::Failure, "io", error.to_string())),
        Some(What::Command(ask)) => one(Kind::Command, ask, env),
        Some(What::Read(ask)) => one(Kind::ReadPath, ask, env),
        Some(What::Write(ask)) => one(Kind::WritePath, ask, env),
        Some(What::Url(ask)) => one(Kind::Url, ask, env),
        Some(What::Secrets(ask)) => one(Kind::Secret, ask, env),
        Some(What::Hook(wanted)) => or_refused(|| {
            let mut input = String::new();
            stdin().lock().read_to_string(&mut input).map_err(|error| error.to_string())?;
            let rules = |cwd: &Path| rules(cwd, env.home.as_deref()).map_err(|failure| failure.message);
            let answer = hook::answer(&input, wanted, env.home.clone(), rules, resolve)?;
            // An answer that nobody gets is none.
            let mut out = stdout().lock();
            writeln!(out, "{answer}").and_then(|()| out.flush()).map_err(|error| error.to_string())
        }),
    }
}

/// Exit code 2 is a refusal in the protocol of hooks, and every other failure lets the tool run: whatever goes wrong here, a fault
/// inside included, ends with it.
fn or_refused(answer: impl FnOnce() -> Result<(), String>) -> Result<Exit, Failure> {
    match catch_unwind(AssertUnwindSafe(answer)) {
        Ok(Ok(())) => Ok(Exit::Ok),
        Ok(Err(error)) => Err(Failure::new(Exit::Usage, "usage", error)),
        Err(_) => {
            Err(Failure::new(Exit::Usage, "internal", "the guard failed inside, so nothing is allowed"))
        }
    }
}

/// A case a line, an answer a line.
fn lines() -> io::Result<Exit> {
    let mut output = BufWriter::new(stdout().lock());
    for line in stdin().lock().split(b'\n') {
        let line = line?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let answer = answer(&line);
        writeln!(output, "{answer}")?;
        output.flush()?;
    }
    Ok(Exit::Ok)
}

fn answer(line: &[u8]) -> Value {
    let id = serde_json::from_slice::<Value>(line).ok().and_then(|case| case.get("id").cloned());
    let verdict = match serde_json::from_slice::<Case>(line).map(|case| case.judge()) {
        Ok(Some(verdict)) => verdict,
        // What is not understood is not let through.
        Ok(None) => ask("there is no such mode"),
        Err(error) => ask(&format!("not a case: {error}")),
    };
    let mut answer = json!({"id": id, "verdict": verdict.verdict, "reason": verdict.reasons.join("; ")});
    if let Some(redacted) = verdict.redacted {
        answer["redacted"] = redacted.into();
    }
    answer
}

fn ask(why: &str) -> Verdict {
    Verdict { verdict: "ask", reasons: vec![why.to_owned()], redacted: None }
}

/// One question of a person or a script.
fn one(kind: Kind, ask: &Ask, env: &Environment) -> Result<Exit, Failure> {
    let io = |error: io::Error| Failure::new(Exit::Failure, "io", error.to_string());
    let mut input = ask.text.clone();
    if input == "-" {
        input.clear();
        stdin().lock().read_to_string(&mut input).map_err(io)?;
    }
    let cwd = ask.cwd.clone().map_or_else(std::env::current_dir, Ok).map_err(io)?;
    let cwd = std::path::absolute(cwd).map_err(io)?;
    let dns = match (kind, mesh_safety::WebTarget::parse(&input)) {
        (Kind::Url, Ok(target)) => [(target.host(), resolve(&target.host()))].into(),
        _ => Default::default(),
    };
    let (mode, home): (_, Option<PathBuf>) = (Some(ask.mode.clone()), env.home.clone());
    let is_unconfined = ask.unconfined;
    let rules = rules(&cwd, home.as_deref())?;
    let case = Case { kind, input, mode, cwd, home, is_unconfined, rules, dns, redirects: Vec::new() };
    let verdict = case.judge().ok_or_else(|| {
        Failure::new(
            Exit::Usage,
            "usage",
            format!("there is no mode {:?}: default, accept-edits, auto, bypass", ask.mode),
        )
    })?;
    if ask.json {
        let line = serde_json::to_string(&verdict).map_err(|error| io(error.into()))?;
        say(&line)?;
    } else {
        let mut lines = vec![verdict.verdict.to_owned()];
        lines.extend(verdict.reasons.iter().map(|reason| format!("  {reason}")));
        lines.extend(verdict.redacted.iter().map(|redacted| format!("without them: {redacted}")));
        say(&text::sanitize(&lines.join("\n")))?;
    }
    Ok(match verdict.verdict {
        "allow" => Exit::Ok,
        "block" => Exit::Blocks,
        _ => Exit::Asks,
    })
}

/// The user's own rules, as far as they hold in this folder.
fn rules(cwd: &Path, home: Option<&Path>) -> Result<Rules, Failure> {
    let Some(home) = home else { return Ok(Rules::default()) };
    let policy = Policy { workspace: cwd.to_owned(), home: Some(home.to_owned()), ..Policy::default() };
    Ok(Permissions::load(&Folder::of(home), &policy)?.rules().get())
}

fn say(line: &str) -> Result<Exit, Failure> {
    let mut out = stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Failure, "io", error.to_string()))
        }
        _ => Ok(Exit::Ok),
    }
}

/// What the machine's name service says; nothing where it fails.
fn resolve(host: &str) -> Vec<IpAddr> {
    (host, 0).to_socket_addrs().map_or(Vec::new(), |found| found.map(|address| address.ip()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_goes_wrong_in_a_hook_refuses() {
        assert!(matches!(or_refused(|| Ok(())), Ok(Exit::Ok)));
        for work in [(|| Err("broken".to_owned())) as fn() -> Result<(), String>, || panic!("out of ideas")] {
            assert_eq!(or_refused(work).unwrap_err().exit, Exit::Usage);
        }
    }
}
