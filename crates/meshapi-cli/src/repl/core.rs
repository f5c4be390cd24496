//! What both kinds of session have in common: the agent, the settings, and what a signal ends.

use std::{path::PathBuf, sync::Arc, time::Duration};

use mesh_agent::{Interrupt, builtin::Asker};
use mesh_client::wire::Content;
use mesh_safety::PermissionMode;
use tokio::runtime::Runtime;

use crate::{
    commands,
    config::{Config, Environment},
    exit::{Exit, Failure},
    repl::{
        ask::Ask,
        attach::{Prepared, scan},
        guard::{self, Busy, Guard},
        login::{self, Login},
        slash::{self, Attachments, ModelList, Outcome, SlashContext},
        survivors,
    },
    ui::line::{Line, Style},
    wiring::{self, Wired},
};

/// A session without its surface.
pub(super) struct Core {
    pub(super) wired: Wired,
    pub(super) config: Config,
    pub(super) cwd: PathBuf,
    pub(super) interrupt: Interrupt,
    pub(super) attachments: Attachments,
    pub(super) models: ModelList,
    pub(super) runtime: Runtime,
    guard: Guard,
}

impl Core {
    /// Puts a session together. Without a key the person is asked for one.
    ///
    /// # Errors
    /// The working directory cannot be used, there is no key, or the terminal is gone.
    pub(super) fn new(
        mut config: Config,
        env: &Environment,
        mode: PermissionMode,
        interrupt: Interrupt,
        person: &mut dyn Ask,
        asker: Arc<dyn Asker>,
    ) -> Result<Core, Failure> {
        let guard = Guard::watch(interrupt.clone())?;
        guard::hold_panics();
        let runtime = commands::runtime()?;
        let models = ModelList::default();
        if config.key().is_none() {
            person.say(&first_words(&config));
            take_key(person, &mut config, &runtime, &models)?;
        }
        let key = commands::key(&config)?.clone();
        let cwd = std::env::current_dir().map_err(|error| {
            Failure::new(Exit::Usage, "usage", format_args!("the working directory cannot be used: {error}"))
        })?;
        let mut wired = wiring::wire(&config, &key, &cwd, env.home.as_deref(), mode, Some(asker))?;
        if let Some(warning) = wired.mail_warning.take() {
            person.say(&[Line::prose(Style::Warn, &warning)]);
        }
        guard.keep(wired.servers.clone());
        let rules = wired.permissions.rules().clone();
        let attachments = Attachments::new(&cwd, env.home.as_deref()).with_rules(rules);
        Ok(Core { wired, config, cwd, interrupt, attachments, models, runtime, guard })
    }

    /// Asks about servers of an earlier session.
    ///
    /// # Errors
    /// The terminal is gone.
    pub(super) fn settle_survivors(&self, person: &mut dyn Ask, columns: usize) -> Result<(), Failure> {
        Ok(survivors::settle(person, &self.wired.servers, &self.runtime, columns)?)
    }

    /// Runs a slash command, and asks for a key if it is about that. Says whether the session goes on.
    ///
    /// # Errors
    /// The terminal is gone.
    pub(super) fn command(
        &mut self,
        line: &str,
        person: &mut dyn Ask,
        columns: usize,
    ) -> Result<bool, Failure> {
        let busy = self.begin();
        if line.split_once(char::is_whitespace).is_some_and(|(_, source)| scan::is_url(source.trim())) {
            person.say(&[fetching()]);
        }
        let mut context = SlashContext {
            wired: &mut self.wired,
            config: &mut self.config,
            attachments: &mut self.attachments,
            models: &self.models,
            columns,
        };
        let stopped = Outcome { lines: vec![Line::of(Style::Warn, "stopped")], ..Outcome::default() };
        let run = self.interrupt.unless(slash::run(line, &mut context));
        let outcome = self.runtime.block_on(run).unwrap_or(stopped);
        self.end(busy);
        person.say(&outcome.lines);
        if outcome.login {
            self.login(person)?;
        }
        Ok(!outcome.leave)
    }

    /// Asks for a key and uses it from the next request on.
    fn login(&mut self, person: &mut dyn Ask) -> Result<(), Failure> {
        if take_key(person, &mut self.config, &self.runtime, &self.models)?
            && let Some(found) = self.config.key()
        {
            self.wired.client.set_key(&found.key);
        } else {
            person.say(&[Line::of(Style::Dim, "The key stays as it was.")]);
        }
        Ok(())
    }

    /// The prompt with the images that it names; `None` if they were not waited for.
    pub(super) fn prepare(&mut self, text: &str, person: &mut dyn Ask) -> Option<Content> {
        if let Some(warning) = self.wired.confine() {
            person.say(&[Line::prose(Style::Warn, &warning)]);
        }
        let busy = self.begin();
        if self.attachments.goes_to_web(text) {
            person.say(&[fetching()]);
        }
        let prepared = self.runtime.block_on(self.interrupt.unless(self.attachments.prepare(text)));
        self.end(busy);
        match prepared {
            Some(Prepared { content, lines }) => {
                person.say(&lines);
                Some(content)
            }
            None => {
                person.say(&[Line::of(Style::Warn, "stopped; nothing was sent")]);
                None
            }
        }
    }

    /// A turn or a command begins: from here on Ctrl+C and signals raise the interrupt.
    pub(super) fn begin(&self) -> Busy {
        self.interrupt.clear();
        self.guard.busy()
    }

    /// It is over. Does not come back if the process is about to end.
    pub(super) fn end(&self, busy: Busy) {
        drop(busy);
        self.guard.wait_if_ending();
    }

    /// Ends the session's servers.
    pub(super) fn close(mut self) {
        // What is looked for makes folders, and takes them away when it is done.
        self.wired.confined.wait();
        if let Some(desk) = &self.wired.mail {
            // What a turn that paused still holds.
            self.runtime.block_on(desk.hand_back(Duration::ZERO));
        }
        self.runtime.block_on(self.wired.servers.kill_all());
    }
}

fn fetching() -> Line {
    Line::prose(Style::Dim, "→ fetching from the web (Ctrl+C stops)")
}

/// Where keys for the gateway of the Mesh API are made. From 0.5.10.
const KEY_PAGE: (&str, &str) = ("https://api.meshapi.ai/", "https://app.meshapi.ai");

/// What a person sees who has no key yet.
fn first_words(config: &Config) -> Vec<Line> {
    let base = config.base_url().as_str();
    let (gateway, page) = KEY_PAGE;
    let mut lines =
        vec![Line::blank(), Line::of(Style::Brand, "✦  meshapi").with(Style::Plain, " needs an API key")];
    if base.starts_with(gateway) {
        lines.push(Line::prose(Style::Dim, &format!("   You get one at {page} under API Keys.")));
    }
    lines.push(Line::prose(Style::Dim, &format!("   It is tried at {base} and saved for you alone.")));
    lines
}

/// Asks for a key. Says whether there is a new one.
fn take_key(
    person: &mut dyn Ask,
    config: &mut Config,
    runtime: &Runtime,
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
