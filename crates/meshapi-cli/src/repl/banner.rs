//! The first lines of a session, and the rule before each prompt. Seed 5 and 6.1.

use std::path::{Path, PathBuf};

use mesh_agent::Settings;

use crate::{
    config::Folder,
    ui::{
        line::{Line, Style},
        text,
    },
};

/// The name in block letters.
const LOGO: [&str; 6] = [
    "███╗   ███╗███████╗███████╗██╗  ██╗",
    "████╗ ████║██╔════╝██╔════╝██║  ██║",
    "██╔████╔██║█████╗  ███████╗███████║",
    "██║╚██╔╝██║██╔══╝  ╚════██║██╔══██║",
    "██║ ╚═╝ ██║███████╗███████║██║  ██║",
    "╚═╝     ╚═╝╚══════╝╚══════╝╚═╝  ╚═╝",
];

/// Below this width the logo is left out: the lines beside it would not fit.
const LOGO_COLUMNS: usize = 70;

/// The first lines: who we are, where, and with which model.
pub fn banner(cwd: &Path, folder: &Folder, settings: &Settings, columns: usize) -> Vec<Line> {
    let home = folder.path().parent();
    let facts = [
        Line::of(Style::Brand, "✦  ").with(Style::Bold, concat!("meshapi ", env!("CARGO_PKG_VERSION"))),
        Line::of(Style::Dim, "cwd:   ").with(Style::Plain, &pretty(cwd, home)),
        Line::of(Style::Dim, "model: ").with(Style::Bold, &settings.model),
        Line::of(Style::Dim, "route: ").with(Style::Plain, settings.route.as_deref().unwrap_or("default")),
    ];
    let mut lines = vec![Line::blank()];
    if columns < LOGO_COLUMNS {
        lines.extend(facts);
    } else {
        let mut facts = facts.into_iter();
        for (row, letters) in LOGO.iter().enumerate() {
            let mut line = Line::of(Style::Brand, letters);
            if let Some(fact) = (row >= 2).then(|| facts.next()).flatten() {
                line = line.with(Style::Plain, "   ");
                for span in fact.spans() {
                    line = line.with(span.style(), span.text());
                }
            }
            lines.push(line);
        }
    }
    lines.push(Line::blank());
    lines.push(Line::of(Style::Dim, "type /help for commands, /exit to quit"));
    lines.push(Line::blank());
    lines
}

/// A folder as a person writes it. Seed 5.2.
fn pretty(folder: &Path, home: Option<&Path>) -> String {
    match home.and_then(|home| folder.strip_prefix(home).ok()) {
        Some(rest) if rest.as_os_str().is_empty() => "~".to_owned(),
        Some(rest) => format!("~/{}", rest.display()),
        None => folder.display().to_string(),
    }
}

/// The rule before a prompt: the folder's name and the branch at its right end.
pub fn rule(cwd: &Path, columns: usize) -> Line {
    let name = cwd.file_name().map_or_else(|| "/".into(), |name| name.to_string_lossy().into_owned());
    let label = match branch(cwd) {
        Some(branch) => format!(" {name} · {branch} "),
        None => format!(" {name} "),
    };
    let label = text::clip_width(&text::one_line(&label), columns.saturating_sub(4)).into_owned();
    let dashes = columns.saturating_sub(text::width(&label) + 2);
    Line::of(Style::BrandDim, &"─".repeat(dashes)).with(Style::Dim, &label).with(Style::BrandDim, "──")
}

/// A message that was sent without being typed at the prompt.
pub fn entered(message: &str) -> Line {
    Line::of(Style::Brand, "› ").with(Style::Plain, message)
}

/// The branch that is checked out; the commit's first digits when there is none. Reads two small files, runs nothing.
fn branch(cwd: &Path) -> Option<String> {
    let git = cwd.ancestors().map(|folder| folder.join(".git")).find(|git| git.exists())?;
    let git = if git.is_file() { worktree(&git)? } else { git };
    let head = std::fs::read_to_string(git.join("HEAD")).ok()?;
    let head = head.trim();
    match head.strip_prefix("ref: ") {
        Some(reference) => Some(reference.strip_prefix("refs/heads/").unwrap_or(reference).to_owned()),
        None => head.get(..7).map(str::to_owned),
    }
}

/// Where a worktree or submodule keeps its own `HEAD`.
fn worktree(file: &Path) -> Option<PathBuf> {
    let text = std::fs::read_to_string(file).ok()?;
    let folder = text.trim().strip_prefix("gitdir: ")?;
    Some(file.parent()?.join(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(lines: &[Line]) -> String {
        lines.iter().map(|line| format!("{}\n", line.plain())).collect()
    }

    #[test]
    fn the_banner_fits() {
        let settings = Settings { model: "anthropic/claude-sonnet-4.5".into(), ..Settings::default() };
        let folder = Folder::of(Path::new("/home/u"));
        let wide = plain(&banner(Path::new("/home/u/work"), &folder, &settings, 80));
        let narrow = plain(&banner(Path::new("/srv"), &folder, &settings, 40));
        let shown = format!("{wide}{narrow}").replace(env!("CARGO_PKG_VERSION"), "VERSION");
        insta::assert_snapshot!(shown);
    }

    #[test]
    fn the_rule_names_folder_and_branch() {
        let folder = tempfile::tempdir().unwrap();
        let work = folder.path().join("work");
        std::fs::create_dir_all(work.join(".git")).unwrap();
        let shown = |columns| rule(&work, columns).plain().into_owned();
        assert_eq!(shown(20), "──────────── work ──");
        std::fs::write(work.join(".git/HEAD"), "ref: refs/heads/feat/x\n").unwrap();
        assert_eq!(shown(30), "───────────── work · feat/x ──");
        std::fs::write(work.join(".git/HEAD"), "0123456789abcdef\n").unwrap();
        assert_eq!(branch(&work).as_deref(), Some("0123456"));
        let tree = folder.path().join("tree");
        std::fs::create_dir_all(&tree).unwrap();
        std::fs::write(tree.join(".git"), "gitdir: ../work/.git\n").unwrap();
        assert_eq!(branch(&tree).as_deref(), Some("0123456"));
        for columns in 0..12 {
            assert!(text::width(&shown(columns)) <= columns.max(2));
        }
    }
}
