//! Words to arguments: variables, tildes, braces, substitutions, splitting. What is not known stays marked as unknown.

use std::rc::Rc;

use super::ast::{Operator, Piece, Word};
use super::flow::{Arg, Flow, Taint};
use super::walk::Walk;
use crate::env::names_credential;

/// Words that one brace expression may become; more stays as written.
const MAX_BRACE_WORDS: usize = 64;

/// Longest word in which braces are looked for; the search is quadratic.
const MAX_BRACED_CHARS: usize = 2000;

/// Characters that all words of a text may become together; a script that doubles a variable again and again ends here.
const MAX_EXPANDED: usize = 2_000_000;

/// What a variable holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// This text.
    Known(String),
    /// Something of this origin that was set by the script.
    Unknown(Taint),
}

/// One character after expansion, with what splitting and patterns have to know.
#[derive(Clone, Copy, Debug)]
struct Char {
    c: char,
    /// Blanks split here: an unquoted expansion.
    splits: bool,
    /// Unquoted and written in the text: a pattern, a brace or a tilde.
    is_bare: bool,
    known: bool,
}

/// A word on its way: characters, and what they drag along.
#[derive(Default)]
struct Growing {
    chars: Vec<Char>,
    taint: Taint,
    has_quotes: bool,
    begins_unknown: bool,
    process: Option<Rc<Flow>>,
}

impl Growing {
    fn literal(&mut self, text: &str, is_bare: bool) {
        self.chars.extend(text.chars().map(|c| Char { c, splits: false, is_bare, known: true }));
    }

    fn expanded(&mut self, text: &str, quoted: bool) {
        self.chars.extend(text.chars().map(|c| Char { c, splits: !quoted, is_bare: false, known: true }));
    }

    fn unknown(&mut self, taint: Taint, from_environment: bool) {
        self.begins_unknown |= from_environment && self.chars.is_empty();
        self.chars.push(Char { c: '*', splits: false, is_bare: false, known: false });
        self.taint |= taint;
    }
}

impl Walk<'_> {
    /// Expands words to arguments, judging the substitutions in them.
    pub(super) fn arguments(&mut self, words: &[Word]) -> Vec<Arg> {
        words.iter().flat_map(|word| self.argument_list(word)).collect()
    }

    /// Expands a word that stays one: the value of an assignment, a redirection's target.
    pub(super) fn single(&mut self, word: &Word) -> Arg {
        let grown = self.grow(word);
        let chars = self.tilde(&grown.chars);
        finish(&chars, &grown)
    }

    /// The text of a here-text or a test, where no splitting happens.
    pub(super) fn flow_of(&mut self, word: &Word) -> Flow {
        let arg = self.single(word);
        Flow { text: arg.is_known.then_some(arg.text), taint: arg.taint, is_fed: true }
    }

    fn argument_list(&mut self, word: &Word) -> Vec<Arg> {
        let grown = self.grow(word);
        let mut out = Vec::new();
        for chars in braces(&grown.chars) {
            let chars = self.tilde(&chars);
            let fields = self.fields(&chars);
            if fields.is_empty() && grown.has_quotes {
                out.push(Arg { taint: grown.taint, ..Arg::known("") });
            }
            out.extend(fields.iter().map(|field| finish(field, &grown)));
        }
        out
    }

    fn grow(&mut self, word: &Word) -> Growing {
        let mut grown = Growing::default();
        for piece in &word.pieces {
            if self.expanded + grown.chars.len() > MAX_EXPANDED {
                break;
            }
            match piece {
                // The mark of a here-text whose body was never found.
                Piece::Text { text, .. } if text.contains('\0') => grown.unknown(Taint::NONE, true),
                Piece::Text { text, quoted } => {
                    grown.has_quotes |= *quoted;
                    grown.literal(text, !quoted);
                }
                Piece::Variable { name, quoted, operator, operand } => {
                    grown.has_quotes |= *quoted;
                    self.grow_variable(&mut grown, name, *quoted, *operator, operand);
                }
                Piece::Command { script, quoted } => {
                    grown.has_quotes |= *quoted;
                    let flow = self.substitution(script);
                    match flow.text {
                        Some(text) => grown.expanded(text.trim_end_matches('\n'), *quoted),
                        None => grown.unknown(flow.taint, false),
                    }
                    grown.taint |= flow.taint;
                }
                Piece::Process { script } => {
                    let flow = self.substitution(script);
                    grown.literal("/dev/fd/63", false);
                    grown.process = Some(Rc::new(flow));
                }
                Piece::Arithmetic { inner } => {
                    let inner = self.grow(inner);
                    grown.unknown(inner.taint, false);
                }
            }
        }
        self.expanded += grown.chars.len();
        if self.expanded > MAX_EXPANDED {
            self.ask("words that grow beyond what can be judged");
            grown.chars.clear();
            grown.unknown(Taint::NONE, true);
        }
        grown
    }

    fn grow_variable(
        &mut self,
        grown: &mut Growing,
        name: &str,
        quoted: bool,
        operator: Operator,
        operand: &Word,
    ) {
        let value = self.value(name);
        let operand = (!operand.pieces.is_empty()).then(|| self.single(operand));
        match (operator, value, operand) {
            (Operator::Plain | Operator::Default | Operator::Assign, Some(Value::Known(text)), _) => {
                grown.expanded(&text, quoted);
            }
            (Operator::Default | Operator::Assign, None, Some(word)) => {
                let value =
                    if word.is_known { Value::Known(word.text.clone()) } else { Value::Unknown(word.taint) };
                if operator == Operator::Assign {
                    self.set(name, value);
                }
                // The environment may have set it all the same; what the text says is what is judged.
                if word.is_known {
                    grown.expanded(&word.text, quoted)
                } else {
                    grown.unknown(word.taint, true)
                }
            }
            (Operator::Alternative, _, Some(word)) if word.is_known => grown.expanded(&word.text, quoted),
            (_, Some(Value::Unknown(taint)), word) => {
                grown.unknown(taint | word.map_or(Taint::NONE, |word| word.taint), false);
            }
            (_, value, word) => {
                let credential = value.is_none() && names_credential(name);
                let taint = if credential { Taint::CREDENTIAL } else { Taint::NONE };
                let from_environment = value.is_none() && !is_counter(name);
                grown.unknown(taint | word.map_or(Taint::NONE, |word| word.taint), from_environment);
            }
        }
    }

    /// The value of a variable, as far as the script or the policy tells.
    fn value(&self, name: &str) -> Option<Value> {
        if let Some(value) = self.variables.get(name) {
            return Some(value.clone());
        }
        match name {
            "HOME" => self.home().map(|home| Value::Known(home.to_owned())),
            "PWD" => self.folder.as_ref().map(|folder| Value::Known(folder.to_string_lossy().into_owned())),
            "IFS" => Some(Value::Known(" \t\n".to_owned())),
            _ => None,
        }
    }

    /// Splits unquoted expansions at blanks, or at what the script put into `IFS`.
    fn fields(&self, chars: &[Char]) -> Vec<Vec<Char>> {
        let separators = match self.variables.get("IFS") {
            Some(Value::Known(text)) => text.clone(),
            _ => " \t\n".to_owned(),
        };
        let mut fields = Vec::new();
        let mut field = Vec::new();
        for &char in chars {
            if char.splits && separators.contains(char.c) {
                if !field.is_empty() {
                    fields.push(std::mem::take(&mut field));
                }
            } else {
                field.push(char);
            }
        }
        if !field.is_empty() {
            fields.push(field);
        }
        fields
    }

    /// A bare `~` at the beginning becomes the home; `~eve` the home that a user of this name usually has.
    fn tilde(&self, chars: &[Char]) -> Vec<Char> {
        let bare = |at: usize| chars.get(at).filter(|char| char.is_bare).map(|char| char.c);
        if bare(0) != Some('~') {
            return chars.to_vec();
        }
        let end = (1..chars.len()).find(|&at| chars[at].c == '/').unwrap_or(chars.len());
        let user: String = chars[1..end].iter().map(|char| char.c).collect();
        let place = match user.as_str() {
            "" => self.home().map(str::to_owned),
            "+" | "-" => self.folder.as_ref().map(|folder| folder.to_string_lossy().into_owned()),
            "root" => Some("/root".to_owned()),
            name => Some(format!("/home/{name}")),
        };
        let Some(place) = place else { return chars.to_vec() };
        let home = place.chars().map(|c| Char { c, splits: false, is_bare: false, known: true });
        home.chain(chars[end..].iter().copied()).collect()
    }
}

/// Variables of the shell whose value is a number, which points nowhere.
fn is_counter(name: &str) -> bool {
    matches!(
        name,
        "?" | "$" | "!" | "#" | "RANDOM" | "LINENO" | "SECONDS" | "UID" | "EUID" | "PPID" | "BASHPID"
    )
}

fn finish(chars: &[Char], grown: &Growing) -> Arg {
    Arg {
        text: chars.iter().map(|char| char.c).collect(),
        is_known: chars.iter().all(|char| char.known),
        is_pattern: chars.iter().any(|char| char.is_bare && matches!(char.c, '*' | '?' | '[')),
        begins_unknown: grown.begins_unknown && chars.first().is_some_and(|char| !char.known),
        taint: grown.taint,
        process: grown.process.clone(),
    }
}

/// `a{b,c}d` to `abd acd`, nested ones too.
fn braces(chars: &[Char]) -> Vec<Vec<Char>> {
    let mut done = Vec::new();
    let mut open = vec![chars.to_vec()];
    while let Some(chars) = open.pop() {
        match first_brace(&chars) {
            Some((start, end, parts)) if done.len() + open.len() + parts.len() <= MAX_BRACE_WORDS => {
                for part in parts.into_iter().rev() {
                    let mut word = chars[..start].to_vec();
                    word.extend(part);
                    word.extend_from_slice(&chars[end + 1..]);
                    open.push(word);
                }
            }
            _ => done.push(chars),
        }
    }
    done
}

type Brace = (usize, usize, Vec<Vec<Char>>);

/// The first bare brace with a comma in it.
fn first_brace(chars: &[Char]) -> Option<Brace> {
    if chars.len() > MAX_BRACED_CHARS {
        return None;
    }
    let bare = |char: &Char| char.is_bare.then_some(char.c);
    (0..chars.len()).filter(|&start| bare(&chars[start]) == Some('{')).find_map(|start| {
        let mut depth = 0usize;
        let mut parts = vec![Vec::new()];
        for (at, char) in chars.iter().enumerate().skip(start) {
            match bare(char) {
                Some('{') => {
                    depth += 1;
                    if depth == 1 {
                        continue;
                    }
                }
                Some('}') => {
                    depth -= 1;
                    if depth == 0 {
                        return (parts.len() > 1).then_some((start, at, parts));
                    }
                }
                Some(',') if depth == 1 => {
                    parts.push(Vec::new());
                    continue;
                }
                _ => {}
            }
            parts.last_mut()?.push(*char);
        }
        None
    })
}
