//! Our own micro-benchmarks, and how each compares with a floor that was measured in the same run.
//!
//! Times of two runs on a busy machine say little; a ratio within one run says much. A benchmark offers a floor by standing
//! beside one whose name is `floor` or ends in `_floor`: the least work that the task could possibly cost.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::metadata::{self, Metadata, Platforms};

pub(crate) fn run(root: &Path) -> Result<()> {
    let metadata = Metadata::read(root, Platforms::Host)?;
    let with_benches: Vec<&str> = metadata
        .members()
        .filter(|package| package.folder.join("benches").is_dir())
        .map(|package| package.name.as_str())
        .collect();
    if with_benches.is_empty() {
        bail!("no crate has a folder `benches`");
    }
    for name in with_benches {
        println!("{name}");
        let output = metadata::cargo(root)
            .args([
                "bench",
                "--quiet",
                "--package",
                name,
                "--bench",
                "*",
                "--profile",
                "release-fast",
                "--all-features",
            ])
            .stderr(Stdio::inherit())
            .output()
            .context("cargo does not start")?;
        let text = String::from_utf8_lossy(&output.stdout);
        print!("{text}");
        if !output.status.success() {
            bail!("the benchmarks of {name} failed");
        }
        for line in ratios(&rows(&text)) {
            println!("{line}");
        }
        println!();
    }
    Ok(())
}

/// One line of divan's table.
#[derive(Debug, PartialEq)]
struct Row {
    /// Names from the outermost group to the benchmark.
    path: Vec<String>,
    /// Median time in nanoseconds; groups have none.
    median: Option<f64>,
}

/// Reads divan's tables out of everything that was printed.
fn rows(text: &str) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut groups: Vec<String> = Vec::new();
    for line in text.lines() {
        let Some((depth, rest)) = branch(line) else { continue };
        let cells: Vec<&str> = rest.split('│').map(str::trim).collect();
        // The name and the first time share a cell, with at least two blanks between them.
        let name = cells[0].split("  ").next().unwrap_or_default().trim();
        if name.is_empty() {
            continue;
        }
        groups.truncate(depth);
        groups.push(name.to_owned());
        let median = cells.get(2).and_then(|cell| nanoseconds(cell));
        rows.push(Row { path: groups.clone(), median });
    }
    rows
}

/// How deep a line of the tree stands, and what follows its branch; `None` for lines outside the tree.
fn branch(line: &str) -> Option<(usize, &str)> {
    let at = line.find(['├', '╰'])?;
    let is_indent = line[..at].chars().all(|c| c == ' ' || c == '│');
    let rest = line[at..].trim_start_matches(['├', '╰', '─']);
    // Each level is three columns wide.
    is_indent.then(|| (line[..at].chars().count() / 3, rest.trim_start()))
}

fn nanoseconds(cell: &str) -> Option<f64> {
    let (number, unit) = cell.split_once(' ')?;
    let scale = match unit {
        "ns" => 1.0,
        "µs" | "us" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * scale)
}

/// Says for each benchmark with a floor beside it how many times the floor it takes.
fn ratios(rows: &[Row]) -> Vec<String> {
    rows.iter()
        .filter_map(|row| {
            let floor = rows.iter().find(|other| is_floor_of(&other.path, &row.path))?;
            let (median, floor) = (row.median?, floor.median.filter(|&floor| floor > 0.0)?);
            Some(format!("{:>8.2} x floor   {}", median / floor, row.path.join(" / ")))
        })
        .collect()
}

/// Whether two paths differ in one name only, which is a floor's; with arguments, each has its own floor.
fn is_floor_of(floor: &[String], path: &[String]) -> bool {
    let differing: Vec<(&String, &String)> = floor.iter().zip(path).filter(|(a, b)| a != b).collect();
    let is_floor = |name: &str| name == "floor" || name.ends_with("_floor");
    floor.len() == path.len() && differing.len() == 1 && is_floor(differing[0].0) && !is_floor(differing[0].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
Timer precision: 20 ns
wire            fastest       │ slowest       │ median        │ mean          │ samples │ iters
├─ decode                     │               │               │               │         │
│  ├─ floor     1 µs          │ 3 µs          │ 2 µs          │ 2.1 µs        │ 100     │ 100
│  │            1 GB/s        │ 1 GB/s        │ 1 GB/s        │ 1 GB/s        │         │
│  ╰─ ours      5 µs          │ 9 µs          │ 7 µs          │ 7.1 µs        │ 100     │ 100
├─ encode       10.5 ns       │ 12 ns         │ 11 ns         │ 11 ns         │ 100     │ 100
╰─ build                      │               │               │               │         │
   ├─ floor                   │               │               │               │         │
   │  ├─ 10     1 ms          │ 1 ms          │ 1 ms          │ 1 ms          │ 100     │ 100
   │  ╰─ 20     2 ms          │ 2 ms          │ 2 ms          │ 2 ms          │ 100     │ 100
   ╰─ ours                    │               │               │               │         │
      ├─ 10     1.5 ms        │ 1.5 ms        │ 1.5 ms        │ 1.5 ms        │ 100     │ 100
      ╰─ 20     2.5 ms        │ 2.5 ms        │ 2.5 ms        │ 2.5 ms        │ 100     │ 100
";

    #[test]
    fn medians_are_read_with_their_groups() {
        let rows = rows(TABLE);
        let path = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        assert_eq!(rows[0], Row { path: path(&["decode"]), median: None });
        assert_eq!(rows[2], Row { path: path(&["decode", "ours"]), median: Some(7000.0) });
        assert_eq!(rows[3], Row { path: path(&["encode"]), median: Some(11.0) });
        assert_eq!(
            rows.last(),
            Some(&Row { path: path(&["build", "ours", "20"]), median: Some(2_500_000.0) })
        );
        assert_eq!(rows.len(), 11);
    }

    #[test]
    fn a_ratio_needs_a_floor_in_the_same_group() {
        assert_eq!(
            ratios(&rows(TABLE)),
            [
                "    3.50 x floor   decode / ours",
                "    1.50 x floor   build / ours / 10",
                "    1.25 x floor   build / ours / 20",
            ]
        );
        assert_eq!(ratios(&rows("nothing\n├─\n")), [""; 0]);
    }
}
