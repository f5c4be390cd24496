//! Bodies in, one a line; optimised bodies out. `filter DIAL [PROVIDER]`
use std::io::{BufRead, Write};

use mesh_optimize::{Config, Filter};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let dial = arguments.next().unwrap_or_default().parse()?;
    let provider = arguments.next().unwrap_or("auto".into()).parse()?;
    let mut filter = Filter::new(Config { dial, provider, recall: None });
    let (mut input, mut output) = (
        std::io::BufReader::with_capacity(1 << 20, std::io::stdin().lock()),
        std::io::BufWriter::with_capacity(1 << 16, std::io::stdout().lock()),
    );
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        let end = line.len() - usize::from(line.ends_with(b"\n"));
        let (_, prepared) = filter.prepare(&line[..end], |_| None);
        for piece in prepared.segments() {
            output.write_all(piece)?;
        }
        output.write_all(b"\n")?;
        output.flush()?;
        line.clear();
    }
    Ok(())
}
