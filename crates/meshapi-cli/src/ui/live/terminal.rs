//! Raw mode and its end. Whatever happens, the terminal is given back as it was found.

use std::{
    io::{self, IsTerminal, Write, stdin, stdout},
    sync::atomic::{AtomicBool, Ordering},
};

use super::region::Size;

/// Raw mode is on, by us.
static IS_RAW: AtomicBool = AtomicBool::new(false);

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

/// Whether raw mode is on, by us.
pub fn is_raw() -> bool {
    IS_RAW.load(Ordering::SeqCst)
}

/// Writes to the terminal at once.
///
/// # Errors
/// The terminal is gone.
pub fn write(text: &str) -> io::Result<()> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// A person reads and types here.
pub fn is_terminal() -> bool {
    stdin().is_terminal() && stdout().is_terminal()
}

/// The size of the terminal; 80 by 24 where it does not say.
pub fn size() -> Size {
    let (columns, rows) = crossterm::terminal::size().unwrap_or((80, 24));
    let or = |value: u16, other| if value == 0 { other } else { usize::from(value) };
    Size { columns: or(columns, 80), rows: or(rows, 24) }
}
