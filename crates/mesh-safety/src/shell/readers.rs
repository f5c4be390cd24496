//! Two other parsers that read along: brush-parser and tree-sitter-bash.
//!
//! The judgement walks our own tree: its words are taken apart into what is quoted, expanded and run, those of the others are
//! texts that would have to be parsed once more. But a text that one of the others cannot read, or in which one sees a program run
//! that was not judged, may be something else to a shell than it was to us: it asks.
//!
//! They see only what our own parser took and nothing else asks about. So its limits hold for them: without these a few bytes make
//! brush-parser run for ever, overflow its stack or fail inside.

use std::cell::RefCell;
use std::collections::HashSet;
use std::panic::catch_unwind;

use brush_parser::{ParserOptions, parse_tokens, uncached_tokenize_str};
use tree_sitter::{Parser, Tree};

/// What brush-parser may cost: bytes of a text, doubled for each step of its tangle. It reads on behind an arm of `case` in two
/// ways, and so with parentheses that may be a calculation. This much takes it 0.1 s; the dearest of 1,537 texts that agents ran
/// costs 14 KiB.
const MAX_COST: usize = 4 * 1024 * 1024;

/// Why a text asks although nothing in it does: another parser reads it in another way.
pub(super) fn objection(text: &str, tangle: usize, judged: &HashSet<String>) -> Option<String> {
    if text.len() > MAX_COST >> tangle.min(31) {
        return Some("the command is too tangled to be read a second time".to_owned());
    }
    if !brush_takes(text) {
        return Some(differs("brush-parser cannot read it"));
    }
    let Some(tree) = tree(text).filter(|tree| !tree.root_node().has_error()) else {
        return Some(differs("tree-sitter-bash cannot read it"));
    };
    let unseen = names(&tree, text).find(|name| !judged.contains(*name))?;
    Some(differs(&format!("tree-sitter-bash sees `{unseen}` run")))
}

fn differs(how: &str) -> String {
    format!("the shell parsers disagree on this text: {how}")
}

/// A fault inside is a no.
fn brush_takes(text: &str) -> bool {
    let read = || {
        let options = ParserOptions::default();
        let tokens = uncached_tokenize_str(text, &options.tokenizer_options()).ok()?;
        parse_tokens(&tokens, &options).ok().map(drop)
    };
    matches!(catch_unwind(read), Ok(Some(())))
}

/// Each thread keeps a parser.
fn tree(text: &str) -> Option<Tree> {
    thread_local! {
        static PARSER: RefCell<Option<Parser>> = RefCell::new({
            let mut parser = Parser::new();
            parser.set_language(&tree_sitter_bash::LANGUAGE.into()).is_ok().then_some(parser)
        });
    }
    PARSER.with_borrow_mut(|parser| parser.as_mut()?.parse(text, None))
}

/// Names of programs that stand in the text as one plain word.
fn names<'a>(tree: &'a Tree, text: &'a str) -> impl Iterator<Item = &'a str> {
    let mut cursor = tree.walk();
    let mut is_done = false;
    std::iter::from_fn(move || {
        while !is_done {
            let node = cursor.node();
            if !cursor.goto_first_child() {
                while !cursor.goto_next_sibling() {
                    if !cursor.goto_parent() {
                        is_done = true;
                        break;
                    }
                }
            }
            if node.kind() == "command_name" {
                return Some(text.get(node.byte_range()).unwrap_or_default());
            }
        }
        None
    })
    .filter(|name| is_plain(name))
}

/// A word without anything that a shell would take out of it or put into it. `time` is a word of the shell's own, which
/// tree-sitter-bash takes for a program.
fn is_plain(name: &str) -> bool {
    name != "time" && name.chars().all(|c| c.is_alphanumeric() || "._/+-".contains(c))
}

#[cfg(test)]
mod tests {
    use crate::rules::{Effect, Rule};
    use crate::{Confined, Decision, PermissionMode, Policy, judge_command};

    fn policy() -> Policy {
        let confined = Confined::Fully;
        Policy { workspace: "/home/dev/w".into(), confined, ..Policy::default() }
    }

    #[track_caller]
    fn check(policy: &Policy, text: &str, want: Option<&str>) {
        let decision = judge_command(text, PermissionMode::Auto, policy);
        let reason = decision.reasons().first().map(|reason| reason.text.as_str());
        assert_eq!(reason, want, "{text}");
    }

    const DISAGREE: &str = "the shell parsers disagree on this text: ";

    #[test]
    fn what_one_of_them_cannot_read_asks() {
        for (text, want) in [
            ("select i in a; do ls; done", "brush-parser cannot read it"),
            ("( case x in x) ls ;; esac )", "brush-parser cannot read it"),
            ("ls <> f", "tree-sitter-bash cannot read it"),
            ("cat <<E <<F\na\nE\nb\nF", "tree-sitter-bash cannot read it"),
            ("bash -c 'ls <> f'", "tree-sitter-bash cannot read it"),
            ("ls<(echo a) b", "tree-sitter-bash sees `ls` run"),
        ] {
            check(&policy(), text, Some(&format!("{DISAGREE}{want}")));
        }
        for text in
            ["time ls", "time -p ls | wc -l", "f() { ls; }; f", "if ls; then :; fi", "X=1 ls | (cat; ls)"]
        {
            check(&policy(), text, None);
        }
    }

    #[test]
    fn no_rule_of_the_user_answers_that() {
        let rule = Rule::parse(Effect::Allow, "command deploy").unwrap();
        let policy = Policy { rules: [rule].into_iter().collect(), confined: Confined::Partly, ..policy() };
        check(&policy, "deploy now", None);
        let text = "select i in a; do deploy now; done";
        check(&policy, text, Some(&format!("{DISAGREE}brush-parser cannot read it")));
    }

    #[test]
    fn what_asks_anyway_says_nothing_of_them() {
        check(&policy(), "sudo ls <> f", Some("`sudo` runs with other rights"));
    }

    /// Nested in each way and in some mixed: the stack is that of the threads on which commands are judged.
    #[test]
    fn tangled_texts_are_answered() {
        let wraps = [
            ("( ", " )"),
            ("{ ", "; }"),
            ("echo $(", ")"),
            ("echo \"${X:-$(", ")}\""),
            ("case x in x) ", "\nesac"),
            ("( case x in x) ", " ;; esac )"),
            ("if ", "; then :; fi"),
            ("while ls; do ", "; done"),
            ("f() { ", "; }"),
            ("cat <( ", " )"),
            ("[[ ( ", " ) ]]"),
            ("echo $((", "))"),
        ];
        let nested = |at: usize, depth: usize| {
            let around = |text: String, level: usize| {
                let (before, after) = wraps[(at + level * (at / wraps.len())) % wraps.len()];
                format!("{before}{text}{after}")
            };
            (0..depth).fold("ls".to_owned(), around)
        };
        let mut texts: Vec<String> =
            (0..wraps.len() * 4).flat_map(|at| [3, 8, 12, 24, 64].map(|depth| nested(at, depth))).collect();
        for many in [20, 64, 10_000, 30_000] {
            texts.push(format!("(( {}1{} ))", "(".repeat(many), ")".repeat(many)));
            texts.push(format!("for ((i={}1{};i<1;i++)); do ls; done", "(".repeat(many), ")".repeat(many)));
            texts.push(format!("[[ {}-n a ]]", "! ".repeat(many)));
            texts.push(format!("[[ a =~ {}a{} ]]", "(".repeat(many), ")".repeat(many)));
            texts.push(format!("{}ls", "! ".repeat(many)));
            texts.push(format!("ls {}>x", "9".repeat(many)));
            texts.push("( case x in x) ls ;; esac )\n".repeat(many / 15));
            texts.push("case x in x) ls ;; esac\n".repeat(many / 15));
        }
        let judge = move || {
            let policy = policy();
            texts.iter().filter(|text| judge_command(text, PermissionMode::Auto, &policy).is_allow()).count()
        };
        let allowed = std::thread::Builder::new().stack_size(2 << 20).spawn(judge).unwrap().join().unwrap();
        assert!(allowed > 30, "{allowed} of them are plain enough");
    }

    #[test]
    fn a_person_reads_why() {
        let deep = format!("{}ls{}", "( case x in x) ".repeat(9), " ;; esac )".repeat(9));
        let decision = judge_command(&deep, PermissionMode::Auto, &policy());
        let Decision::Ask(reasons) = decision else { panic!("{decision:?}") };
        assert_eq!(reasons[0].text, "the command is too tangled to be read a second time");
    }
}
