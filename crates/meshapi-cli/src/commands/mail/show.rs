//! A message as text: a line about it, then what it says, set in.

use mesh_mailbox::Envelope;

use crate::ui::text;

/// The lines of a message. They hold nothing that acts on a terminal, and no line of the content looks like one about a message.
pub(crate) fn message(envelope: &Envelope) -> String {
    let mut head = vec![
        format!("#{}", envelope.id),
        envelope.from_node.clone(),
        envelope.kind.clone(),
        envelope.created_at.clone().unwrap_or_default(),
        if envelope.is_unread() { "unread".to_owned() } else { "read".to_owned() },
    ];
    if let Some(thread) = &envelope.thread_id {
        head.push(format!("thread {thread}"));
    }
    if let Some(task) = &envelope.related_task_id {
        head.push(format!("task {task}"));
    }
    for (field, word) in [("lease_id", "lease"), ("claimed_until", "claimed until"), ("outcome", "outcome")] {
        if let Some(value) = envelope.extra.get(field).and_then(|value| value.as_str()) {
            head.push(format!("{word} {value}"));
        }
    }
    let mut lines: Vec<String> = vec![text::one_line(&head.join("  ")).into_owned()];
    let content = text::sanitize_prose(envelope.content.as_deref().unwrap_or_default());
    lines.extend(content.lines().map(|line| format!("    {line}")));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_cannot_act_on_the_terminal_or_pose_as_another() {
        let row = json!({"id": 7, "from_node": "bob\u{1b}[2J", "to_node": "alice", "kind": "fyi\n#8  carol", "thread_id": "t",
                         "content": "one\u{1b}]0;x\u{7}\r\n#9  carol  fyi", "created_at": "2026-11-20T21:57:24.282105+00:00",
                         "lease_id": "7-1-0", "read_at": null});
        insta::assert_snapshot!(message(&Envelope::from_json(&row).unwrap()), @r"
        #7  bob␛[2J  fyi␊#8  carol  2026-11-20T21:57:24.282105+00:00  unread  thread t  lease 7-1-0
            one␛]0;x␇
            #9  carol  fyi
        ");
    }
}
