//! A message enters the memory. What a tool printed and what a call was given is cleaned up here, before it was ever sent: nothing
//! is lost, and no cached byte changes.

use std::collections::hash_map::Entry;

use super::memory::{BYTES_PER_TOKEN, Fact, Known, MANY, Memory, NAMES};
use super::state::{Frozen, SessionState};
use crate::body::{Body, Form, Message, Part, Role, Text};
use crate::edit::{Edit, Hole};
use crate::json::{Decoded, decode};
use crate::kind::{Call, ResultKind};
use crate::levers::clean::{Row, equal_lines, punch, rows, terminal};
use crate::levers::repeat::{Run, low};
use crate::levers::shorten::names;
use crate::levers::{NAMED, arguments, has_note};
use crate::weight::weigh;

/// String arguments shorter than this are not looked at for repeated lines: a run has 208 bytes at least.
const ARGUMENT_BYTES: usize = 208;

/// Where the runs of lines come from that are named in a text instead of sent.
enum Naming {
    /// The text was sent before: these, for each of its strings.
    Known(Vec<Vec<Run>>),
    /// It is new: what the shelf has.
    Find(Vec<Vec<Run>>),
}

/// Lines that a text shows in a row: the number of the first, and the rows.
type Stretch = (usize, Vec<Row>);

/// The text of `text` in a message that begins at `start`.
pub(crate) fn decoded<'a>(bytes: &'a [u8], start: usize, text: &Text) -> Option<Decoded<'a>> {
    let span = start + text.span.start..start + text.span.end;
    match text.form {
        Form::Literal => decode(bytes, span),
        Form::Json => Decoded::plain(bytes, span),
    }
}

impl SessionState {
    /// Learns the next message of `body`. `clean` allows its texts to be cleaned up; a message that was sent before keeps what
    /// was decided then.
    pub(crate) fn learn(&mut self, body: &Body<'_>, clean: bool) {
        let number = self.memory.messages.len();
        let place = &body.messages[number];
        let message = Message::read(&body.bytes[place.span.clone()]);
        let sent_before = number < self.saved.seen.len();
        let replies = self.memory.replies();
        let texts = message.texts.clone();
        let role = message.role;
        self.memory.messages.push(Known { message, replies, texts: self.memory.texts.len() });
        for (index, text) in texts.iter().enumerate() {
            let Some(original) = decoded(body.bytes, place.span.start, text) else {
                self.memory.texts.push(Fact::opaque(number, index, text));
                continue;
            };
            let fact = self.fact(number, index, text, &original);
            let id = self.memory.texts.len();
            let mut naming = match sent_before {
                true => Naming::Known(self.saved.frozen.get(&id).map_or(Vec::new(), |f| f.runs.clone())),
                false if clean => Naming::Find(Vec::new()),
                false => Naming::Known(Vec::new()),
            };
            let (holes, shown) = match text.part {
                _ if fact.lossy => (Vec::new(), Vec::new()),
                Part::Words => (Vec::new(), Vec::new()),
                Part::Call(_) => self.birth_arguments(&original, &mut naming),
                Part::Result(_) => self.birth_result(&original, fact.kind, &mut naming),
            };
            self.learn_names(&original.text, id, number, text.part, role);
            self.memory.texts.push(fact);
            match naming {
                Naming::Find(runs) if !holes.is_empty() => {
                    let edit = Edit::nothing(original.text.len()).without(&holes);
                    let runs = if runs.iter().all(Vec::is_empty) { Vec::new() } else { runs };
                    self.saved.frozen.insert(id, Frozen { edit, lossy: false, fold: false, runs });
                }
                _ => {}
            }
            for (line, rows) in shown {
                self.memory.shelf.put(id, line, &rows);
            }
            self.place_frozen(body.bytes, id, text, &original);
        }
        self.memory.sum_up(number);
        if !sent_before {
            self.saved.seen.push((place.span.len(), place.hash));
        }
    }

    /// Names lead from what the assistant says to the text that it has them from: a text whose names are still used is not old.
    fn learn_names(&mut self, text: &str, id: usize, number: usize, part: Part, role: Role) {
        let Memory { named, homes, texts, .. } = &mut self.memory;
        let home = u32::try_from(id).unwrap_or(MANY);
        names(text, |name| {
            if role == Role::Assistant {
                named.entry(name).or_insert(number);
                if let Some(fact) = homes.get(&low(name)).and_then(|home| texts.get_mut(*home as usize)) {
                    fact.used = number;
                }
            }
            if part == Part::Words || homes.len() >= NAMES && !homes.contains_key(&low(name)) {
                return;
            }
            match (part, homes.entry(low(name))) {
                (_, Entry::Vacant(new)) => drop(new.insert(home)),
                (Part::Result(_), Entry::Occupied(mut old)) if *old.get() != home => drop(old.insert(MANY)),
                _ => {}
            }
        });
    }

    fn fact(&mut self, message: usize, index: usize, text: &Text, original: &Decoded<'_>) -> Fact {
        let weight = weigh(&original.text);
        let mut fact = Fact {
            now: original.text.len(),
            whole: weight,
            sent: weight,
            lossy: has_note(&original.text),
            ..Fact::opaque(message, index, text)
        };
        match text.part {
            Part::Call(id) => {
                let call = Call::of(text.name.as_deref().unwrap_or(""), &original.text);
                (fact.kind, fact.path) = (call.kind, call.path);
                self.memory.calls.insert(id, call);
            }
            Part::Result(id) => {
                if let Some(call) = self.memory.calls.get(&id) {
                    (fact.kind, fact.path) = (call.kind, call.path);
                }
                if let Some(path) = fact.path {
                    self.memory.touched.insert(path, message);
                }
            }
            Part::Words => {}
        }
        fact
    }

    /// Renders what is frozen for a text, once.
    fn place_frozen(&mut self, bytes: &[u8], id: usize, text: &Text, original: &Decoded<'_>) {
        let fits = self.saved.frozen.get(&id).is_some_and(|frozen| frozen.edit.fits(original.text.len()));
        if !fits {
            self.saved.frozen.remove(&id);
            return;
        }
        let frozen = &self.saved.frozen[&id];
        let fact = &mut self.memory.texts[id];
        fact.rendered = Some(frozen.edit.render(bytes, original, text.form).into());
        fact.now = frozen.edit.len();
        fact.sent = weigh(&frozen.edit.text(&original.text));
        fact.lossy |= frozen.lossy;
    }

    /// The clean-up of a result and the lines it shows afterwards.
    ///
    /// What a file holds is not touched but for repeats: an edit needs its blanks and line ends as they are.
    fn birth_result(
        &mut self,
        original: &Decoded<'_>,
        kind: ResultKind,
        naming: &mut Naming,
    ) -> (Vec<Hole>, Vec<Stretch>) {
        let text: &str = &original.text;
        let (mut holes, rows, left) = if kind == ResultKind::Read {
            let rows = rows(text);
            (Vec::new(), rows.clone(), rows)
        } else {
            let (mut holes, rows) = terminal(text);
            let left = equal_lines(&rows, &mut holes);
            (holes, rows, left)
        };
        let numbers = numbers(&rows, &left);
        let runs = self.runs(&left, 0, naming);
        for run in &runs {
            let note = self.run_note(run);
            punch(&mut holes, Hole { range: left[run.from].start..left[run.to - 1].end, note: Some(note) });
        }
        (holes, shown(&left, &numbers, &runs))
    }

    /// The same for the strings in the arguments of a call.
    fn birth_arguments(&mut self, original: &Decoded<'_>, naming: &mut Naming) -> (Vec<Hole>, Vec<Stretch>) {
        let (mut holes, mut all) = (Vec::new(), Vec::new());
        for (number, value) in arguments::values(&original.text, ARGUMENT_BYTES).into_iter().enumerate() {
            let rows = value.rows();
            let runs = self.runs(&rows, number, naming);
            for run in &runs {
                holes.push(arguments::run_hole(&value, &rows, run, &self.run_note(run)));
            }
            let numbers: Vec<usize> = (1..=rows.len()).collect();
            all.extend(shown(&rows, &numbers, &runs));
        }
        (holes, all)
    }

    /// The runs of one string of a text, its `number`th: those that were named when it was first sent, or new ones.
    fn runs(&mut self, rows: &[Row], number: usize, naming: &mut Naming) -> Vec<Run> {
        let memory = &self.memory;
        let runs = match naming {
            Naming::Known(known) => {
                let known = known.get(number).map_or(&[][..], Vec::as_slice).iter();
                known.filter(|run| run.from < run.to && run.to <= rows.len()).copied().collect()
            }
            Naming::Find(found) => {
                let gone = |text| memory.texts.get(text).is_none_or(|fact: &Fact| fact.lossy);
                let runs = memory.shelf.runs(rows, gone);
                found.push(runs.clone());
                runs
            }
        };
        let runs: Vec<Run> = runs.into_iter().filter(|run| run.text < memory.texts.len()).collect();
        for run in &runs {
            self.memory.pinned.entry(run.text).or_default().push((run.line, run.to - run.from));
            if let Some(fact) = self.memory.texts.get_mut(run.text) {
                fact.offer = None;
            }
        }
        runs
    }

    fn run_note(&self, run: &Run) -> String {
        let fact = &self.memory.texts[run.text];
        let name = self.memory.name(fact);
        let count = run.to - run.from;
        let hint = match fact.part {
            Part::Call(id) | Part::Result(id) => {
                self.memory.calls.get(&id).map_or("", |call| call.hint.as_str())
            }
            Part::Words => "",
        };
        let what = if matches!(fact.part, Part::Call(_)) { "arguments" } else { "result" };
        format!("[{count}{NAMED}{what} {name} above ({hint}), from its line {}]", run.line)
    }
}

/// The number of each row that is left, from 1, as the text had it.
fn numbers(rows: &[Row], left: &[Row]) -> Vec<usize> {
    let mut all = rows.iter().zip(1..);
    left.iter()
        .map(|row| all.find(|(other, _)| other.start == row.start).map_or(0, |(_, number)| number))
        .collect()
}

/// The rows that a reader sees in this text itself; what is only named in it is not shown.
fn shown(rows: &[Row], numbers: &[usize], runs: &[Run]) -> Vec<Stretch> {
    let mut shown = Vec::new();
    let mut from = 0;
    for (to, behind) in runs.iter().map(|run| (run.from, run.to)).chain([(rows.len(), rows.len())]) {
        // Where lines were left out the numbers jump: a new stretch.
        let mut start = from;
        for at in from..to {
            if at + 1 == to || numbers[at + 1] != numbers[at] + 1 {
                shown.push((numbers[start], rows[start..=at].to_vec()));
                start = at + 1;
            }
        }
        from = behind;
    }
    shown
}

impl Fact {
    /// A text of which nothing is known.
    fn opaque(message: usize, index: usize, text: &Text) -> Fact {
        Fact {
            message,
            index,
            part: text.part,
            kind: ResultKind::Log,
            path: None,
            now: text.span.len(),
            whole: text.span.len() as f64 / BYTES_PER_TOKEN,
            sent: text.span.len() as f64 / BYTES_PER_TOKEN,
            rendered: None,
            used: message,
            lossy: false,
            offer: None,
        }
    }
}
