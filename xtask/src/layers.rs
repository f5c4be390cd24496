//! Crate edges against the floors of the house: arrows run down, and the table knows every one of them.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::metadata::{Kind, Metadata, Package, Platforms};
use crate::source::{self, Source};

/// A crate's place, and the crates of ours that it may be built on.
struct Place {
    name: &'static str,
    floor: u8,
    may_use: &'static [&'static str],
}

/// The floors. A new edge is a decision: it comes with a row here and a word in ARCHITECTURE.md.
const HOUSE: [Place; 8] = [
    Place { name: "mesh-optimize", floor: 1, may_use: &[] },
    Place { name: "mesh-safety", floor: 1, may_use: &[] },
    Place { name: "meshapi-client", floor: 1, may_use: &[] },
    Place { name: "mesh-mailbox", floor: 2, may_use: &["meshapi-client", "mesh-safety"] },
    Place {
        name: "mesh-agent",
        floor: 3,
        may_use: &["meshapi-client", "mesh-optimize", "mesh-safety", "mesh-mailbox"],
    },
    Place {
        name: "meshapi-cli",
        floor: 4,
        may_use: &["meshapi-client", "mesh-optimize", "mesh-safety", "mesh-mailbox", "mesh-agent"],
    },
    Place {
        name: "mesh-tests",
        floor: 5,
        may_use: &[
            "meshapi-client",
            "mesh-optimize",
            "mesh-safety",
            "mesh-mailbox",
            "mesh-agent",
            "meshapi-cli",
        ],
    },
    // Beside the house: it must build while the house does not.
    Place { name: "xtask", floor: 0, may_use: &[] },
];

/// Parts that the agent takes through its own traits: in the program, one place ties them together.
const TIED_IN_ONE_PLACE: [&str; 2] = ["mesh_optimize", "mesh_mailbox"];

/// Where the program is tied together, below `crates/meshapi-cli/src`.
const WIRING: &str = "wiring.rs";

/// A command whose whole subject is one of those parts may name that one.
const COMMANDS: &str = "commands/";

/// The room in which the mailbox becomes what the agent's trait asks for; `wiring.rs` hands it in.
const MAIL: (&str, &str) = ("mail/", "mesh_mailbox");

pub(crate) fn run(root: &Path) -> Result<()> {
    let metadata = Metadata::read(root, Platforms::All)?;
    let mut faults: Vec<String> = Vec::new();
    let mut edges = 0;
    for package in metadata.members() {
        faults.extend(
            package
                .path_dependencies
                .iter()
                .filter_map(|(name, kind)| edge_fault(&package.name, name, *kind)),
        );
        faults.extend(place(&package.name).is_none().then(|| unknown(&package.name)));
        edges += package.path_dependencies.len();
    }
    let program = metadata.members().find(|package| package.name == "meshapi-cli");
    faults.extend(naming_faults(program.context("there is no meshapi-cli")?)?);
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    println!("layers: {edges} edges between our crates, all of them down");
    Ok(())
}

fn place(name: &str) -> Option<&'static Place> {
    HOUSE.iter().find(|place| place.name == name)
}

fn unknown(name: &str) -> String {
    format!("{name} stands on no floor: give it a row in xtask/src/layers.rs")
}

/// Why an edge must not be. Tests may also use what lies lower, and a crate's own other features.
fn edge_fault(from: &str, to: &str, kind: Kind) -> Option<String> {
    let (Some(lower), Some(upper)) = (place(to), place(from)) else {
        return Some(unknown(if place(to).is_none() { to } else { from }));
    };
    let is_allowed = match kind {
        Kind::Normal | Kind::Build => upper.may_use.contains(&to),
        Kind::Dev => from == to || (lower.floor > 0 && lower.floor < upper.floor),
    };
    let what = match kind {
        Kind::Normal => "",
        Kind::Build => " for its build script",
        Kind::Dev => " for its tests",
    };
    (!is_allowed)
        .then(|| format!("{from} (floor {}) must not name {to} (floor {}){what}", upper.floor, lower.floor))
}

fn naming_faults(program: &Package) -> Result<Vec<String>> {
    let folder = program.folder.join("src");
    let mut faults = Vec::new();
    for path in source::rust_files(&folder)? {
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let place = path.strip_prefix(&folder).unwrap_or(&path).to_string_lossy().replace('\\', "/");
        faults.extend(naming_fault(&place, &Source::read(&text)));
    }
    Ok(faults)
}

fn naming_fault(place: &str, source: &Source) -> Option<String> {
    let named: Vec<&str> = TIED_IN_ONE_PLACE.into_iter().filter(|name| source.names(name)).collect();
    let most = if place == WIRING {
        TIED_IN_ONE_PLACE.len()
    } else if place.starts_with(COMMANDS) || (place.starts_with(MAIL.0) && named == [MAIL.1]) {
        1
    } else {
        0
    };
    (named.len() > most).then(|| {
        format!(
            "meshapi-cli/src/{place} names {}: only {WIRING} ties the parts together",
            named.join(" and ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_run_down() {
        for (from, to, kind, is_fine) in [
            ("mesh-agent", "meshapi-client", Kind::Normal, true),
            ("mesh-mailbox", "mesh-safety", Kind::Normal, true),
            ("meshapi-cli", "mesh-agent", Kind::Build, true),
            ("mesh-mailbox", "mesh-optimize", Kind::Normal, false),
            ("mesh-mailbox", "mesh-optimize", Kind::Dev, true),
            ("mesh-safety", "mesh-optimize", Kind::Normal, false),
            ("mesh-safety", "mesh-optimize", Kind::Dev, false),
            ("mesh-optimize", "mesh-agent", Kind::Dev, false),
            ("meshapi-client", "meshapi-client", Kind::Dev, true),
            ("meshapi-client", "meshapi-client", Kind::Normal, false),
            ("mesh-agent", "meshapi-cli", Kind::Normal, false),
            ("xtask", "mesh-optimize", Kind::Normal, false),
            ("xtask", "mesh-optimize", Kind::Dev, false),
            ("mesh-tests", "xtask", Kind::Dev, false),
            ("mesh-tests", "meshapi-cli", Kind::Normal, true),
            ("mesh-agent", "mesh-news", Kind::Normal, false),
            ("mesh-news", "mesh-agent", Kind::Normal, false),
        ] {
            assert_eq!(edge_fault(from, to, kind).is_none(), is_fine, "{from} -> {to}, {kind:?}");
        }
    }

    #[test]
    fn the_table_has_no_edge_upwards() {
        for upper in &HOUSE {
            for name in upper.may_use {
                let lower = place(name).expect("a row names crates of the table");
                assert!(lower.floor > 0 && lower.floor < upper.floor, "{} -> {name}", upper.name);
            }
        }
    }

    #[test]
    fn one_place_ties_the_parts_together() {
        let both = "use mesh_optimize::Dial; fn f(x: mesh_mailbox::Kind) {}";
        for (place, text, is_fine) in [
            ("wiring.rs", both, true),
            ("main.rs", both, false),
            ("main.rs", "use mesh_optimize::Dial;", false),
            ("main.rs", "// mesh_optimize is tied in wiring.rs\nlet a = \"mesh_mailbox\";", true),
            ("main.rs", "let mesh_optimizer = 1;", true),
            ("commands/optimize.rs", "use mesh_optimize::Dial;", true),
            ("commands/optimize.rs", both, false),
            ("mail/desk.rs", "use mesh_mailbox::Mailbox;", true),
            ("mail/desk.rs", "use mesh_optimize::Dial;", false),
            ("mail/desk.rs", both, false),
        ] {
            assert_eq!(naming_fault(place, &Source::read(text)).is_none(), is_fine, "{place}: {text}");
        }
    }
}
