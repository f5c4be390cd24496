//! Replaces pieces of the bytes and leaves every other byte where it was.

use std::sync::Arc;

use crate::json::Span;

/// Bytes of ours.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Own {
    Fixed(&'static [u8]),
    Shared(Arc<[u8]>),
}

impl Own {
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Own::Fixed(bytes) => bytes,
            Own::Shared(bytes) => bytes,
        }
    }
}

/// What stands in a place instead of the client's bytes; an empty span inserts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Splice {
    pub(crate) span: Span,
    pub(crate) with: Own,
}

/// The bytes with splices applied, piece by piece; splices stand in order and do not overlap.
pub(crate) fn segments<'s>(bytes: &'s [u8], splices: &'s [Splice]) -> impl Iterator<Item = &'s [u8]> {
    let mut from = 0;
    let pieces = splices.iter().flat_map(move |splice| {
        let before = &bytes[from..splice.span.start];
        from = splice.span.end;
        [before, splice.with.bytes()]
    });
    let rest = &bytes[splices.last().map_or(0, |splice| splice.span.end)..];
    pieces.chain([rest]).filter(|piece| !piece.is_empty())
}
