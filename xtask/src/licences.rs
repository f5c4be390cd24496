//! The licence of every crate that is linked into our programs or run by their build.

use std::path::Path;

use anyhow::{Result, bail};

use crate::metadata::{Kind, Metadata, Package, Platforms};
use crate::spdx::{self, Verdict};

/// Licences that we take, alphabetically. The same list stands in deny.toml.
const ALLOWED: [&str; 14] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

pub(crate) fn run(root: &Path) -> Result<()> {
    let metadata = Metadata::read(root, Platforms::Host)?;
    let closure = metadata.closure(metadata.members(), &[Kind::Normal, Kind::Build]);
    let faults = faults(&closure);
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    println!("licences: {} crates, all allowed", closure.len());
    Ok(())
}

/// What is not allowed, a crate a line.
pub(crate) fn faults(packages: &[&Package]) -> Vec<String> {
    packages
        .iter()
        .filter_map(|package| {
            let why = fault(package.license.as_deref())?;
            Some(format!("{} {}: {why}", package.name, package.version))
        })
        .collect()
}

fn fault(expression: Option<&str>) -> Option<String> {
    let Some(expression) = expression else {
        return Some("its manifest has no licence expression".to_owned());
    };
    match spdx::judge(expression, &is_allowed) {
        Ok(Verdict::Allowed) => None,
        Ok(Verdict::Refused(licences)) => {
            Some(format!("`{expression}` is not allowed, for {}", licences.join(", ")))
        }
        Err(error) => Some(error.to_string()),
    }
}

fn is_allowed(licence: &str) -> bool {
    ALLOWED.contains(&licence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_expressions_pass() {
        for expression in [
            "MIT OR Apache-2.0",
            "Unlicense/MIT",
            "Apache-2.0 AND ISC",
            "Zlib OR Apache-2.0 OR MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
        ] {
            assert_eq!(fault(Some(expression)), None, "{expression}");
        }
    }

    #[test]
    fn the_others_are_named() {
        assert_eq!(fault(None).unwrap(), "its manifest has no licence expression");
        assert_eq!(
            fault(Some("GPL-3.0-or-later")).unwrap(),
            "`GPL-3.0-or-later` is not allowed, for GPL-3.0-or-later"
        );
        assert!(fault(Some("MIT OR")).is_some());
    }

    #[test]
    fn deny_toml_has_the_same_list() {
        let deny = include_str!("../../deny.toml");
        let (_, after) = deny.split_once("allow = [").expect("deny.toml allows licences");
        let listed: Vec<&str> =
            after.split_once(']').expect("the list ends").0.split('"').skip(1).step_by(2).collect();
        assert_eq!(listed, ALLOWED);
    }
}
