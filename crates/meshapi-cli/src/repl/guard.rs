//! What a signal does to a session: its servers end, the terminal is given back, then the signal takes its course.
//!
//! A thread of its own watches, because the main thread may be in the line editor, which waits for keys only. It sleeps
//! until a signal comes.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use mesh_agent::{Interrupt, builtin::Servers};

use crate::{
    exit::Exit,
    sys::{self, SessionSignal, SessionSignals, StopSignal},
    ui::live::terminal,
};

/// Longest wait for a turn that was told to end. Its children get a second to end by themselves.
const TURN_END: Duration = Duration::from_secs(3);
/// How often the end of a turn is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Stack of the thread, which does little.
const STACK_BYTES: usize = 512 << 10;

/// Watches for signals until the process ends.
#[derive(Debug)]
pub struct Guard {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    interrupt: Interrupt,
    servers: Mutex<Option<Servers>>,
    /// A turn or a command runs.
    is_busy: AtomicBool,
    /// The process is about to end.
    is_ending: AtomicBool,
}

/// A turn or a command runs until this is dropped.
#[derive(Debug)]
pub struct Busy {
    shared: Arc<Shared>,
}

impl Guard {
    /// Begins to watch. Ctrl+C and the signals that end a process raise this interrupt while something runs.
    ///
    /// # Errors
    /// The signals cannot be watched.
    pub fn watch(interrupt: Interrupt) -> io::Result<Guard> {
        let shared = Arc::new(Shared {
            interrupt,
            servers: Mutex::default(),
            is_busy: AtomicBool::new(false),
            is_ending: AtomicBool::new(false),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let signals = {
            let _inside = runtime.enter();
            SessionSignals::watch()?
        };
        let watched = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("signals".to_owned()).stack_size(STACK_BYTES);
        thread.spawn(move || runtime.block_on(watched.serve(signals)))?;
        Ok(Guard { shared })
    }

    /// Ends these servers with the process.
    pub fn keep(&self, servers: Servers) {
        *self.shared.servers() = Some(servers);
    }

    /// Something runs that an interrupt can end.
    pub fn busy(&self) -> Busy {
        self.shared.is_busy.store(true, Ordering::SeqCst);
        Busy { shared: Arc::clone(&self.shared) }
    }

    /// Waits for the end of the process if it is about to end.
    pub fn wait_if_ending(&self) {
        while self.shared.is_ending.load(Ordering::SeqCst) {
            std::thread::park();
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Whoever else holds the servers decides about them now.
        self.shared.servers().take();
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.shared.is_busy.store(false, Ordering::SeqCst);
    }
}

/// What the last panic said while nothing was printed of it.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

/// From here on a panic prints nothing by itself: the terminal may be in raw mode, and a fault in a tool or a command is
/// caught and told in its place.
pub fn hold_panics() {
    std::panic::set_hook(Box::new(|info| {
        tracing::error!(panic = %info, "a fault inside");
        *PANIC.lock().unwrap_or_else(PoisonError::into_inner) = Some(info.to_string());
    }));
}

/// What the last panic said, if [`hold_panics`] kept it back.
pub fn held_panic() -> Option<String> {
    PANIC.lock().unwrap_or_else(PoisonError::into_inner).take()
}

impl Shared {
    async fn serve(self: Arc<Shared>, mut signals: SessionSignals) {
        loop {
            match signals.next().await {
                SessionSignal::Stop(StopSignal::Interrupt) if self.is_busy() => self.interrupt.raise(),
                SessionSignal::Stop(signal) => self.end(signal).await,
                SessionSignal::Pause => terminal::pause(),
                SessionSignal::Continue => terminal::go_on(),
            }
        }
    }

    fn servers(&self) -> std::sync::MutexGuard<'_, Option<Servers>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_busy(&self) -> bool {
        self.is_busy.load(Ordering::SeqCst)
    }

    async fn end(&self, signal: StopSignal) {
        self.is_ending.store(true, Ordering::SeqCst);
        self.interrupt.raise();
        let servers = self.servers().take();
        if let Some(servers) = servers {
            servers.kill_all().await;
        }
        let turn_end = async {
            while self.is_busy() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let _ = tokio::time::timeout(TURN_END, turn_end).await;
        terminal::lend();
        if signal == StopSignal::Interrupt {
            // Ctrl+C at the prompt is a way out like any other. Seed 6.2.
            let _ = terminal::write("\nbye\n");
            std::process::exit(i32::from(Exit::Ok.code()));
        }
        sys::die_of(signal);
    }
}
