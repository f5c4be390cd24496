//! Who the user is to their peers: name, gateway and token of a run, where they are set.

use std::{collections::BTreeMap, path::PathBuf};

use mesh_mailbox::{ClientError, Mailbox, TokenFile};
use serde::Deserialize;
use serde_json::Value;

use super::Allowance;
use crate::config::{Environment, Folder};

/// Folder of the mail's files, in ours.
pub const FOLDER: &str = "mailbox";

/// What `mail` in `config.json` says.
///
/// ```text
/// {"node": "alice", "gateway": "http://127.0.0.1:8788",
///  "auto_reply": {"bob": {"turns": 4, "tokens": 500000}}, "thread": {"turns": 8}}
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct MailValues {
    /// Own name.
    pub node: Option<String>,
    /// Address of the gateway.
    pub gateway: Option<String>,
    /// Peers whose messages may start turns at the prompt, and how much.
    pub auto_reply: BTreeMap<String, Allowance>,
    /// How much a thread may use of a worker (`--inbox`).
    pub thread: Allowance,
}

impl MailValues {
    /// Reads the value of the settings file; `None` if it is something else.
    pub fn read(value: &Value) -> Option<MailValues> {
        if value.is_null() {
            return Some(MailValues::default());
        }
        serde_json::from_value(value.clone()).ok()
    }
}

/// A name at a gateway.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// The name.
    pub node: String,
    /// The gateway's address.
    pub gateway: String,
    /// The token that the environment gives; one that registering gave goes before it.
    pub token: Option<String>,
    /// Where the mail's files are.
    pub folder: PathBuf,
}

impl Account {
    /// The account of a run: the environment before the settings file. `None` unless both name and gateway are set.
    pub fn of(env: &Environment, values: &MailValues, folder: &Folder) -> Option<Account> {
        let filled = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
        Some(Account {
            node: filled(&env.mail.node).or_else(|| filled(&values.node))?,
            gateway: filled(&env.mail.gateway).or_else(|| filled(&values.gateway))?,
            token: env.mail.token.clone(),
            folder: folder.file(FOLDER),
        })
    }

    /// A mailbox of this account, with connections of its own.
    ///
    /// # Errors
    /// The address is none, or the file of tokens is damaged.
    pub fn mailbox(&self) -> Result<Mailbox, ClientError> {
        let builder = || Mailbox::builder(&self.node).gateway_url(&self.gateway);
        let plain = builder().token("").build()?;
        let kept = TokenFile::in_folder(&self.folder).get(plain.gateway_url(), plain.node());
        let kept = kept.unwrap_or_else(|error| {
            tracing::warn!(%error, "the file of tokens cannot be read");
            None
        });
        builder().token(kept.or_else(|| self.token.clone()).unwrap_or_default()).build()
    }
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account")
            .field("node", &self.node)
            .field("gateway", &self.gateway)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_name_and_gateway_make_an_account() {
        let folder = Folder::at("/home/u/.meshapi".as_ref());
        let account = |node: &str, gateway: &str, values: &MailValues| {
            let env = Environment::from_lookup(|name| match name {
                "MESH_NODE" => Some(node.into()),
                "MESH_GATEWAY_URL" => Some(gateway.into()),
                "MESH_GATEWAY_TOKEN" => Some("token-0123456789".into()),
                _ => None,
            });
            Account::of(&env, values, &folder).map(|account| (account.node, account.gateway))
        };
        let stored =
            MailValues::read(&json!({"node": "carol", "gateway": "http://h:1", "later": 1})).unwrap();
        let none = MailValues::default();
        let pair = |node: &str, gateway: &str| Some((node.to_owned(), gateway.to_owned()));
        assert_eq!(account("alice", "http://a", &none), pair("alice", "http://a"));
        assert_eq!(account("alice", "", &none), None);
        assert_eq!(account(" ", "http://a", &none), None);
        assert_eq!(account("", "", &stored), pair("carol", "http://h:1"));
        assert_eq!(account("alice", "", &stored), pair("alice", "http://h:1"));
    }

    #[test]
    fn allowances_are_read_from_the_settings() {
        let values = MailValues::read(&json!({"auto_reply": {"bob": {"turns": 4}}})).unwrap();
        assert_eq!(values.auto_reply["bob"], Allowance { turns: 4, ..Allowance::default() });
        assert_eq!(values.thread, Allowance::default());
        for wrong in [json!("x"), json!({"node": 5}), json!({"auto_reply": ["bob"]})] {
            assert_eq!(MailValues::read(&wrong), None, "{wrong}");
        }
    }
}
