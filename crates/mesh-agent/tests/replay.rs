//! Laws of the turn: a session replayed from its recorded inputs is the same session, and its history can always be sent.
#![expect(clippy::unwrap_used, reason = "what cannot be read back has failed the law")]

use mesh_agent::{
    plan::{CREATE_PLAN, UPDATE_STEP},
    record::{Entry, Record},
    tool::ToolSpec,
    turn::{Effect, Failure, Input, Session},
};
use mesh_client::wire::{Content, Role, ToolCall};
use proptest::{collection::vec, prelude::*};

const READ: ToolSpec = ToolSpec {
    name: "read_file",
    description: "",
    parameters: r#"{"type":"object","properties":{"path":{"type":"string"}},"required":["path"]}"#,
    required: &["path"],
};

fn session(max_hops: Option<u32>) -> Session {
    Session::new("system", vec![READ, CREATE_PLAN, UPDATE_STEP], max_hops)
}

fn tool_call() -> impl Strategy<Value = ToolCall> {
    let name = prop_oneof![Just("read_file"), Just("create_plan"), Just("update_step"), Just("nope")];
    let arguments = prop_oneof![
        Just(r#"{"path":"a"}"#),
        Just(r#"{"path":"#),
        Just(r#"{"steps":["a","b"]}"#),
        Just(r#"{"index":1,"status":"completed"}"#),
        Just("[1]"),
        Just(""),
    ];
    ("[abc]?", name, arguments).prop_map(|(id, name, arguments)| ToolCall {
        id,
        name: name.into(),
        arguments: arguments.into(),
    })
}

fn input() -> impl Strategy<Value = Input> {
    let failure = Failure { kind: "network".into(), message: "boom".into() };
    prop_oneof![
        3 => "[a-z ]{0,6}".prop_map(|t| Input::Prompt { content: Content::Text(t) }),
        6 => ("[a-z ]{0,6}", vec(tool_call(), 0..4)).prop_map(|(text, tool_calls)| Input::Completed { text, tool_calls }),
        8 => (0usize..4, "[a-z]{0,4}").prop_map(|(index, text)| Input::CallEnded { index, text }),
        1 => Just(Input::Failed { failure }),
        1 => Just(Input::Interrupted),
        1 => Just(Input::Cleared { system: "again".into() }),
    ]
}

/// Every assistant message has text or calls, every call exactly one result right behind it, all arguments are objects.
fn check_law(session: &Session) {
    let messages: Vec<_> = session.history().messages().iter().map(|m| m.decode().unwrap()).collect();
    assert_eq!(messages[0].role, Role::System);
    let mut i = 1;
    while i < messages.len() {
        let message = &messages[i];
        i += 1;
        assert_ne!(message.role, Role::Tool, "a result without its call");
        if message.role != Role::Assistant {
            continue;
        }
        if message.tool_calls.is_empty() {
            assert!(
                matches!(&message.content, Some(Content::Text(t)) if !t.trim().is_empty()),
                "empty answer"
            );
        }
        for call in &message.tool_calls {
            assert!(
                serde_json::from_str::<serde_json::Map<_, _>>(&call.arguments).is_ok(),
                "{}",
                call.arguments
            );
            assert_eq!(messages.get(i).and_then(|m| m.tool_call_id.as_deref()), Some(call.id.as_str()));
            i += 1;
        }
    }
}

/// Writes an entry as a recorder would and reads it back.
fn through_a_record(seq: usize, entry: Entry) -> Entry {
    let line = serde_json::to_string(&Record::new(seq as u64, entry)).unwrap();
    serde_json::from_str::<Record>(&line).unwrap().entry
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_replayed_session_is_the_same(inputs in vec(input(), 0..40), max_hops in proptest::option::of(1u32..6)) {
        let (mut first, mut second) = (session(max_hops), session(max_hops));
        for (seq, input) in inputs.into_iter().enumerate() {
            let effects = first.step(input.clone());
            check_law(&first);
            let Entry::Input(read) = through_a_record(seq, Entry::Input(input)) else { panic!("not an input") };
            prop_assert_eq!(second.step(read), effects.clone());
            for effect in effects {
                let entry = Entry::Effect(effect);
                prop_assert_eq!(through_a_record(seq, entry.clone()), entry);
            }
        }
        prop_assert_eq!(first.plan(), second.plan());
        let bytes = |s: &Session| s.history().messages().iter().map(|m| m.as_bytes().clone()).collect::<Vec<_>>();
        prop_assert_eq!(bytes(&first), bytes(&second));
    }

    #[test]
    fn at_most_one_thing_is_waited_for(inputs in vec(input(), 0..40)) {
        let mut session = session(None);
        for input in inputs {
            let effects = session.step(input);
            let waits = effects.iter().filter(|e| matches!(e, Effect::SendRequest { .. } | Effect::RunCall { .. }));
            prop_assert!(waits.count() <= 1);
        }
    }
}
