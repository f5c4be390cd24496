//! Lines of standard input, whoever wants them.

use std::io::{BufRead, BufReader, stdin};

/// Gives each line to `take` until it says that it wants no more. The thread that reads is its own: a read cannot be cancelled.
pub fn each_line(mut take: impl FnMut(String) -> bool + Send + 'static) {
    std::thread::spawn(move || {
        let mut input = BufReader::new(stdin());
        let mut bytes = Vec::new();
        while input.read_until(b'\n', &mut bytes).is_ok_and(|n| n > 0) {
            let line = String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_owned();
            bytes.clear();
            if !take(line) {
                return;
            }
        }
    });
}
