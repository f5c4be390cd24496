//! The last lines that a server printed, read for as long as it lives so that it never blocks on a full pipe.

use std::{
    collections::VecDeque,
    io::{self, PipeReader, Read},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Lines that are kept. From the seed, 13.4.
const KEPT_LINES: usize = 1_000;

/// Bytes of one line that are kept: with the lines above, a server's output takes 4 MB at most.
const LINE_BYTES: usize = 4_096;

/// Bytes that one read may bring.
const READ_BYTES: usize = 8 * 1024;

/// What a server printed. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Output(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    lines: Mutex<Lines>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    whole: VecDeque<String>,
    /// The line that has no end yet.
    open: Vec<u8>,
    ended: bool,
}

impl Output {
    /// Reads the pipe to its end in a thread of its own: it has to go on while no turn runs and nobody drives a runtime.
    pub(super) fn of(mut reader: PipeReader) -> io::Result<Output> {
        let output = Output::default();
        let ours = output.clone();
        std::thread::Builder::new().name("server output".into()).spawn(move || {
            let mut buffer = vec![0; READ_BYTES];
            loop {
                match reader.read(&mut buffer) {
                    Ok(count @ 1..) => ours.lock().push(&buffer[..count]),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Ok(0) | Err(_) => break,
                }
            }
            ours.lock().ended = true;
            ours.0.ended.notify_all();
        })?;
        Ok(output)
    }

    /// The first lines of what is kept.
    pub(super) fn first(&self, count: usize) -> Vec<String> {
        self.lock().iter().take(count).collect()
    }

    /// The last lines.
    pub(super) fn last(&self, count: usize) -> Vec<String> {
        let lines = self.lock();
        let all = lines.whole.len() + usize::from(!lines.open.is_empty());
        lines.iter().skip(all.saturating_sub(count)).collect()
    }

    /// Waits until all writers are gone, but not for long: somebody may hold the pipe who cannot be ended.
    pub(super) fn wait_for_end(&self, limit: Duration) {
        let waited = self.0.ended.wait_timeout_while(self.lock(), limit, |lines| !lines.ended);
        drop(waited);
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = piece.strip_suffix(b"\n").map_or((piece, false), |text| (text, true));
            let room = LINE_BYTES - self.open.len();
            self.open.extend_from_slice(&text[..room.min(text.len())]);
            if ends {
                let line = text_of(&self.open);
                self.open.clear();
                if self.whole.len() == KEPT_LINES {
                    self.whole.pop_front();
                }
                self.whole.push_back(line);
            }
        }
    }

    fn iter(&self) -> impl Iterator<Item = String> {
        let open = (!self.open.is_empty()).then(|| text_of(&self.open));
        self.whole.iter().cloned().chain(open)
    }
}

/// Bytes that are no UTF-8 become U+FFFD.
fn text_of(line: &[u8]) -> String {
    String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn printed(bytes: &[u8]) -> Output {
        let (reader, mut writer) = io::pipe().unwrap();
        let output = Output::of(reader).unwrap();
        writer.write_all(bytes).unwrap();
        drop(writer);
        output.wait_for_end(Duration::from_secs(30));
        output
    }

    #[test]
    fn lines_are_kept_from_the_end() {
        let text: String = (0..2_500).map(|line| format!("line {line}\n")).collect();
        let output = printed(text.as_bytes());
        assert_eq!(output.first(1), ["line 1500"]);
        assert_eq!(output.last(2), ["line 2498", "line 2499"]);
    }

    #[test]
    fn an_open_line_counts_and_a_huge_one_is_cut() {
        assert_eq!(printed(b"a\r\nb\xff").last(30), ["a", "b\u{fffd}"]);
        assert_eq!(printed(b"").last(30), Vec::<String>::new());
        let lines = printed(&[vec![b'x'; 1_000_000], b"\nafter\n".to_vec()].concat()).last(30);
        assert_eq!((lines[0].len(), lines[1].as_str()), (LINE_BYTES, "after"));
    }
}
