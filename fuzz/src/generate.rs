//! Texts for a shell, from its own pieces and with letters out of place. The same seed gives the same texts.

/// A program that always asks.
pub(crate) const CANARY: &str = "sudo";

const WORDS: &[&str] = &[
    "ls",
    "echo",
    "cat",
    "a",
    "b.txt",
    "-l",
    "--x=y",
    "src/main.rs",
    "*.rs",
    "'single q'",
    "\"double q\"",
    "\"$HOME/x\"",
    "$X",
    "${X:-y}",
    "${#X}",
    "${X%.*}",
    "$'a\\nb'",
    "a\\ b",
    "~/x",
    "{a,b}",
    "{1..3}",
    "[abc]",
    "?",
    "1",
    "=",
    "if",
    "then",
    "do",
    "in",
    "esac",
    "!",
    "x=1",
    "X+=2",
    "$((1+2))",
    "$(echo a)",
    "`echo b`",
    "<(echo c)",
    "\"$(echo d)\"",
    "ä",
    "#no",
    "$",
    "%",
    "@",
    ":",
    "--",
];

const JOINS: &[&str] = &[" && ", " || ", "; ", " | ", " |& ", " & ", "\n", ";\n", " &&\n", " ;; "];

const REDIRECTS: &[&str] = &[
    " > out",
    " >> out",
    " 2>&1",
    " < in",
    " 2>/dev/null",
    " &> log",
    " <<< word",
    " >| f",
    " 3>&1",
    " >&2",
    " <> f",
];

const WRAPS: &[(&str, &str)] = &[
    ("(", ")"),
    ("{ ", "; }"),
    ("$(", ")"),
    ("echo \"$(", ")\""),
    ("echo `", "`"),
    ("if ", "; then :; fi"),
    ("if true; then ", "; fi"),
    ("while ", "; do break; done"),
    ("for i in 1 2; do ", "; done"),
    ("case x in x) ", " ;; esac"),
    ("case x in x) ", "\nesac"),
    ("( case x in x) ", " ;; esac )"),
    ("f() { ", "; }; f"),
    ("! ", ""),
    ("cat <(", ")"),
    ("bash -c '", "'"),
    ("eval \"", "\""),
    ("time ", ""),
    ("cat <<E\n$(", ")\nE\n"),
    ("cat <<'E'\n", "\nE\n"),
    ("X=$(", ") ls"),
    ("[[ -n $(", ") ]]"),
    ("echo $((", "))"),
    ("until ", "; do :; done"),
    ("function g { ", "; }; g"),
    ("coproc ", ""),
    ("(( $(", ") ))"),
    ("select i in a; do ", "; done"),
    ("echo \"${X:-$(", ")}\""),
    ("trap '", "' EXIT"),
    ("xargs ", ""),
    ("env A=b ", ""),
];

/// Makes texts.
pub(crate) struct Generator {
    state: u64,
}

impl Generator {
    /// From a seed.
    pub(crate) fn new(seed: u64) -> Generator {
        Generator { state: seed }
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// The next text.
    pub(crate) fn command(&mut self) -> String {
        let mut text = self.list(0);
        if self.one_in(3) {
            for _ in 0..=self.below(3) {
                text = self.spoil(&text);
            }
        }
        text
    }

    fn list(&mut self, depth: usize) -> String {
        let mut text = self.part(depth);
        while self.one_in(3) {
            text += self.pick(JOINS);
            text += &self.part(depth);
        }
        text
    }

    fn part(&mut self, depth: usize) -> String {
        if depth < 4 && self.one_in(3) {
            let (before, after) = self.pick(WRAPS);
            return format!("{before}{}{after}", self.list(depth + 1));
        }
        let mut text = if self.one_in(4) {
            CANARY.to_owned()
        } else {
            self.pick(&["ls", "echo", "cat", "true", "git status"]).to_owned()
        };
        for _ in 0..self.below(4) {
            text.push(' ');
            text += self.pick(WORDS);
        }
        if self.one_in(4) {
            text += self.pick(REDIRECTS);
        }
        text
    }

    /// A letter dropped, doubled, swapped, or a sign of the shell put in.
    fn spoil(&mut self, text: &str) -> String {
        let mut chars: Vec<char> = text.chars().collect();
        if chars.is_empty() {
            return text.to_owned();
        }
        let at = self.below(chars.len());
        match self.below(4) {
            0 => drop(chars.remove(at)),
            1 => chars.insert(at, chars[at]),
            2 => {
                let other = self.below(chars.len());
                chars.swap(at, other);
            }
            _ => {
                let sign = self.pick(&[
                    '\'', '"', '`', '$', '(', ')', '{', '}', ';', '&', '|', '<', '>', '\\', '\n', '#', ' ',
                    '*', '!', '=',
                ]);
                chars.insert(at, sign);
            }
        }
        chars.into_iter().collect()
    }
}
