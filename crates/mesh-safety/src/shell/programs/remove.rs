//! Removal, judged by its target: single files of the workspace and build output go, anything else is asked.

use std::path::Path;

use super::Call;
use super::options::Options;
use crate::path::{Finding, Scope};
use crate::shell::flow::{Arg, Flow};
use crate::shell::walk::Walk;

/// Folders that a build makes and can make again.
#[rustfmt::skip]
const BUILD_OUTPUT: &[&str] = &[
    ".cache", ".eggs", ".gradle", ".mypy_cache", ".next", ".nox", ".nuxt", ".nyc_output", ".output", ".parcel-cache",
    ".pytest_cache", ".ruff_cache", ".sass-cache", ".svelte-kit", ".terraform", ".tmp", ".tox", ".turbo", ".venv", ".vite",
    "__pycache__", "_build", "bin-debug", "bower_components", "build", "cmake-build-debug", "cmake-build-release", "coverage",
    "deriveddata", "dist", "dist-newstyle", "elm-stuff", "htmlcov", "node_modules", "obj", "out", "output", "pkg", "release",
    "site", "storybook-static", "target", "temp", "tmp", "venv", "zig-cache", "zig-out",
];

/// Files that tools write again, by name or by ending.
#[rustfmt::skip]
const MADE_AGAIN: &[&str] = &[
    "bun.lockb", "cargo.lock", "composer.lock", "gemfile.lock", "package-lock.json", "pnpm-lock.yaml", "poetry.lock", "uv.lock",
    "yarn.lock", ".coverage", ".ds_store", ".eslintcache", "a.out", "nohup.out",
];

#[rustfmt::skip]
const MADE_AGAIN_ENDINGS: &[&str] = &[
    "aux", "bak", "class", "egg-info", "gcda", "gcno", "log", "o", "obj", "orig", "out", "pid", "profraw", "pyc", "pyo", "rej",
    "swo", "swp", "tmp", "tsbuildinfo",
];

/// `rm`, `unlink`, `rmdir`.
pub(super) fn rm(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    let options = Options::of(call.args, "");
    if options.has("", "--help") || options.has("", "--version") {
        return Flow::default();
    }
    let recursive = call.name.ends_with("rm") && (options.has("-r", "--recursive") || options.has("-R", ""));
    let strange = options.options.iter().find(|(name, _)| {
        let letter = name.len() == 2 && "rRfivdIWPx1".contains(&name[1..]);
        !letter && !name.starts_with("--")
    });
    if let Some((name, _)) = strange.filter(|_| call.name.ends_with("rm")) {
        walk.ask(format!("`{}` with `{name}`, an option that it does not have", call.name));
    }
    if options.has("", "--no-preserve-root") {
        walk.ask_at_top("removes files without sparing the root folder");
    }
    if recursive && options.operands.is_empty() {
        walk.ask("removes whole folders, and does not say which");
    }
    for operand in &options.operands {
        target(walk, operand, recursive, &call.name);
    }
    Flow::default()
}

/// `shred` and its like leave nothing to restore.
pub(super) fn shred(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    if !call.args.iter().any(|arg| arg.text == "--help" || arg.text == "--version") {
        walk.ask_at_top(format!("`{}` destroys files beyond recovery", call.name));
    }
    Flow::default()
}

/// Judges the removal of one place.
pub(super) fn target(walk: &mut Walk<'_>, operand: &Arg, recursive: bool, program: &str) {
    let Some(reason) = reason_to_keep(walk, operand, recursive) else { return };
    let text = format!("`{program}` removes `{}`: {reason}", operand.text);
    // Whole folders beyond the workspace, and the workspace or home itself, do not come back.
    let (path, base) = (Path::new(&operand.text), walk.base());
    let reaches_far = walk.guard.is_root_or_above(path, &base) || !walk.guard.is_inside(path, &base);
    match recursive && operand.is_known && reaches_far || operand.text.starts_with("/*") {
        true => walk.ask_at_top(text),
        false => walk.ask(text),
    }
}

/// Judges what `mv` takes away from its place.
pub(super) fn moved(walk: &mut Walk<'_>, source: &Arg, whole: bool) {
    walk.write(source, "`mv`");
    if whole || walk.guard.is_root_or_above(Path::new(&source.text), &walk.base()) {
        walk.ask(format!("`mv` takes everything out of `{}`", source.text));
    }
}

fn reason_to_keep(walk: &Walk<'_>, operand: &Arg, recursive: bool) -> Option<String> {
    if !operand.is_known {
        let named = operand.text.contains(|c: char| c.is_alphanumeric()) && !operand.begins_unknown;
        if recursive || !named || operand.text.starts_with(['/', '~']) || operand.text.contains("..") {
            return Some("the place is only known at run time".to_owned());
        }
    }
    if walk.folder.is_none() {
        return Some("the working folder is not known here".to_owned());
    }
    let (path, base) = (Path::new(&operand.text), walk.base());
    if walk.guard.is_root_or_above(path, &base) {
        return Some("the place holds the whole workspace or home".to_owned());
    }
    // In the private `/tmp` of a sandbox nothing is but what this session put there; elsewhere outside the kernel refuses.
    let confined = walk.is_confined();
    let scratch = confined && operand.is_known && walk.guard.is_in_scratch(path, &base);
    let scope = if confined && (scratch || !recursive) && operand.is_known {
        Scope::Confined
    } else {
        Scope::Workspace
    };
    match walk.guard.write(path, &base, scope) {
        Ok(()) | Err(Finding::Special(_)) => {}
        Err(finding) => return Some(finding.to_string()),
    }
    let names: Vec<String> = operand.text.to_lowercase().split('/').map(str::to_owned).collect();
    let made_again =
        names.iter().any(|name| BUILD_OUTPUT.contains(&name.as_str())) || is_made_again(names.last());
    if scratch {
        return None;
    }
    if recursive && !made_again {
        return Some("a whole folder that no build makes again".to_owned());
    }
    if operand.is_pattern && !made_again {
        return Some("a pattern that may match more than is meant".to_owned());
    }
    None
}

/// Whether a build makes a file or folder of this name again.
pub(super) fn is_build_output(name: &str) -> bool {
    BUILD_OUTPUT.contains(&name) || is_made_again(Some(&name.to_owned()))
}

fn is_made_again(name: Option<&String>) -> bool {
    let Some(name) = name else { return false };
    let ending = name.rsplit_once('.').map(|(_, ending)| ending);
    MADE_AGAIN.contains(&name.as_str()) || ending.is_some_and(|ending| MADE_AGAIN_ENDINGS.contains(&ending))
}
