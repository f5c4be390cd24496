//! Runs a command with the current folder writable and nothing else: `confine COMMAND...`. Also its own helper.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    use mesh_safety::sandbox::{self, Job, Level, Policy};
    if let Some(code) = sandbox::helper() {
        return code;
    }
    let cwd = std::env::current_dir().expect("a current folder");
    let home = std::env::var_os("HOME").map(std::path::PathBuf::from);
    let argv = std::env::args_os().skip(1).collect();
    let report = Policy::new(std::slice::from_ref(&cwd), home.as_deref()).and_then(|policy| {
        sandbox::run(&Job {
            policy,
            level: Level::Full,
            cwd,
            argv,
            env: None,
            own_session: false,
            door: None,
            neighbours: Vec::new(),
            report: None,
        })
    });
    match report {
        Ok(report) => ExitCode::from(report.end.code() as u8),
        Err(error) => {
            let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{}\n", error.line()));
            ExitCode::from(125)
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    ExitCode::FAILURE
}
