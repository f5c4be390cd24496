//! `permissions.json` as text and rules. Pure.
//!
//! ```json
//! {"version": 1, "deny": ["path secrets/**"], "ask": [], "allow": [{"rule": "command cargo test", "matches": ["cargo test -q"], "not": ["cargo publish"]}],
//!  "projects": {"/home/dev/app": {"allow": ["command npm run build"]}}}
//! ```
//!
//! It lies in the user's home, and so do the rules of a project: nothing that a repository holds can loosen anything.

use std::path::Path;

use mesh_safety::{
    Policy,
    rules::{Effect, Rule},
};
use serde_json::{Map, Value, json};

/// Where a rule holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// In this session only; it is not written down.
    Session,
    /// In this project.
    Project,
    /// Everywhere.
    Everywhere,
}

impl Scope {
    /// In words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scope::Session => "this session",
            Scope::Project => "this project",
            Scope::Everywhere => "everywhere",
        }
    }
}

/// A rule and where it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The rule.
    pub rule: Rule,
    /// Where it holds.
    pub scope: Scope,
}

/// Reads the rules that hold in the policy's workspace. Those of other projects are checked too.
///
/// # Errors
/// In words: which entry is wrong, and how.
pub(super) fn read(text: &[u8], policy: &Policy) -> Result<Vec<Listed>, String> {
    let here = policy.workspace.to_string_lossy();
    let mut out = Vec::new();
    for (key, value) in &whole(text)? {
        match key.as_str() {
            "version" if value == 1 => {}
            "version" => return Err(format!("version {value} is not known to this program, which knows 1")),
            "projects" => {
                let projects = value.as_object().ok_or("`projects` is no object of folders")?;
                for (folder, lists) in projects {
                    let at = format!("projects[{folder:?}].");
                    let lists = lists.as_object().ok_or(format!("{at} is no object"))?;
                    let policy = Policy { workspace: folder.into(), ..policy.clone() };
                    for (key, list) in lists {
                        let found = rules(key, list, &at, &policy)?;
                        let found = found.into_iter().map(|rule| Listed { rule, scope: Scope::Project });
                        out.extend(found.filter(|_| *folder == here));
                    }
                }
            }
            key => {
                let found = rules(key, value, "", policy)?;
                out.extend(found.into_iter().map(|rule| Listed { rule, scope: Scope::Everywhere }));
            }
        }
    }
    Ok(out)
}

fn whole(text: &[u8]) -> Result<Map<String, Value>, String> {
    match serde_json::from_slice(text) {
        Ok(Value::Object(whole)) => Ok(whole),
        Ok(_) => Err("it is no JSON object".to_owned()),
        Err(error) => Err(format!("it is no JSON: {error}")),
    }
}

/// One list: lines, or objects of a line and its examples.
fn rules(key: &str, list: &Value, at: &str, policy: &Policy) -> Result<Vec<Rule>, String> {
    let effect = Effect::parse(key).ok_or(format!("{at}{key} is not known: allow, ask, deny, projects"))?;
    let list = list.as_array().ok_or(format!("{at}{key} is no list"))?;
    list.iter()
        .enumerate()
        .map(|(index, entry)| {
            rule(effect, entry, policy).map_err(|error| format!("{at}{key}[{index}]: {error}"))
        })
        .collect()
}

fn rule(effect: Effect, entry: &Value, policy: &Policy) -> Result<Rule, String> {
    let line = line_of(entry).ok_or("it is neither a rule nor an object with `rule`")?;
    let rule = Rule::parse(effect, line).map_err(|error| error.to_string())?;
    let Value::Object(fields) = entry else { return Ok(rule) };
    for (key, examples) in fields {
        let should_match = match key.as_str() {
            "rule" | "note" => continue,
            "matches" => true,
            "not" => false,
            _ => return Err(format!("`{key}` is not known: rule, matches, not, note")),
        };
        let examples = examples.as_array().ok_or(format!("`{key}` is no list of examples"))?;
        for example in examples {
            let example = example.as_str().ok_or(format!("`{key}` holds something that is no text"))?;
            rule.check(example, should_match, policy).map_err(|error| error.to_string())?;
        }
    }
    Ok(rule)
}

fn line_of(entry: &Value) -> Option<&str> {
    entry.as_str().or_else(|| entry.get("rule")?.as_str())
}

/// The file with one rule more; what else stands in it stays.
///
/// # Errors
/// The file is none of ours.
pub(super) fn with(text: Option<&[u8]>, listed: &Listed, project: &Path) -> Result<Vec<u8>, String> {
    edit(text, listed, project, |list| {
        let line = listed.rule.text();
        if !list.iter().any(|entry| line_of(entry).map(str::trim) == Some(line)) {
            list.push(line.into());
        }
    })
}

/// The file without a rule.
///
/// # Errors
/// The file is none of ours.
pub(super) fn without(text: Option<&[u8]>, listed: &Listed, project: &Path) -> Result<Vec<u8>, String> {
    edit(text, listed, project, |list| {
        list.retain(|entry| line_of(entry).map(str::trim) != Some(listed.rule.text()));
    })
}

fn edit(
    text: Option<&[u8]>,
    listed: &Listed,
    project: &Path,
    change: impl FnOnce(&mut Vec<Value>),
) -> Result<Vec<u8>, String> {
    let mut whole = text.map_or_else(|| Ok(Map::new()), whole)?;
    whole.entry("version").or_insert(json!(1));
    let key = listed.rule.effect().as_str();
    let lists = match listed.scope {
        Scope::Session | Scope::Everywhere => &mut whole,
        Scope::Project => {
            let projects = whole.entry("projects").or_insert_with(|| json!({}));
            let projects = projects.as_object_mut().ok_or("`projects` is no object of folders")?;
            let lists = projects.entry(project.to_string_lossy()).or_insert_with(|| json!({}));
            lists.as_object_mut().ok_or("a project is no object")?
        }
    };
    let list = lists.entry(key).or_insert_with(|| json!([]));
    change(list.as_array_mut().ok_or(format!("`{key}` is no list"))?);
    let mut out = serde_json::to_vec_pretty(&Value::Object(whole)).map_err(|error| error.to_string())?;
    out.push(b'\n');
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        Policy { workspace: "/w".into(), home: Some("/h".into()), ..Policy::default() }
    }

    fn shown(text: &str) -> Result<Vec<String>, String> {
        let line = |listed: &Listed| {
            format!("{} {} ({})", listed.rule.effect().as_str(), listed.rule.text(), listed.scope.as_str())
        };
        read(text.as_bytes(), &policy()).map(|rules| rules.iter().map(line).collect())
    }

    #[test]
    fn rules_hold_everywhere_or_in_their_project() {
        let text = r#"{"version": 1, "deny": ["path secrets/**"], "allow": [{"rule": "command cargo test",
            "matches": ["cargo test -q"], "not": ["cargo publish"], "note": "fast"}],
            "projects": {"/w": {"allow": ["command make"]}, "/other": {"allow": ["command rm"]}}}"#;
        assert_eq!(
            shown(text).unwrap(),
            [
                "deny path secrets/** (everywhere)",
                "allow command cargo test (everywhere)",
                "allow command make (this project)",
            ]
        );
        assert_eq!(shown("{}").unwrap(), Vec::<String>::new());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, want) in [
            ("[]", "it is no JSON object"),
            ("{\"version\": 2}", "version 2 is not known"),
            ("{\"alow\": []}", "alow is not known: allow, ask, deny, projects"),
            ("{\"allow\": \"x\"}", "allow is no list"),
            ("{\"allow\": [\"command ls\", \"cargo\"]}", "allow[1]: `cargo` is no rule"),
            ("{\"deny\": [7]}", "deny[0]: it is neither"),
            (
                "{\"projects\": {\"/x\": {\"deny\": [\"host\"]}}}",
                "projects[\"/x\"].deny[0]: `host` does not say",
            ),
            (
                "{\"allow\": [{\"rule\": \"command ls\", \"matches\": [\"cat x\"]}]}",
                "allow[0]: `command ls` does not match its example `cat x`",
            ),
            ("{\"deny\": [{\"rule\": \"command ls\", \"not\": [\"ls x\"]}]}", "which it must not"),
            ("{\"deny\": [{\"rule\": \"command ls\", \"match\": []}]}", "`match` is not known"),
        ] {
            let error = shown(text).unwrap_err();
            assert!(error.contains(want), "{text}: {error}");
        }
    }

    #[test]
    fn rules_come_and_go_and_the_rest_stays() {
        let rule = |scope| Listed { rule: Rule::parse(Effect::Allow, "command make").unwrap(), scope };
        let text = br#"{"deny": ["host x.example"], "later": 1}"#;
        let with_it = with(Some(text), &rule(Scope::Project), "/w".as_ref()).unwrap();
        let again = with(Some(&with_it), &rule(Scope::Project), "/w".as_ref()).unwrap();
        assert_eq!(with_it, again);
        let value: Value = serde_json::from_slice(&with_it).unwrap();
        let want = json!({"version": 1, "deny": ["host x.example"], "later": 1, "projects": {"/w": {"allow": ["command make"]}}});
        assert_eq!(value, want);
        let gone = without(Some(&with_it), &rule(Scope::Project), "/w".as_ref()).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&gone).unwrap()["projects"]["/w"]["allow"], json!([]));
        let first = with(None, &rule(Scope::Everywhere), "/w".as_ref()).unwrap();
        assert_eq!(
            serde_json::from_slice::<Value>(&first).unwrap(),
            json!({"version": 1, "allow": ["command make"]})
        );
    }
}
