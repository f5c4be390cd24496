//! The levers: each takes a text and says what may go from it.

pub(crate) mod arguments;
pub(crate) mod clean;
pub(crate) mod repeat;
pub(crate) mod shorten;

/// The words of a note that tell how much is gone; the number stands in front.
pub(crate) const CUT: &str = " bytes cut";
/// The words of a note that names where lines stand.
pub(crate) const NAMED: &str = " lines as in ";

/// Whether a text holds a note of ours: it went through here before, and is left as it is.
pub(crate) fn has_note(text: &str) -> bool {
    let has = |note: &str| {
        let bytes = text.as_bytes();
        memchr::memmem::find_iter(bytes, note).any(|at| bytes[..at].last().is_some_and(u8::is_ascii_digit))
    };
    has(CUT) || has(NAMED)
}
