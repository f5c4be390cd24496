//! Everything that the live region shows, and when it is drawn. Pure: what happens and what time it is go in, bytes come out.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use mesh_safety::PermissionMode;

use super::{
    input::Input,
    question::Question,
    region::{Frame, Region, Size},
};
use crate::{
    confine::Standing,
    ui::{
        line::{Line, Style},
        markdown::Markdown,
        text,
        theme::Theme,
        toolbar, wrap,
    },
};

/// Least time between two redraws: 30 a second.
const REDRAW: Duration = Duration::from_millis(33);

/// Least time between two writes that only add to the end of the reply; nothing is repainted by them.
const APPEND: Duration = Duration::from_millis(8);

/// How often what happens right now is brought up to date: its tenths of a second.
const BEAT: Duration = Duration::from_millis(100);

/// Queued messages that are shown; of the others the number is.
const SHOWN_QUEUE: usize = 3;

/// What happens right now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// A request is out, and nothing has come.
    Waiting,
    /// The reply comes.
    Answering,
    /// The model writes the arguments of a call.
    Preparing {
        /// The tool.
        tool: String,
        /// Characters so far.
        chars: usize,
    },
    /// A call runs.
    Running {
        /// The tool.
        tool: String,
        /// What it says of itself.
        note: String,
    },
    /// An attempt failed; the next one follows at this time.
    Retrying {
        /// When.
        at: Instant,
        /// Which attempt.
        attempt: u32,
        /// Of how many.
        of: u32,
    },
    /// The turn is being ended.
    Stopping,
}

/// A call that the person was asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The call in a line.
    pub summary: String,
    /// What they saw of it: it need not be shown again.
    pub lines: Vec<Line>,
}

/// What stands above the region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Above {
    /// Nothing of this turn, or a blank line.
    Nothing,
    /// What the model wrote.
    Text,
    /// Calls, and what else was said.
    Said,
}

/// The state of a turn's screen.
#[derive(Debug)]
pub struct State {
    theme: Theme,
    region: Region,
    markdown: Option<Markdown>,
    finished: Vec<Line>,
    above: Above,
    asked: Option<Asked>,
    /// What is typed, and what waits.
    pub input: Input,
    question: Option<Question>,
    phase: Phase,
    phase_since: Instant,
    mode: PermissionMode,
    sandbox: Standing,
    servers: Vec<String>,
    unread: usize,
    /// A word on the last key, until the next.
    notice: Option<String>,
    is_dirty: bool,
    /// The screen was resized or used by others: nothing is known of it.
    is_lost: bool,
    last_write: Instant,
    last_redraw: Instant,
}

impl State {
    /// The screen of a turn that begins now.
    pub fn new(theme: Theme, size: Size, rewraps: bool, now: Instant) -> State {
        let long_ago = now.checked_sub(Duration::from_secs(1)).unwrap_or(now);
        State {
            theme,
            region: Region::new(theme, size).rewrapped(rewraps),
            markdown: None,
            finished: Vec::new(),
            above: Above::Nothing,
            asked: None,
            input: Input::default(),
            question: None,
            phase: Phase::Waiting,
            phase_since: now,
            mode: PermissionMode::default(),
            sandbox: Standing::default(),
            servers: Vec::new(),
            unread: 0,
            notice: None,
            is_dirty: true,
            is_lost: false,
            last_write: long_ago,
            last_redraw: long_ago,
        }
    }

    /// A turn begins: with the messages that wait and the text that is typed.
    pub fn begin(&mut self, queue: VecDeque<String>, draft: String, now: Instant) {
        self.input = Input::new(queue, draft);
        self.above = Above::Nothing;
        self.asked = None;
        self.question = None;
        self.notice = None;
        self.set_phase(Phase::Waiting, now);
    }

    /// What is drawn from here on looks so.
    pub fn set_theme(&mut self, theme: Theme) {
        self.theme = theme;
    }

    /// The terminal's size.
    pub fn size(&self) -> Size {
        self.region.size()
    }

    /// The terminal has another size.
    pub fn resize(&mut self, size: Size) {
        self.region.resize(size);
        if let Some(markdown) = &mut self.markdown {
            markdown.resize(size.columns);
        }
        self.is_lost = true;
        self.is_dirty = true;
    }

    /// The screen is ours again after others wrote to it: the cursor stands in the first cell of a free row.
    pub fn regain(&mut self) {
        self.region.forget();
        self.is_dirty = true;
    }

    /// What happens right now.
    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// Something else happens now.
    pub fn set_phase(&mut self, phase: Phase, now: Instant) {
        let is_same_kind = std::mem::discriminant(&self.phase) == std::mem::discriminant(&phase);
        if !(is_same_kind && matches!(phase, Phase::Preparing { .. })) {
            self.phase_since = now;
        }
        self.phase = phase;
        self.is_dirty = true;
    }

    /// What is known of the sandbox, for the last row.
    pub fn set_sandbox(&mut self, sandbox: Standing) {
        self.is_dirty |= self.sandbox != sandbox;
        self.sandbox = sandbox;
    }

    /// The permission mode, for the last row.
    pub fn set_mode(&mut self, mode: PermissionMode) {
        self.is_dirty |= self.mode != mode;
        self.mode = mode;
    }

    /// The addresses of the servers that run.
    pub fn set_servers(&mut self, servers: Vec<String>) {
        self.is_dirty |= self.servers != servers;
        self.servers = servers;
    }

    /// How many unread messages of peers there are.
    pub fn set_unread(&mut self, unread: usize) {
        self.is_dirty |= self.unread != unread;
        self.unread = unread;
    }

    /// What the running call says of itself.
    pub fn set_note(&mut self, said: Option<String>) {
        if let (Phase::Running { note, .. }, Some(said)) = (&mut self.phase, said) {
            self.is_dirty |= *note != said;
            *note = said;
        }
    }

    /// A word on the last key; `None` when the next came.
    pub fn set_notice(&mut self, notice: Option<&str>) {
        self.is_dirty |= self.notice.as_deref() != notice;
        self.notice = notice.map(str::to_owned);
    }

    /// Opens or closes a question.
    pub fn set_question(&mut self, question: Option<Question>) {
        self.question = question;
        self.is_dirty = true;
    }

    /// The question that is open.
    pub fn question_mut(&mut self) -> Option<&mut Question> {
        self.is_dirty = true;
        self.question.as_mut()
    }

    /// Is a question open?
    pub fn has_question(&self) -> bool {
        self.question.is_some()
    }

    /// Something has changed and was not drawn yet.
    pub fn is_dirty(&self) -> bool {
        self.is_dirty
    }

    /// The person was asked about the call that comes next.
    pub fn set_asked(&mut self, asked: Asked) {
        self.asked = Some(asked);
    }

    /// What the person saw of this call when they were asked about it.
    pub fn take_asked(&mut self, summary: &str) -> Option<Vec<Line>> {
        self.asked.take().filter(|asked| asked.summary == summary).map(|asked| asked.lines)
    }

    /// Something was typed.
    pub fn touch(&mut self) {
        self.is_dirty = true;
    }

    /// The model wrote text.
    pub fn text(&mut self, piece: &str) {
        let columns = self.region.size().columns;
        let theme = self.theme;
        self.markdown.get_or_insert_with(|| Markdown::new(columns, theme)).push(piece);
        self.is_dirty = true;
    }

    /// The reply is whole: nothing follows its text.
    pub fn end_text(&mut self) {
        if let Some(mut markdown) = self.markdown.take() {
            let lines = markdown.finish();
            self.commit_text(lines);
            self.is_dirty = true;
        }
    }

    /// A blank line keeps the model's words and its calls apart.
    fn commit_text(&mut self, lines: Vec<Line>) {
        if lines.is_empty() {
            return;
        }
        if self.above == Above::Said {
            self.finished.push(Line::blank());
        }
        self.above = Above::Text;
        self.finished.extend(lines);
    }

    /// Says something that stays: it stands below all that was said before.
    pub fn say(&mut self, lines: impl IntoIterator<Item = Line>) {
        self.end_text();
        let mut lines = lines.into_iter().peekable();
        let Some(first) = lines.peek() else { return };
        if self.above == Above::Text && !first.spans().is_empty() {
            self.finished.push(Line::blank());
        }
        self.finished.extend(lines);
        let ends_blank = self.finished.last().is_none_or(|line| line.spans().is_empty());
        self.above = if ends_blank { Above::Nothing } else { Above::Said };
        self.is_dirty = true;
    }

    /// What has to be written to the terminal by now, if anything.
    pub fn draw(&mut self, now: Instant) -> Option<String> {
        self.is_due(now).then(|| self.draw_now(now))
    }

    /// Whether something has to be written to the terminal by now.
    pub fn is_due(&mut self, now: Instant) -> bool {
        let beat = now.duration_since(self.last_redraw) >= BEAT && self.question.is_none();
        if !self.is_dirty && !beat {
            return false;
        }
        if let Some(markdown) = &mut self.markdown {
            let lines = markdown.take_finished();
            self.commit_text(lines);
        }
        // Text that only goes on at its end is no redraw.
        let least = if self.finished.is_empty() && self.markdown.is_some() && !self.is_lost {
            APPEND
        } else {
            REDRAW
        };
        let last = if least == APPEND { self.last_write } else { self.last_redraw };
        now.duration_since(last) >= least
    }

    /// The same without waiting.
    pub fn draw_now(&mut self, now: Instant) -> String {
        let is_redraw = !self.finished.is_empty() || self.markdown.is_none() || self.is_lost;
        if is_redraw || now.duration_since(self.last_redraw) >= BEAT {
            self.last_redraw = now;
        }
        self.last_write = now;
        self.is_dirty = false;
        let finished = std::mem::take(&mut self.finished);
        let frame = self.frame(now);
        if std::mem::take(&mut self.is_lost) {
            self.region.redraw(finished, frame)
        } else {
            self.region.draw(finished, frame)
        }
    }

    /// The turn is over: what is left is committed, and the region goes.
    pub fn end(&mut self) -> String {
        self.end_text();
        self.question = None;
        self.hide()
    }

    /// What is finished is committed, and the region goes until it is drawn again.
    pub fn hide(&mut self) -> String {
        let finished = std::mem::take(&mut self.finished);
        let mut out = self.region.clear();
        out.push_str(&self.region.draw(finished, Frame::default()));
        self.regain();
        out
    }

    fn frame(&mut self, now: Instant) -> Frame {
        let Size { columns, .. } = self.region.size();
        let most = self.region.most_rows();
        let mut below = Vec::new();
        match &self.question {
            Some(question) => below.extend(question.rows(columns)),
            None => below.push(self.phase_row(now, columns)),
        }
        below.extend(self.queue_rows(columns));
        let (input, cell) = self.input_row(columns);
        let mut last = vec![input];
        if !self.servers.is_empty() {
            let text = format!("  serving {}", self.servers.join("  "));
            last.push(Line::of(Style::Good, &text::clip_width(&text, columns)));
        }
        last.push(toolbar::left_row(self.mode, self.sandbox, self.unread, columns));
        last.truncate(most);
        // Where rows are few, the line that is typed comes first, then what is asked, then the end of the reply.
        below.truncate(most - last.len());
        let mut rows: Vec<Line> = match &mut self.markdown {
            Some(markdown) => markdown.tail(),
            None => Vec::new(),
        };
        if self.above == Above::Said && !rows.is_empty() {
            rows.insert(0, Line::blank());
        }
        rows = rows.into_iter().flat_map(|row| wrap::rows(row, columns)).collect();
        let room = most - last.len() - below.len();
        rows.drain(..rows.len().saturating_sub(room));
        rows.extend(below);
        let cursor = (rows.len(), cell);
        rows.extend(last);
        Frame { rows, cursor }
    }

    fn phase_row(&self, now: Instant, columns: usize) -> Line {
        let seconds = now.saturating_duration_since(self.phase_since).as_secs_f64();
        let (text, keys) = match &self.phase {
            Phase::Waiting => (format!("meshing around... {seconds:.1}s"), "esc to stop"),
            Phase::Answering => (format!("still meshing... {seconds:.1}s"), "esc to stop"),
            Phase::Preparing { tool, chars } => {
                (format!("preparing {tool} (↓ {})", count(*chars)), "esc to stop")
            }
            Phase::Running { tool, note } if note.is_empty() => {
                (format!("running {tool}... {seconds:.1}s"), "esc stops it")
            }
            Phase::Running { tool, note } => (format!("{tool}: {note}... {seconds:.1}s"), "esc stops it"),
            Phase::Retrying { at, attempt, of } => {
                let left = at.saturating_duration_since(now).as_secs_f64();
                (format!("retrying in {left:.1}s (attempt {attempt}/{of})"), "esc to stop")
            }
            Phase::Stopping => ("stopping...".to_owned(), ""),
        };
        let text = text::clip_width(&text, columns.saturating_sub(2)).into_owned();
        let hint = self.notice.as_deref().unwrap_or(keys);
        let room = columns.saturating_sub(text::width(&text) + 2);
        let hint = if hint.is_empty() { String::new() } else { format!("  ({hint})") };
        let hint = if text::width(&hint) <= room { hint } else { String::new() };
        let sign = if columns < 2 { "" } else { "✦ " };
        Line::of(Style::Brand, sign).with(Style::BrandDim, &text).with(Style::Dim, &hint)
    }

    fn queue_rows(&self, columns: usize) -> Vec<Line> {
        let queue = self.input.queue();
        let mut rows: Vec<Line> = queue
            .iter()
            .take(SHOWN_QUEUE)
            .map(|message| {
                let text = text::one_line(message.trim()).into_owned();
                Line::of(Style::Dim, &text::clip_width(&format!("  ↳ next: {text}"), columns))
            })
            .collect();
        if queue.len() > SHOWN_QUEUE {
            let more = format!("  … {} more queued", queue.len() - SHOWN_QUEUE);
            rows.push(Line::of(Style::Dim, &text::clip_width(&more, columns)));
        }
        if let (false, true, Some(last)) = (queue.is_empty(), self.input.is_empty(), rows.last_mut()) {
            let hint = "  (↑ takes it back)";
            if wrap::width(last) + text::width(hint) <= columns {
                *last = std::mem::take(last).with(Style::Dim, hint);
            }
        }
        rows
    }

    fn input_row(&self, columns: usize) -> (Line, usize) {
        let sign = if columns < 3 { "" } else { "› " };
        let shown = self.input.shown(columns - text::width(sign));
        let line = Line::of(Style::Brand, sign).with(Style::Plain, &shown.text);
        (line, text::width(sign) + shown.cell)
    }
}

/// A number of characters as a person reads it.
fn count(chars: usize) -> String {
    match chars {
        0..1000 => format!("{chars} chars"),
        _ => format!("{:.1}k chars", chars as f64 / 1000.0),
    }
}
