//! Replaces pieces of the bytes and leaves every other byte where it was.

use std::borrow::Cow;

use crate::json::Span;

/// What stands in a place instead of the client's bytes; an empty span inserts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Splice<'s> {
    pub(crate) span: Span,
    pub(crate) with: Cow<'s, [u8]>,
}

/// Applies splices that do not overlap, in order of their places.
pub(crate) fn apply(bytes: &[u8], splices: &[Splice<'_>]) -> Vec<u8> {
    let grown: usize = splices.iter().map(|splice| splice.with.len()).sum();
    let gone: usize = splices.iter().map(|splice| splice.span.len()).sum();
    let mut out = Vec::with_capacity((bytes.len() + grown).saturating_sub(gone));
    let mut from = 0;
    for splice in splices {
        out.extend_from_slice(&bytes[from..splice.span.start]);
        out.extend_from_slice(&splice.with);
        from = splice.span.end;
    }
    out.extend_from_slice(&bytes[from..]);
    out
}
