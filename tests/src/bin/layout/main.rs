//! Writes the order in which the program's functions are first called, as a script for the linker: `layout PROGRAM SCRIPT`.
//!
//! What runs when the program starts lies all over 16 MB of code, and each piece of it that is touched is mapped with its
//! surroundings. Put side by side they are a few pages: the start is faster, and an idle process is smaller.
//!
//! - `runs`: what the program is asked to do
//! - `trace`: which functions run
//! - `script`: what the linker is told

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod runs;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod script;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod trace;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn main() -> std::io::Result<()> {
    use std::{ffi::OsString, io, path::Path};

    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match arguments.as_slice() {
        [flag, list, program, arguments @ ..] if flag == trace::FLAG => {
            trace::run(Path::new(list), Path::new(program), arguments)
        }
        [program, script] => {
            let program = Path::new(program).canonicalize()?;
            let called = runs::all(&program)?;
            let functions = trace::Function::of(&program)?;
            std::fs::write(script, script::of(&called, &functions))
        }
        _ => Err(io::Error::other("layout: name the program and the script to write")),
    }
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn main() -> std::process::ExitCode {
    use std::io::Write as _;

    let _ = writeln!(std::io::stderr(), "layout: calls are watched on Linux for x86-64 only");
    std::process::ExitCode::FAILURE
}
