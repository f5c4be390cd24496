//! Laws that hold for any input: how a stream is cut changes nothing, and no bytes make the crate panic.
#![expect(clippy::unwrap_used, reason = "what a test sets up either stands or the test is wrong")]
use mesh_client::error::{classify_inband, classify_status};
use mesh_client::http::sse::{Decoder, Encoder, Event};
use mesh_client::retry::{backoff, parse_retry_after};
use mesh_client::wire::{Chunk, ToolCallDelta};
use mesh_client::{
    Assembler, Catalog, Completion, CompletionRequest, EncodedMessage, EndOfStream, Message, ResponseHeaders,
    RetryPolicy, RetryState, ToolCallAccumulator, Usage, fmt_usd,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

/// Name, data and id of every event, and whether the bytes ended in the middle of a line.
fn events(pieces: &[&[u8]]) -> (Vec<(String, String, Option<String>)>, bool) {
    let mut decoder = Decoder::new();
    let mut events = Vec::new();
    let mut take = |event: Event<'_>| {
        events.push((event.event.to_owned(), event.data.into_owned(), event.id.map(str::to_owned)));
    };
    for piece in pieces {
        decoder.feed(piece, &mut take).unwrap();
    }
    let is_mid_line = decoder.is_mid_line();
    decoder.finish(&mut take).unwrap();
    (events, is_mid_line)
}

fn completion(pieces: &[&[u8]], end: EndOfStream) -> (Completion, Option<String>) {
    let (mut decoder, mut assembler) = (Decoder::new(), Assembler::new(ResponseHeaders::default()));
    let mut seen = String::new();
    let mut take = |event: Event<'_>| {
        assembler.event(&event, &mut |delta| {
            if let mesh_client::Delta::Text(text) = delta {
                seen.push_str(text);
            }
        });
    };
    for piece in pieces {
        decoder.feed(piece, &mut take).unwrap();
    }
    decoder.finish(&mut take).unwrap();
    let (completion, error) = assembler.conclude(end);
    assert_eq!(completion.text, seen, "the deltas are the text");
    (completion, error.map(|error| error.to_string()))
}

fn cut<'a>(bytes: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

/// Bytes that have something to say to a decoder.
fn stream_bytes() -> impl Strategy<Value = Vec<u8>> {
    let pieces: [&[u8]; 24] = [
        b"data: ",
        b"data:",
        b"data",
        b"event: error",
        b"event: x",
        b"id: 7",
        b"retry: 10",
        b": note",
        b"\n",
        b"\n",
        b"\n\n",
        b"\r",
        b"\r\n",
        b"\r\n\r\n",
        b"\xef\xbb\xbf",
        b"\xef\xbb",
        "é日😀".as_bytes(),
        b"\xff",
        b"\xe6\x97",
        b"[DONE]",
        br#"{"choices":[{"delta":{"content":"a"}}]}"#,
        br#"{"choices":[{"delta":{"content":"b\n"}}]}"#,
        br#"{"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":"{"}}]}}]}"#,
        br#"{"error":"slow down"}"#,
    ];
    let piece =
        prop_oneof![9 => select(pieces.to_vec()).prop_map(<[u8]>::to_vec), 1 => vec(any::<u8>(), 0..8)];
    vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// JSON of the shapes that the crate reads, and of others.
fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        ".{0,12}".prop_map(Value::from),
        select(vec!["429", "context length exceeded", "1e400", "-0", "nan", "rsk_0123456789"])
            .prop_map(Value::from),
    ];
    let keys = vec![
        "error",
        "message",
        "code",
        "type",
        "choices",
        "delta",
        "content",
        "tool_calls",
        "function",
        "arguments",
        "name",
        "index",
        "id",
        "role",
        "usage",
        "prompt_tokens",
        "completion_tokens",
        "cost",
        "data",
        "pricing",
        "prompt_usd_per_1m",
        "discount_pct",
        "context_length",
        "detail",
        "loc",
        "msg",
        "retry_after_seconds",
        "provider_error",
    ];
    leaf.prop_recursive(5, 40, 4, move |inner| {
        let entries = vec((select(keys.clone()), inner.clone()), 0..5);
        prop_oneof![
            vec(inner, 0..4).prop_map(Value::from),
            entries.prop_map(|entries| {
                Value::Object(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
            }),
        ]
    })
}

proptest! {
    #[test]
    fn any_cut_of_a_stream_gives_the_same_events(bytes in stream_bytes(), cuts in vec(any::<Index>(), 0..12)) {
        let whole = events(&[&bytes]);
        prop_assert_eq!(&events(&cut(&bytes, &cuts)), &whole);
        let one_by_one: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(&events(&one_by_one), &whole);
    }

    #[test]
    fn any_cut_of_a_stream_gives_the_same_completion(bytes in stream_bytes(), cuts in vec(any::<Index>(), 0..12)) {
        for end in [EndOfStream::Clean, EndOfStream::Cut] {
            prop_assert_eq!(completion(&cut(&bytes, &cuts), end), completion(&[&bytes], end));
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..400), status in any::<u16>()) {
        completion(&[&bytes], EndOfStream::Clean);
        let text = String::from_utf8_lossy(&bytes);
        Chunk::parse(&text);
        // A stop that is near, so that the bound is met as well.
        let _ = Decoder::with_max_line(16).feed(&bytes, |_| {});
        let _ = Completion::from_whole(&bytes, ResponseHeaders::default());
        let _ = EncodedMessage::from_json(&text).map(|message| message.decode().is_ok());
        let headers = ResponseHeaders::from_pairs([("retry-after", &*text), (&*text, "x")]);
        classify_status(status, &headers, &bytes, 0.0).to_string();
        parse_retry_after(&text, 1e9);
    }

    #[test]
    fn json_of_any_shape_never_panics(value in json_value(), status in 400..600_u16, jitter in any::<f64>()) {
        let text = value.to_string();
        Chunk::parse(&text);
        ToolCallDelta::from_value(&value);
        let _ = Completion::from_whole(text.as_bytes(), ResponseHeaders::default());
        let error = classify_inband(&value, None);
        prop_assert!(!error.to_string().contains("rsk_0123456789"));
        let _ = classify_status(status, &ResponseHeaders::default(), text.as_bytes(), 0.0);
        RetryState::new(RetryPolicy::default()).failed(&error, jitter);
        let catalog = Catalog::from_value(&value).unwrap_or_default();
        let usage = Usage::from_value(value.clone()).unwrap_or_default();
        for model in catalog.models() {
            mesh_client::cost::estimate(&usage, model);
        }
        let _ = EncodedMessage::from_value(&value).map(|message| message.decode().is_ok());
    }

    #[test]
    fn what_is_encoded_is_decoded(events_in in vec((".{0,8}", "(.|\n){0,40}"), 0..6)) {
        // What a field cannot carry: a name with line breaks, and CR, which the way back reads as LF.
        let tidy = |text: &str| text.replace(['\r', '\n', '\0'], "");
        let mut bytes = Vec::new();
        for (name, data) in &events_in {
            Encoder::event(&Event { event: name, data: data.as_str().into(), id: None }, &mut bytes);
        }
        let want: Vec<_> =
            events_in.iter().map(|(name, data)| (tidy(name), data.replace("\r\n", "\n").replace('\r', "\n"), None)).collect();
        prop_assert_eq!(events(&[&bytes]), (want, false));
    }

    /// However the arguments of calls are cut and mixed, an index puts them together again.
    #[test]
    fn indexed_fragments_come_together(
        calls in vec("[a-z]{0,20}", 1..4),
        picks in vec(any::<Index>(), 0..60),
    ) {
        let mut accumulator = ToolCallAccumulator::new();
        let mut rests: Vec<&str> = calls.iter().map(String::as_str).collect();
        for at in 0..calls.len() {
            let index = Some(at as i64);
            accumulator.push(&ToolCallDelta { index, name: format!("f{at}").into(), ..ToolCallDelta::default() });
        }
        let turns = picks.iter().map(|pick| pick.index(calls.len())).chain((0..calls.len()).flat_map(|at| [at; 20]));
        for at in turns {
            let (piece, rest) = rests[at].split_at(rests[at].len().min(1));
            rests[at] = rest;
            let index = Some(at as i64);
            accumulator.push(&ToolCallDelta { index, arguments: piece.into(), ..ToolCallDelta::default() });
        }
        let (whole, dropped) = accumulator.finish();
        let arguments: Vec<String> = whole.into_iter().map(|call| call.arguments).collect();
        prop_assert_eq!((arguments, dropped), (calls, 0));
    }

    #[test]
    fn a_body_is_the_json_of_its_messages(texts in vec("(.|\n){0,300}", 0..20), is_long in any::<bool>()) {
        let text = |text: &String| if is_long { text.repeat(40) } else { text.clone() };
        let request = CompletionRequest {
            model: "m".to_owned(),
            messages: texts.iter().map(|said| EncodedMessage::from(Message::user(text(said)))).collect(),
            ..CompletionRequest::default()
        };
        let body = request.encode(true);
        let messages: Vec<Value> = texts.iter().map(|said| json!({"role": "user", "content": text(said)})).collect();
        prop_assert_eq!(
            serde_json::from_slice::<Value>(&body.to_bytes()).unwrap(),
            json!({"model": "m", "messages": messages, "stream": true})
        );
        prop_assert_eq!(body.len(), body.segments().iter().map(bytes::Bytes::len).sum::<usize>());
        prop_assert!(body.segments().iter().all(|segment| !segment.is_empty()));
        prop_assert_eq!(&request.encode(true), &body);
    }

    #[test]
    fn waits_stay_within_their_bounds(attempt in any::<u32>(), jitter in any::<f64>()) {
        let wait = backoff(attempt, jitter).as_secs_f64();
        prop_assert!((0.5..=30.0).contains(&wait));
    }

    #[test]
    fn amounts_have_one_sign_and_one_dollar(amount in any::<f64>()) {
        let text = fmt_usd(amount);
        let figure = text.strip_prefix('-').unwrap_or(&text).strip_prefix('$').unwrap();
        prop_assert!(figure.starts_with(|c: char| c.is_ascii_digit()), "{text}");
        prop_assert!(!figure.contains(['-', '$']), "{text}");
    }
}
