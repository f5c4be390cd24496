//! Text to syntax tree, by the grammar of sh with the common extensions of bash. What does not parse is an error, never a guess.

use super::ast::{Assign, Command, Kind, Pipeline, Redirect, RedirectKind, Script, Word};
use super::lex::{Place, is_meta};

/// How deep commands may stand inside commands. A person writes three or four.
const MAX_DEPTH: usize = 24;

/// What in the text is not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ParseError(pub(super) &'static str);

/// Parses a whole text.
pub(super) fn parse(text: &str) -> Result<Script, ParseError> {
    Parser::new(text, 0)?.whole()
}

/// Reads a text from left to right. Here-texts are noted when they are announced, and filled in when their line ends.
pub(super) struct Parser {
    chars: Vec<char>,
    at: usize,
    depth: usize,
    announced: Vec<Announced>,
    /// Bodies of here-texts by their number.
    bodies: Vec<Word>,
}

struct Announced {
    number: usize,
    end: String,
    strip_tabs: bool,
    literal: bool,
}

/// Stands in a redirection's target until the body of its here-text is known.
const BODY_MARK: &str = "\u{0}here-text ";

impl Parser {
    fn new(text: &str, depth: usize) -> Result<Parser, ParseError> {
        if depth > MAX_DEPTH {
            return Err(ParseError("commands nested too deeply"));
        }
        Ok(Parser { chars: text.chars().collect(), at: 0, depth, announced: Vec::new(), bodies: Vec::new() })
    }

    fn whole(mut self) -> Result<Script, ParseError> {
        let mut script = self.script(&[])?;
        if self.peek().is_some() {
            return Err(ParseError("a word or bracket that closes nothing"));
        }
        self.fill(&mut script);
        Ok(script)
    }

    /// A text inside this one, such as that of backquotes.
    pub(super) fn nested(&mut self, text: &str) -> Result<Script, ParseError> {
        Parser::new(text, self.depth + 1)?.whole()
    }

    /// Text in which only substitutions matter.
    pub(super) fn nested_word(&mut self, text: &str) -> Result<Word, ParseError> {
        Parser::new(text, self.depth + 1)?.word(Place::Whole)
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.peek_at(0)
    }

    pub(super) fn peek_at(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    pub(super) fn skip(&mut self, count: usize) {
        self.at += count;
    }

    pub(super) fn expect(&mut self, want: char) -> Result<(), ParseError> {
        if self.peek() != Some(want) {
            return Err(ParseError("a quote or bracket that is not closed"));
        }
        self.skip(1);
        Ok(())
    }

    pub(super) fn deeper(&mut self) -> Result<(), ParseError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(ParseError("commands nested too deeply")) } else { Ok(()) }
    }

    pub(super) fn shallower(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    /// The script of a substitution, past its closing parenthesis.
    pub(super) fn script_until_paren(&mut self) -> Result<Script, ParseError> {
        self.deeper()?;
        let mut script = self.script(&[")"])?;
        self.expect(')')?;
        self.shallower();
        self.fill(&mut script);
        Ok(script)
    }

    /// Commands up to one of the closing words (not consumed) or the end.
    fn script(&mut self, ends: &[&str]) -> Result<Script, ParseError> {
        let mut script = Script::default();
        loop {
            self.blank_lines()?;
            if self.peek().is_none() || self.stands_at(ends) {
                return Ok(script);
            }
            let pipeline = self.pipeline()?;
            script.items.push(pipeline);
            self.blanks();
            match (self.peek(), self.peek_at(1)) {
                (Some('&'), Some('&')) | (Some('|'), Some('|')) => self.skip(2),
                (Some('&'), _) => {
                    self.skip(1);
                    if let Some(last) = script.items.last_mut() {
                        last.background = true;
                    }
                }
                (Some(';'), Some(';' | '&')) => return Ok(script),
                (Some(';' | '\n'), _) | (None, _) => {}
                _ if self.stands_at(ends) => return Ok(script),
                _ => return Err(ParseError("an operator where none belongs")),
            }
        }
    }

    /// Whether one of the words stands here, as a whole word where it is made of letters.
    fn stands_at(&self, words: &[&str]) -> bool {
        words.iter().any(|word| {
            let here = word.chars().enumerate().all(|(i, c)| self.peek_at(i) == Some(c));
            let after = self.peek_at(word.chars().count());
            here && (*word == ")" || *word == ";;" || after.is_none_or(is_meta))
        })
    }

    fn blanks(&mut self) {
        loop {
            match (self.peek(), self.peek_at(1)) {
                (Some(' ' | '\t'), _) => self.skip(1),
                (Some('\\'), Some('\n')) => self.skip(2),
                _ => return,
            }
        }
    }

    /// Blanks, comments, empty lines and stray `;` between commands.
    fn blank_lines(&mut self) -> Result<(), ParseError> {
        loop {
            self.blanks();
            match self.peek() {
                Some('\n') => self.newline()?,
                Some(';') if !matches!(self.peek_at(1), Some(';' | '&')) => self.skip(1),
                Some('#') => self.comment(),
                _ => return Ok(()),
            }
        }
    }

    fn comment(&mut self) {
        while self.peek().is_some_and(|c| c != '\n') {
            self.skip(1);
        }
    }

    /// Past a newline, and past the here-texts that it begins.
    fn newline(&mut self) -> Result<(), ParseError> {
        self.skip(1);
        for announced in std::mem::take(&mut self.announced) {
            let mut body = String::new();
            while let Some(line) = self.line() {
                let line = if announced.strip_tabs { line.trim_start_matches('\t') } else { &line };
                if line == announced.end {
                    break;
                }
                body.push_str(line);
                body.push('\n');
            }
            let word = if announced.literal { Word::quoted(body) } else { self.nested_word(&body)? };
            self.bodies[announced.number] = word;
        }
        Ok(())
    }

    fn line(&mut self) -> Option<String> {
        self.peek()?;
        let line: String = self.chars[self.at..].iter().take_while(|c| **c != '\n').collect();
        self.at = (self.at + line.chars().count() + 1).min(self.chars.len());
        Some(line)
    }

    fn pipeline(&mut self) -> Result<Pipeline, ParseError> {
        let mut commands = Vec::new();
        loop {
            commands.push(self.command()?);
            self.blanks();
            if self.peek() != Some('|') || self.peek_at(1) == Some('|') {
                return Ok(Pipeline { commands, background: false });
            }
            self.skip(if self.peek_at(1) == Some('&') { 2 } else { 1 });
            self.blank_lines()?;
        }
    }

    fn command(&mut self) -> Result<Command, ParseError> {
        self.deeper()?;
        self.blanks();
        while self.keyword("!") || self.keyword("time") || self.keyword("coproc") {
            self.blanks();
            if self.keyword("-p") {
                self.blanks();
            }
        }
        let kind = self.compound()?;
        let command = match kind {
            Some(kind) => {
                let mut redirects = Vec::new();
                while self.redirect(&mut redirects)? {}
                Command { kind, redirects }
            }
            None => self.simple()?,
        };
        self.shallower();
        Ok(command)
    }

    /// Consumes a keyword that stands here as a whole word.
    fn keyword(&mut self, word: &str) -> bool {
        let stands = self.stands_at(&[word]);
        if stands {
            self.skip(word.chars().count());
        }
        stands
    }

    fn need(&mut self, word: &str) -> Result<(), ParseError> {
        self.blank_lines()?;
        if self.keyword(word) { Ok(()) } else { Err(ParseError("a compound command that is not closed")) }
    }

    fn compound(&mut self) -> Result<Option<Kind>, ParseError> {
        if self.peek() == Some('(') {
            return self.parenthesis().map(Some);
        }
        if self.keyword("{") {
            let script = self.script(&["}"])?;
            self.need("}")?;
            return Ok(Some(Kind::Group(script)));
        }
        if self.keyword("if") {
            return self.conditional().map(Some);
        }
        if self.keyword("while") || self.keyword("until") {
            let condition = self.script(&["do"])?;
            let body = self.do_body()?;
            return Ok(Some(Kind::Branches(vec![condition, body])));
        }
        if self.keyword("for") || self.keyword("select") {
            return self.for_loop().map(Some);
        }
        if self.keyword("case") {
            return self.case().map(Some);
        }
        if self.keyword("[[") {
            return self.double_bracket().map(Some);
        }
        if self.keyword("function") {
            self.blanks();
            let name = self.word(Place::Bare)?;
            self.blanks();
            if self.peek() == Some('(') {
                self.skip(1);
                self.blanks();
                self.expect(')')?;
            }
            return self.function(name.bare().unwrap_or_default()).map(Some);
        }
        Ok(None)
    }

    fn parenthesis(&mut self) -> Result<Kind, ParseError> {
        if self.peek_at(1) == Some('(') && self.is_arithmetic() {
            self.skip(2);
            return Ok(Kind::Test(vec![self.arithmetic()?]));
        }
        self.skip(1);
        let script = self.script(&[")"])?;
        self.expect(')')?;
        Ok(Kind::Subshell(script))
    }

    fn conditional(&mut self) -> Result<Kind, ParseError> {
        let mut parts = vec![self.script(&["then"])?];
        self.need("then")?;
        loop {
            parts.push(self.script(&["elif", "else", "fi"])?);
            if self.keyword("elif") {
                parts.push(self.script(&["then"])?);
                self.need("then")?;
            } else if !self.keyword("else") {
                self.need("fi")?;
                return Ok(Kind::Branches(parts));
            }
        }
    }

    fn do_body(&mut self) -> Result<Script, ParseError> {
        self.need("do")?;
        let body = self.script(&["done"])?;
        self.need("done")?;
        Ok(body)
    }

    fn for_loop(&mut self) -> Result<Kind, ParseError> {
        self.blanks();
        if self.peek() == Some('(') && self.peek_at(1) == Some('(') {
            self.skip(2);
            let head = self.arithmetic()?;
            let body = self.do_body()?;
            return Ok(Kind::For { name: "_".to_owned(), words: vec![head], body });
        }
        let name = self.word(Place::Bare)?.bare().unwrap_or_default().to_owned();
        self.blank_lines()?;
        let mut words = Vec::new();
        if self.keyword("in") {
            self.blanks();
            while self.peek().is_some_and(|c| !is_meta(c) || matches!(c, '<' | '(')) {
                words.push(self.some_word()?);
                self.blanks();
            }
        }
        let body = self.do_body()?;
        Ok(Kind::For { name, words, body })
    }

    fn case(&mut self) -> Result<Kind, ParseError> {
        self.blanks();
        let word = self.some_word()?;
        self.need("in")?;
        let mut arms = Vec::new();
        loop {
            self.blank_lines()?;
            if self.keyword("esac") {
                return Ok(Kind::Case { word, arms });
            }
            if self.peek() == Some('(') {
                self.skip(1);
            }
            loop {
                self.blanks();
                let _pattern = self.some_word()?;
                self.blanks();
                if self.peek() != Some('|') {
                    break;
                }
                self.skip(1);
            }
            self.expect(')')?;
            arms.push(self.script(&[";;", "esac"])?);
            while matches!(self.peek(), Some(';' | '&')) {
                self.skip(1);
            }
        }
    }

    fn double_bracket(&mut self) -> Result<Kind, ParseError> {
        let mut words = Vec::new();
        loop {
            self.blank_lines()?;
            if self.keyword("]]") {
                return Ok(Kind::Test(words));
            }
            match self.peek() {
                None => return Err(ParseError("a test that is not closed")),
                Some('(' | ')' | '<' | '>' | '&' | '|') => self.skip(1),
                Some(_) => words.push(self.some_word()?),
            }
        }
    }

    fn function(&mut self, name: &str) -> Result<Kind, ParseError> {
        self.blank_lines()?;
        let body = Box::new(self.command()?);
        Ok(Kind::Function { name: name.to_owned(), body })
    }

    /// A word that must be there.
    fn some_word(&mut self) -> Result<Word, ParseError> {
        let word = self.word(Place::Bare)?;
        if word.pieces.is_empty() { Err(ParseError("an operator where a word belongs")) } else { Ok(word) }
    }

    fn simple(&mut self) -> Result<Command, ParseError> {
        let (mut assigns, mut words, mut redirects) = (Vec::new(), Vec::<Word>::new(), Vec::new());
        loop {
            self.blanks();
            if self.redirect(&mut redirects)? {
                continue;
            }
            match self.peek() {
                None => break,
                Some('#') => {
                    self.comment();
                    break;
                }
                Some('(') => {
                    // `name()` defines a function.
                    let name = words.last().and_then(Word::bare).map(str::to_owned);
                    let (Some(name), true) = (name, words.len() == 1 && assigns.is_empty()) else {
                        return Err(ParseError("a parenthesis where none belongs"));
                    };
                    self.skip(1);
                    self.blanks();
                    self.expect(')')?;
                    let kind = self.function(&name)?;
                    return Ok(Command { kind, redirects });
                }
                Some('<' | '>') if self.peek_at(1) == Some('(') => {}
                Some(c) if is_meta(c) => break,
                Some(_) => {}
            }
            if words.is_empty() {
                if let Some(assign) = self.assign()? {
                    assigns.push(assign);
                    continue;
                }
            }
            words.push(self.some_word()?);
        }
        if assigns.is_empty() && words.is_empty() && redirects.is_empty() {
            return Err(ParseError("an operator where a command belongs"));
        }
        Ok(Command { kind: Kind::Simple { assigns, words }, redirects })
    }

    fn assign(&mut self) -> Result<Option<Assign>, ParseError> {
        let start = self.at;
        let mut name = String::new();
        while let Some(c) = self.peek().filter(|c| *c == '_' || c.is_ascii_alphanumeric()) {
            name.push(c);
            self.skip(1);
        }
        if self.peek() == Some('[') && !name.is_empty() {
            while self.peek().is_some_and(|c| c != ']' && !is_meta(c)) {
                self.skip(1);
            }
            self.skip(1);
        }
        let append = self.peek() == Some('+');
        if append {
            self.skip(1);
        }
        let named = name.chars().next().is_some_and(|c| !c.is_ascii_digit());
        if !named || self.peek() != Some('=') {
            self.at = start;
            return Ok(None);
        }
        self.skip(1);
        if self.peek() != Some('(') {
            return Ok(Some(Assign { name, append, values: vec![self.word(Place::Bare)?] }));
        }
        self.skip(1);
        let mut values = Vec::new();
        loop {
            self.blank_lines()?;
            if self.peek() == Some(')') {
                self.skip(1);
                return Ok(Some(Assign { name, append, values }));
            }
            values.push(self.some_word()?);
        }
    }

    /// Reads a redirection if one stands here.
    fn redirect(&mut self, out: &mut Vec<Redirect>) -> Result<bool, ParseError> {
        self.blanks();
        let start = self.at;
        if self.peek() == Some('{') {
            // `{fd}>file` names a descriptor by a variable.
            let close = (1..)
                .take_while(|&i| self.peek_at(i).is_some_and(|c| c == '_' || c.is_ascii_alphanumeric()))
                .count();
            if self.peek_at(close + 1) == Some('}') && matches!(self.peek_at(close + 2), Some('<' | '>')) {
                self.skip(close + 2);
            }
        }
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.skip(1);
        }
        if self.peek() == Some('&') && self.peek_at(1) == Some('>') && self.at == start {
            self.skip(1);
        }
        let operator: String =
            self.chars[self.at..].iter().take(3).take_while(|c| "<>&|-".contains(**c)).collect();
        let process = operator.len() == 1 && self.peek_at(1) == Some('(');
        let known = ["<<<", "<<-", "<<", ">>", ">|", ">&", "<&", "<>", "<", ">"];
        let Some(found) = known.iter().find(|known| operator.starts_with(**known)).filter(|_| !process)
        else {
            self.at = start;
            return Ok(false);
        };
        self.skip(found.len());
        self.blanks();
        let target = self.some_word()?;
        let kind = match *found {
            "<" => RedirectKind::Read,
            "<<<" => RedirectKind::Text,
            ">&" | "<&" => RedirectKind::Duplicate,
            "<<" | "<<-" => {
                out.push(self.announce(&target, *found == "<<-"));
                return Ok(true);
            }
            _ => RedirectKind::Write,
        };
        out.push(Redirect { kind, target });
        Ok(true)
    }

    fn announce(&mut self, end: &Word, strip_tabs: bool) -> Redirect {
        use super::ast::Piece;
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
        Redirect { kind: RedirectKind::Text, target: Word::quoted(format!("{BODY_MARK}{number}")) }
    }

    /// Puts the bodies of here-texts in their places.
    fn fill(&self, script: &mut Script) {
        for command in script.items.iter_mut().flat_map(|pipeline| &mut pipeline.commands) {
            self.fill_command(command);
        }
    }

    fn fill_command(&self, command: &mut Command) {
        for redirect in &mut command.redirects {
            let [super::ast::Piece::Text { text, .. }] = redirect.target.pieces.as_slice() else { continue };
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
            Kind::Branches(scripts) | Kind::Case { arms: scripts, .. } => {
                scripts.iter_mut().for_each(|script| self.fill(script));
            }
            Kind::Function { body, .. } => self.fill_command(body),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every word of every simple command, with its pieces' texts joined.
    fn commands(text: &str) -> Result<usize, ParseError> {
        parse(text).map(|script| script.items.iter().map(|pipeline| pipeline.commands.len()).sum())
    }

    #[test]
    fn the_shell_of_every_day_parses() {
        for (text, want) in [
            ("", 0),
            ("# only words", 0),
            ("a && b || c; d & e", 5),
            ("a | b |& c", 3),
            ("if a; then b; elif c; then d; else e; fi", 1),
            ("while read -r l; do echo \"$l\"; done < f", 1),
            ("for i in 1 2 3\ndo\n echo $i\ndone", 1),
            ("for ((i=0; i<3; i++)); do echo; done", 1),
            ("case $x in a|b) c;; (d) e ;; *) f; esac", 1),
            ("f() { a; }; function g { b; }; f", 3),
            ("cat <<'E' > x\n$(no)\nE\nb", 2),
            ("cat <<-E\n\tx\n\tE\nb", 2),
            ("[[ $a == b* && -f c ]] && d", 2),
            ("(( i++ )); a=(1 2 3); echo ${a[@]} ${#a[@]} ${b:-c} $((1+2))", 3),
            ("diff <(a) <(b) 2>&1 >/dev/null", 1),
            ("echo `a \\`b\\`` $(c $(d))", 1),
            ("a 2>/dev/null >&2 <<< \"x\" {fd}>y &>> z", 1),
            ("ls !(*.rs) @(a|b)", 1),
            ("x=1 y= z=\"a b\" cmd", 1),
        ] {
            assert_eq!(commands(text), Ok(want), "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for text in [
            "a '",
            "a \"$(b",
            "$(",
            "if a; then",
            "a |",
            "; ; )",
            "{ a",
            "a (b)",
            "case x in",
            "${",
            "a > ",
            "`",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&"$(".repeat(1000)).is_err());
        assert!(parse(&"(".repeat(1000)).is_err());
    }
}
