//! Servers that an earlier run left behind: kill them, leave them, or take them over. Seed 13.9.

use std::io;

use mesh_agent::builtin::{ServerRecord, Servers};
use tokio::runtime::Runtime;

use crate::{
    repl::ask::Ask,
    ui::{
        line::{Line, Style},
        text,
    },
};

/// Looks for servers that outlived their run and asks what shall become of them. Without an answer they are asked about
/// again at the next start.
///
/// # Errors
/// The terminal is gone.
pub fn settle(person: &mut dyn Ask, servers: &Servers, runtime: &Runtime, columns: usize) -> io::Result<()> {
    let survivors = servers.previous_survivors();
    if survivors.is_empty() {
        return Ok(());
    }
    person.say(&found(&survivors, columns));
    let prompt =
        Line::of(Style::Bold, "Kill them now?").with(Style::Plain, " y (yes) / n (leave) / a (adopt) ");
    let said = match person.choice(&prompt, &['y', 'n', 'a'])? {
        Some('y') => {
            let killed = runtime.block_on(servers.kill_survivors(&survivors));
            format!("Killed {killed} server(s).")
        }
        Some('a') => {
            let adopted = servers.adopt(&survivors);
            format!("Adopted {adopted} server(s): /servers lists them, and they end with this session.")
        }
        Some(_) => {
            servers.forget_survivors(&survivors);
            "Leaving them running.".to_owned()
        }
        None => "Leaving them for the next start.".to_owned(),
    };
    person.say(&[Line::prose(Style::Dim, &said)]);
    Ok(())
}

fn found(survivors: &[ServerRecord], columns: usize) -> Vec<Line> {
    let count = survivors.len();
    let mut lines =
        vec![Line::prose(Style::Warn, &format!("Found {count} background server(s) of an earlier session:"))];
    lines.extend(survivors.iter().map(|server| {
        let port = server.port.map_or_else(|| "?".to_owned(), |port| port.to_string());
        let command = text::one_line(server.cmd.as_deref().unwrap_or("?"));
        let row = format!("  pid {}  port {port}  {command}", server.pid);
        Line::of(Style::Plain, &text::clip_width(&row, columns))
    }));
    lines
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::process::{Child, Command};

    use super::*;
    use crate::repl::ask::tests::Scripted;

    /// A run that is over and has left a process behind.
    fn left_behind(folder: &std::path::Path) -> Child {
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        // The process is there a moment before its command line is.
        let line = format!("/proc/{}/cmdline", child.id());
        while !std::fs::read_to_string(&line).unwrap().starts_with("sleep") {
            std::thread::yield_now();
        }
        let row = serde_json::json!([{"pid": child.id(), "port": 5173, "cmd": "sleep 60", "url": "http://localhost:5173"}]);
        std::fs::write(folder.join("servers.json"), row.to_string()).unwrap();
        child
    }

    #[track_caller]
    fn check(answer: Option<&str>, want: &str, is_killed: bool, is_kept: bool, listed: usize) {
        let folder = tempfile::tempdir().unwrap();
        let mut child = left_behind(folder.path());
        let runtime = crate::commands::runtime().unwrap();
        let servers = Servers::new(Some(folder.path().to_owned()));
        let mut person = Scripted::new(&[answer]);
        settle(&mut person, &servers, &runtime, 80).unwrap();
        assert!(person.shown.starts_with("Found 1 background server(s)"), "{}", person.shown);
        assert!(person.shown.contains("port 5173  sleep 60\n"), "{}", person.shown);
        assert!(person.shown.trim_end().ends_with(want), "{}", person.shown);
        assert_eq!(servers.list().len(), listed, "{answer:?}");
        assert_eq!(folder.path().join("servers.json").exists(), is_kept, "{answer:?}");
        if is_killed {
            child.wait().unwrap();
        } else {
            assert!(child.try_wait().unwrap().is_none(), "{answer:?}");
        }
        runtime.block_on(servers.kill_all());
        let _ = child.kill();
        let _ = child.wait();
    }

    #[test]
    fn each_answer_does_what_it_says() {
        check(Some("y"), "Killed 1 server(s).", true, false, 0);
        check(Some("n"), "Leaving them running.", false, false, 0);
        check(Some("a"), "they end with this session.", false, true, 1);
        check(None, "Leaving them for the next start.", false, true, 0);
    }

    #[test]
    fn without_survivors_nothing_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let servers = Servers::new(Some(folder.path().to_owned()));
        let mut person = Scripted::default();
        settle(&mut person, &servers, &crate::commands::runtime().unwrap(), 80).unwrap();
        assert_eq!(person.shown, "");
    }
}
