//! The headless run: prompts in, text or events out, an exit code at the end.

use std::{
    io::{IsTerminal, Read, Stderr, Stdout, Write, stderr, stdin, stdout},
    path::PathBuf,
    time::Duration,
};

use mesh_agent::{Budget, Hands, Interrupt, Listener, Nobody};
use mesh_client::wire::Content;
use tokio::sync::mpsc;

use crate::{
    cli::{Cli, OutputFormat, Prompts, mode_name},
    commands::{
        self,
        inbox::{self, Queue},
    },
    config::{Config, Environment, key::KeySource},
    exit::{self, Exit, Failure},
    input,
    repl::{
        Session, plain,
        slash::{self, Attachments, ModelList, SlashContext},
    },
    sys::StopSignals,
    ui::{
        json::{self, Init},
        line::{Line, Style},
        run_json::{Detail, JsonRun},
        run_text::TextRun,
        theme::Theme,
    },
    wiring::{self, Wired},
};

/// How long a person may wonder why nothing happens before we say that we wait for standard input.
const SILENT_WAIT: Duration = Duration::from_secs(2);
/// What a session of lines is taken to be wide: nobody knows who reads it.
const COLUMNS: usize = 80;

/// Runs the prompts that the command line asks for.
///
/// # Errors
/// Wrong settings, no key, no prompt, or standard output that cannot be written.
pub fn run(cli: &Cli, env: &Environment, theme: Theme) -> Result<Exit, Failure> {
    let prompts = cli.headless.prompts();
    if matches!(&prompts, Prompts::Argument(text) if text.trim().is_empty()) {
        return Err(Failure::new(Exit::Usage, "usage", "the prompt is empty").hint("write it after -p"));
    }
    let mut config = commands::settings(&cli.settings, env, &mut stderr(), theme)?;
    config.overrides_mut().lease = Some(cli.headless.lease);
    let is_plain = cli.plain || env.terminal.term.as_deref() == Some("dumb") || !stdout().is_terminal();
    if prompts == Prompts::Lines && cli.headless.output_format == OutputFormat::Text && stdin().is_terminal()
    {
        if is_plain {
            return plain::run(config, env, cli.settings.mode);
        }
        return Session::new(config, env, cli.settings.mode, theme)?.run();
    }
    let key = commands::key(&config)?.clone();
    let cwd = std::env::current_dir().map_err(|error| {
        Failure::new(Exit::Usage, "usage", format_args!("the working directory cannot be used: {error}"))
    })?;
    let mut wired = wiring::wire(&config, &key, &cwd, env.home.as_deref(), cli.settings.mode, None)?;
    let format = cli.headless.output_format;
    let rules = wired.permissions.rules().clone();
    let attachments = Attachments::new(&cwd, env.home.as_deref()).with_rules(rules);
    for warning in wired.mail_warning.take().into_iter().chain(wired.confine()) {
        exit::warn(&mut stderr(), theme, warning);
    }
    wired.agent.set_budget(Budget { usd: cli.headless.max_cost, tokens: None });
    let queue = cli.headless.inbox.then_some(Queue {
        max_messages: cli.headless.max_messages,
        wait: cli.headless.wait,
        max_cost: cli.headless.max_cost,
    });
    let partial = cli.headless.include_partial_messages;
    let job = Job { format, partial, cwd, theme, config, attachments, queue };
    commands::runtime()?.block_on(async move {
        // In a task of its own: waking the runtime's root costs a system call for each piece of text.
        match tokio::spawn(job.run(wired, prompts)).await {
            Ok(exit) => exit,
            Err(panic) => Err(Failure::new(Exit::Failure, "internal", panic)),
        }
    })
}

/// What a headless run needs to know beside its agent.
struct Job {
    format: OutputFormat,
    partial: bool,
    cwd: PathBuf,
    theme: Theme,
    config: Config,
    attachments: Attachments,
    /// The messages of peers are worked.
    queue: Option<Queue>,
}

/// Where a run goes.
pub(super) enum Output {
    Text(TextRun<Stdout, Stderr>),
    Json(JsonRun<Stdout>),
}

impl Job {
    async fn run(mut self, mut wired: Wired, prompts: Prompts) -> Result<Exit, Failure> {
        let interrupt = Interrupt::default();
        let signals = tokio::spawn(raise_on_signal(interrupt.clone()));
        let mut output = self.output(&wired, &interrupt);
        let exit = match prompts {
            Prompts::Argument(words) if self.queue.is_some() => {
                self.work(&mut wired, &words, &mut output, &interrupt).await
            }
            Prompts::Stdin if self.queue.is_some() => match self.whole_input().await? {
                words if words.trim().is_empty() => {
                    Err(Failure::new(Exit::Usage, "usage", "standard input held no prompt"))
                }
                words => self.work(&mut wired, &words, &mut output, &interrupt).await,
            },
            Prompts::Argument(prompt) => match interrupt.unless(self.prepare(&prompt, &mut output)).await {
                Some(content) => turn(&mut wired, content, &mut output, &interrupt).await,
                None => Ok(Exit::Interrupted),
            },
            Prompts::Stdin => match self.whole_input().await? {
                prompt if prompt.trim().is_empty() => {
                    Err(Failure::new(Exit::Usage, "usage", "standard input held no prompt"))
                }
                prompt => turn(&mut wired, Content::Text(prompt), &mut output, &interrupt).await,
            },
            Prompts::Lines => self.lines(&mut wired, &mut output, &interrupt).await,
        };
        if let Some(desk) = &wired.mail {
            // What a turn that paused still holds.
            desk.hand_back(Duration::ZERO).await;
        }
        wired.servers.kill_all().await;
        if signals.is_finished() {
            return Ok(Exit::Interrupted);
        }
        match output.failure() {
            // The reader has seen enough: as with other filters, that is no fault.
            Some(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(Exit::Ok),
            Some(error) => Err(Failure::from(error)),
            None => exit,
        }
    }

    /// Works the queue of the user's mailbox by these words.
    async fn work(
        &self,
        wired: &mut Wired,
        words: &str,
        output: &mut Output,
        interrupt: &Interrupt,
    ) -> Result<Exit, Failure> {
        match &self.queue {
            Some(queue) => inbox::work(queue, wired, words, output, interrupt).await,
            None => Ok(Exit::Ok),
        }
    }

    fn output(&self, wired: &Wired, interrupt: &Interrupt) -> Output {
        let detail = match self.format {
            OutputFormat::Text => {
                return Output::Text(TextRun::new(stdout(), stderr(), self.theme, interrupt.clone()));
            }
            OutputFormat::Json => Detail::Result,
            OutputFormat::StreamJson if self.partial => Detail::Partial,
            OutputFormat::StreamJson => Detail::Stream,
        };
        let session_id = uuid::Uuid::new_v4().to_string();
        let model = wired.agent.settings().get().model;
        let mut run = JsonRun::new(stdout(), detail, session_id, model, interrupt.clone());
        run.init(&Init {
            cwd: &self.cwd.to_string_lossy(),
            tools: &wired.agent.tool_names(),
            mode: mode_name(wired.agent.mode().get()),
            key_source: self.config.key().map_or("none", |found| match found.source {
                KeySource::Environment | KeySource::LegacyEnvironment => "env",
                KeySource::Credentials | KeySource::LegacyConfig => "file",
            }),
            version: env!("CARGO_PKG_VERSION"),
            sandbox: wired.confined.found().level().as_str(),
        });
        Output::Json(run)
    }

    /// Each line is a prompt or a slash command of one session, as in the Python releases.
    async fn lines(
        &mut self,
        wired: &mut Wired,
        output: &mut Output,
        interrupt: &Interrupt,
    ) -> Result<Exit, Failure> {
        let mut exit = Exit::Ok;
        let models = ModelList::default();
        let mut lines = read_lines();
        while let Some(Some(line)) = interrupt.unless(lines.recv()).await {
            if line.starts_with('/') {
                let mut context = SlashContext {
                    wired,
                    config: &mut self.config,
                    attachments: &mut self.attachments,
                    models: &models,
                    columns: COLUMNS,
                };
                let outcome = slash::run(&line, &mut context).await;
                for said in &outcome.lines {
                    output.say(said);
                }
                if outcome.login {
                    output.say(&Line::of(Style::Bad, "/login needs a terminal; set MESHAPI_API_KEY"));
                }
                if outcome.leave {
                    break;
                }
            } else if !line.trim().is_empty() {
                let Some(content) = interrupt.unless(self.prepare(&line, output)).await else { break };
                exit = exit.and(turn(wired, content, output, interrupt).await?);
            }
            if interrupt.is_raised() {
                break;
            }
        }
        Ok(exit)
    }

    /// A prompt with the images that it names.
    async fn prepare(&mut self, prompt: &str, output: &mut Output) -> Content {
        let prepared = self.attachments.prepare(prompt).await;
        for line in &prepared.lines {
            output.say(line);
        }
        prepared.content
    }

    async fn whole_input(&self) -> Result<String, Failure> {
        let (sender, mut receiver) = mpsc::channel(1);
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = stdin().lock().read_to_end(&mut bytes).map(|_| bytes);
            let _ = sender.blocking_send(read);
        });
        let read = match tokio::time::timeout(SILENT_WAIT, receiver.recv()).await {
            Ok(read) => read,
            Err(_) => {
                let line = Line::of(Style::Dim, "reading the prompt from standard input …");
                let _ = writeln!(stderr(), "{}", self.theme.paint(&line));
                receiver.recv().await
            }
        };
        let bytes = read.unwrap_or_else(|| Ok(Vec::new())).map_err(|error| {
            Failure::new(Exit::Usage, "usage", format_args!("standard input cannot be read: {error}"))
        })?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

async fn turn(
    wired: &mut Wired,
    content: Content,
    output: &mut Output,
    interrupt: &Interrupt,
) -> Result<Exit, Failure> {
    let hands = Hands { listener: output.listener(), approver: &mut Nobody, interrupt };
    let report = wired.agent.run_turn(content, hands).await;
    let report = report.map_err(|error| Failure::new(Exit::Failure, "record", error))?;
    Ok(Exit::of_turn(&report))
}

impl Output {
    pub(super) fn listener(&mut self) -> &mut dyn Listener {
        match self {
            Output::Text(run) => run,
            Output::Json(run) => run,
        }
    }

    pub(super) fn say(&mut self, line: &Line) {
        match self {
            Output::Text(run) => run.say(line),
            Output::Json(run) => run.notice(&line.plain()),
        }
    }

    /// Says how far the work on a message is.
    pub(super) fn mail(&mut self, mail: &json::Mail<'_>) {
        match self {
            Output::Text(run) => run.say(&Line::prose(Style::Brand, &mail.line())),
            Output::Json(run) => run.mail(mail),
        }
    }

    fn failure(&mut self) -> Option<std::io::Error> {
        match self {
            Output::Text(run) => run.failure(),
            Output::Json(run) => run.failure(),
        }
    }
}

/// Lines of standard input, read one ahead.
fn read_lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(1);
    input::each_line(move |line| sender.blocking_send(line).is_ok());
    receiver
}

/// Raises the interrupt at the first signal and ends the process at the second: a person who asks twice means it.
async fn raise_on_signal(interrupt: Interrupt) {
    let Ok(mut signals) = StopSignals::watch() else { return std::future::pending().await };
    signals.next().await;
    interrupt.raise();
    tokio::spawn(async move {
        signals.next().await;
        std::process::exit(i32::from(Exit::Interrupted.code()));
    });
}
