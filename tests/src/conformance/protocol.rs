//! JSON lines: `{"set","id","input"}` in, `{"id","output"}` or `{"id","skip":"why"}` out, one line for each.
//!
//! Commands that a tool runs inherit the environment of this process, so a record that runs some is answered by another
//! process of the same program, started with the home and the working directory of the record. No command of a record
//! ever runs with the home of whoever started the adapter.

use std::{
    io::{self, BufRead, Write},
    path::Path,
    process::{Command, Stdio},
};

use meshapi_cli::sys::HOME_VARIABLE;
use serde_json::{Value, json};

use super::{Adapter, Answer};

/// Argument of a process that was started for one record: its environment is the record's already.
pub const IN_PLACE: &str = "--in-place";

/// Sets whose records run commands.
const WITH_COMMANDS: [&str; 2] = ["tools", "loop"];

/// Where records with folders of their own are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this process.
    Here,
    /// In a process for each.
    OfItsOwn,
}

/// Answers every line until the input ends. A line that is no record is answered as far as its id can be read.
///
/// # Errors
/// The input cannot be read or the output cannot be written.
pub fn serve(mut input: impl BufRead, mut output: impl Write, place: Place) -> io::Result<()> {
    let adapter = Adapter::new()?;
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line);
        if !text.trim().is_empty() {
            output.write_all(answer(&adapter, &text, place).as_bytes())?;
            output.write_all(b"\n")?;
            output.flush()?;
        }
        line.clear();
    }
    Ok(())
}

fn answer(adapter: &Adapter, line: &str, place: Place) -> String {
    let record = match parse(line) {
        Ok(record) => record,
        Err(error) => return json!({"id": id_of(line), "output": {"error": error}}).to_string(),
    };
    let (set, input) = (record["set"].as_str().unwrap_or_default(), &record["input"]);
    let folders = (input["cwd"].as_str(), input["home"].as_str());
    if let (Place::OfItsOwn, true, (Some(cwd), Some(home))) = (place, WITH_COMMANDS.contains(&set), folders)
        && let Ok(answer) = elsewhere(&record, Path::new(cwd), Path::new(home))
    {
        return answer;
    }
    let id = &record["id"];
    match adapter.answer(set, input) {
        Answer::Output(output) => json!({"id": id, "output": output}).to_string(),
        Answer::Skip(why) => json!({"id": id, "skip": why}).to_string(),
    }
}

/// Has the record answered by a process that lives in its folders.
fn elsewhere(record: &Value, cwd: &Path, home: &Path) -> io::Result<String> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg(IN_PLACE)
        .current_dir(cwd)
        .env(HOME_VARIABLE, home)
        .env("PWD", cwd)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        writeln!(stdin, "{record}")?;
    }
    let said = String::from_utf8_lossy(&child.wait_with_output()?.stdout).trim().to_owned();
    if said.is_empty() { Err(io::Error::other("it ended without an answer")) } else { Ok(said) }
}

/// Reads a line of Python's `json`: it also writes `NaN`, infinities and halves of surrogate pairs, which are no JSON.
fn parse(line: &str) -> Result<Value, String> {
    serde_json::from_str(line)
        .or_else(|_| serde_json::from_str(&mended(line)))
        .map_err(|error| error.to_string())
}

/// The line with `null` for what is no number, and U+FFFD for half a pair.
fn mended(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    let mut in_string = false;
    while let Some(first) = rest.chars().next() {
        let word = ["-Infinity", "Infinity", "NaN"].iter().find(|word| rest.starts_with(**word));
        let (taken, put) = match first {
            '\\' if in_string => escape(rest),
            '"' => {
                in_string = !in_string;
                (1, "\"")
            }
            _ => match word {
                Some(word) if !in_string => (word.len(), "null"),
                _ => (first.len_utf8(), &rest[..first.len_utf8()]),
            },
        };
        out.push_str(put);
        rest = &rest[taken..];
    }
    out
}

/// The escape at the beginning of `rest`: its length, and what stands for it.
fn escape(rest: &str) -> (usize, &str) {
    let unit = |text: &str| u16::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok();
    match (unit(rest), rest.get(6..).and_then(unit)) {
        (Some(0xD800..0xDC00), Some(0xDC00..0xE000)) => (12, &rest[..12]),
        (Some(0xD800..0xE000), _) => (6, "\\ufffd"),
        _ => {
            let length = rest.chars().take(2).map(char::len_utf8).sum();
            (length, &rest[..length])
        }
    }
}

/// The id of a line that is no JSON, if it stands there as the runner writes it.
fn id_of(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("\"id\": \"")?;
    rest.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serve_text(lines: &str) -> Vec<Value> {
        let mut said = Vec::new();
        serve(lines.as_bytes(), &mut said, Place::Here).unwrap();
        String::from_utf8(said).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn every_line_gets_its_answer() {
        let answers = serve_text(
            "{\"set\": \"agent\", \"id\": \"a\", \"input\": {\"op\": \"status\", \"status\": 429}}\n\n\
             {\"set\": \"nope\", \"id\": \"b\", \"input\": {}}\n\
             {\"set\": \"x\", \"id\": \"c\", \"inp\n\
             [1]\n",
        );
        assert_eq!(answers[0], json!({"id": "a", "output": {"retryable": true}}));
        assert_eq!(answers[1], json!({"id": "b", "skip": "not built yet"}));
        assert_eq!(answers[2]["id"], "c");
        assert!(answers[2]["output"]["error"].is_string());
        assert_eq!(answers[3], json!({"id": null, "skip": "not built yet"}));
    }

    #[test]
    fn what_python_writes_beyond_json_is_read() {
        let read = |text: &str| parse(text).unwrap();
        assert_eq!(read("[NaN, -Infinity, \"NaN \\\" NaN\"]"), json!([null, null, "NaN \" NaN"]));
        assert_eq!(read(r#"["\ud83d\ude00 \ud83d x \ude00\n"]"#), json!(["😀 \u{fffd} x \u{fffd}\n"]));
        assert_eq!(read(r#"["\\ud83d", NaN]"#), json!(["\\ud83d", null]));
        assert!(parse("{\"a\": ").is_err());
    }
}
