//! The hot ways of the wire: bytes to events, events to a completion, fragments to tool calls, a history to a body.
//!
//! Each group has a `floor`, the least work that the task could cost: `cargo xtask bench` prints the ratios.
use bytes::Bytes;
use mesh_client::http::sse::{Decoder, Event};
use mesh_client::wire::ToolCallDelta;
use mesh_client::{
    Assembler, CompletionRequest, EncodedMessage, EndOfStream, Message, ResponseHeaders, ToolCallAccumulator,
};
use std::hint::black_box;

/// Deltas in one stream: a long answer.
const DELTAS: usize = 10_000;

/// Bytes of one read from a socket.
const READ_BYTES: usize = 16 * 1024;

fn main() {
    divan::main();
}

/// The texts of the deltas: a few characters each, every sixteenth with an escape, as in prose with line breaks.
fn texts() -> impl Iterator<Item = &'static str> {
    const WORDS: [&str; 16] = [
        " the",
        " stream",
        " of",
        " tokens",
        ",",
        " each",
        " a",
        " few",
        " characters",
        " long",
        " and",
        " then",
        " é",
        ".",
        " So",
        "\\n",
    ];
    (0..DELTAS).map(|at| WORDS[at % WORDS.len()])
}

/// The data of the chunks. `is_varied`: each has a number of its own, so that no two are alike but for the text.
fn chunks(is_varied: bool) -> Vec<String> {
    texts()
        .enumerate()
        .map(|(at, text)| {
            let created = if is_varied { 1_780_000_000 + at } else { 1_780_000_000 };
            format!(
                r#"{{"id":"chatcmpl-9f8e7d6c","object":"chat.completion.chunk","created":{created},"model":"openai/gpt-4o-mini","choices":[{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":null}}]}}"#
            )
        })
        .collect()
}

fn stream() -> Vec<u8> {
    let mut bytes = Vec::new();
    for data in chunks(false) {
        bytes.extend_from_slice(b"data: ");
        bytes.extend_from_slice(data.as_bytes());
        bytes.extend_from_slice(b"\n\n");
    }
    bytes.extend_from_slice(b"data: [DONE]\n\n");
    bytes
}

/// Bytes to events.
mod decoder {
    use super::*;
    use divan::counter::BytesCount;

    #[divan::bench]
    fn floor(bencher: divan::Bencher) {
        let stream = stream();
        bencher
            .counter(BytesCount::of_slice(&stream))
            .bench_local(|| memchr::memchr2_iter(b'\n', b'\r', black_box(&stream)).count());
    }

    #[divan::bench]
    fn reads_of_16_kib(bencher: divan::Bencher) {
        bench(bencher, READ_BYTES);
    }

    #[divan::bench]
    fn reads_of_one_packet(bencher: divan::Bencher) {
        bench(bencher, 1400);
    }

    fn bench(bencher: divan::Bencher, read_bytes: usize) {
        let stream = stream();
        bencher.counter(BytesCount::of_slice(&stream)).bench_local(|| {
            let (mut decoder, mut bytes) = (Decoder::new(), 0);
            for read in black_box(&stream).chunks(read_bytes) {
                decoder.feed(read, |event| bytes += event.data.len()).expect("no line is long");
            }
            bytes
        });
    }
}

/// Events to a completion.
mod assembler {
    use super::*;
    use divan::counter::ItemsCount;

    /// Only the text, and only where it is known to stand: what a parser of JSON costs that builds next to nothing.
    #[derive(serde::Deserialize)]
    struct Least<'a> {
        #[serde(borrow)]
        choices: [Choice<'a>; 1],
    }

    #[derive(serde::Deserialize)]
    struct Choice<'a> {
        #[serde(borrow)]
        delta: Delta<'a>,
    }

    #[derive(serde::Deserialize)]
    struct Delta<'a> {
        #[serde(borrow)]
        content: std::borrow::Cow<'a, str>,
    }

    #[divan::bench]
    fn floor(bencher: divan::Bencher) {
        let chunks = chunks(false);
        bencher.counter(ItemsCount::new(DELTAS)).bench_local(|| {
            let mut text = String::new();
            for data in black_box(&chunks) {
                let least: Least<'_> = serde_json::from_str(data).expect("a chunk");
                text.push_str(&least.choices[0].delta.content);
            }
            text
        });
    }

    #[divan::bench]
    fn chunks_alike(bencher: divan::Bencher) {
        bench(bencher, &chunks(false));
    }

    #[divan::bench]
    fn chunks_that_vary(bencher: divan::Bencher) {
        bench(bencher, &chunks(true));
    }

    fn bench(bencher: divan::Bencher, chunks: &[String]) {
        bencher.counter(ItemsCount::new(DELTAS)).bench_local(|| {
            let (mut assembler, mut chars) = (Assembler::new(ResponseHeaders::default()), 0);
            for data in black_box(chunks) {
                let event = Event { event: "", data: data.as_str().into(), id: None };
                assembler.event(&event, &mut |delta| {
                    if let mesh_client::Delta::Text(text) = delta {
                        chars += text.len();
                    }
                });
            }
            (assembler.finish(EndOfStream::Clean).expect("a text").text, chars)
        });
    }
}

/// Bytes to a completion.
mod answer {
    use super::*;
    use divan::counter::ItemsCount;

    /// Finds the content by its bytes, as a receiver would that knows the gateway by heart.
    #[divan::bench]
    fn floor(bencher: divan::Bencher) {
        let stream = stream();
        let finder = memchr::memmem::Finder::new(b"\"content\":\"");
        bencher.counter(ItemsCount::new(DELTAS)).bench_local(|| {
            let mut text = Vec::new();
            for at in finder.find_iter(black_box(&stream)) {
                let rest = &stream[at + 11..];
                let end = memchr::memchr(b'"', rest).unwrap_or(rest.len());
                text.extend_from_slice(&rest[..end]);
            }
            text
        });
    }

    #[divan::bench]
    fn reads_of_16_kib(bencher: divan::Bencher) {
        let stream = stream();
        bencher.counter(ItemsCount::new(DELTAS)).bench_local(|| {
            let (mut decoder, mut assembler) = (Decoder::new(), Assembler::new(ResponseHeaders::default()));
            for read in black_box(&stream).chunks(READ_BYTES) {
                let on_event = |event: Event<'_>| {
                    assembler.event(&event, &mut |_| {});
                };
                decoder.feed(read, on_event).expect("no line is long");
            }
            assembler.finish(EndOfStream::Clean).expect("a text").text
        });
    }
}

/// Fragments to a tool call.
mod accumulator {
    use super::*;
    use divan::counter::ItemsCount;

    #[divan::bench]
    fn floor(bencher: divan::Bencher) {
        bencher.counter(ItemsCount::new(DELTAS)).bench_local(|| {
            let mut arguments = String::new();
            for text in black_box(texts()) {
                arguments.push_str(text);
            }
            arguments
        });
    }

    #[divan::bench]
    fn fragments(bencher: divan::Bencher) {
        bencher.counter(ItemsCount::new(DELTAS)).bench_local(|| {
            let mut accumulator = ToolCallAccumulator::new();
            let first = ToolCallDelta {
                index: Some(0),
                id: "a".into(),
                name: "f".into(),
                ..ToolCallDelta::default()
            };
            accumulator.push(&first);
            for text in black_box(texts()) {
                let delta =
                    ToolCallDelta { index: Some(0), arguments: text.into(), ..ToolCallDelta::default() };
                accumulator.push(&delta);
            }
            accumulator.finish()
        });
    }
}

/// A history to a body: 40 MB in messages of 100 bytes (which are copied into pieces), 1 KB or 40 KB (which are shared).
mod request {
    use super::*;
    use divan::counter::BytesCount;

    const HISTORY_BYTES: usize = 40_000_000;

    fn request(message_bytes: usize) -> CompletionRequest {
        let text = "0123456789".repeat(message_bytes / 10);
        let message = |at: usize| match at % 2 {
            0 => Message::user(text.as_str()),
            _ => Message::assistant(text.as_str()),
        };
        CompletionRequest {
            model: "a/b".to_owned(),
            messages: (0..HISTORY_BYTES / message_bytes)
                .map(|at| EncodedMessage::from(&message(at)))
                .collect(),
            tools: Some(Bytes::from_static(b"[]")),
            ..CompletionRequest::default()
        }
    }

    #[divan::bench(args = [100, 1_000, 40_000], sample_count = 20)]
    fn floor(bencher: divan::Bencher, message_bytes: usize) {
        let request = request(message_bytes);
        bencher.counter(BytesCount::new(HISTORY_BYTES)).bench_local(|| {
            let pieces: Vec<&[u8]> =
                black_box(&request).messages.iter().map(|message| &message.as_bytes()[..]).collect();
            pieces.concat()
        });
    }

    #[divan::bench(args = [100, 1_000, 40_000], sample_count = 20)]
    fn encode(bencher: divan::Bencher, message_bytes: usize) {
        let request = request(message_bytes);
        bencher.counter(BytesCount::new(HISTORY_BYTES)).bench_local(|| black_box(&request).encode(true));
    }
}
