//! Here-texts: announced in a line, filled in when it ends.

use super::{Announced, BODY_MARK, ParseError, Parser};
use crate::shell::ast::{Command, Kind, Piece, Redirect, RedirectKind, Script, Word};

impl Parser {
    pub(super) fn announce(&mut self, end: &Word, strip_tabs: bool) -> Result<Redirect, ParseError> {
        let is_text = |piece: &Piece| matches!(piece, Piece::Text { .. } | Piece::Variable { .. });
        if !end.pieces.iter().all(is_text) {
            return Err(ParseError("a here-text whose end is not understood"));
        }
        let text = |piece: &Piece| match piece {
            Piece::Text { text, .. } => text.clone(),
            Piece::Variable { name, .. } => format!("${name}"),
            Piece::Command { .. } | Piece::Process { .. } | Piece::Arithmetic { .. } => String::new(),
        };
        let literal = end.pieces.iter().any(|piece| matches!(piece, Piece::Text { quoted: true, .. }));
        let number = self.bodies.len();
        self.bodies.push(Word::default());
        let end = end.pieces.iter().map(text).collect();
        self.announced.push(Announced { number, end, strip_tabs, literal });
        Ok(Redirect { kind: RedirectKind::Text, target: Word::quoted(format!("{BODY_MARK}{number}")) })
    }

    /// Puts the bodies of here-texts in their places.
    pub(super) fn fill(&self, script: &mut Script) {
        for command in script.items.iter_mut().flat_map(|pipeline| &mut pipeline.commands) {
            self.fill_command(command);
        }
    }

    pub(super) fn fill_command(&self, command: &mut Command) {
        for redirect in &mut command.redirects {
            let [Piece::Text { text, .. }] = redirect.target.pieces.as_slice() else { continue };
            let number = text.strip_prefix(BODY_MARK).and_then(|number| number.parse::<usize>().ok());
            if let Some(body) = number.and_then(|number| self.bodies.get(number)) {
                redirect.target = body.clone();
            }
        }
        match &mut command.kind {
            Kind::Simple { .. } | Kind::Test(_) => {}
            Kind::Group(script) | Kind::Subshell(script) | Kind::For { body: script, .. } => {
                self.fill(script)
            }
            Kind::Loop { condition, body } => {
                self.fill(condition);
                self.fill(body);
            }
            Kind::Branches(scripts) | Kind::Case { arms: scripts, .. } => {
                scripts.iter_mut().for_each(|script| self.fill(script));
            }
            Kind::Function { body, .. } => self.fill_command(body),
        }
    }
}
