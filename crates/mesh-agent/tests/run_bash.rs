//! Commands through the `run_bash` tool: what comes back, and that nothing stays behind.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod processes;

use std::{path::Path, sync::Arc, time::Duration};

use mesh_agent::{
    builtin::RunBash,
    tool::{ChildEnv, Tool, ToolContext, ToolOutput, output::COMMAND_OUTPUT_CHARS},
};
use processes::{args, context, dies, pid_in, runs};
use serde_json::{Value, json};

async fn call(arguments: Value, ctx: &ToolContext) -> ToolOutput {
    RunBash::new().run(&args(arguments), ctx).await
}

async fn sh_in(folder: &Path, command: &str) -> ToolOutput {
    call(json!({"command": command}), &context(folder)).await
}

async fn sh(command: &str) -> ToolOutput {
    sh_in(tempfile::tempdir().unwrap().path(), command).await
}

/// A call that ends at the shortest limit there is.
async fn sh_timed_out(folder: &Path, command: &str) -> ToolOutput {
    let output = call(json!({"command": command, "timeout": 1}), &context(folder)).await;
    assert!(output.is_error && output.exit_code.is_none(), "{output:?}");
    assert!(output.text.starts_with("Error: command timed out after 5s"), "{}", output.text);
    output
}

#[tokio::test]
async fn results_end_with_the_exit_code() {
    for (command, code, text) in [
        ("echo hi", 0, "hi\n\n[exit 0]"),
        ("printf 'a\\nb'", 0, "a\nb\n[exit 0]"),
        ("true", 0, "\n[exit 0]"),
        ("exit 3", 3, "\n[exit 3]"),
        ("sh -c 'exit 200'", 200, "\n[exit 200]"),
        ("cat", 0, "\n[exit 0]"),
        ("cd d 2>/dev/null || mkdir d && cd d && pwd | wc -l | tr -d ' '", 0, "1\n\n[exit 0]"),
        ("export A=1; echo $A", 0, "1\n\n[exit 0]"),
        ("printf ''", 0, "\n[exit 0]"),
        ("kill -9 $$", -9, "\n[exit -9]"),
        ("kill -TERM $$", -15, "\n[exit -15]"),
        ("  ", 0, "\n[exit 0]"),
        ("read x; echo \"[$x]\"", 0, "[]\n\n[exit 0]"),
        ("printf '\\377'", 0, "\u{fffd}\n[exit 0]"),
        ("printf 'a\\r\\nb\\rc'", 0, "a\r\nb\rc\n[exit 0]"),
        ("echo é日", 0, "é日\n\n[exit 0]"),
    ] {
        let want = ToolOutput { exit_code: Some(code), ..ToolOutput::ok(text) };
        assert_eq!(sh(command).await, want, "{command}");
    }
}

#[tokio::test]
async fn a_command_that_looks_like_an_option_is_a_command() {
    let output = sh("-x; echo \"$0\"").await;
    assert!(output.text.contains(" -x: ") && output.text.ends_with("sh\n\n[exit 0]"), "{}", output.text);
}

#[tokio::test]
async fn both_outputs_come_in_the_order_in_which_they_were_written() {
    let output = sh("for i in 1 2 3; do echo out$i; echo err$i >&2; done").await;
    assert_eq!(output.text, "out1\nerr1\nout2\nerr2\nout3\nerr3\n\n[exit 0]");
}

#[tokio::test]
async fn a_missing_command_is_refused() {
    for arguments in [json!({}), json!({"command": ""}), json!({"command": null}), json!({"command": 7})] {
        let output = call(arguments.clone(), &context(Path::new("/"))).await;
        assert!(
            output.is_error && output.text.contains("requires a `command`"),
            "{arguments}: {}",
            output.text
        );
    }
}

#[tokio::test]
async fn a_missing_folder_is_said() {
    let output = sh_in(Path::new("/nowhere/at/all"), "true").await;
    assert!(output.is_error && output.text.contains("/nowhere/at/all"), "{}", output.text);
}

#[tokio::test]
async fn it_runs_in_the_folder_without_a_terminal_in_its_own_session() {
    let folder = tempfile::tempdir().unwrap();
    let command =
        "pwd; (: </dev/tty) 2>/dev/null || echo no terminal; cut -d' ' -f5,6 /proc/$$/stat; echo $$";
    let output = sh_in(folder.path(), command).await;
    let lines: Vec<&str> = output.text.lines().collect();
    assert_eq!(Path::new(lines[0]), folder.path().canonicalize().unwrap());
    assert_eq!(lines[1], "no terminal");
    assert_eq!(lines[2], format!("{0} {0}", lines[3]), "leader of its group and session");
}

#[tokio::test]
async fn removed_variables_are_not_there_and_others_are() {
    let folder = tempfile::tempdir().unwrap();
    let removed = vec!["CARGO_PKG_NAME".into()];
    let ctx = ToolContext { env: Arc::new(ChildEnv { removed }), ..context(folder.path()) };
    let output = call(json!({"command": "echo [$CARGO_PKG_NAME] [$CARGO_PKG_VERSION]"}), &ctx).await;
    assert_eq!(output.text, format!("[] [{}]\n\n[exit 0]", env!("CARGO_PKG_VERSION")));
    assert_eq!(std::env::var("CARGO_PKG_NAME").as_deref(), Ok("mesh-agent"), "ours is untouched");
}

#[tokio::test]
async fn huge_output_keeps_its_head_and_its_end() {
    let output = sh("echo first; head -c 50000000 /dev/zero | tr '\\0' x; echo; echo last >&2; exit 7").await;
    assert!(output.text.starts_with("first\n"), "head");
    assert!(output.text.ends_with("x\nlast\n\n[exit 7]"), "end");
    assert!(output.text.contains("characters left out"), "marker");
    assert!(output.text.chars().count() < COMMAND_OUTPUT_CHARS + 100, "{}", output.text.chars().count());
}

#[test]
fn the_time_limit_is_kept_between_its_bounds() {
    for (timeout, seconds) in [
        (json!(null), 120),
        (json!(7), 7),
        (json!(1), 5),
        (json!(-1), 5),
        (json!(9000), 600),
        (json!(30.0), 30),
        (json!("30"), 120),
    ] {
        let arguments = args(json!({"command": "x", "timeout": timeout}));
        assert_eq!(RunBash::new().limit(&arguments), Duration::from_secs(seconds), "{timeout}");
    }
    assert_eq!(
        RunBash::with_default_limit(Duration::from_secs(9)).limit(&args(json!({}))),
        Duration::from_secs(9)
    );
}

#[tokio::test]
async fn a_command_at_its_deadline_keeps_its_output_and_leaves_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let command = "echo start; trap 'echo cleaning up' TERM; sleep 300 & echo $! > child; \
                   setsid sh -c 'echo $$ > apart; exec sleep 300' & wait";
    let output = sh_timed_out(folder.path(), command).await;
    assert!(output.text.contains("start\ncleaning up"), "{}", output.text);
    dies(pid_in(&folder.path().join("child")));
    dies(pid_in(&folder.path().join("apart")));
}

#[tokio::test]
async fn a_command_that_will_not_end_is_made_to() {
    let folder = tempfile::tempdir().unwrap();
    let command = "trap '' TERM; echo $$ > shell; while :; do echo again; sleep 0.1; done";
    let output = sh_timed_out(folder.path(), command).await;
    assert!(output.text.contains("again\nagain"), "{}", output.text);
    dies(pid_in(&folder.path().join("shell")));
}

#[tokio::test]
async fn endless_output_is_bounded_at_the_deadline() {
    let output = sh_timed_out(Path::new("/"), "yes").await;
    assert!(output.text.contains("characters left out"));
    assert!(output.text.chars().count() < COMMAND_OUTPUT_CHARS + 600);
}

#[tokio::test]
async fn a_background_child_that_holds_the_output_ends_with_its_shell() {
    let folder = tempfile::tempdir().unwrap();
    let output = sh_in(folder.path(), "sleep 300 & echo $! > child; echo now").await;
    assert!(output.text.starts_with("now\n"), "{}", output.text);
    assert!(output.text.contains("background processes were killed"), "{}", output.text);
    assert!(output.text.ends_with("[exit 0]") && !output.is_error, "{}", output.text);
    dies(pid_in(&folder.path().join("child")));
}

#[tokio::test]
async fn a_background_child_in_a_session_of_its_own_ends_with_its_shell() {
    let folder = tempfile::tempdir().unwrap();
    // It has left session, group and family; what it still has is the pipe.
    let command =
        "(setsid sh -c 'echo $$ > apart; exec sleep 300' &) ; while ! [ -s apart ]; do sleep 0.01; done";
    let output = sh_in(folder.path(), command).await;
    assert!(output.text.contains("background processes were killed"), "{}", output.text);
    dies(pid_in(&folder.path().join("apart")));
}

#[tokio::test]
async fn a_silent_background_child_ends_with_its_shell() {
    let folder = tempfile::tempdir().unwrap();
    let output = sh_in(folder.path(), "sleep 300 >/dev/null 2>&1 & echo $! > child").await;
    assert!(output.text.ends_with("[exit 0]"), "{}", output.text);
    dies(pid_in(&folder.path().join("child")));
}

#[tokio::test]
async fn dropping_the_call_ends_everything() {
    let folder = tempfile::tempdir().unwrap();
    let ctx = context(folder.path());
    let command = "trap '' TERM; sleep 300 & echo $! > child; \
                   setsid sh -c 'trap \"\" TERM; echo $$ > apart; sleep 300' & echo $$ > shell; wait; wait";
    let arguments = args(json!({"command": command}));
    let tool = RunBash::new();
    let mut running = tool.run(&arguments, &ctx);
    let pids = {
        let names = ["shell", "child", "apart"].map(|name| folder.path().join(name));
        let all_run =
            || names.iter().all(|name| std::fs::read_to_string(name).is_ok_and(|text| text.ends_with('\n')));
        while !all_run() {
            let _ = tokio::time::timeout(Duration::from_millis(5), &mut running).await;
        }
        names.map(|name| pid_in(&name))
    };
    assert!(pids.iter().all(|pid| runs(*pid)));
    drop(running);
    for pid in pids {
        dies(pid);
    }
}

#[test]
fn summaries_and_actions_say_what_will_run() {
    let tool = RunBash::new();
    assert_eq!(tool.summary(&args(json!({"command": "ls -l"}))), "run_bash: ls -l");
    assert_eq!(
        tool.summary(&args(json!({"command": "é".repeat(201)}))),
        format!("run_bash: {}…", "é".repeat(200))
    );
    assert_eq!(tool.summary(&args(json!({}))), "run_bash: (missing command)");
    let action = tool.action(&args(json!({"command": "ls"})), &context(Path::new("/")));
    assert_eq!(format!("{action:?}"), r#"Run { command: "ls" }"#);
}

#[tokio::test]
async fn a_stopped_command_shows_what_it_printed() {
    let folder = tempfile::tempdir().unwrap();
    let ctx = context(folder.path());
    let line = ctx.line.clone();
    let stop = async move {
        while std::fs::read(folder.path().join("ready")).is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        line.stop();
        folder
    };
    let (output, _folder) =
        tokio::join!(call(json!({"command": "echo begun; touch ready; sleep 60"}), &ctx), stop);
    assert!(
        output.is_error && output.text.starts_with("Error: the user stopped the command"),
        "{}",
        output.text
    );
    assert!(output.text.ends_with("begun\n"), "{}", output.text);
}
