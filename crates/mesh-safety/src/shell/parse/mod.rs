//! Text to syntax tree, by the grammar of sh with the common extensions of bash. What does not parse is an error, never a guess.
//!
//! - `compound`: commands that hold others; `simple`: a program with its words; `condition`: what `[[ … ]]` tests
//! - `here`: here-texts, which stand after the line that announces them

mod compound;
mod condition;
mod here;
mod simple;

use super::ast::{Command, Kind, Pipeline, Script, Word};
use super::lex::{Place, is_meta};

/// How deep commands, parentheses and negations may stand in each other. A person writes three or four.
const MAX_DEPTH: usize = 24;

/// More than [`MAX_DEPTH`].
const TOO_DEEP: ParseError = ParseError("commands or parentheses nested too deeply");

/// What in the text is not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ParseError(pub(super) &'static str);

/// Parses a whole text.
pub(super) fn parse(text: &str) -> Result<Script, ParseError> {
    Parser::new(text, 0)?.whole()
}

/// Parses a whole text, and says how tangled it is: the depth of its deepest command or parenthesis, and each `case` once more.
pub(super) fn parse_measured(text: &str) -> Result<(Script, usize), ParseError> {
    let mut parser = Parser::new(text, 0)?;
    parser.whole().map(|script| (script, parser.deepest + parser.cases))
}

/// Reads a text from left to right. Here-texts are noted when they are announced, and filled in when their line ends.
pub(super) struct Parser {
    chars: Vec<char>,
    at: usize,
    depth: usize,
    /// Greatest depth that was met so far.
    deepest: usize,
    /// `case` commands that were met so far.
    cases: usize,
    announced: Vec<Announced>,
    /// Bodies of here-texts by their number.
    bodies: Vec<Word>,
    /// `@(a|b)` is a pattern here: in a test, and where the text turns that on.
    pub(super) has_pattern_lists: bool,
    /// How many substitutions the place is in.
    substitutions: usize,
}

struct Announced {
    number: usize,
    end: String,
    strip_tabs: bool,
    literal: bool,
}

/// A here-text that runs to the end of the text, which bash only warns of.
const UNENDED: &str = "a here-text without its end";

/// Stands in a redirection's target until the body of its here-text is known.
const BODY_MARK: &str = "\u{0}here-text ";

impl Parser {
    fn new(text: &str, depth: usize) -> Result<Parser, ParseError> {
        if depth > MAX_DEPTH {
            return Err(TOO_DEEP);
        }
        Ok(Parser {
            chars: text.chars().collect(),
            at: 0,
            depth,
            deepest: depth,
            cases: 0,
            announced: Vec::new(),
            bodies: Vec::new(),
            has_pattern_lists: text.contains("extglob"),
            substitutions: depth,
        })
    }

    fn whole(&mut self) -> Result<Script, ParseError> {
        let mut script = self.script(&[])?;
        if self.peek().is_some() {
            return Err(ParseError("a word or bracket that closes nothing"));
        }
        if !self.announced.is_empty() {
            return Err(ParseError(UNENDED));
        }
        self.fill(&mut script);
        Ok(script)
    }

    /// A text inside this one, such as that of backquotes.
    pub(super) fn nested(&mut self, text: &str) -> Result<Script, ParseError> {
        self.within(text, Parser::whole)
    }

    /// Text in which only substitutions matter.
    pub(super) fn nested_word(&mut self, text: &str) -> Result<Word, ParseError> {
        self.within(text, |inner| inner.word(Place::Whole))
    }

    fn within<T>(
        &mut self,
        text: &str,
        read: impl FnOnce(&mut Parser) -> Result<T, ParseError>,
    ) -> Result<T, ParseError> {
        let mut inner = Parser::new(text, self.depth + 1)?;
        let found = read(&mut inner);
        self.deepest = self.deepest.max(inner.deepest);
        self.cases += inner.cases;
        found
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.peek_at(0)
    }

    pub(super) fn peek_at(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    /// The characters from one place ahead up to another.
    pub(super) fn between(&self, from: usize, to: usize) -> String {
        (from..to).map_while(|ahead| self.peek_at(ahead)).collect()
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
        self.reaches(0)
    }

    /// Notes that something stands so many levels below this place.
    pub(super) fn reaches(&mut self, levels: usize) -> Result<(), ParseError> {
        self.deepest = self.deepest.max(self.depth + levels);
        if self.depth + levels > MAX_DEPTH { Err(TOO_DEEP) } else { Ok(()) }
    }

    pub(super) fn shallower(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    /// The script of a substitution, past its closing parenthesis.
    pub(super) fn script_until_paren(&mut self) -> Result<Script, ParseError> {
        self.deeper()?;
        self.substitutions += 1;
        let announced = self.announced.len();
        let mut script = self.script(&[")"])?;
        self.expect(')')?;
        self.substitutions -= 1;
        if self.announced.len() > announced {
            return Err(ParseError(UNENDED));
        }
        self.shallower();
        self.fill(&mut script);
        Ok(script)
    }

    /// Commands up to one of the closing words (not consumed) or the end.
    fn script(&mut self, ends: &[&str]) -> Result<Script, ParseError> {
        let mut script = Script::default();
        let mut is_joined = false;
        loop {
            self.blank_lines()?;
            if self.peek().is_none() || self.stands_at(ends) {
                return if is_joined {
                    Err(ParseError("an operator without its second half"))
                } else {
                    Ok(script)
                };
            }
            is_joined = false;
            let pipeline = self.pipeline()?;
            script.items.push(pipeline);
            self.blanks();
            match (self.peek(), self.peek_at(1)) {
                (Some('&'), Some('&')) | (Some('|'), Some('|')) => {
                    self.skip(2);
                    is_joined = true;
                }
                (Some('&'), _) => {
                    self.skip(1);
                    if let Some(last) = script.items.last_mut() {
                        last.background = true;
                    }
                }
                (Some(';'), Some(';' | '&')) => return Ok(script),
                (Some(';'), _) => self.skip(1),
                (Some('\n'), _) | (None, _) => {}
                _ if self.stands_at(ends) => return Ok(script),
                _ => return Err(ParseError("an operator where none belongs")),
            }
        }
    }

    /// The same where there has to be at least one command.
    fn body(&mut self, ends: &[&str]) -> Result<Script, ParseError> {
        let script = self.script(ends)?;
        if script.items.is_empty() {
            Err(ParseError("a compound command without commands"))
        } else {
            Ok(script)
        }
    }

    /// One `;`, or the end of a line, or nothing.
    fn separator(&mut self) -> Result<(), ParseError> {
        self.blanks();
        if self.peek() == Some(';') && !matches!(self.peek_at(1), Some(';' | '&')) {
            self.skip(1);
        }
        self.blank_lines()
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
            loop {
                let line = self.line().ok_or(ParseError(UNENDED))?;
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
            if self.stands_at(&["!", "time", "coproc"]) {
                return Err(ParseError("a word of the shell's own in the middle of a pipe"));
            }
        }
    }

    fn command(&mut self) -> Result<Command, ParseError> {
        self.deeper()?;
        self.blanks();
        if self.stands_at(&["coproc"]) {
            return Err(ParseError("a coprocess, which is not followed"));
        }
        let (mut is_prefixed, mut is_timed) = (false, false);
        loop {
            let is_time = self.keyword("time");
            if !is_time && !self.keyword("!") {
                break;
            }
            (is_prefixed, is_timed) = (true, is_timed || is_time);
            self.blanks();
            if self.stands_at(&["function", "coproc"]) {
                return Err(ParseError("a word of the shell's own where none belongs"));
            }
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
        if is_prefixed && matches!(command.kind, Kind::Function { .. }) {
            return Err(ParseError("a function where none can be made"));
        }
        // At the start of a substitution bash takes `time` for a program.
        if is_timed && self.substitutions > 0 && !matches!(command.kind, Kind::Simple { .. }) {
            return Err(ParseError("a word of the shell's own where none belongs"));
        }
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

    /// The same word, which is not consumed.
    fn need_here(&mut self, word: &str) -> Result<(), ParseError> {
        self.blank_lines()?;
        if self.stands_at(&[word]) {
            Ok(())
        } else {
            Err(ParseError("a compound command that is not closed"))
        }
    }

    fn need(&mut self, word: &str) -> Result<(), ParseError> {
        self.blank_lines()?;
        if self.keyword(word) { Ok(()) } else { Err(ParseError("a compound command that is not closed")) }
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
            ("shopt -s extglob\nls !(*.rs) @(a|b)", 2),
            ("x=1 y= z=\"a b\" cmd", 1),
        ] {
            assert_eq!(commands(text), Ok(want), "{text}");
        }
    }

    #[test]
    fn words_of_the_shell_stand_where_they_belong() {
        for text in [
            "do ls",
            "ls; done",
            "fi",
            "} ",
            "f() ls",
            "function # { ls; }",
            "; ls",
            "ls ;; ls",
            "ls & ; ls",
            "ls &&",
            "if ; then ls; fi",
            "for i in a; do done",
            "( )",
            "{ }",
            "cat <#x",
            "coproc coproc ls",
            "ls | ! true",
            "coproc function f { ls; }",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        for text in [
            "for i in a; do ls; done",
            "for i in a\ndo ls\ndone",
            "f()\n{ ls; }",
            "ls;",
            "ls &",
            "ls && \n ls",
            "select x; do ls; done",
            "case a in b) ;; esac",
        ] {
            assert!(parse(text).is_ok(), "{text}");
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
            "((a) b)",
            "a \\",
            "f() ! { a; }",
            "echo \"${X:-'a'}\"",
            "echo \"${X:-<(echo })}\"",
            "cat <<E\na",
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
