//! The state behind a lock, and the terminal behind the state.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use mesh_agent::Interrupt;
use tokio::sync::oneshot;

use super::{
    Look,
    question::{Question, Reply},
    state::State,
    terminal,
};
use crate::{confine::Standing, ui::line::Line};

/// The screen of a session: shared by the listener, the approver, the asker and the keys. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Screen {
    shared: Arc<Mutex<Shared>>,
    look: Look,
    interrupt: Interrupt,
}

#[derive(Debug)]
struct Shared {
    state: State,
    answer: Option<oneshot::Sender<Reply>>,
    /// The terminal is gone.
    is_gone: bool,
}

impl Shared {
    /// The terminal may have another size before we are told: what is drawn for the old one would miss its rows.
    fn follow_size(&mut self) {
        let size = terminal::size();
        if size != self.state.size() {
            self.state.resize(size);
        }
    }
}

impl Screen {
    /// A screen that looks so, on a terminal that wraps anew or does not. When the terminal is gone, the interrupt is raised.
    pub fn new(look: Look, rewraps: bool, interrupt: Interrupt) -> Screen {
        let state = State::new(look.theme(), terminal::size(), rewraps, Instant::now());
        let shared = Arc::new(Mutex::new(Shared { state, answer: None, is_gone: false }));
        Screen { shared, look, interrupt }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and draws what is due.
    pub fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut shared = self.lock();
        let result = change(&mut shared.state);
        self.draw(&mut shared);
        result
    }

    /// Says lines that stay.
    pub fn say(&self, lines: impl IntoIterator<Item = Line>) {
        self.with(|state| state.say(lines));
    }

    /// Draws what is due.
    pub fn tick(&self) {
        self.draw(&mut self.lock());
    }

    fn draw(&self, shared: &mut Shared) {
        let now = Instant::now();
        if shared.state.is_due(now) {
            shared.follow_size();
            let bytes = shared.state.draw_now(now);
            self.write(shared, &bytes);
        }
    }

    /// Takes the region off the screen before others use the terminal. The next change of the state draws it again.
    pub fn hide(&self) {
        let mut shared = self.lock();
        shared.follow_size();
        let bytes = shared.state.hide();
        self.write(&mut shared, &bytes);
    }

    fn write(&self, shared: &mut Shared, bytes: &str) {
        if !shared.is_gone && !bytes.is_empty() && terminal::write(bytes).is_err() {
            shared.is_gone = true;
            self.interrupt.raise();
        }
    }

    /// Something waits to be drawn.
    pub fn is_dirty(&self) -> bool {
        self.lock().state.is_dirty()
    }

    /// The terminal is gone: nothing more can be shown or typed.
    pub fn is_gone(&self) -> bool {
        self.lock().is_gone
    }

    /// A turn begins.
    pub fn begin(&self, queue: VecDeque<String>, draft: String, sandbox: Standing) {
        let mut shared = self.lock();
        shared.state.set_sandbox(sandbox);
        shared.state.begin(queue, draft, Instant::now());
        shared.state.set_theme(self.look.theme());
        shared.state.resize(terminal::size());
        shared.state.regain();
    }

    /// The turn is over: gives up the messages that wait and the text that was typed.
    pub fn end(&self) -> (VecDeque<String>, String) {
        let mut shared = self.lock();
        shared.follow_size();
        let bytes = shared.state.end();
        self.write(&mut shared, &bytes);
        shared.answer = None;
        std::mem::take(&mut shared.state.input).into_parts()
    }

    /// Asks and waits for the answer. `None` when the question was withdrawn.
    ///
    /// # Cancel safety
    /// Dropping the future withdraws the question.
    pub async fn ask(&self, lines: Vec<Line>, question: Question) -> Option<Reply> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut shared = self.lock();
            shared.state.say(lines);
            shared.state.set_question(Some(question));
            shared.answer = Some(sender);
            shared.follow_size();
            let bytes = shared.state.draw_now(Instant::now());
            self.write(&mut shared, &bytes);
        }
        let _open = Open(self);
        receiver.await.ok()
    }

    /// Answers the question that is open. Says whether there was one.
    pub fn answer(&self, reply: Reply) -> bool {
        let mut shared = self.lock();
        shared.state.set_question(None);
        shared.answer.take().is_some_and(|sender| sender.send(reply).is_ok())
    }
}

/// Closes its question when it is dropped.
struct Open<'a>(&'a Screen);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let mut shared = self.0.lock();
        shared.answer = None;
        shared.state.set_question(None);
    }
}
