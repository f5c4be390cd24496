//! Keys of the terminal while a turn runs: one thread reads them, so that nothing else has to wait for them.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use crossterm::event::{self, Event};
use tokio::sync::mpsc;

use super::Look;

/// How long the thread waits for a key before it looks by itself whether it should end. Where a signal can wake it this is
/// for the case that the signal is lost; elsewhere the prompt waits so long at most after a turn.
const LOOK_EVERY: Duration = Duration::from_millis(if cfg!(unix) { 250 } else { 20 });

/// Reads the terminal until it is dropped. Nobody else may read it meanwhile.
#[derive(Debug)]
pub struct Keys {
    receiver: mpsc::UnboundedReceiver<io::Result<Event>>,
    look: Look,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Keys {
    /// Begins to read what is typed; the terminal's own answers go to the look.
    pub fn read(look: Look) -> Keys {
        // A person cannot type faster than we take; a paste comes as one event.
        let (sender, receiver) = mpsc::unbounded_channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let seen = look.clone();
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let event = match event::poll(LOOK_EVERY) {
                    Ok(false) => continue,
                    Ok(true) => event::read(),
                    Err(error) => Err(error),
                };
                let typed = match event {
                    Ok(event) => seen.typed(event).into_iter().map(Ok).collect(),
                    Err(error) => vec![Err(error)],
                };
                for event in typed {
                    let is_end = event.is_err();
                    if sender.send(event).is_err() || is_end {
                        return;
                    }
                }
            }
        });
        Keys { receiver, look, stop, thread: Some(thread) }
    }

    /// The next key; an error when the terminal is gone, and then nothing.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn next(&mut self) -> Option<io::Result<Event>> {
        self.receiver.recv().await
    }

    /// Ends the reading and returns what was typed and not yet taken.
    pub fn stop(mut self) -> Vec<Event> {
        self.join();
        let mut rest = Vec::new();
        while let Ok(Ok(event)) = self.receiver.try_recv() {
            rest.push(event);
        }
        // What the thread left, its wake-up call among it, is nobody else's to read.
        while let Ok(true) = event::poll(Duration::ZERO) {
            match event::read() {
                Ok(event) => rest.extend(self.look.typed(event)),
                Err(_) => break,
            }
        }
        rest
    }

    fn join(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A change of size is an event like a key, and wakes it.
            crate::sys::redraw();
            // A panic in it has nothing for us.
            let _ = thread.join();
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.join();
    }
}
