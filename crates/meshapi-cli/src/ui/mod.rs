//! What a person sees: styled lines as values, and the one place that turns them into terminal text.
//!
//! Everything here is pure but the two listeners: values in, lines or JSON out. Text that came from a model, a file or
//! a command passes [`text::sanitize`] on its way into a [`line::Span`], so no escape sequence reaches the terminal.
pub mod approve;
pub mod diff;
pub mod events;
pub mod highlight;
pub mod json;
pub mod line;
pub mod live;
pub mod markdown;
pub mod run_json;
pub mod run_text;
pub mod savings;
pub mod status;
pub mod text;
pub mod theme;
pub mod tool;
pub mod toolbar;
pub mod wrap;
