//! Assignments: what a variable holds from now on, and which variables make other programs load or run something.

use super::ast::Assign;
use super::expand::Value;
use super::flow::{Arg, Taint};
use super::walk::Walk;

/// Variables by which a loader, a shell or a tool runs code that is named in their value (spec/safety.md 5.3).
#[rustfmt::skip]
const HOOKS: &[&str] = &[
    "BASH_ENV", "BASH_FUNC_", "BROWSER", "CARGO_BUILD_RUSTC", "CC_WRAPPER", "COMSPEC", "DYLD_", "EDITOR", "ENV", "GCONV_PATH",
    "GIT_ASKPASS", "GIT_CONFIG", "GIT_EDITOR", "GIT_EXEC_PATH", "GIT_EXTERNAL_DIFF", "GIT_PAGER", "GIT_PROXY_COMMAND",
    "GIT_SEQUENCE_EDITOR", "GIT_SSH", "GIT_SSH_COMMAND", "GIT_TEMPLATE_DIR", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "LD_AUDIT", "LD_LIBRARY_PATH",
    "LD_PRELOAD", "LESSCLOSE", "LESSOPEN", "MANPAGER", "NODE_OPTIONS", "PAGER", "PERL5DB", "PERL5LIB", "PERL5OPT",
    "PERLLIB", "PROMPT_COMMAND", "PS0", "PS1", "PS4", "PYTHONBREAKPOINT", "PYTHONHOME", "PYTHONINSPECT", "PYTHONSTARTUP",
    "RUBYLIB", "RUBYOPT", "RUSTC", "RUSTC_WORKSPACE_WRAPPER", "RUSTC_WRAPPER", "RUSTDOC", "SHELLOPTS", "SSH_ASKPASS", "SUDO_ASKPASS",
    "SYSTEMD_EDITOR", "VISUAL", "_JAVA_OPTIONS",
];

/// Values that switch such a variable off or name a well-known program.
#[rustfmt::skip]
const HARMLESS: &[&str] = &[
    "", ":", "0", "1", "bat", "cat", "clang", "code --wait", "delta", "echo", "emacs", "false", "less", "less -r", "more", "nano",
    "none", "nvim", "sccache", "true", "vi", "vim",
];

/// Folders that anybody may write to: no place for a program to be found in.
const SCRATCH: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];

/// Judges `NAME=value`, and keeps the value when the assignment stands alone.
pub(super) fn assign(walk: &mut Walk<'_>, assign: &Assign, values: &[Arg], is_kept: bool) {
    let value = match values {
        [value] => value.clone(),
        _ => Arg {
            text: values.iter().map(|value| value.text.as_str()).collect::<Vec<_>>().join(" "),
            is_known: values.iter().all(|value| value.is_known),
            taint: values.iter().fold(Taint::NONE, |all, value| all | value.taint),
            ..Arg::default()
        },
    };
    judge(walk, &assign.name, &value);
    if !is_kept {
        return;
    }
    let known = value.is_known.then_some(value.text);
    let value = match (known, assign.append, walk.variables.get(&assign.name)) {
        (Some(text), false, _) => Value::Known(text),
        (Some(text), true, Some(Value::Known(before))) => Value::Known(format!("{before}{text}")),
        _ => Value::Unknown(value.taint),
    };
    walk.set(&assign.name, value);
}

/// `export`, `declare` and the like: each argument that has a `=` is an assignment.
pub(super) fn declare(walk: &mut Walk<'_>, args: &[Arg]) {
    for arg in args.iter().filter(|arg| !arg.is_option()) {
        let Some((name, text)) = arg.text.split_once('=') else { continue };
        let value = arg.with_text(text);
        judge(walk, name, &value);
        let kept = if value.is_known { Value::Known(value.text) } else { Value::Unknown(value.taint) };
        walk.set(name, kept);
    }
}

/// Asks when the variable makes other programs run what its value names.
pub(super) fn judge(walk: &mut Walk<'_>, name: &str, value: &Arg) {
    let text = value.text.trim();
    if name == "PATH" {
        let keeps = value.text.contains('*') || value.text.split(':').any(|part| part == "/usr/bin");
        let own = |part: &str| walk.home().is_some_and(|home| part.starts_with(home)) || walk.is_inside(part);
        let scratch = value
            .text
            .split(':')
            .any(|part| SCRATCH.iter().any(|place| part.starts_with(place)) && !own(part));
        let is_wherever_one_stands = value.text.split(':').any(|part| part == "." || part.is_empty());
        if scratch || !keeps || is_wherever_one_stands {
            walk.ask("changes where programs are found (`PATH`)");
        }
        return;
    }
    let is_hook = HOOKS.iter().any(|hook| name == *hook || (hook.ends_with('_') && name.starts_with(hook)))
        || name.starts_with("GIT_CONFIG_")
        || (name.starts_with("CARGO_TARGET_") && name.ends_with("_RUNNER"));
    if is_hook && !HARMLESS.contains(&text.to_lowercase().as_str()) && !is_plain_setting(name, text) {
        walk.ask(format!("`{name}` makes other programs run what it names"));
    }
    if matches!(name, "HISTFILE" | "HISTSIZE" | "HISTFILESIZE") {
        walk.ask(format!("`{name}` hides what was done from the shell's history"));
    }
}

/// Options for node that load nothing; a shell's prompt of plain text.
fn is_plain_setting(name: &str, text: &str) -> bool {
    match name {
        "NODE_OPTIONS" => text.split_whitespace().all(|option| {
            let loads = [
                "-r",
                "--require",
                "--import",
                "--loader",
                "--experimental-loader",
                "--eval",
                "-e",
                "--inspect",
            ];
            !loads.iter().any(|load| option.starts_with(load))
        }),
        // Only a shell that a person types into reads this file; most projects mean `production` or `test`.
        "ENV" => !text.contains('/'),
        "PS0" | "PS1" | "PS4" => !text.contains(['$', '`', '*']),
        "JAVA_TOOL_OPTIONS" | "JDK_JAVA_OPTIONS" | "_JAVA_OPTIONS" => {
            !["-javaagent", "-agent", "-XX:OnError", "-XX:OnOutOfMemoryError"]
                .iter()
                .any(|load| text.contains(load))
        }
        _ => false,
    }
}
