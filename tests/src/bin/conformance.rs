//! Answers conformance vectors: JSON lines in, JSON lines out. The protocol stands in `mesh_tests::conformance`.

use std::{
    io::{Write, stderr, stdin, stdout},
    process::ExitCode,
};

use mesh_tests::conformance::{protocol, protocol::Place};

fn main() -> ExitCode {
    let place = match std::env::args().nth(1).as_deref() {
        Some(protocol::IN_PLACE) => Place::Here,
        _ => Place::OfItsOwn,
    };
    match protocol::serve(stdin().lock(), stdout().lock(), place) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(stderr(), "conformance: {error}");
            ExitCode::FAILURE
        }
    }
}
