//! The interactive program: read, run a turn, show, repeat.

pub mod ask;
pub mod attach;
pub mod banner;
pub mod complete;
mod core;
pub mod editor;
pub mod guard;
pub mod history;
pub mod login;
mod paths;
pub mod plain;
pub mod secrets;
pub mod slash;
pub mod survivors;
pub mod turn;

use std::collections::VecDeque;

use mesh_agent::{Budget, Conversation, Interrupt, mail::clean_name};
use mesh_client::wire::{Content, ToolCall};

use crate::{
    config::{Config, Environment},
    exit::{Exit, Failure},
    mail::settle::{self, Settled},
    repl::{
        ask::TerminalAsk,
        complete::Commands,
        core::Core,
        editor::{Editor, Read},
        secrets::Checked,
        slash::LiveControls,
        turn::{TurnOutcome, TurnParts},
    },
    ui::{
        line::{Line, Style},
        live::{Look, Screen, terminal},
        theme::Theme,
    },
    wiring::Wired,
};

/// What a model is told to do with a message that may start a turn: the user has said no more than that it may.
const ALLOWED: &str = "The user lets you answer this peer without being asked each time.";

/// An interactive session.
pub struct Session {
    core: Core,
    look: Look,
    screen: Screen,
    /// The last conversation that a peer's message began, by sender and thread.
    peers: Option<((String, Option<String>), Conversation)>,
}

impl Session {
    /// Puts a session together. At a first run it asks for a key; nothing else is asked or sent yet.
    ///
    /// # Errors
    /// The working directory cannot be used, or there is no key.
    pub fn new(
        config: Config,
        env: &Environment,
        mode: mesh_safety::PermissionMode,
        theme: Theme,
    ) -> Result<Session, Failure> {
        let interrupt = Interrupt::default();
        let look = Look::new(theme, theme.asks_background(&env.terminal));
        let screen = Screen::new(look.clone(), env.rewraps, interrupt.clone());
        let asker = std::sync::Arc::new(screen.clone());
        let core = Core::new(config, env, mode, interrupt, &mut TerminalAsk::new(look.clone()), asker)?;
        Ok(Session { core, look, screen, peers: None })
    }

    /// Runs the session to its end.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn run(mut self) -> Result<Exit, Failure> {
        let mut person = TerminalAsk::new(self.look.clone());
        let cwd = self.core.cwd.clone();
        let settings = self.core.wired.agent.settings().get();
        let columns = terminal::size().columns;
        self.print(&banner::banner(&cwd, self.core.config.folder(), &settings, columns));
        self.core.settle_survivors(&mut person, columns)?;
        let mail = self.core.wired.mail.clone();
        let mut editor = self.editor();
        // A peer whom the user allowed so much may have written before.
        let mut may_answer = true;
        let mut queue: VecDeque<String> = VecDeque::new();
        let mut draft = String::new();
        loop {
            if may_answer && queue.is_empty() && mail.as_ref().is_some_and(|desk| desk.has_auto()) {
                may_answer = self.answer_mail(&mut queue, &mut draft)?;
                if self.screen.is_gone() {
                    break;
                }
                continue;
            }
            let text = match queue.pop_front() {
                Some(message) => {
                    self.print(&[banner::rule(&cwd, terminal::size().columns), banner::entered(&message)]);
                    message
                }
                None => {
                    let notes = mail.as_ref().map(|desk| desk.notes()).unwrap_or_default();
                    self.print(&notes);
                    self.print(&[banner::rule(&cwd, terminal::size().columns)]);
                    match editor.read(&std::mem::take(&mut draft)) {
                        Ok(Read::Text(text)) => text,
                        Ok(Read::Mail) => {
                            // It would take up its line again where it stood, over what the turn shows.
                            editor = self.editor();
                            may_answer = true;
                            continue;
                        }
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
                if self.core.command(line, &mut person, terminal::size().columns)? {
                    continue;
                }
                break;
            }
            let text = match secrets::check(&mut person, text)? {
                Checked::Send(text) => text,
                Checked::Keep(text) => {
                    draft = if draft.is_empty() { text } else { format!("{draft}\n{text}") };
                    continue;
                }
            };
            self.print(&[Line::blank()]);
            let waiting = std::mem::take(&mut queue);
            let Some(content) = self.core.prepare(&text, &mut person) else {
                queue = waiting;
                draft = if draft.is_empty() { text } else { format!("{text}\n{draft}") };
                continue;
            };
            let outcome = self.turn(content, None, waiting, std::mem::take(&mut draft))?;
            may_answer = true;
            queue = outcome.queue;
            draft = outcome.draft;
            if let Err(error) = outcome.report {
                self.print(&Failure::from(error).lines());
            }
            if self.screen.is_gone() {
                break;
            }
        }
        self.core.close();
        Ok(Exit::Ok)
    }

    /// The line at the prompt.
    fn editor(&self) -> Editor {
        let core = &self.core;
        let (mode, servers) = (core.wired.agent.mode().clone(), core.wired.servers.clone());
        let settings = core.wired.agent.settings().clone();
        let commands = Commands::new(&core.cwd, core.models.clone(), settings);
        let sandbox = core.wired.confined.standing().clone();
        let (folder, mail) = (core.config.folder().clone(), core.wired.mail.clone());
        Editor::new(folder, commands, self.look.clone(), mode, sandbox, servers, mail)
    }

    /// A turn that a message starts, whose sender the user allowed so much. Says whether another may follow.
    fn answer_mail(&mut self, queue: &mut VecDeque<String>, draft: &mut String) -> Result<bool, Failure> {
        let Some(desk) = self.core.wired.mail.clone() else { return Ok(false) };
        if let Some(warning) = self.core.wired.confine() {
            self.print(&[Line::prose(Style::Warn, &warning)]);
        }
        let busy = self.core.begin();
        let taken = self.core.runtime.block_on(self.core.interrupt.unless(desk.next_auto()));
        self.core.end(busy);
        let Some(Ok(Some(job))) = taken else { return Ok(false) };
        let tokens = desk.allowance(&job.mail.from).and_then(|allowance| desk.budget(&job, allowance).ok());
        let from = clean_name(&job.mail.from);
        let columns = terminal::size().columns;
        self.print(&[
            banner::rule(&self.core.cwd, columns),
            Line::prose(Style::Brand, &format!("✉ #{} of {from}: answering it, as you allowed", job.mail.id)),
            Line::blank(),
        ]);
        self.core.wired.agent.set_budget(Budget { tokens, usd: None });
        // The peer's conversation is not the user's: neither sees anything of the other.
        let about = (job.mail.from.clone(), job.mail.thread.clone());
        let before = self.peers.take().filter(|(of, _)| about.1.is_some() && *of == about);
        let theirs = before.map_or_else(|| self.core.wired.agent.fresh(), |(_, theirs)| theirs);
        let own = self.core.wired.agent.swap(theirs);
        let content = Content::Text(settle::brief(ALLOWED, &job));
        let outcome =
            self.turn(content, Some(settle::opening(&job)), std::mem::take(queue), std::mem::take(draft))?;
        self.core.wired.agent.set_budget(Budget::default());
        (*queue, *draft) = (outcome.queue, outcome.draft);
        let report = match outcome.report {
            Ok(report) => report,
            Err(error) => {
                self.core.wired.agent.swap(own);
                self.core.runtime.block_on(desk.hand_back(settle::REST));
                self.print(&Failure::from(error).lines());
                return Ok(false);
            }
        };
        let settled =
            self.core.runtime.block_on(settle::settle(&desk, &self.core.wired.agent, &job, &report));
        let (line, goes_on) = match settled {
            Ok(Settled::Done(outcome, note)) => {
                let note = note.map(|note| format!(": {note}")).unwrap_or_default();
                (Line::prose(Style::Dim, &format!("✉ #{} {}{note}", job.mail.id, outcome.as_str())), true)
            }
            Ok(Settled::GivenBack | Settled::Useless) => {
                // The person who stopped it does not want it to begin again by itself.
                desk.leave(&job);
                (Line::prose(Style::Dim, &format!("✉ #{} was given back", job.mail.id)), false)
            }
            Err(error) => (Line::prose(Style::Bad, &format!("your mail's journal: {error}")), false),
        };
        let theirs = self.core.wired.agent.swap(own);
        self.peers = Some((about, theirs));
        self.print(&[line]);
        Ok(goes_on)
    }

    fn turn(
        &mut self,
        content: Content,
        opening: Option<ToolCall>,
        queue: VecDeque<String>,
        draft: String,
    ) -> Result<TurnOutcome, Failure> {
        let core = &mut self.core;
        let busy = core.begin();
        let Wired { agent, servers, savings, confined, permissions, mail, .. } = &mut core.wired;
        let sandbox = confined.standing().get();
        let controls = LiveControls {
            settings: agent.settings().clone(),
            mode: agent.mode().clone(),
            config: &mut core.config,
            models: core.models.clone(),
            savings: savings.clone(),
            permissions: permissions.clone(),
            last: agent.last_decision().clone(),
            always: agent.always_allowed(),
        };
        let parts = TurnParts {
            agent,
            content,
            opening,
            mail: mail.clone(),
            screen: &self.screen,
            look: &self.look,
            sandbox,
            controls,
            servers,
            interrupt: &core.interrupt,
            queue,
            draft,
        };
        let outcome = core.runtime.block_on(turn::run(parts));
        core.end(busy);
        Ok(outcome?)
    }

    fn print(&self, lines: &[Line]) {
        // A terminal that is gone ends the loop at its next read.
        let _ = terminal::print(self.look.theme(), lines);
    }
}
