//! One turn at the terminal: the agent works, the screen shows it, keys steer it.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use crossterm::event::{Event as Key, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use mesh_agent::{Agent, AgentError, Hands, Interrupt, TurnReport, builtin::Servers};
use mesh_client::wire::{Content, ToolCall};
use tokio::time::Sleep;

use crate::{
    confine::Standing,
    mail::Desk,
    repl::slash::{self, LiveControls},
    ui::{
        approve::ScreenApprover,
        live::{
            Look, Screen,
            keys::Keys,
            listener::ScreenListener,
            question::{CONFIRMATION, Question, Reply},
            state::Phase,
            terminal::{self, RawMode},
        },
    },
};

/// How soon the screen is looked at while something waits to be drawn: 30 times a second.
const TICK: Duration = Duration::from_millis(33);

/// How soon otherwise: the tenths of a second that are shown.
const BEAT: Duration = Duration::from_millis(100);

/// For so long after a question appears a key may be meant for what was there before,
const TYPED_AHEAD: Duration = Duration::from_millis(300);

/// if the person was typing: so recently before it.
const TYPING: Duration = Duration::from_millis(1_000);

/// Whom a turn needs.
pub struct TurnParts<'a> {
    /// Who works.
    pub agent: &'a mut Agent,
    /// What is asked.
    pub content: Content,
    /// The call that the turn begins with, where it is about a message.
    pub opening: Option<ToolCall>,
    /// The mailbox, for its mark.
    pub mail: Option<Arc<Desk>>,
    /// Where it shows.
    pub screen: &'a Screen,
    /// How it looks.
    pub look: &'a Look,
    /// How well its commands are confined.
    pub sandbox: Standing,
    /// What commands may change while it runs.
    pub controls: LiveControls<'a>,
    /// The servers that run.
    pub servers: &'a Servers,
    /// Ends the turn; raised by signals too.
    pub interrupt: &'a Interrupt,
    /// Messages that waited already.
    pub queue: VecDeque<String>,
    /// Text that was typed already.
    pub draft: String,
}

/// What is left of a turn.
pub struct TurnOutcome {
    /// The turn in figures.
    pub report: Result<TurnReport, AgentError>,
    /// Messages that wait for their turn.
    pub queue: VecDeque<String>,
    /// Text that was typed and not sent.
    pub draft: String,
}

/// Runs one turn in raw mode. The terminal is given back as it was.
///
/// # Errors
/// The terminal does not obey.
pub async fn run(parts: TurnParts<'_>) -> std::io::Result<TurnOutcome> {
    let TurnParts { agent, content, opening, mail, screen, look, .. } = parts;
    let TurnParts { sandbox, controls, servers, interrupt, queue, draft, .. } = parts;
    let raw = RawMode::enter()?;
    screen.begin(queue, draft, sandbox);
    let line = agent.call_line().clone();
    let mode = agent.mode().clone();
    let mut listener = ScreenListener::new(screen.clone());
    let mut approver = ScreenApprover::new(screen.clone(), agent.cwd(), controls.permissions.clone());
    let mut driver = Driver {
        screen,
        controls,
        interrupt,
        raw: Some(raw),
        asked_at: None,
        typed_ahead_until: None,
        last_key: None,
        stopped_call: false,
    };
    let hands = Hands { listener: &mut listener, approver: &mut approver, interrupt };
    let mut keys = Keys::read(look.clone());
    let mut clock = Clock::new();
    let mut ticks = 0_u32;
    let report = {
        let mut turn = std::pin::pin!(async move {
            match opening {
                Some(call) => agent.run_turn_on(content, call, hands).await,
                None => agent.run_turn(content, hands).await,
            }
        });
        loop {
            tokio::select! {
                biased;
                report = &mut turn => break report,
                Some(key) = keys.next() => match key {
                    Ok(key) => driver.key(&key),
                    // The terminal is gone: nobody sees what the turn would still do.
                    Err(_) => interrupt.raise(),
                },
                () = clock.tick(screen) => {
                    if terminal::take_regained() {
                        screen.with(|state| state.regain());
                    }
                    if terminal::take_pause_wish() {
                        driver.suspend();
                    }
                    ticks = ticks.wrapping_add(1);
                    let urls = (ticks % 8 == 1).then(|| servers.list().into_iter().map(|s| s.url).collect());
                    screen.with(|state| {
                        state.set_mode(mode.get());
                        state.set_note(line.note());
                        state.set_unread(mail.as_ref().map_or(0, |desk| desk.unread()));
                        if let Some(urls) = urls {
                            state.set_servers(urls);
                        }
                    });
                    driver.follow_question();
                    driver.stopped_call &= screen.with(|state| matches!(state.phase(), Phase::Running { .. }));
                }
            }
        }
    };
    // No key is lost: what came while the turn ended goes into the draft.
    for key in keys.stop() {
        driver.late_key(&key);
    }
    let (queue, draft) = screen.end();
    driver.raw.take();
    Ok(TurnOutcome { report, queue, draft })
}

/// Says when the screen is to be looked at.
struct Clock {
    looked: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Clock {
    /// The first look is at once.
    fn new() -> Clock {
        Clock { looked: Instant::now(), timer: Box::pin(tokio::time::sleep(Duration::ZERO)) }
    }

    /// Waits for the next look. Whatever wakes the turn may leave something to draw, so each poll asks anew how soon it is.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    async fn tick(&mut self, screen: &Screen) {
        poll_fn(|cx| {
            let due = (self.looked + if screen.is_dirty() { TICK } else { BEAT }).into();
            if due < self.timer.deadline() {
                self.timer.as_mut().reset(due);
            }
            self.timer.as_mut().poll(cx)
        })
        .await;
        self.looked = Instant::now();
        self.timer.as_mut().reset((self.looked + BEAT).into());
    }
}

/// Turns keys into what they mean in a turn.
struct Driver<'a> {
    screen: &'a Screen,
    controls: LiveControls<'a>,
    interrupt: &'a Interrupt,
    raw: Option<RawMode>,
    /// When the open question appeared.
    asked_at: Option<Instant>,
    /// Until then keys are not for the question.
    typed_ahead_until: Option<Instant>,
    last_key: Option<Instant>,
    /// Esc has stopped a call already: the next one ends the turn.
    stopped_call: bool,
}

impl Driver<'_> {
    fn key(&mut self, event: &Key) {
        self.follow_question();
        match event {
            Key::Key(key) if key.kind != KeyEventKind::Release => {
                self.press(*key);
                self.last_key = Some(Instant::now());
            }
            Key::Paste(text) => self.insert(&text.replace("\r\n", "\n").replace('\r', "\n")),
            // More may have followed: what counts is the size that the terminal has now.
            Key::Resize(..) => self.screen.with(|state| state.resize(terminal::size())),
            _ => {}
        }
    }

    /// A key that came when the turn was over already: only its text counts.
    fn late_key(&mut self, event: &Key) {
        match event {
            Key::Key(KeyEvent { code: KeyCode::Char(c), modifiers, .. })
                if !modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) =>
            {
                self.insert(c.encode_utf8(&mut [0; 4]));
            }
            Key::Key(KeyEvent { code: KeyCode::Enter, .. }) => {
                self.screen.with(|state| {
                    if let Some(message) = state.input.submit() {
                        state.input.enqueue(message);
                    }
                });
            }
            Key::Paste(text) => self.insert(text),
            _ => {}
        }
    }

    fn follow_question(&mut self) {
        let is_open = self.screen.with(|state| state.has_question());
        match (is_open, self.asked_at) {
            (true, None) => {
                let now = Instant::now();
                self.asked_at = Some(now);
                let was_typing = self.last_key.is_some_and(|last| now.duration_since(last) < TYPING);
                self.typed_ahead_until = was_typing.then(|| now + TYPED_AHEAD);
            }
            (false, Some(_)) => self.asked_at = None,
            _ => {}
        }
    }

    fn press(&mut self, key: KeyEvent) {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        self.screen.with(|state| state.set_notice(None));
        match key.code {
            KeyCode::Char('c' | 'd') if control => return self.abort(),
            KeyCode::Char('z') if control => return self.suspend(),
            KeyCode::BackTab => return self.cycle_mode(),
            _ => {}
        }
        if !control && self.answers(key) {
            return;
        }
        match key.code {
            KeyCode::Esc => self.escape(),
            KeyCode::Enter if key.modifiers.intersects(KeyModifiers::ALT | KeyModifiers::SHIFT) => {
                self.insert("\n");
            }
            KeyCode::Enter => self.submit(),
            KeyCode::Char('j') if control => self.insert("\n"),
            KeyCode::Char(c) if !control && !key.modifiers.contains(KeyModifiers::ALT) => {
                self.insert(c.encode_utf8(&mut [0; 4]));
            }
            code => self.edit(code, control),
        }
    }

    fn edit(&self, code: KeyCode, control: bool) {
        self.screen.with(|state| {
            let input = &mut state.input;
            match (code, control) {
                (KeyCode::Backspace, false) if input.is_empty() => drop(input.take_back()),
                (KeyCode::Up, _) => drop(input.take_back()),
                (KeyCode::Backspace, false) | (KeyCode::Char('h'), true) => input.backspace(),
                (KeyCode::Backspace, true) | (KeyCode::Char('w'), true) => input.delete_word(),
                (KeyCode::Delete, _) => input.delete(),
                (KeyCode::Left, _) | (KeyCode::Char('b'), true) => input.left(),
                (KeyCode::Right, _) | (KeyCode::Char('f'), true) => input.right(),
                (KeyCode::Home, _) | (KeyCode::Char('a'), true) => input.home(),
                (KeyCode::End, _) | (KeyCode::Char('e'), true) => input.end(),
                (KeyCode::Char('u'), true) => input.delete_to_start(),
                (KeyCode::Char('k'), true) => input.delete_to_end(),
                _ => return,
            }
            state.touch();
        });
    }

    fn insert(&self, text: &str) {
        self.screen.with(|state| {
            if !state.input.insert(text) {
                state.set_notice(Some("too long: put it into a file and use /file"));
            }
            state.touch();
        });
    }

    /// Gives the key to the open question, unless it may have been meant for what was there before. Says whether it was taken.
    fn answers(&self, key: KeyEvent) -> bool {
        if self.asked_at.is_none() {
            return false;
        }
        let is_ahead = self.typed_ahead_until.is_some_and(|until| Instant::now() < until);
        let reply = self.screen.with(|state| {
            let typing = !state.input.is_empty();
            let wants_words =
                matches!(state.question_mut(), Some(Question::Pick(picker)) if picker.wants_words());
            let is_move = matches!(key.code, KeyCode::Up | KeyCode::Down | KeyCode::Enter | KeyCode::Esc);
            if (typing || wants_words) && !(wants_words && is_move) {
                return None;
            }
            if is_ahead && matches!(key.code, KeyCode::Char(_) | KeyCode::Enter) {
                return None;
            }
            let question = state.question_mut()?;
            let takes_all = question.takes_every_key();
            let reply = question.key(key);
            // A list takes every key; a yes or no only its answers.
            (takes_all || reply.is_some()).then_some(reply)
        });
        match reply {
            Some(Some(reply)) => self.screen.answer(reply),
            Some(None) => true,
            None => false,
        }
    }

    fn submit(&mut self) {
        let Some(message) = self.screen.with(|state| state.input.submit()) else { return };
        let is_grave =
            self.screen.with(|state| matches!(state.question_mut(), Some(Question::Confirm { .. })));
        let counts = |reply: &Reply| {
            !is_grave || *reply == Reply::No || message.trim().eq_ignore_ascii_case(CONFIRMATION)
        };
        if self.asked_at.is_some()
            && let Some(reply) = answer_word(&message).filter(counts)
        {
            self.screen.answer(reply);
            return;
        }
        if message.starts_with('/')
            && let Some(lines) = slash::run_live(&message, &mut self.controls)
        {
            self.screen.say(lines);
            return;
        }
        self.screen.with(|state| {
            state.input.enqueue(message);
            state.touch();
        });
    }

    /// Once: the call that runs. Twice, or where none runs: the turn.
    fn escape(&mut self) {
        let is_running = self.screen.with(|state| matches!(state.phase(), Phase::Running { .. }));
        if is_running && !self.stopped_call {
            self.stopped_call = true;
            self.interrupt.stop_call();
            self.screen.with(|state| state.set_notice(Some("stopping it; esc again ends the turn")));
        } else {
            self.abort();
        }
    }

    fn abort(&self) {
        self.interrupt.raise();
        self.screen.with(|state| state.set_phase(Phase::Stopping, Instant::now()));
    }

    fn cycle_mode(&self) {
        let next = self.controls.mode.get().next();
        self.controls.mode.set(next);
        self.screen.with(|state| state.set_mode(next));
    }

    fn suspend(&mut self) {
        self.screen.hide();
        self.raw.take();
        terminal::suspend();
        self.raw = RawMode::enter().ok();
        self.screen.with(|state| {
            state.resize(terminal::size());
            state.regain();
        });
    }
}

/// A typed word that answers a yes or no.
fn answer_word(message: &str) -> Option<Reply> {
    match message.trim().to_lowercase().as_str() {
        "y" | "yes" => Some(Reply::Yes),
        "n" | "no" => Some(Reply::No),
        "a" | "always" => Some(Reply::Always),
        _ => None,
    }
}
