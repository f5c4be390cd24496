//! The syntax tree of a shell text: just enough structure to find every command that it could run.

/// Commands one after another. Whether `&&`, `||`, `;` or a newline stood between them makes no difference to the judgement.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Script {
    pub(super) items: Vec<Pipeline>,
}

/// Commands joined by `|`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pipeline {
    pub(super) commands: Vec<Command>,
    pub(super) background: bool,
}

/// One command of a pipeline with its redirections.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Command {
    pub(super) kind: Kind,
    pub(super) redirects: Vec<Redirect>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// Assignments, then a program and its arguments; either may be absent.
    Simple { assigns: Vec<Assign>, words: Vec<Word> },
    /// `{ … }`
    Group(Script),
    /// `( … )`: what it changes of folder and variables ends with it.
    Subshell(Script),
    /// `if`: conditions and bodies, each of which may run.
    Branches(Vec<Script>),
    /// `while` and `until`: the condition and the body.
    Loop { condition: Script, body: Script },
    /// `for` and `select`.
    For { name: String, words: Vec<Word>, body: Script },
    /// `case`: the word that is looked at, and the arms.
    Case { word: Word, arms: Vec<Script> },
    /// A function, judged where it is written.
    Function { name: String, body: Box<Command> },
    /// `[[ … ]]` and `(( … ))`: only their substitutions run anything.
    Test(Vec<Word>),
}

/// `NAME=value`, `NAME+=value`, `NAME=(a b)`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Assign {
    pub(super) name: String,
    pub(super) append: bool,
    /// One word, or those of an array.
    pub(super) values: Vec<Word>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Redirect {
    pub(super) kind: RedirectKind,
    /// The file, the descriptor, or the here-text.
    pub(super) target: Word,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RedirectKind {
    /// `<`
    Read,
    /// `>`, `>>`, `>|`, `&>`, `&>>`, `<>`
    Write,
    /// `>&` and `<&`: a descriptor, or for `>&` a file.
    Duplicate,
    /// `<<<` and `<<`: text given in place.
    Text,
}

/// A word as written, before expansion.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Word {
    pub(super) pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    /// Characters. Unquoted ones may be patterns, braces or a tilde.
    Text { text: String, quoted: bool },
    /// `$X`, `${X}`, `${X:-word}` and so on.
    Variable { name: String, quoted: bool, operator: Operator, operand: Word },
    /// `$(…)` and backquotes.
    Command { script: Script, quoted: bool },
    /// `<(…)` and `>(…)`.
    Process { script: Script },
    /// `$((…))`: substitutions inside run.
    Arithmetic { inner: Word },
}

/// What `${X…word}` does with its word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    /// The value as it is.
    Plain,
    /// `-` `:-`: the word if unset.
    Default,
    /// `=` `:=`: the word if unset, and kept.
    Assign,
    /// `+` `:+`: the word if set.
    Alternative,
    /// Prefix, suffix, pattern, length, case: the result is not known.
    Other,
}

impl Word {
    /// A word of plain quoted text.
    pub(super) fn quoted(text: impl Into<String>) -> Word {
        Word { pieces: vec![Piece::Text { text: text.into(), quoted: true }] }
    }

    /// The text of a word that is one unquoted literal, such as a keyword.
    pub(super) fn bare(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [Piece::Text { text, quoted: false }] => Some(text),
            _ => None,
        }
    }
}
