//! Images of prompts: what a person is told about them, and what is sent.

use mesh_client::scripted::Script;
use mesh_tests::lab::Lab;

use crate::{WIDE, at_prompt, says, screen};

/// A picture of one dot, as far as anybody looks.
const PIXEL: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0\x90wS\xde";

#[test]
fn images_go_with_a_prompt() {
    // Tall enough that nothing scrolls, whatever the turn drew in between.
    for (name, size) in [("images-120", WIDE), ("images-40", (40, 40))] {
        let lab = Lab::new(Script::in_order([says("a dot.")]));
        for file in ["dot.png", "my dot.png"] {
            std::fs::write(lab.work().join(file), PIXEL).expect("a file");
        }
        std::fs::write(lab.work().join("text.png"), "hello").expect("a file");
        let mut terminal = at_prompt(&lab, &[], size);
        terminal.keys("/image 'my dot.png'\r");
        terminal.wait_for("attached my dot.png");
        terminal.wait_for_prompt();
        terminal.keys("is dot.png as text.png? (`dot.png`)\r");
        terminal.wait_for("a dot.");
        terminal.wait_for_prompt();
        screen!(name, lab, terminal);
        terminal.keys("/image http://127.0.0.1/dot.png\r");
        terminal.wait_for("Can't attach");
        terminal.wait_for_prompt();
        screen!(format!("{name}-refused"), lab, terminal);
        let requests = lab.requests();
        let prompt = requests[0].json["messages"].as_array().and_then(|all| all.last());
        let content = &prompt.expect("a prompt")["content"];
        assert_eq!(content[0]["text"], "is [Image #2] as text.png? (`dot.png`)");
        assert_eq!(content.as_array().map(Vec::len), Some(3));
    }
}
