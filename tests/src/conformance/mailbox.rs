//! The set `mailbox`: names, lists of peers, and contents that hold credentials.

use mesh_mailbox::{MailboxError, PeerName, Registry, guard};
use serde_json::{Value, json};

use super::{Answer, NOT_BUILT, Outcome, output, text};

pub(super) fn answer(op: &str, input: &Value) -> Outcome {
    match op {
        "name" => output(match admitted(&text(input, "in"), &input["registry"]) {
            Ok(name) => json!({"ok": true, "canonical": name.as_str()}),
            Err(error) => json!({"ok": false, "error": word(&error)}),
        }),
        "peers_shape" => output(match Registry::from_json(&input["in"]) {
            Ok(registry) => json!({"ok": true, "names": registry.names().collect::<Vec<_>>()}),
            Err(error) => json!({"ok": false, "error": word(&error)}),
        }),
        // The floor that the references share; the detector behind it finds more.
        "secret" => {
            let (content, token) = (text(input, "content"), text(input, "live_token"));
            let live = guard::live(&content, &[&token]).map(|leak| leak.label);
            output(json!({"leak": live.or_else(|| guard::seed_pattern(&content))}))
        }
        _ => Ok(Answer::Skip(NOT_BUILT)),
    }
}

/// A name's way to the wire: the format, then the registry if one answers.
fn admitted(name: &str, registry: &Value) -> Result<PeerName, MailboxError> {
    let name = PeerName::parse(name)?;
    if !registry.is_null() {
        Registry::from_json(registry)?.admit(&name)?;
    }
    Ok(name)
}

/// An error in the words of the references.
fn word(error: &MailboxError) -> &'static str {
    match error {
        MailboxError::NotRegistered { .. } => "NotInRegistry",
        MailboxError::Malformed { .. } => "GatewayUnreachableError",
        _ => "ValueError",
    }
}
