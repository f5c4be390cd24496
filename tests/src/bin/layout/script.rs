//! What the linker is told: a section of functions, in the order of their first calls, before all others.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::trace::Function;

/// A pattern that takes so many bytes that nobody called with it, for each function that was, is left out: a page and its
/// surroundings, which the kernel maps together, are no more.
const MOST_BESIDE: u64 = 64 * 1024;

/// The script for functions in the order of their first calls, of all those that there are.
///
/// The names come first as this compiler writes them. Another one, or another version of a crate, gives other hashes: then the
/// patterns find them, and with them some that nobody called.
pub(crate) fn of(called: &[String], all: &[Function]) -> String {
    let firsts: HashMap<&str, usize> =
        called.iter().enumerate().map(|(at, name)| (name.as_str(), at)).collect();
    let mut patterns: HashMap<String, (Vec<usize>, u64)> = HashMap::new();
    for function in all {
        let (calls, beside) = patterns.entry(pattern(&function.name)).or_default();
        match firsts.get(function.name.as_str()) {
            Some(at) => calls.push(*at),
            None => *beside += function.size,
        }
    }
    let patterns = patterns.into_iter().filter_map(|(pattern, (calls, beside))| {
        let is_worth_it = pattern.contains('*') && beside <= MOST_BESIDE * calls.len() as u64;
        calls.into_iter().min().filter(|_| is_worth_it).map(|first| (first, pattern))
    });
    let mut patterns: Vec<(usize, String)> = patterns.collect();
    patterns.sort();
    let names = called.iter().map(|name| in_script(name));
    let mut script = String::from(
        "/* Functions that run first, in the order of their first calls. Made by `cargo xtask layout`; see build.rs. */\n\
         SECTIONS\n{\n.text.first : {\n",
    );
    // Writing into a text cannot fail.
    for name in names {
        // What seldom runs has a section of another name; some of it runs at each start.
        let _ = writeln!(script, "*(.text.{name} .text.unlikely.{name})");
    }
    for (_, pattern) in patterns {
        let _ = writeln!(script, "*(.text.{pattern})");
    }
    script.push_str("}\n}\nINSERT BEFORE .text;\n");
    script
}

/// A name as the linker may be told it. Of a copy that the optimiser made for one module the number is left out.
fn in_script(name: &str) -> String {
    let name = name.split_once(".llvm.").map_or(name.to_owned(), |(name, _)| format!("{name}.llvm.*"));
    // This means something to the linker.
    name.replace('$', "?")
}

/// A name without what changes from one compiler or version of a crate to the next: the hashes of both ways to write names.
fn pattern(name: &str) -> String {
    let name = name.split(".llvm.").next().unwrap_or(name);
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find("17h").into_iter().chain(rest.find("Cs")).min() {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let (mark, after) = if from.starts_with("Cs") { from.split_at(2) } else { from.split_at(3) };
        out.push_str(mark);
        let length = match mark {
            "17h" => hash(after, 16, |c| c.is_ascii_hexdigit()).filter(|end| after[*end..].starts_with('E')),
            _ => after
                .find('_')
                .filter(|end| *end > 8 && hash(after, *end, |c| c.is_ascii_alphanumeric()).is_some()),
        };
        rest = after;
        if let Some(length) = length {
            out.push('*');
            rest = &after[length..];
        }
    }
    out.push_str(rest);
    in_script(&out)
}

/// The length of a hash, if so many characters stand there.
fn hash(text: &str, length: usize, is_part: impl Fn(char) -> bool) -> Option<usize> {
    let head = text.get(..length)?;
    head.chars().all(is_part).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_what_changes() {
        for (name, want) in [
            ("sqlite3_open_v2", "sqlite3_open_v2"),
            (
                "_ZN4core3ptr42drop_in_place$LT$T$GT$17h0123456789abcdefE",
                "_ZN4core3ptr42drop_in_place?LT?T?GT?17h*E",
            ),
            ("_ZN5bytes4drop17h9366be7182aa3192E.llvm.13668", "_ZN5bytes4drop17h*E"),
            ("_RNvNtNtCsjrHSEGnQ3l9_3std3sys4init", "_RNvNtNtCs*_3std3sys4init"),
            ("_ZN3abc17hello_Cs_worldE", "_ZN3abc17hello_Cs_worldE"),
        ] {
            assert_eq!(pattern(name), want, "{name}");
        }
    }

    #[test]
    fn what_would_take_too_much_with_it_stays() {
        let function = Function::parse_line;
        let all: Vec<Function> = [
            "1: 0000000000000010 16 FUNC LOCAL DEFAULT 1 _ZN1a17h0000000000000001E",
            "2: 0000000000000020 99999 FUNC LOCAL DEFAULT 1 _ZN1a17h0000000000000002E",
            "3: 0000000000000030 16 FUNC LOCAL DEFAULT 1 second",
            "4: 0000000000000040 16 FUNC LOCAL DEFAULT 1 first",
            "5: 0000000000000050 16 FUNC LOCAL DEFAULT 1 never",
            "6: 0000000000000060 16 FUNC LOCAL DEFAULT 1 third",
        ]
        .into_iter()
        .filter_map(function)
        .collect();
        let called = ["third", "first", "_ZN1a17h0000000000000001E", "second"].map(str::to_owned);
        let script = of(&called, &all);
        let lines: Vec<&str> = script.lines().filter(|line| line.starts_with("*(")).collect();
        let want = called.map(|name| format!("*(.text.{name} .text.unlikely.{name})"));
        assert_eq!(lines, want);
    }
}
