//! The line at the prompt: reedline with our keys, our history and the row below it.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use mesh_agent::{SharedMode, builtin::Servers};
use reedline::{
    Color, ColumnarMenu, EditCommand, EditMode, Emacs, ExternalPrinter, Highlighter, Hinter, History,
    MenuBuilder, Prompt, PromptEditMode, PromptHistorySearch, PromptHistorySearchStatus, Reedline,
    ReedlineEvent, ReedlineMenu, ReedlineRawEvent, Signal, StyledText, default_emacs_keybindings,
};

use crate::{
    config::Folder,
    confine::SharedStanding,
    mail::{Desk, desk::Bell},
    repl::{complete::Commands, history::PromptHistory},
    ui::{
        line::{Line, Style},
        live::{Look, terminal},
        text, toolbar, wrap,
    },
};

/// What a person did at the prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// They entered this.
    Text(String),
    /// Mail came that may start a turn, and nothing was typed.
    Mail,
    /// They want to leave.
    Leave,
}

/// The editor of a session.
pub struct Editor {
    line: Reedline,
    look: Look,
    /// What is known of the line.
    typed: Arc<Typed>,
    /// A person is at the prompt.
    is_reading: Arc<AtomicBool>,
    /// Looks whether there is mail to tell of.
    bell: Option<Bell>,
}

/// The line as it was painted last.
#[derive(Debug, Default)]
struct Typed {
    is_started: AtomicBool,
    /// So many bytes, line feeds counted as whole rows.
    bytes: AtomicUsize,
}

impl Editor {
    /// An editor whose history lies in `folder`, which completes `commands`, and whose last rows show mode, sandbox and servers.
    pub fn new(
        folder: Folder,
        commands: Commands,
        look: Look,
        mode: SharedMode,
        sandbox: SharedStanding,
        servers: Servers,
        mail: Option<Arc<Desk>>,
    ) -> Editor {
        let mut keys = default_emacs_keybindings();
        let newline = || ReedlineEvent::Edit(vec![EditCommand::InsertNewline]);
        keys.add_binding(KeyModifiers::ALT, KeyCode::Enter, newline());
        keys.add_binding(KeyModifiers::SHIFT, KeyCode::Enter, newline());
        keys.add_binding(KeyModifiers::CONTROL, KeyCode::Char('j'), newline());
        let complete = ReedlineEvent::Menu(MENU.to_owned());
        keys.add_binding(
            KeyModifiers::NONE,
            KeyCode::Tab,
            ReedlineEvent::UntilFound(vec![complete, ReedlineEvent::MenuNext]),
        );
        let menu = ColumnarMenu::default().with_name(MENU).with_marker(SIGN).with_columns(1);
        let typed = Arc::new(Typed::default());
        let unread = mail.clone();
        let line = Reedline::create()
            .use_bracketed_paste(true)
            .with_ansi_colors(look.theme().is_coloured())
            .with_edit_mode(Box::new(Keys {
                emacs: Emacs::new(keys),
                mode: mode.clone(),
                look: look.clone(),
            }))
            .with_hinter(Box::new(Below { look: look.clone(), mode, sandbox, servers, mail: unread }))
            .with_highlighter(Box::new(Watch(Arc::clone(&typed))))
            .with_completer(Box::new(commands))
            .with_quick_completions(true)
            .with_menu(ReedlineMenu::EngineCompleter(Box::new(menu)));
        let line = match PromptHistory::load(folder) {
            Ok(history) => line.with_history(Box::new(history) as Box<dyn History>),
            Err(_) => line,
        };
        let is_reading = Arc::new(AtomicBool::new(false));
        let (line, bell) = match mail {
            Some(desk) => with_bell(line, &desk, &look, &typed, &is_reading),
            None => (line, None),
        };
        Editor { line, look, typed, is_reading, bell }
    }

    /// Waits for a line; `draft` stands there already.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn read(&mut self, draft: &str) -> std::io::Result<Read> {
        if !draft.is_empty() {
            self.line.run_edit_commands(&[EditCommand::InsertString(draft.to_owned())]);
        }
        self.look.ask();
        let sign = Sign { look: self.look.clone() };
        // It was painted last before it was entered.
        self.typed.set(draft);
        let _reading = Reading::begin(&self.is_reading);
        // What came just before.
        if let Some(bell) = &self.bell {
            bell();
        }
        loop {
            match self.line.read_line(&sign)? {
                Signal::Success(text) => return Ok(Read::Text(text)),
                Signal::CtrlD => return Ok(Read::Leave),
                // reedline empties the line: only one on an empty line leaves.
                Signal::CtrlC if !self.typed.is_started.load(Ordering::Relaxed) => return Ok(Read::Leave),
                Signal::ExternalBreak(text) if text.is_empty() => {
                    // The sign and the rows below it make room for the turn.
                    terminal::write("\r\x1b[J")?;
                    return Ok(Read::Mail);
                }
                _ => {}
            }
        }
    }
}

impl Typed {
    fn set(&self, line: &str) {
        let rows = line.matches('\n').count();
        self.is_started.store(!line.is_empty(), Ordering::Relaxed);
        self.bytes.store(line.len() + rows * usize::from(u16::MAX), Ordering::Relaxed);
    }
}

/// A person is at the prompt until this is dropped.
struct Reading<'a>(&'a AtomicBool);

impl Reading<'_> {
    fn begin(is_reading: &AtomicBool) -> Reading<'_> {
        is_reading.store(true, Ordering::Relaxed);
        Reading(is_reading)
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// Has mail that comes while a person is at the prompt told above the line, and marked below it; on an empty line it may start a turn.
///
/// A line that takes more than one row is left alone: the note stands there when the next prompt does.
fn with_bell(
    mut line: Reedline,
    desk: &Arc<Desk>,
    look: &Look,
    typed: &Arc<Typed>,
    is_reading: &Arc<AtomicBool>,
) -> (Reedline, Option<Bell>) {
    let printer = ExternalPrinter::default();
    let (notes, repaint, brake) = (printer.sender(), line.repaint_signal(), Arc::new(AtomicBool::new(false)));
    let line = line.with_external_printer(printer).with_break_signal(Arc::clone(&brake));
    let (weak, look) = (Arc::downgrade(desk), look.clone());
    let (typed, is_reading) = (Arc::clone(typed), Arc::clone(is_reading));
    let bell: Bell = Arc::new(move || {
        let Some(desk) = weak.upgrade().filter(|_| is_reading.load(Ordering::Relaxed)) else { return };
        let width = typed.bytes.load(Ordering::Relaxed) + text::width(SIGN) + 1;
        if width < terminal::size().columns {
            for told in desk.notes() {
                let _ = notes.try_send(look.theme().paint(&told));
            }
        }
        repaint.request_repaint();
        if !typed.is_started.load(Ordering::Relaxed) && desk.has_auto() {
            brake.store(true, Ordering::Relaxed);
        }
    });
    desk.on_change(Some(Arc::clone(&bell)));
    (line, Some(bell))
}

const MENU: &str = "commands";
/// Stands before the line, also while something is offered below it.
const SIGN: &str = "› ";

/// Our keys before reedline's own: the mode, and the pause of the whole program.
struct Keys {
    emacs: Emacs,
    mode: SharedMode,
    look: Look,
}

impl EditMode for Keys {
    fn parse_event(&mut self, event: ReedlineRawEvent) -> ReedlineEvent {
        let before = self.look.theme();
        let mut typed = self.look.typed(Event::from(event));
        match (typed.pop(), typed.is_empty()) {
            (Some(event), true) => self.meaning(event),
            (Some(last), false) => {
                typed.push(last);
                ReedlineEvent::Multiple(typed.into_iter().map(|event| self.meaning(event)).collect())
            }
            (None, _) if self.look.theme() != before => ReedlineEvent::Repaint,
            (None, _) => ReedlineEvent::None,
        }
    }

    fn edit_mode(&self) -> PromptEditMode {
        self.emacs.edit_mode()
    }
}

impl Keys {
    fn meaning(&mut self, event: Event) -> ReedlineEvent {
        if let Event::Key(KeyEvent { code, modifiers, .. }) = &event {
            match code {
                KeyCode::BackTab => {
                    self.mode.set(self.mode.get().next());
                    return ReedlineEvent::Repaint;
                }
                KeyCode::Char('z') if modifiers.contains(KeyModifiers::CONTROL) => {
                    terminal::pause();
                    // Drawn anew where the cursor is then: what a shell wrote meanwhile stays.
                    return ReedlineEvent::None;
                }
                _ => {}
            }
        }
        match ReedlineRawEvent::try_from(event) {
            Ok(event) => self.emacs.parse_event(event),
            Err(()) => ReedlineEvent::None,
        }
    }
}

/// The rows below the line: the servers that run, and the mode. reedline paints a hint behind the buffer, so they follow it
/// wherever it goes and vanish with it.
struct Below {
    look: Look,
    mode: SharedMode,
    sandbox: SharedStanding,
    servers: Servers,
    mail: Option<Arc<Desk>>,
}

impl Hinter for Below {
    fn handle(&mut self, _: &str, _: usize, _: &dyn History, _: bool, _: &str) -> String {
        let theme = self.look.theme();
        let columns = terminal::size().columns;
        let mut rows = String::new();
        let servers: Vec<String> = self.servers.list().into_iter().map(|server| server.url).collect();
        if !servers.is_empty() {
            let text = format!("  serving {}", servers.join("  "));
            let row = Line::of(Style::Good, &text::clip_width(&text, columns));
            rows.push_str(&format!("\n{}", theme.paint(&row)));
        }
        // The last cell stays free: a full row would wrap.
        let unread = self.mail.as_ref().map_or(0, |desk| desk.unread());
        let row = toolbar::row(self.mode.get(), self.sandbox.get(), unread, columns);
        let row = wrap::rows(row, columns.saturating_sub(1).max(1));
        if let Some(row) = row.first() {
            rows.push_str(&format!("\n{}", theme.paint(row)));
        }
        rows
    }

    fn complete_hint(&self) -> String {
        String::new()
    }

    fn next_hint_token(&self) -> String {
        String::new()
    }
}

/// Shows the line as it is typed, and knows whether it was empty: reedline asks at every change, whatever its mode.
struct Watch(Arc<Typed>);

impl Highlighter for Watch {
    fn highlight(&self, line: &str, _: usize) -> StyledText {
        self.0.set(line);
        let mut text = StyledText::new();
        text.push((Default::default(), line.to_owned()));
        text
    }
}

/// The sign before the line.
struct Sign {
    look: Look,
}

impl Prompt for Sign {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        Cow::Borrowed("")
    }

    fn render_prompt_right(&self) -> Cow<'_, str> {
        Cow::Borrowed("")
    }

    fn render_prompt_indicator(&self, _: PromptEditMode) -> Cow<'_, str> {
        Cow::Borrowed(SIGN)
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        Cow::Borrowed("  ")
    }

    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        let failing = match search.status {
            PromptHistorySearchStatus::Passing => "",
            PromptHistorySearchStatus::Failing => "nothing has ",
        };
        Cow::Owned(format!("({failing}search: {}) ", text::one_line(&search.term)))
    }

    fn get_indicator_color(&self) -> Color {
        let (red, green, blue) = self.look.theme().brand();
        Color::Rgb(red, green, blue)
    }
}
