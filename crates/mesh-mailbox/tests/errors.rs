//! What people read when a name, a kind, an id or an answer is refused.

use mesh_mailbox::{Inbox, Kind, PeerName, Registry, ThreadId};
use serde_json::json;

#[test]
fn errors_say_what_is_wrong_and_what_would_be_right() {
    let registry = Registry::from_json(&json!(["alice", "bob-2"])).unwrap();
    let unknown = registry.admit(&PeerName::parse("a1ice").unwrap()).unwrap_err();
    let texts = [
        PeerName::parse("al\u{456}ce").unwrap_err().to_string(),
        PeerName::parse("ab\n\u{1b}[2J").unwrap_err().to_string(),
        unknown.to_string(),
        "ping".parse::<Kind>().unwrap_err().to_string(),
        ThreadId::new("").unwrap_err().to_string(),
        Inbox::from_json(&json!(7)).unwrap_err().to_string(),
        Inbox::from_json(&json!([{"id": "x"}])).unwrap().complaints[0].to_string(),
    ];
    insta::assert_snapshot!(texts.join("\n"));
}
