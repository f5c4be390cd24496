//! What the model is told of the file tools: terse, and the same bytes every time.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use mesh_agent::{
    builtin::{EditFile, Glob, Grep, ListDir, ReadFile, WriteFile},
    tool::ToolSet,
};

/// Longest name, description and schema of one tool together: about 90 tokens.
const SPEC_CHARS: usize = 340;

fn file_tools() -> ToolSet {
    let added = ToolSet::builder().tool(ListDir).tool(Glob).tool(Grep).tool(EditFile);
    added.tool(WriteFile).tool(ReadFile).build().unwrap()
}

#[test]
fn descriptions_are_terse() {
    for spec in file_tools().specs() {
        let length = spec.name.len() + spec.description.len() + spec.parameters.len();
        assert!(length <= SPEC_CHARS, "{} has {length} characters", spec.name);
    }
}

#[test]
fn descriptions_are_stable() {
    let json = file_tools().specs_json();
    assert_eq!(json, file_tools().specs_json());
    let lines =
        std::str::from_utf8(&json).unwrap().replace("},{\"type\":\"function\"", "},\n{\"type\":\"function\"");
    insta::assert_snapshot!(lines, @r#"
    [{"type":"function","function":{"name":"read_file","description":"Read a text file. For a part: offset = first line (from 1), limit = lines.","parameters":{"type":"object","properties":{"path":{"type":"string"},"offset":{"type":"integer"},"limit":{"type":"integer"}},"required":["path"]}}},
    {"type":"function","function":{"name":"write_file","description":"Write a whole file. Folders are created.","parameters":{"type":"object","properties":{"path":{"type":"string"},"content":{"type":"string"}},"required":["path","content"]}}},
    {"type":"function","function":{"name":"edit_file","description":"Replace exact text; all edits or none. `old` must occur once unless `all`.","parameters":{"type":"object","properties":{"path":{"type":"string"},"edits":{"type":"array","items":{"type":"object","properties":{"old":{"type":"string"},"new":{"type":"string"},"all":{"type":"boolean"}},"required":["old","new"]}}},"required":["path","edits"]}}},
    {"type":"function","function":{"name":"grep","description":"Search file contents by regex, ignored files left out.","parameters":{"type":"object","properties":{"pattern":{"type":"string"},"path":{"type":"string"},"glob":{"type":"string"},"case_insensitive":{"type":"boolean"},"context":{"type":"integer"},"limit":{"type":"integer"}},"required":["pattern"]}}},
    {"type":"function","function":{"name":"glob","description":"Find files by pattern (src/**/*.rs), newest first.","parameters":{"type":"object","properties":{"pattern":{"type":"string"},"path":{"type":"string"}},"required":["pattern"]}}},
    {"type":"function","function":{"name":"list_dir","description":"List a folder.","parameters":{"type":"object","properties":{"path":{"type":"string"}}}}}]
    "#);
}
