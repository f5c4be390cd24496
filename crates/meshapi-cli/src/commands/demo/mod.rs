//! `meshapi demo`: a real turn without key or network. Only the model is scripted; client, loop, guard, tools and screen are real.

mod script;

use std::{
    io::{Write, stderr, stdout},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use mesh_agent::{Hands, Interrupt, Nobody, TurnEnd, TurnReport};
use mesh_client::{
    scripted::{Reply, Script, ScriptedGateway, ScriptedRequest},
    wire::Content,
};
use mesh_safety::PermissionMode;

use crate::{
    cli::Demo,
    commands,
    config::{Config, Environment, Overrides},
    exit::{Exit, Failure},
    sys::StopSignals,
    ui::{
        line::{Line, Style},
        run_text::TextRun,
        theme::Theme,
    },
    wiring,
};

/// What the demo asks for.
const PROMPT: &str =
    "Write a small shell program that adds up the numbers in a file, with a test. Make the test pass.";

/// The scripted model's name.
const MODEL: &str = "demo/scripted";

/// Between two words: a fast reader's pace.
const WORD: Duration = Duration::from_millis(45);
/// Before an answer, so that the last result can be read.
const THINK: Duration = Duration::from_millis(500);

/// Example prices of the scripted model in USD per million tokens, prompt and completion.
const PRICES: (f64, f64) = (3.0, 15.0);

/// Runs the demo.
///
/// # Errors
/// No temporary folder, no loopback socket, or a tool that did not do its work.
pub fn run(demo: Demo, theme: Theme) -> Result<Exit, Failure> {
    let folder = tempfile::Builder::new().prefix("meshapi-demo-").tempdir();
    let folder = folder.map_err(cannot("make a temporary folder"))?.keep();
    commands::runtime()?.block_on(async move {
        match tokio::spawn(play(demo, theme, folder)).await {
            Ok(exit) => exit,
            Err(panic) => Err(Failure::new(Exit::Failure, "internal", panic)),
        }
    })
}

async fn play(demo: Demo, theme: Theme, folder: PathBuf) -> Result<Exit, Failure> {
    let (work, home) = (folder.join("work"), folder.join("home"));
    for made in [&work, &home] {
        std::fs::create_dir(made).map_err(cannot("make a temporary folder"))?;
    }
    let stuck = Arc::new(AtomicBool::new(false));
    let gateway = ScriptedGateway::start(scripted(demo, stuck.clone())).await;
    let gateway = gateway.map_err(cannot("open a loopback socket"))?;
    let preface =
        "A demonstration: the model is scripted and its prices are examples; everything else is real.";
    say(theme, Style::Dim, preface);
    say(theme, Style::Dim, &format!("Folder: {}", work.display()));
    say(theme, Style::Bold, &format!("› {PROMPT}"));

    let env = Environment { base_url: Some(gateway.base_url().to_string()), ..Environment::default() };
    let overrides = Overrides { model: Some(MODEL.to_owned()), ..Overrides::default() };
    let config = Config::load(&home, &env, overrides)?;
    let key = "rsk_demo_key_without_value".parse();
    let key = key.map_err(|error| Failure::new(Exit::Failure, "internal", error))?;
    let mut wired = wiring::wire(&config, &key, &work, Some(&home), PermissionMode::Auto, None)?;
    let interrupt = Interrupt::default();
    let signals = tokio::spawn(raise_on_signal(interrupt.clone()));
    let mut screen = TextRun::new(stdout(), stderr(), theme, interrupt.clone());
    let hands = Hands { listener: &mut screen, approver: &mut Nobody, interrupt: &interrupt };
    // Where commands cannot be confined they ask, and the demo says so.
    let _ = wired.confine();
    let report = wired.agent.run_turn(Content::Text(PROMPT.to_owned()), hands).await;
    signals.abort();
    wired.servers.kill_all().await;
    gateway.stop().await;
    let report = report.map_err(|error| Failure::new(Exit::Failure, "record", error))?;
    let _ = std::fs::remove_dir_all(&home);
    finish(&report, stuck.load(Ordering::Relaxed), &work, theme)
}

/// The demo is a success only if the turn came to its end with every step done.
fn finish(report: &TurnReport, is_stuck: bool, work: &Path, theme: Theme) -> Result<Exit, Failure> {
    let is_done = matches!(&report.end, TurnEnd::Finished { open_steps, .. } if open_steps.is_empty());
    if is_done && !is_stuck && report.refused.is_empty() {
        let text =
            format!("The files are in {}. With a key of your own: meshapi -p \"your task\"", work.display());
        say(theme, Style::Dim, &text);
        return Ok(Exit::Ok);
    }
    if matches!(report.end, TurnEnd::Interrupted { .. }) {
        return Ok(Exit::of_turn(report));
    }
    let failure = Failure::new(Exit::Failure, "demo", "the demo did not run to its end");
    Err(failure
        .hint(format_args!("what it left is in {}; the lines above say where it stopped", work.display())))
}

async fn raise_on_signal(interrupt: Interrupt) {
    if let Ok(mut signals) = StopSignals::watch() {
        signals.next().await;
        interrupt.raise();
    }
}

fn scripted(demo: Demo, stuck: Arc<AtomicBool>) -> Script {
    Script::new(move |request: &ScriptedRequest| {
        let messages = request.json["messages"].as_array().map_or(&[][..], Vec::as_slice);
        let answer = script::next_move(messages);
        stuck.fetch_or(answer.is_stuck, Ordering::Relaxed);
        reply(&answer, request.body.len(), demo.fast)
    })
}

/// A move as a stream, word by word, with token counts reckoned from its length.
fn reply(answer: &script::Move, request_bytes: usize, is_fast: bool) -> Reply {
    let pause = |length: Duration| if is_fast { Duration::ZERO } else { length };
    let mut stream = Reply::stream().model(MODEL).pause(pause(THINK));
    for word in answer.text.split_inclusive(' ') {
        stream = stream.text(word).pause(pause(WORD));
    }
    let mut letters = answer.text.len();
    for (i, (name, arguments)) in answer.calls.iter().enumerate() {
        let arguments = arguments.to_string();
        letters += name.len() + arguments.len();
        stream = stream.tool_call(&format!("call_{request_bytes}_{i}"), name, &arguments, 40);
    }
    let (prompt, completion) = (tokens(request_bytes), tokens(letters));
    let cost = (prompt as f64 * PRICES.0 + completion as f64 * PRICES.1) / 1e6;
    stream.usage(prompt, completion).cost(&format!("{cost:.6}")).done()
}

/// Four characters to a token: good enough for a demonstration.
fn tokens(bytes: usize) -> u64 {
    bytes.div_ceil(4) as u64
}

fn say(theme: Theme, style: Style, text: &str) {
    let _ = writeln!(stderr(), "{}", theme.paint(&Line::of(style, text)));
}

fn cannot<E: std::fmt::Display>(what: &'static str) -> impl Fn(E) -> Failure {
    move |error| Failure::new(Exit::Failure, "demo", format_args!("cannot {what}: {error}"))
}
