//! Exact bytes by the scripted gateway: every framing, cut anywhere, reads as its body says.
#![expect(clippy::unwrap_used, reason = "what a test sets up either stands or the test is wrong")]
use std::time::Duration;

use mesh_client::scripted::{Framing, Reply, Script, ScriptedGateway};
use mesh_client::{ClientError, Completion, Flow, MeshClient, NetworkKind, RequestBody};

const BODY: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"H\u{e9}\"}}]}\r\n\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"llo\"}}]}\r\n\r\n";

async fn read(reply: Reply) -> (Completion, Option<ClientError>) {
    let gateway = ScriptedGateway::start(Script::in_order([reply])).await.unwrap();
    let client = MeshClient::builder(gateway.base_url(), "rsk_test".parse().unwrap()).build();
    let exchange = async {
        let mut stream = client.stream(RequestBody::from_bytes("{}")).await.unwrap();
        while stream.next(&mut |_| {}).await == Flow::Continue {}
        stream.conclude().await
    };
    tokio::time::timeout(Duration::from_secs(60), exchange).await.expect("no exchange hangs")
}

fn bytes(body: &str, framing: &str, splits: &[usize]) -> Reply {
    let headers = vec![("X-Request-Id".to_owned(), "req-1".to_owned())];
    Reply::bytes(200, headers, body.to_owned(), framing.parse::<Framing>().unwrap(), splits)
}

#[tokio::test]
async fn every_framing_carries_the_same_text() {
    let done = format!("{BODY}data: [DONE]\n\n");
    for framing in ["chunked", "length", "close", "chunked-abort", "length-short"] {
        for splits in [&[][..], &[1, 2, 3], &[45, 46], &[0, 500, 3]] {
            let (completion, error) = read(bytes(&done, framing, splits)).await;
            assert!(error.is_none(), "{framing} {splits:?}: {error:?}");
            let read = (completion.text.as_str(), completion.done);
            assert_eq!(read, ("H\u{e9}llo", true), "{framing} {splits:?}");
            assert_eq!(completion.headers.request_id.as_deref(), Some("req-1"));
        }
    }
}

#[tokio::test]
async fn a_cut_is_told_and_what_came_is_kept() {
    for framing in ["chunked-abort", "length-short"] {
        let (partial, error) = read(bytes(BODY, framing, &[])).await;
        assert_eq!((partial.text.as_str(), partial.done), ("H\u{e9}llo", false), "{framing}");
        let is_cut = matches!(error, Some(ClientError::Network { kind: NetworkKind::Truncated, .. }));
        assert!(is_cut, "{framing}: {error:?}");
    }
}

#[tokio::test]
async fn any_split_reads_the_same() {
    for split in 1..BODY.len() {
        let (completion, error) = read(bytes(BODY, "chunked", &[split])).await;
        assert!(error.is_none(), "{split}: {error:?}");
        assert_eq!(completion.text, "H\u{e9}llo", "{split}");
    }
}

#[tokio::test]
async fn only_known_framings_have_a_name() {
    assert_eq!("gzip".parse::<Framing>(), Err("unknown framing `gzip`".to_owned()));
}
