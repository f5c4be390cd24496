//! Small chunks of an HTTP/1.1 answer joined to large ones, before hyper sees them. Pure: bytes in, bytes out.
//!
//! A gateway sends each event as a chunk, and hyper hands each chunk over by itself: two task switches and a dozen
//! atomic operations a chunk, several times what reading the event costs. Chunks that arrive in one read lose
//! nothing by being one. Only the plain case is touched, an answer `200` with `transfer-encoding: chunked` to a
//! POST or GET, chunk by whole chunk; at the first byte that is anything else the connection passes through
//! untouched for the rest of its life, and hyper judges what it gets.

/// Longest head that is looked at.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Most digits of a chunk size: chunks of 4 GiB and more pass through.
const MAX_SIZE_DIGITS: usize = 8;

/// Joins the chunks of the answers of one connection.
#[derive(Debug)]
pub(super) struct Joiner {
    state: State,
    /// The head of the answer so far; later the beginning of a size line whose end has not come.
    held: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No request is under way.
    Idle,
    /// A request was begun; its answer's head has not ended.
    Head,
    /// At the beginning of a chunk.
    Boundary,
    /// Inside a chunk that did not come whole; so many bytes are left, its line end included.
    Inside(usize),
    /// After the last chunk; so many bytes of the closing line end were seen.
    Closing(usize),
    /// Untouched from here on.
    Through,
}

/// What stands at the beginning of a chunk.
enum Size {
    /// A size, and the length of its line.
    Of { bytes: usize, line: usize },
    /// The line has not come whole.
    Unfinished,
    /// Something that is not a plain size.
    Odd,
}

impl Joiner {
    /// Returns a joiner for a new connection; one that speaks HTTP/2 `is_plain` not.
    pub(super) fn new(is_plain: bool) -> Joiner {
        Joiner { state: if is_plain { State::Idle } else { State::Through }, held: Vec::new() }
    }

    /// Says whether bytes pass through untouched, now and for good.
    pub(super) fn is_through(&self) -> bool {
        self.state == State::Through
    }

    /// Takes note of bytes that were sent. A request begins with the first ones after an answer has ended.
    pub(super) fn sent(&mut self, bytes: &[u8]) {
        if self.state == State::Idle && !bytes.is_empty() {
            let is_plain = bytes.starts_with(b"POST ") || bytes.starts_with(b"GET ");
            self.state = if is_plain { State::Head } else { State::Through };
        }
    }

    /// Takes bytes that came and appends what hyper shall see of them.
    pub(super) fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while !bytes.is_empty() {
            bytes = match self.state {
                State::Idle | State::Through => {
                    self.state = State::Through;
                    out.extend_from_slice(bytes);
                    return;
                }
                State::Head => self.head(bytes, out),
                State::Boundary => self.chunks(bytes, out),
                State::Inside(left) => {
                    let (part, rest) = bytes.split_at(left.min(bytes.len()));
                    out.extend_from_slice(part);
                    self.state =
                        if part.len() == left { State::Boundary } else { State::Inside(left - part.len()) };
                    rest
                }
                State::Closing(seen) => {
                    out.push(bytes[0]);
                    self.state = match (seen, bytes[0]) {
                        (0, b'\r') => State::Closing(1),
                        (1, b'\n') => State::Idle,
                        // Trailers: rare, and hyper's business.
                        _ => State::Through,
                    };
                    &bytes[1..]
                }
            };
        }
    }

    /// The connection has ended: appends what was still held back.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        if self.state == State::Boundary {
            out.append(&mut self.held);
        }
        self.state = State::Through;
    }

    /// Passes the head on and reads it; returns the bytes behind it.
    fn head<'a>(&mut self, bytes: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        let known = self.held.len();
        self.held.extend_from_slice(bytes);
        let from = known.saturating_sub(3);
        let end = memchr::memmem::find(&self.held[from..], b"\r\n\r\n").map(|at| from + at + 4);
        let Some(end) = end.filter(|end| *end <= MAX_HEAD_BYTES) else {
            out.extend_from_slice(bytes);
            if self.held.len() > MAX_HEAD_BYTES {
                self.held = Vec::new();
                self.state = State::Through;
            }
            return &[];
        };
        self.state = if is_plain_chunked(&self.held[..end]) { State::Boundary } else { State::Through };
        self.held.clear();
        let (head, rest) = bytes.split_at(end - known);
        out.extend_from_slice(head);
        rest
    }

    /// Joins the chunks that came whole; returns the bytes behind them.
    fn chunks<'a>(&mut self, bytes: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        if !self.held.is_empty() {
            return self.held_line(bytes, out);
        }
        let mut rest = bytes;
        let mut joined = None;
        loop {
            match size_line(rest) {
                Size::Of { bytes: 0, line } => {
                    close(joined, out);
                    out.extend_from_slice(&rest[..line]);
                    self.state = State::Closing(0);
                    return &rest[line..];
                }
                Size::Of { bytes: size, line } => match whole_chunk(&rest[line..], size) {
                    Some(data) => {
                        joined.get_or_insert_with(|| open(out));
                        out.extend_from_slice(data);
                        rest = &rest[line + size + 2..];
                    }
                    None => {
                        close(joined, out);
                        out.extend_from_slice(&rest[..line]);
                        self.state = State::Inside(size + 2);
                        return &rest[line..];
                    }
                },
                Size::Unfinished => {
                    close(joined, out);
                    self.held.extend_from_slice(rest);
                    return &[];
                }
                Size::Odd => {
                    close(joined, out);
                    self.state = State::Through;
                    return rest;
                }
            }
        }
    }

    /// Completes a size line that was cut; its chunk passes on as it is.
    fn held_line<'a>(&mut self, bytes: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        let known = self.held.len();
        let more = bytes.len().min(MAX_SIZE_DIGITS + 2);
        self.held.extend_from_slice(&bytes[..more]);
        let taken = match size_line(&self.held) {
            Size::Of { bytes: size, line } => {
                self.state = if size == 0 { State::Closing(0) } else { State::Inside(size + 2) };
                line
            }
            Size::Unfinished => return &bytes[more..],
            Size::Odd => {
                self.state = State::Through;
                known
            }
        };
        out.extend_from_slice(&self.held[..taken]);
        self.held.clear();
        &bytes[taken - known..]
    }
}

/// Begins a joined chunk and returns where; its size is written when it is known.
fn open(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(b"00000000\r\n");
    out.len()
}

/// Ends a joined chunk: leading zeros of a size are allowed, so that its line can stand before its data.
fn close(joined: Option<usize>, out: &mut Vec<u8>) {
    if let Some(start) = joined {
        let size = out.len() - start;
        let digits = format!("{size:08x}");
        out[start - 10..start - 2].copy_from_slice(digits.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// Returns the data of a chunk if all of it and its line end are there.
fn whole_chunk(bytes: &[u8], size: usize) -> Option<&[u8]> {
    let (data, rest) = bytes.split_at_checked(size)?;
    rest.starts_with(b"\r\n").then_some(data)
}

fn size_line(bytes: &[u8]) -> Size {
    let mut size = 0;
    for (at, byte) in bytes.iter().enumerate().take(MAX_SIZE_DIGITS + 1) {
        match (*byte as char).to_digit(16) {
            Some(digit) if at < MAX_SIZE_DIGITS => size = size << 4 | digit as usize,
            _ if at == 0 || *byte != b'\r' => return Size::Odd,
            _ => {
                return match bytes.get(at + 1) {
                    Some(b'\n') => Size::Of { bytes: size, line: at + 2 },
                    Some(_) => Size::Odd,
                    None => Size::Unfinished,
                };
            }
        }
    }
    Size::Unfinished
}

/// Says whether a head announces what we join: `200`, chunked and nothing else, lines as the standard wants them.
fn is_plain_chunked(head: &[u8]) -> bool {
    let Ok(head) = std::str::from_utf8(head) else { return false };
    let mut lines = head.trim_end_matches("\r\n").split("\r\n");
    if !lines.next().is_some_and(|line| line == "HTTP/1.1 200" || line.starts_with("HTTP/1.1 200 ")) {
        return false;
    }
    let mut is_chunked = false;
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { return false };
        if line.contains(['\r', '\n'])
            || line.starts_with([' ', '\t'])
            || name.eq_ignore_ascii_case("content-length")
        {
            return false;
        }
        if name.eq_ignore_ascii_case("transfer-encoding") {
            if is_chunked || !value.trim().eq_ignore_ascii_case("chunked") {
                return false;
            }
            is_chunked = true;
        }
    }
    is_chunked
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEAD: &str =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

    /// What hyper would see of an answer that arrives in these pieces.
    fn through(joiner: &mut Joiner, pieces: &[&[u8]]) -> Vec<u8> {
        joiner.sent(b"POST /v1/chat/completions HTTP/1.1\r\n\r\n{}");
        let mut out = Vec::new();
        for piece in pieces {
            joiner.push(piece, &mut out);
        }
        out
    }

    fn chunked(parts: &[&[u8]]) -> Vec<u8> {
        let mut body = Vec::new();
        for part in parts.iter().filter(|part| !part.is_empty()) {
            body.extend_from_slice(format!("{:X}\r\n", part.len()).as_bytes());
            body.extend_from_slice(part);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"0\r\n\r\n");
        body
    }

    /// Undoes the framing of what comes behind the head; returns the data and the number of chunks.
    fn unchunk(mut body: &[u8]) -> (Vec<u8>, usize) {
        let (mut data, mut count) = (Vec::new(), 0);
        loop {
            let end = memchr::memmem::find(body, b"\r\n").unwrap();
            let size = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap(), 16).unwrap();
            body = &body[end + 2..];
            if size == 0 {
                assert_eq!(body, b"\r\n");
                return (data, count);
            }
            data.extend_from_slice(&body[..size]);
            assert_eq!(&body[size..size + 2], b"\r\n");
            body = &body[size + 2..];
            count += 1;
        }
    }

    #[test]
    fn chunks_of_one_read_are_one() {
        let answer = [HEAD.as_bytes(), &chunked(&[b"data: 1\n\n", b"data: 2\n\n", b"data: 3\n\n"])].concat();
        let mut joiner = Joiner::new(true);
        let out = through(&mut joiner, &[&answer]);
        assert_eq!(&out[..HEAD.len()], HEAD.as_bytes());
        assert_eq!(unchunk(&out[HEAD.len()..]), (b"data: 1\n\ndata: 2\n\ndata: 3\n\n".to_vec(), 1));
        assert_eq!(joiner.state, State::Idle, "the next answer is joined too");
        let out = through(&mut joiner, &[&answer]);
        assert_eq!(unchunk(&out[HEAD.len()..]).1, 1);
    }

    #[track_caller]
    fn check_untouched(answer: &str) {
        let mut joiner = Joiner::new(true);
        let out = through(&mut joiner, &[answer.as_bytes()]);
        assert_eq!(String::from_utf8(out).unwrap(), answer);
        assert!(joiner.is_through(), "{answer:?}");
    }

    #[test]
    fn everything_else_passes_untouched() {
        let two = "1\r\na\r\n1\r\nb\r\n0\r\n\r\n";
        for head in [
            "HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\r\n Transfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "SSH-2.0-OpenSSH_9\r\n\r\n",
        ] {
            check_untouched(&format!("{head}{two}"));
        }
        check_untouched(&format!("{HEAD}1;name=value\r\na\r\n0\r\n\r\n"));
        check_untouched(&format!("{HEAD}\r\n1\r\na\r\n0\r\n\r\n"));
        check_untouched(&format!("{HEAD}xyz"));
        check_untouched(&format!("{HEAD}000000001\r\na\r\n0\r\n\r\n"));
        check_untouched(&format!("{HEAD}0\r\nTrailer: x\r\n\r\n"));
        check_untouched(&format!("{HEAD}0\r\n\r\nmore"));
    }

    #[test]
    fn other_methods_and_protocols_pass_untouched() {
        let answer = [HEAD.as_bytes(), &chunked(&[b"a", b"b"])].concat();
        for request in ["HEAD / HTTP/1.1\r\n", "CONNECT h:1 HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n"] {
            let mut joiner = Joiner::new(true);
            joiner.sent(request.as_bytes());
            let mut out = Vec::new();
            joiner.push(&answer, &mut out);
            assert_eq!(out, answer);
        }
        assert!(Joiner::new(false).is_through());
    }

    #[test]
    fn a_cut_answer_stays_cut() {
        for end in 0..20 {
            let answer = [HEAD.as_bytes(), &b"3\r\nabc\r\n5\r\nabcde\r\n"[..end.min(18)]].concat();
            let mut joiner = Joiner::new(true);
            let mut out = through(&mut joiner, &[&answer]);
            joiner.finish(&mut out);
            assert!(!out.ends_with(b"0\r\n\r\n"));
            let (whole, rest): (&[u8], usize) = match end {
                0..8 => (b"", end),
                _ => (b"00000003\r\nabc\r\n", end.min(18) - 8),
            };
            let tail =
                if end < 8 { answer[HEAD.len()..].to_vec() } else { answer[HEAD.len() + 8..].to_vec() };
            if end < 18 {
                assert_eq!(out[HEAD.len()..], [whole, &tail].concat(), "{end} {rest}");
            }
        }
    }

    proptest! {
        #[test]
        fn the_data_is_the_same_however_it_is_cut(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..12),
            cuts in prop::collection::vec(1usize..30, 0..60),
        ) {
            let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            let answer = [HEAD.as_bytes(), &chunked(&parts)].concat();
            let mut rest = answer.as_slice();
            let mut pieces = Vec::new();
            for cut in cuts {
                let (piece, more) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = more;
            }
            pieces.push(rest);
            let mut joiner = Joiner::new(true);
            let out = through(&mut joiner, &pieces);
            prop_assert_eq!(&out[..HEAD.len()], HEAD.as_bytes());
            prop_assert_eq!(unchunk(&out[HEAD.len()..]).0, parts.concat());
            prop_assert_eq!(joiner.state, State::Idle);
        }

        #[test]
        fn nothing_is_lost_of_any_bytes(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..30), 0..20),
        ) {
            let mut joiner = Joiner::new(true);
            let mut out = through(&mut joiner, &[HEAD.as_bytes()]);
            for piece in &pieces {
                joiner.push(piece, &mut out);
            }
            joiner.finish(&mut out);
            let given = pieces.concat();
            // Whole chunks may be framed anew; what is not whole chunks is there byte for byte.
            let tail = given.len().min(1);
            prop_assert_eq!(&out[out.len() - tail..], &given[given.len() - tail..]);
            prop_assert!(out.len() >= HEAD.len() + usize::from(!given.is_empty()));
        }
    }
}
