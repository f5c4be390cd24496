//! Which tools there are: by name for the turn, in a stable order for the model.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::{Tool, ToolSpec};

/// The order in which tools are described to the model: the seed's six, then ours. Others follow as they were added.
const ORDER: &[&str] = &[
    "read_file",
    "write_file",
    "run_bash",
    "create_plan",
    "start_server",
    "update_step",
    "edit_file",
    "grep",
    "glob",
    "list_dir",
    "web_search",
];

/// The tools of a session. Their description is encoded once, so that the cached prefix never changes.
#[derive(Clone)]
pub struct ToolSet {
    entries: Arc<[Entry]>,
    specs_json: Bytes,
}

/// Collects the tools of a [`ToolSet`].
#[derive(Default)]
pub struct ToolSetBuilder {
    entries: Vec<Entry>,
}

#[derive(Clone)]
struct Entry {
    spec: ToolSpec,
    /// `None` where the turn itself does the work.
    tool: Option<Arc<dyn Tool>>,
}

/// Why tools do not make a set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolSetError {
    /// Two tools answer to one name.
    #[error("two tools are called `{name}`; give one of them another name")]
    Duplicate {
        /// The name.
        name: &'static str,
    },
    /// A schema is no JSON object.
    #[error("the parameters of tool `{name}` are no JSON object")]
    Schema {
        /// The tool.
        name: &'static str,
        /// What the reader said.
        #[source]
        source: serde_json::Error,
    },
}

impl ToolSet {
    /// An empty builder.
    pub fn builder() -> ToolSetBuilder {
        ToolSetBuilder::default()
    }

    /// The tool of that name; `None` if there is none, or if the turn does its work.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Tool>> {
        self.entry(name)?.tool.as_ref()
    }

    /// The description of the tool of that name, also where the turn does its work.
    pub fn spec(&self, name: &str) -> Option<&ToolSpec> {
        self.entry(name).map(|entry| &entry.spec)
    }

    /// All descriptions in their order.
    pub fn specs(&self) -> impl Iterator<Item = &ToolSpec> {
        self.entries.iter().map(|entry| &entry.spec)
    }

    /// The `tools` array of a request as JSON text, the same bytes every time.
    ///
    /// ```text
    /// [{"type":"function","function":{"name":"read_file","description":"...","parameters":{...}}},...]
    /// ```
    pub fn specs_json(&self) -> Bytes {
        self.specs_json.clone()
    }

    fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.spec.name == name)
    }
}

impl ToolSetBuilder {
    /// Adds a tool.
    #[must_use]
    pub fn tool(mut self, tool: impl Tool + 'static) -> ToolSetBuilder {
        self.entries.push(Entry { spec: *tool.spec(), tool: Some(Arc::new(tool)) });
        self
    }

    /// Adds a tool that the turn itself carries out, such as the plan's.
    #[must_use]
    pub fn spec(mut self, spec: ToolSpec) -> ToolSetBuilder {
        self.entries.push(Entry { spec, tool: None });
        self
    }

    /// Puts the tools in order and encodes their descriptions.
    ///
    /// # Errors
    /// [`ToolSetError`] for two tools of one name, and for a schema that is no JSON object.
    pub fn build(mut self) -> Result<ToolSet, ToolSetError> {
        self.entries.sort_by_key(|entry| rank(entry.spec.name));
        for (index, entry) in self.entries.iter().enumerate() {
            let name = entry.spec.name;
            if self.entries[..index].iter().any(|earlier| earlier.spec.name == name) {
                return Err(ToolSetError::Duplicate { name });
            }
            serde_json::from_str::<Map<String, Value>>(entry.spec.parameters)
                .map_err(|source| ToolSetError::Schema { name, source })?;
        }
        let specs: Vec<String> = self.entries.iter().map(|entry| encode(&entry.spec)).collect();
        let specs_json = Bytes::from(format!("[{}]", specs.join(",")));
        Ok(ToolSet { entries: self.entries.into(), specs_json })
    }
}

impl std::fmt::Debug for ToolSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.specs().map(|spec| spec.name)).finish()
    }
}

fn rank(name: &str) -> usize {
    ORDER.iter().position(|known| *known == name).unwrap_or(ORDER.len())
}

/// The schema goes in as it is written, so its key order and its bytes are ours alone.
fn encode(spec: &ToolSpec) -> String {
    let (name, description) = (Value::from(spec.name), Value::from(spec.description));
    let parameters = spec.parameters;
    format!(
        r#"{{"type":"function","function":{{"name":{name},"description":{description},"parameters":{parameters}}}}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &'static str, parameters: &'static str) -> ToolSpec {
        ToolSpec { name, description: "Does \"it\".", parameters, required: &[] }
    }

    #[test]
    fn order_is_the_same_however_tools_are_added() {
        let names = ["mine", "grep", "update_step", "read_file", "other"];
        let set = names
            .into_iter()
            .fold(ToolSet::builder(), |set, name| set.spec(spec(name, "{}")))
            .build()
            .unwrap();
        let order: Vec<_> = set.specs().map(|spec| spec.name).collect();
        assert_eq!(order, ["read_file", "update_step", "grep", "mine", "other"]);
        assert!(set.get("grep").is_none() && set.spec("grep").is_some() && set.spec("nope").is_none());
    }

    #[test]
    fn descriptions_are_encoded_to_the_letter() {
        let set = ToolSet::builder().spec(spec("x", r#"{"type":"object"}"#)).build().unwrap();
        assert_eq!(
            set.specs_json(),
            r#"[{"type":"function","function":{"name":"x","description":"Does \"it\".","parameters":{"type":"object"}}}]"#
        );
        assert_eq!(ToolSet::builder().build().unwrap().specs_json(), "[]");
    }

    #[test]
    fn two_of_one_name_and_broken_schemas_are_refused() {
        let two = ToolSet::builder().spec(spec("x", "{}")).spec(spec("x", "{}")).build();
        assert!(matches!(two, Err(ToolSetError::Duplicate { name: "x" })));
        let broken = ToolSet::builder().spec(spec("x", "[]")).build();
        assert!(matches!(broken, Err(ToolSetError::Schema { name: "x", .. })));
    }
}
