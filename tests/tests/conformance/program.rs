//! The adapter as the runner starts it: a process that answers lines.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::Value;

/// The adapter's process; it ends with its input.
pub(crate) struct Program {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Program {
    /// Starts it.
    pub(crate) fn start() -> Program {
        let mut child = Command::new(env!("CARGO_BIN_EXE_conformance"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the adapter starts");
        let output = BufReader::new(child.stdout.take().expect("its output is piped"));
        Program { input: child.stdin.take(), child, output }
    }

    /// Sends a record and waits for its answer.
    pub(crate) fn ask(&mut self, record: &Value) -> Value {
        writeln!(self.input.as_ref().expect("it is open until the end"), "{record}").expect("it reads");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it answers");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in `{line}` to {record}"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.input.take());
        // Its end is nobody's business any more.
        let _ = self.child.wait();
    }
}
