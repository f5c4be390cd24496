//! The demo's model: a script that reads each request and goes by the real results of its calls. Pure.
//!
//! It has no other knowledge of what happened than what stands in the conversation. A tool that does not do its work makes
//! the script say so and stop, and then the demo fails.

use serde_json::{Value, json};

/// The program it writes: the bug is that it keeps the last number and not the sum.
const PROGRAM: &str = "#!/bin/sh
# Prints the sum of the numbers in a file, one per line.
total=0
while read -r n; do
    total=$n
done < \"$1\"
echo \"$total\"
";

/// The line with the bug, and what it should be.
const BUG: (&str, &str) = ("    total=$n", "    total=$((total + n))");

/// The test it writes.
const TEST: &str = "#!/bin/sh
printf '%s\\n' 3 4 5 > numbers.txt
got=$(sh total.sh numbers.txt)
if [ \"$got\" = 12 ]; then
    echo \"ok: the sum is 12\"
else
    echo \"FAIL: expected 12, got $got\"
    exit 1
fi
";

/// One answer of the scripted model.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Move {
    /// What it says.
    pub text: String,
    /// What it wants done: name and arguments.
    pub calls: Vec<(&'static str, Value)>,
    /// A result was not what a working tool gives.
    pub is_stuck: bool,
}

/// The next answer to a conversation.
pub(super) fn next_move(messages: &[Value]) -> Move {
    let results = messages.iter().filter(|m| m["role"] == "tool").filter_map(|m| m["content"].as_str());
    let results: Vec<&str> = results.collect();
    let last = results.last().copied().unwrap_or_default();
    match results.len() {
        0 => plan(),
        1 => unless_stuck(&[(last, "Plan created with 3 step(s)")], write),
        4 => {
            let (program, test) = (wrote("total.sh", PROGRAM), wrote("test.sh", TEST));
            unless_stuck(&[(results[2], &program), (last, &test)], first_run)
        }
        6 => failed(last),
        8 => unless_stuck(&[(last, BUG.0)], fix),
        9 => unless_stuck(&[(last, "OK")], || go("Once more.", vec![test_run()])),
        10 => unless_stuck(&[(last, "ok: the sum is 12"), (last, "[exit 0]")], || {
            go("", vec![("update_step", json!({"index": 3, "status": "completed"}))])
        }),
        11 => unless_stuck(&[(last, "(3/3 done)")], || {
            go(
                "Done: `total.sh` adds up the numbers of a file, and its test passes. The first run failed because the loop \
                 overwrote the total; it adds now.",
                Vec::new(),
            )
        }),
        _ => stuck(last),
    }
}

fn plan() -> Move {
    let steps = ["Write total.sh and its test", "Run the test", "Fix what it finds"];
    go(
        "I'll write a small program with a test, run the test, and fix what it finds.",
        vec![("create_plan", json!({"steps": steps}))],
    )
}

fn write() -> Move {
    go(
        "First the program, then a test for it.",
        vec![
            ("update_step", json!({"index": 1, "status": "in_progress"})),
            ("write_file", json!({"path": "total.sh", "content": PROGRAM})),
            ("write_file", json!({"path": "test.sh", "content": TEST})),
        ],
    )
}

fn first_run() -> Move {
    go("Now the test.", vec![("update_step", json!({"index": 2, "status": "in_progress"})), test_run()])
}

/// The first run must fail, and its output says what the program printed: the answer is made of it.
fn failed(run: &str) -> Move {
    let got = run.split_once("expected 12, got ").and_then(|(_, rest)| rest.lines().next());
    let Some(got) = got.filter(|_| run.contains("[exit 1]")) else { return stuck(run) };
    go(
        &format!("The test expected 12 and got {got}, the last number of the file. Let me look at the loop."),
        vec![
            ("update_step", json!({"index": 3, "status": "in_progress"})),
            ("grep", json!({"pattern": "total=", "path": "total.sh"})),
        ],
    )
}

fn fix() -> Move {
    go(
        "There it is: the loop keeps the last number and never adds.",
        vec![("edit_file", json!({"path": "total.sh", "edits": [{"old": BUG.0, "new": BUG.1}]}))],
    )
}

fn test_run() -> (&'static str, Value) {
    ("run_bash", json!({"command": "sh test.sh"}))
}

fn wrote(path: &str, content: &str) -> String {
    format!("OK — wrote {} chars to {path}", content.chars().count())
}

/// Goes on only if every result holds what a working tool says.
fn unless_stuck(expected: &[(&str, &str)], next: impl FnOnce() -> Move) -> Move {
    match expected.iter().find(|(result, part)| !result.contains(part)) {
        Some((result, _)) => stuck(result),
        None => next(),
    }
}

fn go(text: &str, calls: Vec<(&'static str, Value)>) -> Move {
    Move { text: text.to_owned(), calls, is_stuck: false }
}

fn stuck(result: &str) -> Move {
    let text = format!("This demo stops here: a tool gave a result that it should not give: {result}");
    Move { text, calls: Vec::new(), is_stuck: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conversation(results: &[&str]) -> Vec<Value> {
        results.iter().map(|r| json!({"role": "tool", "content": r})).collect()
    }

    #[test]
    fn the_answer_goes_by_the_result() {
        let plan = "Plan created with 3 step(s). Set step 1 to in_progress and start.";
        let (step, program, test) = ("Step 1", wrote("total.sh", PROGRAM), wrote("test.sh", TEST));
        let before = [plan, step, &program, &test, step];
        let with = |run| next_move(&conversation(&[&before[..], &[run]].concat()));
        assert!(with("FAIL: expected 12, got 5\n\n[exit 1]").text.contains("expected 12 and got 5"));
        let wrong = [
            "ok: the sum is 12\n\n[exit 0]",
            "sh: not found\n\n[exit 127]",
            "FAIL: expected 12, got 5\n\n[exit 0]",
        ];
        for run in wrong {
            assert!(with(run).is_stuck, "{run}");
        }
    }

    #[test]
    fn a_broken_tool_stops_the_script() {
        assert!(next_move(&conversation(&["Error: no"])).is_stuck);
        assert!(!next_move(&conversation(&[])).is_stuck);
    }
}
