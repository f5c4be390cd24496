//! The interactive program: read, run a turn, show, repeat.

pub mod ask;
pub mod attach;
pub mod banner;
pub mod complete;
pub mod editor;
pub mod guard;
pub mod history;
pub mod login;
mod paths;
pub mod secrets;
pub mod slash;
pub mod survivors;
pub mod turn;

use std::{collections::VecDeque, path::PathBuf};

use mesh_agent::{Interrupt, builtin::Asker};
use mesh_client::wire::Content;

use crate::{
    config::{Config, Environment},
    exit::{Exit, Failure},
    repl::{
        ask::{Ask, TerminalAsk},
        attach::{Prepared, scan},
        editor::{Editor, Read},
        guard::Guard,
        login::Login,
        secrets::Checked,
        slash::{Attachments, LiveControls, ModelList, Outcome, SlashContext},
        turn::{TurnOutcome, TurnParts},
    },
    ui::{
        line::{Line, Style},
        live::{Screen, terminal},
        theme::Theme,
    },
    wiring::{self, Wired},
};

/// An interactive session.
pub struct Session {
    wired: Wired,
    config: Config,
    theme: Theme,
    cwd: PathBuf,
    screen: Screen,
    interrupt: Interrupt,
    guard: Guard,
    attachments: Attachments,
    models: ModelList,
    runtime: tokio::runtime::Runtime,
}

impl Session {
    /// Puts a session together. At a first run it asks for a key; nothing else is asked or sent yet.
    ///
    /// # Errors
    /// The working directory cannot be used, or there is no key.
    pub fn new(
        mut config: Config,
        env: &Environment,
        mode: mesh_safety::PermissionMode,
        theme: Theme,
    ) -> Result<Session, Failure> {
        let interrupt = Interrupt::default();
        let guard = Guard::watch(interrupt.clone())?;
        guard::hold_panics();
        let runtime = crate::commands::runtime()?;
        let models = ModelList::default();
        if config.key().is_none() {
            let mut person = TerminalAsk::new(theme);
            person.say(&first_words(&config));
            take_key(&mut person, &mut config, &runtime, &models)?;
        }
        let key = crate::commands::key(&config)?.clone();
        let cwd = std::env::current_dir().map_err(|error| {
            Failure::new(Exit::Usage, "usage", format_args!("the working directory cannot be used: {error}"))
        })?;
        let screen = Screen::new(theme, interrupt.clone());
        let asker: std::sync::Arc<dyn Asker> = std::sync::Arc::new(screen.clone());
        let wired = wiring::wire(&config, &key, &cwd, env.home.as_deref(), mode, Some(asker))?;
        guard.keep(wired.servers.clone());
        let attachments = Attachments::new(&cwd, env.home.as_deref());
        Ok(Session { wired, config, theme, cwd, screen, interrupt, guard, attachments, models, runtime })
    }

    /// Runs the session to its end.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn run(mut self) -> Result<Exit, Failure> {
        let settings = self.wired.agent.settings().get();
        let columns = terminal::size().columns;
        self.print(&banner::banner(&self.cwd, self.config.folder(), &settings, columns));
        let mode = self.wired.agent.mode().clone();
        let servers = self.wired.servers.clone();
        survivors::settle(&mut TerminalAsk::new(self.theme), &servers, &self.runtime, columns)?;
        let folder = self.config.folder().clone();
        let mut editor = Editor::new(folder, &self.cwd, self.theme, mode, servers);
        let mut queue: VecDeque<String> = VecDeque::new();
        let mut draft = String::new();
        loop {
            let text = match queue.pop_front() {
                Some(message) => {
                    self.print(&[
                        banner::rule(&self.cwd, terminal::size().columns),
                        banner::entered(&message),
                    ]);
                    message
                }
                None => {
                    self.print(&[banner::rule(&self.cwd, terminal::size().columns)]);
                    match editor.read(&std::mem::take(&mut draft)) {
                        Ok(Read::Text(text)) => text,
                        Ok(Read::Leave) => {
                            self.print(&[Line::blank(), Line::of(Style::Dim, "bye")]);
                            break;
                        }
                        Err(_) => break,
                    }
                }
            };
            if text.trim().is_empty() {
                continue;
            }
            if let Some(line) = slash::command_line(&text) {
                let outcome = self.command(line);
                self.print(&outcome.lines);
                if outcome.login {
                    self.login()?;
                }
                if outcome.leave {
                    break;
                }
                continue;
            }
            let text = match secrets::check(&mut TerminalAsk::new(self.theme), text)? {
                Checked::Send(text) => text,
                Checked::Keep(text) => {
                    draft = if draft.is_empty() { text } else { format!("{draft}\n{text}") };
                    continue;
                }
            };
            self.print(&[Line::blank()]);
            let waiting = std::mem::take(&mut queue);
            let Some(content) = self.prepare(&text) else {
                queue = waiting;
                draft = if draft.is_empty() { text } else { format!("{text}\n{draft}") };
                continue;
            };
            let outcome = self.turn(content, waiting, std::mem::take(&mut draft))?;
            queue = outcome.queue;
            draft = outcome.draft;
            if let Err(error) = outcome.report {
                self.print(&Failure::from(error).lines());
            }
            if self.screen.is_gone() {
                break;
            }
        }
        let servers = self.wired.servers.clone();
        self.runtime.block_on(servers.kill_all());
        Ok(Exit::Ok)
    }

    /// Asks for a key and uses it from the next request on.
    fn login(&mut self) -> Result<(), Failure> {
        let mut person = TerminalAsk::new(self.theme);
        if take_key(&mut person, &mut self.config, &self.runtime, &self.models)?
            && let Some(found) = self.config.key()
        {
            self.wired.client.set_key(&found.key);
        } else {
            self.print(&[Line::of(Style::Dim, "The key stays as it was.")]);
        }
        Ok(())
    }

    fn command(&mut self, line: &str) -> Outcome {
        self.interrupt.clear();
        let busy = self.guard.busy();
        if line.split_once(char::is_whitespace).is_some_and(|(_, source)| scan::is_url(source.trim())) {
            self.print(&[fetching()]);
        }
        let mut context = SlashContext {
            wired: &mut self.wired,
            config: &mut self.config,
            attachments: &mut self.attachments,
            models: &self.models,
            columns: terminal::size().columns,
        };
        let stopped = Outcome { lines: vec![Line::of(Style::Warn, "stopped")], ..Outcome::default() };
        let run = self.interrupt.unless(slash::run(line, &mut context));
        let outcome = self.runtime.block_on(run).unwrap_or(stopped);
        drop(busy);
        self.guard.wait_if_ending();
        outcome
    }

    /// The prompt with the images that it names; `None` if they were not waited for.
    fn prepare(&mut self, text: &str) -> Option<Content> {
        self.interrupt.clear();
        let busy = self.guard.busy();
        if self.attachments.goes_to_web(text) {
            self.print(&[fetching()]);
        }
        let work = self.interrupt.unless(self.attachments.prepare(text));
        let prepared = self.runtime.block_on(work);
        drop(busy);
        self.guard.wait_if_ending();
        match prepared {
            Some(Prepared { content, lines }) => {
                self.print(&lines);
                Some(content)
            }
            None => {
                self.print(&[Line::of(Style::Warn, "stopped; nothing was sent")]);
                None
            }
        }
    }

    fn turn(
        &mut self,
        content: Content,
        queue: VecDeque<String>,
        draft: String,
    ) -> Result<TurnOutcome, Failure> {
        self.interrupt.clear();
        let busy = self.guard.busy();
        let Wired { agent, servers, .. } = &mut self.wired;
        let controls = LiveControls {
            settings: agent.settings().clone(),
            mode: agent.mode().clone(),
            config: &mut self.config,
            models: self.models.clone(),
        };
        let parts = TurnParts {
            agent,
            content,
            screen: &self.screen,
            controls,
            servers,
            interrupt: &self.interrupt,
            queue,
            draft,
        };
        let outcome = self.runtime.block_on(turn::run(parts));
        drop(busy);
        self.guard.wait_if_ending();
        Ok(outcome?)
    }

    fn print(&self, lines: &[Line]) {
        let text: String = lines.iter().map(|line| format!("{}\n", self.theme.paint(line))).collect();
        // A terminal that is gone ends the loop at its next read.
        let _ = terminal::write(&text);
    }
}

fn fetching() -> Line {
    Line::of(Style::Dim, "→ fetching from the web (Ctrl+C stops)")
}

/// What a person sees who has no key yet.
fn first_words(config: &Config) -> [Line; 3] {
    let base = config.base_url().as_str();
    [
        Line::blank(),
        Line::of(Style::Brand, "✦  meshapi").with(Style::Plain, " needs an API key"),
        Line::of(Style::Dim, &format!("   It is tried at {base} and saved for you alone. Esc leaves.")),
    ]
}

/// Asks for a key. Says whether there is a new one.
fn take_key(
    person: &mut dyn Ask,
    config: &mut Config,
    runtime: &tokio::runtime::Runtime,
    models: &ModelList,
) -> Result<bool, Failure> {
    let base = config.base_url().clone();
    match login::ask(person, config, |key| login::check(&base, key, runtime))? {
        Some(Login { catalog, .. }) => {
            if let Some(catalog) = catalog {
                models.set(catalog);
            }
            Ok(true)
        }
        None => Ok(false),
    }
}
