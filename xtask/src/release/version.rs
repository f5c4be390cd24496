//! One version, in one place: every published crate inherits it, and every crate asks for its siblings at it.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::{Release, report::Findings};
use crate::metadata::{Kind, Package};

pub(super) fn stage(release: &Release<'_>) -> Result<Findings> {
    let mut findings = Findings::default();
    let path = release.root.join("Cargo.toml");
    let root = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut manifests = BTreeMap::new();
    let mut readmes = vec![release.root.join("README.md")];
    for package in release.published() {
        let path = package.folder.join("Cargo.toml");
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        manifests.insert(package.name.as_str(), text);
        readmes.push(package.folder.join("README.md"));
    }
    let packages: Vec<(&Package, &str)> = release
        .published()
        .filter_map(|package| Some((package, manifests.get(package.name.as_str())?.as_str())))
        .collect();
    findings.faults = faults(release.version, &root, &packages);
    let names: Vec<&str> = packages.iter().map(|(package, _)| package.name.as_str()).collect();
    for path in readmes {
        // A missing readme is for the papers to say.
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let place = path.strip_prefix(release.root).unwrap_or(&path).display();
        let stale = stale_mentions(&text, &names, release.version);
        findings.faults.extend(stale.map(|line| format!("{place} speaks of another version: {line}")));
    }
    findings.say(format!("{} crates at {}", packages.len(), release.version));
    Ok(findings)
}

fn faults(wanted: &str, root: &str, packages: &[(&Package, &str)]) -> Vec<String> {
    let mut faults = Vec::new();
    if !is_version(wanted) {
        faults.push(format!("`{wanted}` is no version: three numbers, and perhaps `-` and a word"));
    }
    match table(root, "[workspace.package]").find_map(|line| value(line, "version")) {
        None => faults.push("Cargo.toml has no `version` in [workspace.package]".to_owned()),
        Some(found) if found != wanted => faults.push(format!(
            "the workspace is at {found}, not {wanted}: set `version` in [workspace.package] of Cargo.toml, and \
             beside each sibling in [workspace.dependencies]"
        )),
        Some(_) => {}
    }
    let names: Vec<&str> = packages.iter().map(|(package, _)| package.name.as_str()).collect();
    for (package, manifest) in packages {
        let name = &package.name;
        if !table(manifest, "[package]").any(inherits_version) {
            faults.push(format!("{name} has a version of its own; it should say `version.workspace = true`"));
        }
        for (sibling, requirement, kind) in &package.path_requirements {
            // A sibling for tests alone may come without a version: then it is left out of the package.
            let is_dropped = *kind == Kind::Dev && requirement == "*";
            if !names.contains(&sibling.as_str()) && !is_dropped {
                faults.push(format!("{name} needs {sibling}, which is never published"));
            } else if *requirement != format!("^{wanted}") && !is_dropped {
                faults.push(format!("{name} asks for {sibling} at `{requirement}`, not at {wanted}"));
            }
        }
    }
    faults
}

fn inherits_version(line: &str) -> bool {
    let line: String = line.split_whitespace().collect();
    line == "version.workspace=true" || line == "version={workspace=true}"
}

/// `1.2.3`, or `1.2.3-rc.1`. The registry would refuse others after the tag was made.
fn is_version(text: &str) -> bool {
    let (numbers, word) = match text.split_once('-') {
        Some((numbers, word)) => (numbers, Some(word)),
        None => (text, None),
    };
    let is_number = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_digit())
            && (part == "0" || !part.starts_with('0'))
    };
    let is_word = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    numbers.split('.').count() == 3
        && numbers.split('.').all(is_number)
        && word.is_none_or(|word| word.split('.').all(is_word))
}

/// The lines of one table, up to the next heading.
fn table<'a>(text: &'a str, heading: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = text.lines().map(str::trim).skip_while(move |line| *line != heading).skip(1);
    lines.take_while(|line| !line.starts_with('['))
}

/// The string behind `key =`.
fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let rest = line.strip_prefix(key)?.trim_start().strip_prefix('=')?.trim_start();
    rest.strip_prefix('"')?.split('"').next()
}

/// Lines such as `toy-base = "0.2"` or `toy-base = { version = "0.2" }` that do not take in the version.
fn stale_mentions<'a>(
    text: &'a str,
    names: &'a [&'a str],
    version: &'a str,
) -> impl Iterator<Item = &'a str> {
    text.lines().map(str::trim).filter(move |line| {
        names.iter().any(|name| {
            let Some(rest) = line.strip_prefix(name).map(str::trim_start) else { return false };
            let Some(rest) = rest.strip_prefix('=').map(str::trim_start) else { return false };
            let inner =
                rest.trim_start_matches('{').split(',').find_map(|part| value(part.trim(), "version"));
            let asked = rest.strip_prefix('"').and_then(|rest| rest.split('"').next()).or(inner);
            asked.is_some_and(|asked| {
                version != asked && !version.starts_with(&format!("{asked}.")) && asked != "*"
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::toy::Toy;
    use super::*;

    fn found(toy: &Toy, version: &str) -> Vec<String> {
        stage(&toy.release(version)).unwrap().faults
    }

    #[test]
    fn one_version_in_one_place() {
        let toy = Toy::new("version");
        assert_eq!(found(&toy, "0.3.0"), [""; 0]);
        let faults = found(&toy, "0.4.0");
        assert_eq!(faults.len(), 2, "{faults:#?}");
        assert!(faults[0].starts_with("the workspace is at 0.3.0, not 0.4.0: set `version`"));
        assert_eq!(faults[1], "toy-top asks for toy-base at `^0.3.0`, not at 0.4.0");

        // The version moved, a sibling was forgotten.
        toy.edit(
            "Cargo.toml",
            "[workspace.package]\nversion = \"0.3.0\"",
            "[workspace.package]\nversion = \"0.3.1\"",
        );
        toy.lock();
        assert_eq!(found(&toy, "0.3.1"), ["toy-top asks for toy-base at `^0.3.0`, not at 0.3.1"]);

        // A crate went its own way, and a readme was forgotten.
        toy.edit("Cargo.toml", "version = \"0.3.0\" }", "version = \"0.3.1\" }");
        toy.edit("top/Cargo.toml", "version.workspace = true", "version = \"0.3.1\"");
        toy.write("README.md", "```toml\ntoy-base = \"0.2\"\n```\n");
        toy.lock();
        assert_eq!(
            found(&toy, "0.3.1"),
            [
                "toy-top has a version of its own; it should say `version.workspace = true`",
                "README.md speaks of another version: toy-base = \"0.2\"",
            ]
        );
    }

    #[test]
    fn a_published_crate_needs_published_siblings() {
        let toy = Toy::new("siblings");
        toy.edit("base/Cargo.toml", "readme =", "publish = false\nreadme =");
        assert_eq!(found(&toy, "0.3.0"), ["toy-top needs toy-base, which is never published"]);
        // Only for tests and without a version, it is left out of the package.
        toy.edit(
            "top/Cargo.toml",
            "[dependencies]\ntoy-base.workspace = true",
            "[dev-dependencies]\ntoy-base = { path = \"../base\" }",
        );
        assert_eq!(found(&toy, "0.3.0"), [""; 0]);
    }

    #[test]
    fn versions_are_three_numbers() {
        for text in ["0.1.0", "10.20.30", "1.0.0-rc.1", "1.0.0-a-b"] {
            assert!(is_version(text), "{text}");
        }
        for text in
            ["", "1", "1.0", "1.0.0.0", "v1.0.0", "1.0.x", "01.0.0", "1.0.0-", "1.0.0 ", "1.0.0-rc..1"]
        {
            assert!(!is_version(text), "{text}");
        }
    }

    #[test]
    fn readmes_may_shorten_the_version() {
        let text = "\
            a-b = \"0.1\"\n a-b = { version = \"0.1.2\", features = [\"x\"] }\na-b = { features = [\"x\"], version = \"0.2\" }\n\
            a-bc = \"9\"\nother = \"9\"\na-b = { path = \"..\" }\na-b is 9";
        let stale: Vec<&str> = stale_mentions(text, &["a-b"], "0.1.2").collect();
        assert_eq!(stale, ["a-b = { features = [\"x\"], version = \"0.2\" }"]);
    }
}
