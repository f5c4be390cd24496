//! What stands instead of a text: the pieces of it that stay, and notes between them.
//!
//! An edit is frozen once it was sent: it is kept as places in the client's own text, so it is small and gives the same bytes for
//! as long as the client sends that text.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::body::Form;
use crate::json::{Decoded, quote_into};

/// A piece of an edited text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Piece {
    /// These bytes of the original text.
    Keep(usize, usize),
    /// Words of ours.
    Note(String),
}

impl Piece {
    fn len(&self) -> usize {
        match self {
            Piece::Keep(from, to) => to - from,
            Piece::Note(note) => note.len(),
        }
    }
}

/// A place of a text that goes, and what is said instead.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Hole {
    pub(crate) range: Range<usize>,
    pub(crate) note: Option<String>,
}

/// What stands instead of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Edit {
    pieces: Vec<Piece>,
}

impl Edit {
    /// The text as it is.
    pub(crate) fn nothing(len: usize) -> Edit {
        Edit { pieces: vec![Piece::Keep(0, len)] }
    }

    /// Words of ours alone.
    pub(crate) fn note(note: String) -> Edit {
        Edit { pieces: vec![Piece::Note(note)] }
    }

    /// Returns the length of what stands there now, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.pieces.iter().map(Piece::len).sum()
    }

    /// Returns what stands there now; a piece that lies outside `original` is left out.
    pub(crate) fn text(&self, original: &str) -> String {
        let mut text = String::with_capacity(self.len());
        for piece in &self.pieces {
            text.push_str(match piece {
                Piece::Keep(from, to) => original.get(*from..*to).unwrap_or(""),
                Piece::Note(note) => note,
            });
        }
        text
    }

    /// Returns where a place of the original stands now; what is gone stands where it would be.
    pub(crate) fn current(&self, original: usize) -> usize {
        let mut at = 0;
        for piece in &self.pieces {
            match piece {
                Piece::Keep(from, to) if original <= *to => return at + original.saturating_sub(*from),
                _ => {}
            }
            at += piece.len();
        }
        at
    }

    /// Whether the edit could have been made for a text of this length.
    pub(crate) fn fits(&self, len: usize) -> bool {
        self.pieces.iter().all(|piece| !matches!(piece, Piece::Keep(from, to) if from > to || *to > len))
    }

    /// Takes out `holes` (in order, none overlapping), which count in what stands there now.
    pub(crate) fn without(&self, holes: &[Hole]) -> Edit {
        let mut pieces = Vec::with_capacity(holes.len() * 2 + 1);
        let mut from = 0;
        for hole in holes {
            self.slice(from..hole.range.start, &mut pieces);
            if let Some(note) = &hole.note {
                pieces.push(Piece::Note(note.clone()));
            }
            from = hole.range.end;
        }
        self.slice(from..self.len(), &mut pieces);
        Edit { pieces }
    }

    fn slice(&self, range: Range<usize>, into: &mut Vec<Piece>) {
        let mut at = 0;
        for piece in &self.pieces {
            let len = piece.len();
            let (from, to) = (range.start.clamp(at, at + len) - at, range.end.clamp(at, at + len) - at);
            if from < to {
                into.push(match piece {
                    Piece::Keep(start, _) => Piece::Keep(start + from, start + to),
                    Piece::Note(note) => Piece::Note(note.get(from..to).unwrap_or("").to_owned()),
                });
            }
            at += len;
        }
    }

    /// Writes what stands there now as JSON; what is kept is copied byte for byte.
    pub(crate) fn render(&self, bytes: &[u8], original: &Decoded<'_>, form: Form) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len() + self.len() / 8 + 2);
        let mut quoted = String::new();
        if form == Form::Literal {
            out.push(b'"');
        }
        for piece in &self.pieces {
            match (piece, form) {
                (Piece::Keep(from, to), _) => {
                    out.extend_from_slice(&bytes[original.raw(*from)..original.raw(*to)])
                }
                (Piece::Note(note), Form::Json) => out.extend_from_slice(note.as_bytes()),
                (Piece::Note(note), Form::Literal) => {
                    quoted.clear();
                    quote_into(note, &mut quoted);
                    out.extend_from_slice(quoted.as_bytes());
                }
            }
        }
        if form == Form::Literal {
            out.push(b'"');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::decode;

    fn hole(range: Range<usize>, note: Option<&str>) -> Hole {
        Hole { range, note: note.map(str::to_owned) }
    }

    #[test]
    fn cuts_are_made_on_cuts() {
        let text = "0123456789";
        let once = Edit::nothing(10).without(&[hole(2..4, Some("[..]")), hole(8..9, None)]);
        assert_eq!(once.text(text), "01[..]45679");
        let twice = once.without(&[hole(1..3, None), hole(9..11, Some("!"))]);
        assert_eq!(twice.text(text), "0..]456!");
        assert_eq!(twice.len(), 8);
        assert_eq!([0, 3, 5, 10].map(|at| once.current(at)), [0, 6, 7, 11]);
        assert!(twice.fits(10) && !twice.fits(6));
        let saved: Edit = serde_json::from_str(&serde_json::to_string(&twice).unwrap()).unwrap();
        assert_eq!(saved, twice);
    }

    #[test]
    fn kept_bytes_are_the_clients_own() {
        let body = br#""a\u0041\n\"b""#;
        let original = decode(body, 0..body.len()).unwrap();
        let edit = Edit::nothing(original.text.len()).without(&[hole(2..3, Some("\"\n"))]);
        assert_eq!(edit.render(body, &original, Form::Literal), br#""a\u0041\"\n\"b""#);
    }
}
