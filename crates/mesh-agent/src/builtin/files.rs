//! What the file tools share: where a path leads, opening what was judged there, reading that can be stopped.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use mesh_safety::{OpenError, OpenedForRead, Sighting};

use crate::tool::{Args, ToolContext, ToolOutput, args};

/// The `path` argument, if it says something.
pub(crate) fn path_arg(args: &Args) -> Option<&str> {
    args::text(args, "path").filter(|path| !path.is_empty())
}

/// Where `path` leads, as commands see it: `~` is the home folder, relative paths start at the working directory. `..` is left to the system.
pub(crate) fn resolve(path: &str, ctx: &ToolContext) -> PathBuf {
    let target = match (path.strip_prefix('~'), &ctx.home) {
        (Some(""), Some(home)) => home.clone(),
        (Some(rest), Some(home)) if rest.starts_with(std::path::is_separator) => {
            home.join(rest.trim_start_matches(std::path::is_separator))
        }
        _ => ctx.cwd.join(path),
    };
    // Without `.` and doubled separators.
    let target: PathBuf = target.components().collect();
    match &ctx.sandbox {
        Some(sandbox) => sandbox.real(&target),
        None => target,
    }
}

/// The path that the guard sees: where `path` leads, but `~name` as it is written. Whose home that is is not guessed, so
/// the guard asks; approved, it is a name like any other.
pub(crate) fn judged(path: &str, ctx: &ToolContext) -> PathBuf {
    let names_a_user =
        path.strip_prefix('~').is_some_and(|rest| rest.starts_with(|c: char| !std::path::is_separator(c)));
    if names_a_user { PathBuf::from(path) } else { resolve(path, ctx) }
}

/// The name under which the model sees `path`: relative to the working directory where it lies below it.
pub(crate) fn shown(path: &Path, ctx: &ToolContext) -> String {
    let path = path.strip_prefix(&ctx.cwd).unwrap_or(path);
    let text = if path.as_os_str().is_empty() { ".".into() } else { path.to_string_lossy() };
    one_line(&text)
}

/// Escapes what would break a line: a file's name may hold anything.
pub(crate) fn one_line(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

/// What went wrong, without the number that the system gives it.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

/// What the guard saw where `target` leads, or, of a call that nobody judged, what stands there now.
///
/// # Errors
/// Says why nothing can be opened by it.
pub(crate) fn sighting(target: &Path, ctx: &ToolContext) -> Result<Sighting, String> {
    match &ctx.sighting {
        Some(seen) if seen.written() == target => Ok(seen.clone()),
        Some(_) => Err("it is not the place that was judged".to_owned()),
        None => Sighting::take(target).map_err(|error| problem(&error)),
    }
}

/// Why something was not opened, in words.
pub(crate) fn problem(error: &OpenError) -> String {
    match error {
        OpenError::Io(error) => reason(error),
        other => other.to_string(),
    }
}

/// Reads a file whole, if it is not larger than `max_bytes`.
///
/// # Errors
/// Says why it cannot be read; too large is such a reason.
pub(crate) fn read_whole(file: OpenedForRead, max_bytes: u64, stop: &Stop) -> Result<Vec<u8>, String> {
    let mut content = Vec::new();
    let mut reader = stop.reader(file).take(max_bytes + 1);
    reader.read_to_end(&mut content).map_err(|error| reason(&error))?;
    if content.len() as u64 > max_bytes {
        return Err(format!("it is larger than {max_bytes} bytes"));
    }
    Ok(content)
}

/// Tells blocking work that nobody waits for it any more.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Whether the work should end.
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Tells the work to end.
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Reads through, until told to stop.
    pub(crate) fn reader<R: Read>(&self, inner: R) -> StopReader<R> {
        StopReader { inner, stop: self.clone() }
    }
}

/// A reader that fails once its [`Stop`] is set.
pub(crate) struct StopReader<R> {
    inner: R,
    stop: Stop,
}

impl<R: Read> Read for StopReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.is_set() {
            return Err(io::Error::other("the call was cancelled"));
        }
        self.inner.read(buffer)
    }
}

/// Does blocking work on a thread for that; the work is told to stop when the future is dropped.
pub(crate) async fn blocking(work: impl FnOnce(&Stop) -> ToolOutput + Send + 'static) -> ToolOutput {
    struct SetOnDrop(Stop);
    impl Drop for SetOnDrop {
        fn drop(&mut self) {
            self.0.set();
        }
    }
    let guard = SetOnDrop(Stop::default());
    let stop = guard.0.clone();
    match tokio::task::spawn_blocking(move || work(&stop)).await {
        Ok(output) => output,
        Err(_) => ToolOutput::error("the tool failed inside; try another way"),
    }
}

/// A count with its noun: `1 byte`, `12 bytes`.
pub(crate) fn plural(count: u64, noun: &str) -> String {
    let end = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{end}")
}

/// A context for tests of the file tools, whose home is below the working directory.
#[cfg(test)]
pub(crate) fn test_context(cwd: &Path) -> ToolContext {
    ToolContext {
        cwd: cwd.to_path_buf(),
        home: Some(cwd.join("home")),
        env: Arc::default(),
        line: Default::default(),
        sandbox: None,
        grants: Vec::new(),
        sighting: None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn write(path: &Path, content: &[u8], stop: &Stop) -> Result<(), OpenError> {
        Sighting::take(path)?.open_write()?.replace(content, || stop.is_set())
    }

    #[test]
    fn paths_lead_where_a_shell_would() {
        let ctx = test_context(Path::new("/w"));
        for (path, want) in [
            ("a/b", "/w/a/b"),
            ("/a", "/a"),
            ("~", "/w/home"),
            ("~/x", "/w/home/x"),
            ("~//x", "/w/home/x"),
            ("~user/x", "/w/~user/x"),
            ("a~", "/w/a~"),
            (".", "/w"),
            ("./a//b/.", "/w/a/b"),
            ("../a", "/w/../a"),
        ] {
            assert_eq!(resolve(path, &ctx), Path::new(want), "{path}");
        }
        for (path, want) in [("~user/x", "~user/x"), ("~/x", "/w/home/x"), ("~", "/w/home"), ("a~", "/w/a~")]
        {
            assert_eq!(judged(path, &ctx), Path::new(want), "{path}");
        }
        assert_eq!(shown(Path::new("/w/a\nb"), &ctx), "a\\nb");
        assert_eq!(shown(Path::new("/w"), &ctx), ".");
        assert_eq!(shown(Path::new("/other"), &ctx), "/other");
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        for path in [pipe.as_path(), Path::new("/dev/zero"), Path::new("/dev/tty")] {
            assert!(Sighting::take(path).unwrap().open_read().is_err());
        }
        let error = Sighting::take(folder.path()).unwrap().open_read().unwrap_err();
        assert_eq!(problem(&error), "it is a directory");
        assert!(write(&pipe, b"x", &Stop::default()).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn links_and_modes_survive_a_write() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("real"), "old").unwrap();
        fs::set_permissions(at("real"), fs::Permissions::from_mode(0o750)).unwrap();
        symlink("real", at("link")).unwrap();
        symlink("not/yet", at("dangling")).unwrap();
        symlink("circle", at("circle")).unwrap();
        let stop = Stop::default();
        write(&at("link"), b"new", &stop).unwrap();
        assert_eq!(fs::read(at("real")).unwrap(), b"new");
        assert!(fs::symlink_metadata(at("link")).unwrap().is_symlink());
        assert_eq!(fs::metadata(at("real")).unwrap().permissions().mode() & 0o7777, 0o750);
        write(&at("dangling"), b"x", &stop).unwrap();
        assert_eq!(fs::read(at("not/yet")).unwrap(), b"x");
        assert!(write(&at("circle"), b"x", &stop).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 5, "no temporary file is left");
    }

    #[test]
    fn a_cancelled_write_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        fs::write(&path, "old").unwrap();
        let stop = Stop::default();
        stop.set();
        assert!(write(&path, b"new", &stop).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_is_told_to_end() {
        let (started, mut on_start) = tokio::sync::mpsc::unbounded_channel();
        let (ended, mut on_end) = tokio::sync::mpsc::unbounded_channel();
        let work = blocking(move |stop| {
            started.send(()).unwrap();
            while !stop.is_set() {
                std::thread::yield_now();
            }
            ended.send(stop.reader(io::empty()).read(&mut [0]).is_err()).unwrap();
            ToolOutput::default()
        });
        // The wait for the start is what drives the work; it is dropped unfinished.
        tokio::select! {
            _ = work => panic!("the work ends only when it is told to"),
            _ = on_start.recv() => {}
        }
        assert_eq!(on_end.recv().await, Some(true));
    }
}
