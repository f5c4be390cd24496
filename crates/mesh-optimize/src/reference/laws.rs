//! Laws that hold for every request, however odd.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// Any JSON, with the words that the levers look for.
fn any_json() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "role",
        "tool",
        "system",
        "user",
        "assistant",
        "content",
        "type",
        "tool_result",
        "text",
        "cache_control",
        "ephemeral",
        "flexible",
        "latency",
        "budget_tokens",
        "effort",
        "disabled",
        "claude-fable-5",
        "claude-opus-4.8",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2i64..2000).prop_map(Value::from),
        (-2.0..2.0f64).prop_map(Value::from),
        word.clone().prop_map(Value::from),
        (".{0,3}", 0..500usize).prop_map(|(text, count)| text.repeat(count).into()),
    ];
    leaf.prop_recursive(4, 24, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((word.clone(), inner), 0..6).prop_map(|fields| fields
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect()),
        ]
    })
}

/// A request of which every field may be anything.
fn any_request() -> impl Strategy<Value = Value> {
    let field = prop::sample::select(vec![
        "model",
        "messages",
        "system",
        "tools",
        "max_tokens",
        "thinking",
        "temperature",
        "top_k",
        "output_config",
        "reasoning_effort",
        "mesh_optimize",
        "mesh_hints",
        "stream",
    ]);
    let any_fields = prop::collection::vec((field, any_json()), 0..8).prop_map(|fields| {
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Value>()
    });
    prop_oneof![any_json(), any_fields, likely_request()]
}

/// A request as clients send it, with results of tools around the limits.
fn likely_request() -> impl Strategy<Value = Value> {
    let content = (prop::sample::select(vec!["a", "é", "😀", "a😀"]), 390..850usize);
    let content = content.prop_map(|(text, count)| text.repeat(count));
    let message = (prop::sample::select(vec!["tool", "user", "system", "assistant"]), content).prop_flat_map(
        |(role, text)| {
            let block = json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": text}]});
            prop_oneof![4 => Just(json!({"role": role, "content": text})), 1 => Just(block)]
        },
    );
    let model = prop::sample::select(vec!["claude-fable-5", "anthropic/claude-opus-4.8", "m"]);
    (prop::collection::vec(message, 0..14), model, 0.0..=0.95f64).prop_map(
        |(messages, model, dial)| json!({"model": model, "messages": messages, "mesh_optimize": dial}),
    )
}

fn any_dialect() -> impl Strategy<Value = Dialect> {
    prop::sample::select(vec![Dialect::Utf16, Dialect::CodePoints])
}

proptest! {
    #[test]
    fn the_same_request_gives_the_same_answer(request in any_request(), dialect in any_dialect()) {
        let dial = Some(Dial::MAX);
        let (body, plan) = prepare(&request, dial, dialect);
        prop_assert_eq!(prepare(&request, dial, dialect), (body.clone(), plan.clone()));
        let mut own = request.clone();
        prop_assert_eq!(prepare_in_place(&mut own, dial, dialect, Caps::newest(dialect)), plan.clone());
        prop_assert_eq!(own.to_string(), body.to_string());
        let _ = (plan.to_json(), attach_savings(&plan, &request), savings_line(&plan, &request));
    }

    #[test]
    fn what_is_off_or_not_understood_stays_as_it_is(mut request in any_request(), dialect in any_dialect()) {
        let (body, plan) = prepare(&request, Some(Dial::MAX), dialect);
        if plan.untouched.is_some() {
            prop_assert_eq!(body.to_string(), request.to_string());
            prop_assert!(plan.levers.is_empty() && plan.audit.is_empty());
        }
        if let Some(fields) = request.as_object_mut() {
            fields.insert("mesh_optimize".to_owned(), json!(0));
            let (body, plan) = prepare(&request, Some(Dial::MAX), dialect);
            prop_assert_eq!(body.to_string(), request.to_string());
            prop_assert_eq!(plan.untouched, Some(Untouched::Off));
        }
    }

    #[test]
    fn messages_keep_their_number_roles_and_order(request in likely_request(), dialect in any_dialect()) {
        let (body, plan) = prepare(&request, None, dialect);
        let (before, after) = (request["messages"].as_array().unwrap(), body["messages"].as_array().unwrap());
        prop_assert_eq!(before.len(), after.len());
        let recent = before.len().saturating_sub(4);
        for (index, (before, after)) in before.iter().zip(after).enumerate() {
            prop_assert_eq!(&before["role"], &after["role"]);
            let is_cut = before["content"] != after["content"];
            prop_assert!(!is_cut || index < recent && plan.levers.contains(&Lever::ToolResultPruning));
            prop_assert!(!is_cut || after["content"].to_string().len() < before["content"].to_string().len());
        }
    }

    #[test]
    fn where_the_client_set_a_breakpoint_no_message_changes(mut request in likely_request(), at in any::<prop::sample::Index>(), dialect in any_dialect()) {
        let messages = request["messages"].as_array_mut().unwrap();
        prop_assume!(!messages.is_empty());
        let index = at.index(messages.len());
        messages[index]["cache_control"] = json!({"type": "ephemeral", "ttl": "1h"});
        let (body, _) = prepare(&request, None, dialect);
        prop_assert_eq!(&body["messages"], &request["messages"]);
    }
}
