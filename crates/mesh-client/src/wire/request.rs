//! A request for a completion, and its body as shared segments.
use super::EncodedMessage;
use bytes::{Bytes, BytesMut};
use serde::Serialize;
use serde_json::{Map, Value};

/// Pieces shorter than this are gathered, so that a body of ten thousand short messages is a few writes.
/// 64 KiB is four TLS records, and what common kernels take in one call.
const PIECE_BYTES: usize = 64 * 1024;

/// A message at least this long is shared with the history instead of being copied into a piece.
const SHARE_BYTES: usize = 8 * 1024;

/// A history at least this long shares shorter messages too: its copy would count, and a piece more for each does not.
const LONG_HISTORY_BYTES: usize = 4 * 1024 * 1024;

/// What [`SHARE_BYTES`] is for a long history: several times the price of a piece in the list.
const SHARE_BYTES_OF_LONG: usize = 512;

/// What to ask the gateway for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CompletionRequest {
    /// `provider/name`, or `auto` for the gateway's own routing.
    pub model: String,
    /// The conversation, oldest first.
    pub messages: Vec<EncodedMessage>,
    /// JSON array of tool specs as text, encoded once for a session. Sends `tool_choice: "auto"` as well.
    pub tools: Option<Bytes>,
    /// Models that the gateway may fall back to, in order (`models`); empty sends nothing.
    pub fallback_models: Vec<String>,
    /// `cheapest`, `fastest` or `balanced` (older gateways); newer ones drop it silently.
    pub route: Option<String>,
    /// `high`, `medium`, `low` or `none`; the gateway refuses anything else.
    pub reasoning_effort: Option<String>,
    /// Most tokens that the answer may have.
    pub max_tokens: Option<u64>,
    /// Anything else, sent as it is after the fields above; a field that is named above is not sent twice.
    pub extra: Map<String, Value>,
}

/// A request body in pieces that share memory with the history. Cheap to clone, so a retry sends the same bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestBody {
    segments: Vec<Bytes>,
    len: usize,
}

impl CompletionRequest {
    /// Writes the body. Same request, same bytes: `model`, `messages`, `stream`, then what is set, in a fixed order.
    ///
    /// Assistant messages with neither text nor calls are left out.
    pub fn encode(&self, stream: bool) -> RequestBody {
        let history_bytes: usize = self.messages.iter().map(|message| message.as_bytes().len()).sum();
        let mut body = BodyWriter::new(history_bytes);
        body.text("{\"model\":");
        body.json(&self.model);
        body.text(",\"messages\":[");
        let mut is_first = true;
        for message in self.messages.iter().filter(|message| message.is_sendable()) {
            if !is_first {
                body.text(",");
            }
            is_first = false;
            body.share(message.as_bytes());
        }
        body.text(if stream { "],\"stream\":true" } else { "],\"stream\":false" });
        self.encode_options(&mut body);
        body.text("}");
        body.finish()
    }

    fn encode_options(&self, body: &mut BodyWriter) {
        if let Some(tools) = &self.tools {
            body.text(",\"tools\":");
            body.share(tools);
            if !self.extra.contains_key("tool_choice") {
                body.text(",\"tool_choice\":\"auto\"");
            }
        }
        if !self.fallback_models.is_empty() {
            body.field("models", &self.fallback_models);
        }
        for (key, value) in [("route", &self.route), ("reasoning_effort", &self.reasoning_effort)] {
            if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
                body.field(key, value);
            }
        }
        if let Some(max_tokens) = self.max_tokens {
            body.field("max_tokens", &max_tokens);
        }
        for (key, value) in self.extra.iter().filter(|(key, _)| !self.names(key)) {
            body.field(key, value);
        }
    }

    /// Whether a typed field already writes this key.
    fn names(&self, key: &str) -> bool {
        match key {
            "model" | "messages" | "stream" => true,
            "tools" => self.tools.is_some(),
            "models" => !self.fallback_models.is_empty(),
            "route" => self.route.is_some(),
            "reasoning_effort" => self.reasoning_effort.is_some(),
            "max_tokens" => self.max_tokens.is_some(),
            _ => false,
        }
    }
}

impl RequestBody {
    /// Takes a body that was made elsewhere, such as one that the optimiser prepared.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> RequestBody {
        let bytes = bytes.into();
        RequestBody { len: bytes.len(), segments: if bytes.is_empty() { Vec::new() } else { vec![bytes] } }
    }

    /// Takes the pieces of a body that was made elsewhere; empty ones are left out.
    pub fn from_segments(segments: impl IntoIterator<Item = Bytes>) -> RequestBody {
        let segments: Vec<Bytes> = segments.into_iter().filter(|segment| !segment.is_empty()).collect();
        RequestBody { len: segments.iter().map(Bytes::len).sum(), segments }
    }

    /// Takes a body that was made from another one: pieces that lie in `whole` and are long share its memory, others are gathered.
    pub fn from_pieces<'p>(whole: &Bytes, pieces: impl IntoIterator<Item = &'p [u8]>) -> RequestBody {
        let within = whole.as_ptr_range();
        let mut body = BodyWriter::new(0);
        for piece in pieces {
            let range = piece.as_ptr_range();
            let lies_in = within.start <= range.start && range.end <= within.end;
            match lies_in && piece.len() >= SHARE_BYTES {
                true => body.share(&whole.slice_ref(piece)),
                false => body.copy(piece),
            }
        }
        body.finish()
    }

    /// Length of the body in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pieces in order; none is empty.
    pub fn segments(&self) -> &[Bytes] {
        &self.segments
    }

    /// The whole body in one buffer. Copies; for tests and small bodies.
    pub fn to_bytes(&self) -> Bytes {
        match self.segments.as_slice() {
            [one] => one.clone(),
            many => many.concat().into(),
        }
    }
}

struct BodyWriter {
    body: RequestBody,
    open: BytesMut,
    /// From which length on bytes are shared.
    share_bytes: usize,
}

impl BodyWriter {
    fn new(history_bytes: usize) -> BodyWriter {
        let is_long = history_bytes >= LONG_HISTORY_BYTES;
        let share_bytes = if is_long { SHARE_BYTES_OF_LONG } else { SHARE_BYTES };
        BodyWriter { body: RequestBody::default(), open: BytesMut::new(), share_bytes }
    }

    fn text(&mut self, text: &str) {
        self.copy(text.as_bytes());
    }

    fn json<T: Serialize + ?Sized>(&mut self, value: &T) {
        // Strings, numbers and JSON values cannot fail to serialise; an empty piece would only make the body invalid.
        let bytes = serde_json::to_vec(value).unwrap_or_default();
        self.copy(&bytes);
    }

    fn field<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) {
        self.text(",");
        self.json(key);
        self.text(":");
        self.json(value);
    }

    fn copy(&mut self, bytes: &[u8]) {
        self.open.extend_from_slice(bytes);
        if self.open.len() >= PIECE_BYTES {
            self.close();
        }
    }

    fn share(&mut self, bytes: &Bytes) {
        if bytes.len() < self.share_bytes {
            return self.copy(bytes);
        }
        self.close();
        self.body.len += bytes.len();
        self.body.segments.push(bytes.clone());
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.body.len += self.open.len();
            self.body.segments.push(self.open.split().freeze());
        }
    }

    fn finish(mut self) -> RequestBody {
        self.close();
        self.body
    }
}

#[cfg(test)]
mod tests {
    use super::super::Message;
    use super::*;
    use std::collections::HashSet;

    fn request(messages: Vec<EncodedMessage>) -> CompletionRequest {
        CompletionRequest { model: "m".to_owned(), messages, ..CompletionRequest::default() }
    }

    /// Where in memory some bytes lie.
    fn place(bytes: &[u8]) -> std::ops::Range<usize> {
        let range = bytes.as_ptr_range();
        range.start.addr()..range.end.addr()
    }

    /// The peak while a body of 40 MB is built: each byte of it lies where the history has it, but for a few commas.
    #[track_caller]
    fn check_is_shared(message_bytes: usize, most_bytes: usize) {
        let text = "0123456789".repeat(message_bytes / 10);
        let messages: Vec<EncodedMessage> = (0..40_000_000 / message_bytes)
            .map(|_| EncodedMessage::from(Message::user(text.as_str())))
            .collect();
        let body = request(messages.clone()).encode(true);
        assert!(body.len() > 40_000_000);
        let places: HashSet<_> = body.segments().iter().map(|segment| place(segment)).collect();
        for message in &messages {
            assert!(places.contains(&place(message.as_bytes())), "a message was copied");
        }
        let shared: usize = messages.iter().map(|message| message.as_bytes().len()).sum();
        let fresh = body.len() - shared + size_of_val(body.segments());
        assert!(fresh < most_bytes, "{fresh} bytes are new");
        // What a retry sends is the same memory again.
        let again = body.clone();
        assert!(again.segments().iter().all(|segment| places.contains(&place(segment))));
    }

    #[test]
    fn a_long_history_is_shared_and_not_copied() {
        check_is_shared(100_000, 100_000);
        check_is_shared(1_000, 4_000_000);
    }

    #[test]
    fn short_messages_are_gathered() {
        let messages: Vec<EncodedMessage> =
            (0..10_000).map(|at| EncodedMessage::from(Message::user(at.to_string()))).collect();
        let body = request(messages).encode(true);
        assert!(body.segments().len() <= body.len() / PIECE_BYTES + 1, "{} pieces", body.segments().len());
    }

    #[test]
    fn a_body_made_elsewhere_is_one_piece() {
        let body = RequestBody::from_bytes("{}");
        assert_eq!((body.len(), body.segments().len(), body.is_empty()), (2, 1, false));
        assert_eq!(body.to_bytes(), "{}");
        assert!(RequestBody::from_bytes("").segments().is_empty());
        let whole = Bytes::from("0123456789".repeat(2_000));
        let made =
            RequestBody::from_pieces(&whole, [&b"["[..], &whole[..10_000], b",", &whole[10_000..], b"]"]);
        assert_eq!((made.len(), made.segments().len()), (20_003, 5));
        assert_eq!(place(&made.segments()[1]), place(&whole[..10_000]));
        let pieces = RequestBody::from_segments(["{".into(), "".into(), "}".into()]);
        assert_eq!((pieces.to_bytes(), pieces.len(), pieces.segments().len()), ("{}".into(), 2, 2));
        assert!(RequestBody::default().is_empty());
    }

    #[test]
    fn a_choice_of_tool_replaces_ours() {
        let mut request = request(Vec::new());
        request.tools = Some("[]".into());
        request.extra.insert("tool_choice".to_owned(), "none".into());
        let want = r#"{"model":"m","messages":[],"stream":false,"tools":[],"tool_choice":"none"}"#;
        assert_eq!(request.encode(false).to_bytes(), want);
    }
}
