//! The command itself: found on its search path, started with its environment, reaped with all that it leaves.

use std::{
    ffi::{CStr, CString, OsStr, OsString},
    fs, io,
    os::unix::{ffi::OsStringExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::ExitStatus,
};

use rustix::{
    fs::{Access, access},
    io::Errno,
    process::{Pid, Signal, WaitOptions, kill_process, waitpid},
};

use super::{
    super::{End, Job, SandboxError, error::Step},
    sys::{self, Signals},
};

/// The variables by which programs find a proxy.
const PROXY_NAMES: [&str; 6] =
    ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];

/// Where programs are looked for without a search path: `execvp` of glibc.
const NO_PATH: &str = "/bin:/usr/bin";

/// Runs text that names no shell.
const SHELL: &CStr = c"/bin/sh";

/// What a command is started with.
#[derive(Debug)]
pub(super) struct Start {
    argv: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
}

impl Start {
    /// The command of a job; `proxy` is the port of its proxy, `scratch` its folder for scratch files where `/tmp` is not its own.
    pub(super) fn of(job: &Job, proxy: Option<u16>, scratch: Option<&Path>) -> Start {
        let mut env = job.env.clone().unwrap_or_else(|| std::env::vars_os().collect());
        env.retain(|(name, _)| !PROXY_NAMES.iter().any(|proxy| name == proxy));
        let mut set = |name: &str, value: &OsStr| {
            env.retain(|(known, _)| known != name);
            env.push((name.into(), value.into()));
        };
        if let Some(port) = proxy {
            let url = format!("http://127.0.0.1:{port}");
            for name in PROXY_NAMES {
                set(name, url.as_ref());
            }
            for name in ["NO_PROXY", "no_proxy"] {
                set(name, "localhost,127.0.0.1,::1".as_ref());
            }
        }
        // What the host calls its folder for scratch files may not be there.
        match scratch {
            None => set("TMPDIR", "/tmp".as_ref()),
            Some(scratch) => {
                set("TMPDIR", scratch.as_os_str());
                set("HOME", scratch.as_os_str());
            }
        }
        Start { argv: job.argv.clone(), env }
    }

    /// Starts it. The inner error says how it ended before it began.
    pub(super) fn run(&self, signals: &Signals) -> Result<Result<Pid, End>, SandboxError> {
        let step = || "starting the command".into();
        let Some(name) = self.argv.first() else { return Ok(Err(End::NotFound)) };
        let argv = self.argv.iter().map(|word| text(word)).collect::<io::Result<Vec<_>>>().step(step)?;
        let env = self.env.iter().map(|(name, value)| {
            let mut line = name.clone();
            line.push("=");
            line.push(value);
            text(&line)
        });
        let env = env.collect::<io::Result<Vec<_>>>().step(step)?;
        let mut is_there = false;
        for program in self.candidates(name) {
            let path = text(program.as_os_str()).step(step)?;
            // Asked first: a start that fails costs a process.
            let tried = access(&program, Access::EXEC_OK).map_err(io::Error::from);
            let mut tried = tried.and_then(|()| sys::spawn(&path, &argv, &env, signals));
            if tried.as_ref().is_err_and(|error| Errno::from_io_error(error) == Some(Errno::NOEXEC)) {
                // Text without a first line that names its shell: `execvp` has it so.
                let mut argv = argv.clone();
                argv.splice(..1, [SHELL.to_owned(), path.clone()]);
                tried = sys::spawn(SHELL, &argv, &env, signals);
            }
            match tried {
                Ok(pid) => return Ok(Ok(pid)),
                Err(error) => match Errno::from_io_error(&error) {
                    Some(Errno::NOENT | Errno::NOTDIR) => {}
                    Some(Errno::ACCESS) => is_there = true,
                    _ => return Err(error).step(step),
                },
            }
        }
        Ok(Err(if is_there { End::NotExecutable } else { End::NotFound }))
    }

    /// Where a program of this name may be.
    fn candidates(&self, name: &OsStr) -> Vec<PathBuf> {
        if name.as_encoded_bytes().contains(&b'/') {
            return vec![name.into()];
        }
        if name.is_empty() {
            return Vec::new();
        }
        let path = self.env.iter().find(|(known, _)| known == "PATH").map(|(_, path)| path.as_os_str());
        std::env::split_paths(path.unwrap_or(NO_PATH.as_ref())).map(|folder| folder.join(name)).collect()
    }
}

fn text(value: &OsStr) -> io::Result<CString> {
    Ok(CString::new(value.to_owned().into_vec())?)
}

/// How the command ended, and whether anything that it started was still running.
///
/// With a porter it is a server: what it leaves running goes on as long as it runs.
pub(super) fn reap_until(child: Pid, signals: &Signals, porter: Option<i32>) -> (End, bool) {
    let mut end = None;
    loop {
        while let Ok(Some((pid, status))) = waitpid(None, WaitOptions::NOHANG) {
            if pid == child {
                if porter.is_some() {
                    end = Some(ended(ExitStatus::from_raw(status.as_raw())));
                    continue;
                }
                // Those that have ended too are only still to be reaped.
                let mut rest = waitpid(None, WaitOptions::NOHANG);
                while let Ok(Some(_)) = rest {
                    rest = waitpid(None, WaitOptions::NOHANG);
                }
                return (ended(ExitStatus::from_raw(status.as_raw())), rest.is_ok());
            }
        }
        if let (Some(end), Some(porter)) = (end, porter)
            && !lives_beside(porter)
        {
            return (end, false);
        }
        let Some(came) = signals.wait() else { continue };
        if came.signal != libc::SIGCHLD && came.from_process {
            if end.is_some() && came.signal == libc::SIGTERM {
                // The shell that would pass it on has ended.
                return (End::Signaled(came.signal), true);
            }
            if let Some(signal) = Signal::from_named_raw(came.signal) {
                let _ = kill_process(child, signal);
            }
        }
    }
}

/// Whether any process but init and the porter lives in here.
fn lives_beside(porter: i32) -> bool {
    let Ok(entries) = fs::read_dir("/proc") else { return false };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    numbers.into_iter().any(|pid| pid != 1 && pid != porter)
}

fn ended(status: ExitStatus) -> End {
    match status.signal() {
        Some(signal) => End::Signaled(signal),
        None => End::Exited(status.code().unwrap_or(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(name: &str, env: &[(&str, &str)]) -> Start {
        let env = env.iter().map(|(name, value)| (name.into(), value.into())).collect();
        Start { argv: vec![name.into()], env }
    }

    #[test]
    fn a_program_is_looked_for_on_its_own_search_path() {
        let shown = |start: &Start, name: &str| -> Vec<String> {
            start.candidates(name.as_ref()).iter().map(|path| path.display().to_string()).collect()
        };
        let own = start("x", &[("PATH", "/a:/b")]);
        assert_eq!(shown(&own, "x"), ["/a/x", "/b/x"]);
        assert_eq!(shown(&own, "./x"), ["./x"]);
        assert_eq!(shown(&own, ""), [""; 0]);
        assert_eq!(shown(&start("x", &[]), "x"), ["/bin/x", "/usr/bin/x"]);
    }

    #[test]
    fn proxies_and_folders_of_the_host_are_not_handed_on() {
        let job = Job {
            policy: Default::default(),
            level: super::super::super::Level::Full,
            cwd: "/".into(),
            argv: vec!["x".into()],
            env: Some(
                [("A", "b"), ("https_proxy", "http://outside"), ("TMPDIR", "/outside")]
                    .map(|(name, value)| (name.into(), value.into()))
                    .into(),
            ),
            own_session: false,
            door: None,
            neighbours: Vec::new(),
            report: None,
        };
        let shown = |start: Start| -> Vec<String> {
            let lines = start
                .env
                .into_iter()
                .map(|(name, value)| format!("{}={}", name.to_string_lossy(), value.to_string_lossy()));
            lines.collect()
        };
        assert_eq!(shown(Start::of(&job, None, None)), ["A=b", "TMPDIR=/tmp"]);
        assert_eq!(shown(Start::of(&job, None, Some("/s".as_ref()))), ["A=b", "TMPDIR=/s", "HOME=/s"]);
        let proxied = shown(Start::of(&job, Some(1), None));
        assert!(proxied.contains(&"https_proxy=http://127.0.0.1:1".into()), "{proxied:?}");
    }
}
