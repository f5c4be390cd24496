//! `meshapi optimize`: request bodies in, cheaper ones out, a line each. Receipts and session states go where they are asked to.

use std::{
    borrow::Cow,
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, BufWriter, Write, stdin, stdout},
    path::{Path, PathBuf},
};

use mesh_optimize::{
    Config, Cut, Dial, Dialect, Filter, Prepared, ProviderChoice, Recall, Retain, Session, Usage, reference,
    session_id,
};
use serde_json::Value;

use crate::{
    cli::{Optimize, Profile},
    config::{Durability, Folder},
    exit::{Exit, Failure},
    sys,
};

/// Sessions whose states are kept in the folder; the ones written longest ago go first.
const STATES: usize = 1000;

/// Reads bodies until the input ends.
///
/// # Errors
/// A setting that is none, a receipt file that cannot be opened, or a stream that breaks.
pub fn run(wanted: &Optimize) -> Result<Exit, Failure> {
    let usage = |error: &dyn std::fmt::Display| Failure::new(Exit::Usage, "usage", error.to_string());
    let dial: Dial = wanted.dial.parse().map_err(|error| usage(&error))?;
    let provider: ProviderChoice = wanted.provider.parse().map_err(|error| usage(&error))?;
    let receipts = wanted.receipt.as_deref().map(open_receipts).transpose()?;
    let states = States { folder: wanted.state.as_deref().map(Folder::at) };
    let reference = wanted.profile == Profile::Reference;
    let share = wanted.hold_out.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    let share =
        share.ok_or_else(|| usage(&"--hold-out takes a share of the sessions: a number from 0 to 1"))?;
    let recall = wanted.retain.as_ref().map(|folder| Recall::Files(folder.display().to_string()));
    let mut pipe = Pipe {
        filter: Filter::new(Config { dial, provider, recall, cheaper: None, notes: None }).holding_out(share),
        dial,
        reference,
        receipts,
        states,
        retain: wanted.retain.clone(),
    };
    let mut input = BufReader::with_capacity(1 << 20, stdin().lock());
    let mut output = BufWriter::with_capacity(1 << 16, stdout().lock());
    let mut line = Vec::new();
    loop {
        line.clear();
        match input.read_until(b'\n', &mut line) {
            Ok(0) => return Ok(Exit::Ok),
            Ok(_) => {}
            Err(error) => return Err(broken("reading", &error)),
        }
        let body = line.strip_suffix(b"\n").unwrap_or(&line);
        match pipe.line(body, &mut output).and_then(|()| output.flush()) {
            // Whoever reads us has gone: nothing is left to do.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Exit::Ok),
            Err(error) => return Err(broken("writing", &error)),
            Ok(()) => {}
        }
    }
}

fn broken(doing: &str, error: &io::Error) -> Failure {
    Failure::new(Exit::Failure, "io", format!("{doing} the bodies failed: {error}"))
}

fn open_receipts(path: &Path) -> Result<File, Failure> {
    let open = || {
        let file = sys::private(OpenOptions::new().create(true).append(true)).open(path)?;
        sys::tighten_file(&file)?;
        Ok(file)
    };
    open().map_err(|error: io::Error| {
        Failure::new(Exit::Usage, "usage", format!("{} cannot be written: {error}", path.display()))
    })
}

/// What a line goes through.
struct Pipe {
    filter: Filter,
    dial: Dial,
    reference: bool,
    receipts: Option<File>,
    states: States,
    retain: Option<PathBuf>,
}

impl Pipe {
    fn line(&mut self, line: &[u8], output: &mut impl Write) -> io::Result<()> {
        if let Some(report) = usage_line(line) {
            return self.settle(&report);
        }
        if self.reference {
            output.write_all(&reference(line, self.dial))?;
            return output.write_all(b"\n");
        }
        let states = &self.states;
        let mut kept = Kept::default();
        let retain: Option<&mut dyn Retain> = if self.retain.is_some() { Some(&mut kept) } else { None };
        let (session, prepared) = self.filter.prepare(line, |id| states.load(id), retain);
        if let (Some(folder), Some(id)) = (&self.retain, &session) {
            kept.write(folder, &Recall::session(id))?;
        }
        // Saved before it is sent: what a reader has seen is never decided otherwise by the next process.
        if let Some(id) = &session {
            self.save(id);
        }
        write(&prepared, output)?;
        output.write_all(b"\n")
    }

    fn settle(&mut self, report: &Report) -> io::Result<()> {
        let states = &self.states;
        let receipt = self.filter.settle(&report.session, report.usage.as_ref(), None, |id| states.load(id));
        self.save(&report.session);
        if let (Some(file), Some(receipt)) = (&mut self.receipts, receipt) {
            let mut line = serde_json::to_value(&receipt)?;
            line["session_id"] = Value::from(report.session.as_str());
            file.write_all(format!("{line}\n").as_bytes())?;
        }
        Ok(())
    }

    fn save(&self, id: &str) {
        if let Some(session) = self.filter.get(id) {
            self.states.save(id, session);
        }
    }
}

fn write(prepared: &Prepared<'_>, output: &mut impl Write) -> io::Result<()> {
    prepared.segments().try_for_each(|piece| output.write_all(piece))
}

/// `{"mesh_usage":{…},"session_id":…}`: what the last request of a session used.
struct Report {
    session: String,
    usage: Option<Usage>,
}

/// The report that a line is, if it is one; long lines are bodies.
fn usage_line(line: &[u8]) -> Option<Report> {
    const LONGEST: usize = 64 << 10;
    if line.len() > LONGEST || !line.windows(12).any(|window| window == b"\"mesh_usage\"") {
        return None;
    }
    let value: Value = serde_json::from_slice(line).ok()?;
    if value.get("messages").is_some() {
        return None;
    }
    Some(Report {
        session: session_id(value.get("session_id")?)?,
        usage: Usage::from_json(value.get("mesh_usage")?),
    })
}

/// The levers of the published packages; what they do not understand stays as it is.
fn reference(line: &[u8], dial: Dial) -> Cow<'_, [u8]> {
    let Ok(mut body) = serde_json::from_slice::<Value>(line) else { return Cow::Borrowed(line) };
    let plan = reference::prepare_in_place(&mut body, Some(dial), Dialect::Utf16, reference::Caps::EARLY);
    match (plan.untouched, serde_json::to_vec(&body)) {
        (None, Ok(bytes)) => Cow::Owned(bytes),
        _ => Cow::Borrowed(line),
    }
}

/// Texts that were cut from a body, by name.
#[derive(Default)]
struct Kept(Vec<(String, String)>);

impl Retain for Kept {
    fn retain(&mut self, cut: &Cut, original: &str) {
        self.0.push((format!("{}.txt", cut.id), original.to_owned()));
    }
}

impl Kept {
    /// Writes them before a body goes out that points to them.
    fn write(&self, folder: &Path, session: &str) -> io::Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        Folder::at(folder).ensure()?;
        let folder = Folder::at(&folder.join(session));
        self.0.iter().try_for_each(|(name, text)| folder.write(name, text.as_bytes(), Durability::Lazy))
    }
}

/// Session states in a folder: one private file a session, replaced whole.
struct States {
    folder: Option<Folder>,
}

impl States {
    fn load(&self, id: &str) -> Option<Session> {
        let bytes = self.folder.as_ref()?.read(&file_name(id)).ok()??;
        // A state that cannot be read is none: the messages alone say it again.
        serde_json::from_slice(&bytes).ok()
    }

    /// A state that cannot be saved is no reason to hold back a request.
    fn save(&self, id: &str, session: &Session) {
        let Some(folder) = &self.folder else { return };
        let name = file_name(id);
        let is_new = !folder.file(&name).exists();
        if let Ok(bytes) = serde_json::to_vec(session) {
            let _ = folder.write(&name, &bytes, Durability::Lazy);
        }
        if is_new {
            let _ = bound(folder);
        }
    }
}

/// Removes the states that were written longest ago.
fn bound(folder: &Folder) -> io::Result<()> {
    let mut states = Vec::new();
    for entry in std::fs::read_dir(folder.path())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("session-") && name.ends_with(".json") {
            states.push((entry.metadata()?.modified()?, name));
        }
    }
    states.sort();
    let surplus = states.len().saturating_sub(STATES);
    states.iter().take(surplus).try_for_each(|(_, name)| folder.remove(name))
}

/// A name that no session id can lead elsewhere.
fn file_name(id: &str) -> String {
    format!("session-{}.json", mesh_optimize::fingerprint(id.as_bytes()))
}
