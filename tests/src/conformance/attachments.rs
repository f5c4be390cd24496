//! The set `attachments`: images that prompts name, images that are loaded, and prompts as they are sent.

use std::path::Path;

use meshapi_cli::repl::attach::{Attachments, scan};
use serde_json::{Value, json};

use super::{Answer, NOT_BUILT, Outcome, folders, list, output, text};

pub(super) async fn answer(op: &str, input: &Value) -> Outcome {
    let (cwd, home) = folders(input)?;
    match op {
        "find_images" => find(&text(input, "text"), &cwd, &home),
        "load_image" => load(input, &Attachments::new(&cwd, Some(&home))).await,
        "loop" => prompts(input, Attachments::new(&cwd, Some(&home))).await,
        _ => Ok(Answer::Skip(NOT_BUILT)),
    }
}

fn find(prompt: &str, cwd: &Path, home: &Path) -> Outcome {
    let found = scan::find(prompt, cwd, Some(home));
    let tokens: Vec<Value> = found.iter().map(|f| json!([&prompt[f.span.clone()], f.source])).collect();
    output(json!({ "tokens": tokens }))
}

async fn load(input: &Value, attachments: &Attachments) -> Outcome {
    let detail = input["detail"].as_str().unwrap_or("auto");
    match attachments.load(&text(input, "source")).await {
        Ok(image) => output(json!({
            "part": image.part(detail),
            "info": {"name": image.name, "size_bytes": image.bytes.len(), "mime": image.mime},
        })),
        Err(error) => output(json!({"error": error.kind()})),
    }
}

/// Prompts and the two commands for images, in one session.
async fn prompts(input: &Value, attachments: Attachments) -> Outcome {
    let limit = input["patch_safety"]["SESSION_IMAGE_BYTE_CAP"].as_u64();
    let mut attachments = match limit {
        Some(limit) => attachments.with_limit(limit),
        None => attachments,
    };
    let mut messages = Vec::new();
    for prompt in list(input, "prompts").iter().filter_map(Value::as_str) {
        match prompt.split_once(' ').unwrap_or((prompt, "")) {
            ("/image", "") => {}
            ("/image", source) => drop(attachments.queue(source.trim()).await),
            ("/clear-attach", _) => drop(attachments.clear()),
            _ if prompt.trim().is_empty() => {}
            _ => {
                let content = attachments.prepare(prompt).await.content;
                messages.push(json!({"role": "user", "content": content}));
            }
        }
    }
    output(json!({"messages": messages, "session_image_bytes": attachments.session_bytes()}))
}
