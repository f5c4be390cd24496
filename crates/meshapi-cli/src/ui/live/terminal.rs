//! Raw mode and its end. Whatever happens, the terminal is given back as it was found.

use std::{
    io::{self, IsTerminal, stdin, stdout},
    sync::atomic::{AtomicBool, Ordering},
};

use super::region::Size;
use crate::{
    sys,
    ui::{line::Line, theme::Theme, wrap},
};

/// Raw mode is on, by us.
static IS_RAW: AtomicBool = AtomicBool::new(false);
/// The terminal was someone else's for a while, and a turn has to draw anew.
static IS_REGAINED: AtomicBool = AtomicBool::new(false);
/// A turn was asked to pause the program: it alone knows where its rows are.
static IS_PAUSE_WANTED: AtomicBool = AtomicBool::new(false);
/// The program pauses by itself: who did that draws anew when it goes on.
static IS_OWN_PAUSE: AtomicBool = AtomicBool::new(false);

const PASTE_MARKS: (&str, &str) = ("\x1b[?2004h", "\x1b[?2004l");

/// The terminal in raw mode, pastes marked; given back when this is dropped.
#[derive(Debug)]
pub struct RawMode(());

impl RawMode {
    /// Switches the terminal to raw mode.
    ///
    /// # Errors
    /// There is no terminal, or it does not obey.
    pub fn enter() -> io::Result<RawMode> {
        crossterm::terminal::enable_raw_mode()?;
        IS_RAW.store(true, Ordering::SeqCst);
        write(PASTE_MARKS.0)?;
        Ok(RawMode(()))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        give_back();
    }
}

/// Gives the terminal back if it is in raw mode; for a panic, a signal, and the end of [`RawMode`].
pub fn give_back() {
    if IS_RAW.swap(false, Ordering::SeqCst) {
        // Synchronized output off, paste marks off, cursor shown.
        let _ = write(&format!("\x1b[?2026l{}\x1b[?25h", PASTE_MARKS.1));
        let _ = crossterm::terminal::disable_raw_mode();
    }
}

/// Who has the terminal in raw mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Nobody: it is as it was found.
    Nobody,
    /// A turn, by [`RawMode`].
    Turn,
    /// The line editor, or a question.
    Editor,
}

/// Gives the terminal back whoever has it; for a panic, a signal and a pause. Says who had it.
pub fn lend() -> Holder {
    if !crossterm::terminal::is_raw_mode_enabled().unwrap_or(false) {
        return Holder::Nobody;
    }
    let holder = if is_raw() { Holder::Turn } else { Holder::Editor };
    if holder == Holder::Editor {
        // Its line and the rows below it are left behind.
        let _ = write("\r\n\x1b[J");
        IS_RAW.store(true, Ordering::SeqCst);
    }
    give_back();
    holder
}

/// Pauses the program as Ctrl+Z does, wherever it is, and goes on when the shell says so. A turn that runs is asked to.
pub fn pause() {
    if is_raw() {
        IS_PAUSE_WANTED.store(true, Ordering::SeqCst);
        return;
    }
    let holder = lend();
    suspend();
    if holder == Holder::Editor {
        let _ = crossterm::terminal::enable_raw_mode();
        regain();
    }
}

/// Stops the program until the shell lets it go on. The caller has given the terminal back and takes it again.
pub fn suspend() {
    IS_OWN_PAUSE.store(true, Ordering::SeqCst);
    crate::sys::suspend();
}

/// The program goes on. After a pause that was not its own, the terminal is taken again.
pub fn go_on() {
    if !IS_OWN_PAUSE.swap(false, Ordering::SeqCst) {
        regain();
    }
}

/// Whether a turn was asked to pause since this was asked last.
pub fn take_pause_wish() -> bool {
    IS_PAUSE_WANTED.swap(false, Ordering::SeqCst)
}

/// Puts a terminal that is in raw mode there again: a shell may have set it to its own taste meanwhile. Asks for
/// everything to be drawn anew.
fn regain() {
    if crossterm::terminal::is_raw_mode_enabled().unwrap_or(false) {
        // What is found now is what is given back later.
        let _ = crossterm::terminal::disable_raw_mode();
        let _ = crossterm::terminal::enable_raw_mode();
        let _ = write(PASTE_MARKS.0);
        if is_raw() {
            IS_REGAINED.store(true, Ordering::SeqCst);
        } else {
            crate::sys::redraw();
        }
    }
}

/// Whether the terminal was regained since this was asked last.
pub fn take_regained() -> bool {
    IS_REGAINED.swap(false, Ordering::SeqCst)
}

/// Whether raw mode is on, by us.
pub fn is_raw() -> bool {
    IS_RAW.load(Ordering::SeqCst)
}

/// Writes to the terminal at once.
///
/// # Errors
/// The terminal is gone.
pub fn write(text: &str) -> io::Result<()> {
    sys::write_out(text.as_bytes())
}

/// Writes lines between turns. Prose is broken to the width; the rest is left to the terminal, so that it can be copied whole.
///
/// # Errors
/// The terminal is gone.
pub fn print(theme: Theme, lines: &[Line]) -> io::Result<()> {
    let columns = size().columns;
    let mut text = String::new();
    for line in lines {
        if line.is_prose() {
            for row in wrap::rows(line.clone(), columns) {
                text.push_str(&format!("{}\n", theme.paint(&row)));
            }
        } else {
            text.push_str(&format!("{}\n", theme.paint(line)));
        }
    }
    write(&text)
}

/// A person reads and types here.
pub fn is_terminal() -> bool {
    stdin().is_terminal() && stdout().is_terminal()
}

/// The size of the terminal; 80 by 24 where it does not say.
pub fn size() -> Size {
    let (columns, rows) = sys::terminal_size().unwrap_or((80, 24));
    let or = |value: u16, other| if value == 0 { other } else { usize::from(value) };
    Size { columns: or(columns, 80), rows: or(rows, 24) }
}
