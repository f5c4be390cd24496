//! What the stages found: one line a stage, every fault and note below it.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// How much of a failed command's output is repeated in its finding.
const TAIL_LINES: usize = 30;

/// The outcome of one stage.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// What to say when all is well.
    pub(crate) said: Option<String>,
    /// What stands in the way of a release.
    pub(crate) faults: Vec<String>,
    /// What a person should know, but may ship with.
    pub(crate) notes: Vec<String>,
}

impl Findings {
    pub(crate) fn say(&mut self, text: impl Into<String>) {
        self.said = Some(text.into());
    }

    pub(crate) fn fault(&mut self, text: impl Into<String>) {
        self.faults.push(text.into());
    }

    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }
}

/// All stages so far.
pub(crate) struct Report {
    version: String,
    faults: usize,
    notes: usize,
}

impl Report {
    pub(crate) fn new(version: &str) -> Report {
        println!("release {version}");
        Report { version: version.to_owned(), faults: 0, notes: 0 }
    }

    /// Runs a stage and shows what it found. A stage that cannot be run is a fault.
    pub(crate) fn stage(&mut self, name: &str, run: impl FnOnce() -> Result<Findings>) {
        let start = Instant::now();
        let mut out = std::io::stdout();
        if out.is_terminal() {
            // Overwritten by the stage's line. A long stage prints nothing else.
            let _ = write!(out, "...   {name}\r").and_then(|()| out.flush());
        }
        let findings = run()
            .unwrap_or_else(|error| Findings { faults: vec![format!("{error:#}")], ..Findings::default() });
        print!("{}", show(name, &findings, start.elapsed().as_secs_f64()));
        self.faults += findings.faults.len();
        self.notes += findings.notes.len();
    }

    pub(crate) fn has_faults(&self) -> bool {
        self.faults > 0
    }

    /// Faults and notes so far.
    #[cfg(test)]
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.faults, self.notes)
    }

    /// The last line: `done`, or how many findings stand in the way.
    pub(crate) fn end(self, done: &str) -> Result<()> {
        if self.faults > 0 {
            bail!("{} findings stand in the way of {}, {} notes", self.faults, self.version, self.notes);
        }
        println!("\n{} notes, no findings: {done}", self.notes);
        Ok(())
    }
}

fn show(name: &str, findings: &Findings, seconds: f64) -> String {
    let (word, said) = match (&findings.said, findings.faults.len()) {
        (Some(said), 0) => ("ok  ", said.as_str()),
        (None, 0) => ("ok  ", ""),
        _ => ("FAIL", ""),
    };
    let mut text = format!("{word}  {name:<10} {seconds:>6.1} s  {said}").trim_end().to_owned();
    text.push('\n');
    let marked = findings.faults.iter().map(|text| ("-", text));
    for (mark, finding) in marked.chain(findings.notes.iter().map(|text| ("note:", text))) {
        let mut lines = finding.trim_end().lines();
        text.push_str(&format!("      {mark} {}\n", lines.next().unwrap_or_default()));
        lines.for_each(|line| text.push_str(&format!("        {line}\n")));
    }
    text
}

/// Runs a command without input; everything it prints goes to a file, and a failure repeats the end of it.
///
/// # Errors
/// It does not start, or ends with another code than 0.
pub(crate) fn run_logged(command: &mut Command, log: &Path) -> Result<String> {
    let line = command_line(command);
    let output = command
        .stdin(std::process::Stdio::null())
        .output()
        .with_context(|| format!("`{line}` does not start"))?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    if let Some(folder) = log.parent() {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    std::fs::write(log, &text).with_context(|| log.display().to_string())?;
    if !output.status.success() {
        bail!("`{line}` failed; all of it is in {}\n{}", log.display(), tail(&text));
    }
    Ok(text)
}

fn command_line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    let program = Path::new(&*words[0]).file_name().unwrap_or_default().to_string_lossy().into_owned();
    std::iter::once(program.as_str())
        .chain(words[1..].iter().map(|word| &**word))
        .collect::<Vec<_>>()
        .join(" ")
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finding_is_shown() {
        let mut findings = Findings::default();
        findings.say("all fine");
        findings.note("one\nmore of one");
        assert_eq!(
            show("tree", &findings, 1.25),
            "ok    tree          1.2 s  all fine\n      note: one\n        more of one\n"
        );
        findings.fault("a");
        findings.fault("b");
        assert_eq!(
            show("tree", &findings, 0.0),
            "FAIL  tree          0.0 s\n      - a\n      - b\n      note: one\n        more of one\n"
        );
    }

    #[test]
    fn faults_end_a_release_and_notes_do_not() {
        let mut report = Report::new("1.0.0");
        report.stage("a", || Ok(Findings { notes: vec!["n".into()], ..Findings::default() }));
        assert!(!report.has_faults());
        report.stage("b", || bail!("cannot look"));
        assert!(report.has_faults());
        assert_eq!(
            report.end("done").unwrap_err().to_string(),
            "1 findings stand in the way of 1.0.0, 1 notes"
        );
        assert!(Report::new("1.0.0").end("done").is_ok());
    }

    #[test]
    fn a_failed_command_repeats_its_end() {
        let folder = std::env::temp_dir().join(format!("xtask-report-{}", std::process::id()));
        let log = folder.join("logs/x.txt");
        let error = run_logged(Command::new("rustc").arg("--no-such-flag"), &log).unwrap_err().to_string();
        assert!(
            error.starts_with("`rustc --no-such-flag` failed") && error.contains("no-such-flag'"),
            "{error}"
        );
        assert!(log.exists());
        assert!(run_logged(Command::new("rustc").arg("-V"), &log).unwrap().starts_with("rustc"));
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(tail(&"x\n".repeat(100)).lines().count(), TAIL_LINES);
    }
}
