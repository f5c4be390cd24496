//! What lives at the bottom of the terminal while a turn runs: the unfinished end of the reply, what happens right now, the
//! messages that wait, the line that is being typed, and the mode.
//!
//! - [`region`]: rows to bytes; what is finished is committed above and never touched again (pure)
//! - [`input`]: the line that is being typed (pure)
//! - [`question`]: a question with an answer by key (pure)
//! - [`state`]: everything the region shows, and when it is drawn (pure)
//! - [`screen`]: the state behind a lock, shared by the listener, the approver and the keys
//! - [`listener`]: events of a turn to lines
//! - [`look`]: the theme, and the terminal's answer about its background
//! - [`keys`]: keys of the terminal to actions; [`terminal`]: raw mode and its end
pub mod input;
pub mod keys;
pub mod listener;
pub mod look;
pub mod question;
pub mod region;
pub mod screen;
pub mod state;
pub mod terminal;

pub use look::Look;
pub use screen::Screen;
