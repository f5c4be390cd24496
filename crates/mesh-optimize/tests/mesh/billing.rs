//! A provider with explicit breakpoints, by section 2 of the specification, and what it bills. Written apart from the library's own
//! ledger, which it checks.

use std::collections::HashMap;

use mesh_optimize::Usage;
use serde_json::Value;

/// Write, read and plain tokens of a request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bill {
    pub(crate) read: f64,
    pub(crate) write: f64,
    pub(crate) plain: f64,
}

impl Bill {
    /// In plain input tokens.
    pub(crate) fn units(&self) -> f64 {
        self.read * 0.1 + self.write * 1.25 + self.plain
    }

    pub(crate) fn usage(&self) -> Usage {
        let total = self.read + self.write + self.plain;
        Usage {
            input: total.round() as u64,
            cache_read: self.read.round() as u64,
            cache_write: self.write.round() as u64,
            output: 0,
        }
    }
}

/// The provider's cache: prefixes that end where a breakpoint stood, and until when.
#[derive(Default)]
pub(crate) struct Provider {
    entries: HashMap<u64, f64>,
}

struct Block {
    prefix: u64,
    sum: f64,
    marked: bool,
}

/// Pieces as a tokenizer cuts them: short runs of letters, three digits, signs, line ends with their blanks.
pub(crate) fn tokens(text: &str) -> f64 {
    let (mut count, mut run, mut last) = (0, 0, ' ');
    for char in text.chars() {
        let class = |char: char| match char {
            'a'..='z' | 'A'..='Z' => 1,
            '0'..='9' => 2,
            ' ' | '\t' => 3,
            '\n' => 4,
            _ => 5,
        };
        let longest = match class(char) {
            1 => 6,
            2 => 3,
            3 => 16,
            _ => 2,
        };
        let joined =
            class(char) == class(last) && run < longest && !(last.is_lowercase() && char.is_uppercase());
        // A blank belongs to the word behind it.
        let glued = last == ' ' && class(char) == 1 && run == 1;
        if !joined && !glued {
            (count, run) = (count + 1, 0);
        }
        run += 1;
        last = char;
    }
    f64::from(count)
}

fn hash(last: u64, text: &str) -> u64 {
    let bytes = last.to_le_bytes().into_iter().chain(text.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn blocks(body: &Value) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let add = |blocks: &mut Vec<Block>, text: &str, marked: bool| {
        let (last, sum) = blocks.last().map_or((7, 0.0), |block| (block.prefix, block.sum));
        blocks.push(Block { prefix: hash(last, text), sum: sum + tokens(text) + 4.0, marked });
    };
    add(&mut blocks, &body["tools"].to_string(), false);
    for message in body["messages"].as_array().unwrap() {
        let role = message["role"].as_str().unwrap();
        let own = message.get("cache_control").is_some();
        match &message["content"] {
            Value::String(text) if !text.is_empty() => add(&mut blocks, &format!("{role}\n{text}"), false),
            Value::Array(parts) => {
                for part in parts {
                    add(
                        &mut blocks,
                        &format!("{role}\n{}", part["text"].as_str().unwrap()),
                        part.get("cache_control").is_some(),
                    );
                }
            }
            _ => {}
        }
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            add(
                &mut blocks,
                &format!("{}\n{}", call["function"]["name"], call["function"]["arguments"].as_str().unwrap()),
                false,
            );
        }
        // A breakpoint on a message stands behind its last block.
        if let Some(last) = blocks.last_mut() {
            last.marked |= own;
        }
    }
    blocks
}

impl Provider {
    /// Bills a body.
    pub(crate) fn bill(&mut self, body: &[u8], now: f64) -> Bill {
        let blocks = blocks(&serde_json::from_slice(body).unwrap());
        let marks: Vec<usize> = (0..blocks.len()).filter(|at| blocks[*at].marked).collect();
        assert!(marks.len() <= 4, "a provider refuses more than four");
        let alive = |at: &usize| self.entries.get(&blocks[*at].prefix).is_some_and(|until| *until >= now);
        let long = |at: &usize| blocks[*at].sum >= 1024.0;
        let found = |mark: &usize| (mark.saturating_sub(19)..=*mark).rev().filter(long).find(alive);
        let hit = marks.iter().filter_map(found).max();
        let read = hit.map_or(0.0, |at| blocks[at].sum);
        let written = marks.iter().filter(|at| long(at)).map(|at| blocks[*at].sum).fold(read, f64::max);
        for at in marks.iter().filter(|at| long(at)).chain(&hit) {
            self.entries.insert(blocks[*at].prefix, now + 300.0);
        }
        Bill { read, write: written - read, plain: blocks.last().unwrap().sum - written }
    }
}

/// The body as a client sends it that marks its system text, its last message and one at most 16 blocks in front of it.
pub(crate) fn with_own_marks(body: &[u8]) -> Vec<u8> {
    let mut body: Value = serde_json::from_slice(body).unwrap();
    let messages = body["messages"].as_array_mut().unwrap();
    let count = |message: &Value| {
        let calls = message["tool_calls"].as_array().map_or(0, Vec::len);
        (calls + usize::from(message["content"].as_str().is_some_and(|text| !text.is_empty()))).max(1)
    };
    let mut marks = vec![0, messages.len() - 1];
    let mut blocks = 0;
    for at in (1..messages.len()).rev() {
        blocks += count(&messages[at]);
        if blocks >= 16 {
            marks.push(at);
            break;
        }
    }
    for mark in marks {
        messages[mark]["cache_control"] = serde_json::json!({"type": "ephemeral"});
    }
    body.to_string().into_bytes()
}
