//! The last step, which cannot be taken back: the annotated tag, the publication, and a look at each version's own page.
//!
//! It ships what the run before called ready, of the same commit, and asks a person at a terminal to type what is about to happen.
//! After a failure half way it can be asked for again: what is out already is left alone.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::tree::Tree;
use super::{Release, archive, packed};
use crate::{changelog, metadata};

/// What is remembered of a run that ended with "ready to ship".
const READY: &str = "READY";

/// How often a version's page is asked for before we give up, and how long we wait in between. The registry's index follows an
/// upload within seconds; cargo itself waits a minute for it.
const LOOKS: u32 = 12;
const BETWEEN_LOOKS: Duration = Duration::from_secs(5);

/// What was called ready.
#[derive(Debug, PartialEq, Eq)]
struct Ready {
    version: String,
    commit: String,
    /// Names of the crates in the order of the workspace, and the SHA-256 of their packages.
    crates: Vec<(String, String)>,
}

/// Everything outside of this machine, and the person in front of it.
trait World {
    /// Whether a person can answer.
    fn is_person(&self) -> bool;
    /// Shows a question and returns the line that is typed.
    fn ask(&mut self, question: &str) -> Result<String>;
    /// Publishes the named crates, each after the ones that it needs.
    fn publish(&mut self, names: &[&str]) -> Result<()>;
    /// The SHA-256 that the version's own page gives, or `None` while there is no such page.
    fn page(&mut self, name: &str, version: &str) -> Result<Option<String>>;
    /// Lets some time pass before the next look.
    fn wait(&mut self);
}

/// Writes down that this commit is ready.
pub(super) fn remember(release: &Release<'_>) -> Result<()> {
    let mut text = format!("version {}\ncommit {}\n", release.version, release.tree.head()?);
    let files = packed::files(release)?;
    for (package, file) in release.published().zip(files) {
        let bytes = std::fs::read(&file).with_context(|| file.display().to_string())?;
        text.push_str(&format!("crate {} {}\n", package.name, archive::sha256(&bytes)));
    }
    let path = release.dist().join(READY);
    std::fs::write(&path, text).with_context(|| path.display().to_string())
}

/// Takes back an earlier "ready".
pub(super) fn forget(dist: &Path) -> Result<()> {
    match std::fs::remove_file(dist.join(READY)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).context(READY),
        _ => Ok(()),
    }
}

pub(super) fn run(release: &Release<'_>) -> Result<()> {
    let changelog = std::fs::read_to_string(release.root.join("CHANGELOG.md")).context("CHANGELOG.md")?;
    let notes = changelog::notes(&changelog, release.version)?;
    let ready = recall(&release.dist(), release.version, &release.tree)?;
    ship(&ready, &release.tag(), notes, &release.tree, &mut Outside { root: release.root.to_path_buf() })
}

/// What the earlier run called ready, if it is still true.
fn recall(dist: &Path, version: &str, tree: &Tree<'_>) -> Result<Ready> {
    let again = format!("run `cargo xtask release --version {version}` first");
    let text = std::fs::read_to_string(dist.join(READY));
    let ready = parse(&text.with_context(|| format!("nothing is ready to ship; {again}"))?);
    if ready.version != version {
        bail!("{} is ready, not {version}; {again}", ready.version);
    }
    if ready.commit != tree.head()? {
        bail!("another commit is checked out than the one that was ready; {again}");
    }
    if !tree.changes()?.is_empty() {
        bail!("the tree has changes that are in no commit; {again}");
    }
    let faults = archive::checksum_faults(dist)?;
    if !faults.is_empty() {
        bail!("{}; {again}", faults.join("; "));
    }
    if ready.crates.is_empty() {
        bail!("no crate is ready; {again}");
    }
    Ok(ready)
}

fn parse(text: &str) -> Ready {
    let mut ready = Ready { version: String::new(), commit: String::new(), crates: Vec::new() };
    for line in text.lines() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["version", version] => version.clone_into(&mut ready.version),
            ["commit", commit] => commit.clone_into(&mut ready.commit),
            ["crate", name, sum] => ready.crates.push((name.to_owned(), sum.to_owned())),
            _ => {}
        }
    }
    ready
}

fn ship(ready: &Ready, tag: &str, notes: &str, tree: &Tree<'_>, world: &mut dyn World) -> Result<()> {
    if !world.is_person() {
        bail!("--ship-it is for a person at a terminal, who is asked a question; nothing was done");
    }
    let waiting = waiting(ready, world)?;
    let names: Vec<&str> = waiting.iter().map(|(name, _)| name.as_str()).collect();
    let what = format!("ship {}", ready.version);
    let question = format!(
        "{notes}\n\nThis makes the tag {tag} and publishes, for good: {}\nType `{what}` to do it: ",
        if names.is_empty() { "nothing, all of it is out".to_owned() } else { names.join(", ") }
    );
    if world.ask(&question)?.trim() != what {
        bail!("not confirmed; nothing was done");
    }
    make_tag(tag, notes, tree)?;
    if !names.is_empty() {
        world
            .publish(&names)
            .with_context(|| format!("the tag {tag} is made; after mending, ask for --ship-it again"))?;
    }
    for (name, sum) in &ready.crates {
        confirm(name, &ready.version, sum, world)?;
    }
    println!(
        "{} is out: {} crates confirmed by their pages\nnow: git push origin {tag}, and attach the archive to it",
        ready.version,
        ready.crates.len()
    );
    Ok(())
}

/// The crates that have no page for this version yet.
fn waiting<'a>(ready: &'a Ready, world: &mut dyn World) -> Result<Vec<&'a (String, String)>> {
    let mut waiting = Vec::new();
    for one in &ready.crates {
        let (name, sum) = one;
        match world.page(name, &ready.version)? {
            None => waiting.push(one),
            Some(found) if found == *sum => {}
            Some(found) => bail!(
                "{name} {} is out already with other content (sha-256 {found}); nothing was done",
                ready.version
            ),
        }
    }
    Ok(waiting)
}

fn make_tag(tag: &str, notes: &str, tree: &Tree<'_>) -> Result<()> {
    let head = tree.head()?;
    match tree.tagged(tag)? {
        Some(commit) if commit == head => return Ok(()),
        Some(commit) => {
            bail!("the tag {tag} stands for {commit}, not for this commit; nothing was published")
        }
        None => {}
    }
    // Headings of the changelog begin with `#`, which git would take for a comment.
    tree.git(&["tag", "--annotate", "--cleanup=verbatim", "--message", &format!("{tag}\n\n{notes}\n"), tag])?;
    Ok(())
}

fn confirm(name: &str, version: &str, sum: &str, world: &mut dyn World) -> Result<()> {
    for look in 0..LOOKS {
        if look > 0 {
            world.wait();
        }
        match world.page(name, version)? {
            Some(found) if found == sum => {
                println!("{name} {version}: its page says sha-256 {sum}");
                return Ok(());
            }
            Some(found) => bail!("the page of {name} {version} says sha-256 {found}, but we packed {sum}"),
            None => {}
        }
    }
    bail!("{name} {version} was sent, but has no page yet; look at https://crates.io/crates/{name}/{version}")
}

/// The real terminal and the real registry.
struct Outside {
    root: PathBuf,
}

impl World for Outside {
    fn is_person(&self) -> bool {
        std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
    }

    fn ask(&mut self, question: &str) -> Result<String> {
        print!("{question}");
        std::io::stdout().flush()?;
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line)?;
        Ok(line)
    }

    fn publish(&mut self, names: &[&str]) -> Result<()> {
        let mut command = metadata::cargo(&self.root);
        command.args(["publish", "--locked"]);
        for name in names {
            command.args(["--package", name]);
        }
        let status = command.status().context("cargo does not start")?;
        if !status.success() {
            bail!("cargo publish failed: {status}");
        }
        Ok(())
    }

    fn page(&mut self, name: &str, version: &str) -> Result<Option<String>> {
        let address = format!("https://crates.io/api/v1/crates/{name}/{version}");
        // The registry refuses whoever does not say who asks.
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "30", "--write-out", "\n%{http_code}"])
            .args(["--user-agent", "meshapi-xtask (https://github.com/meshapi-rs/meshapi)", &address])
            .output()
            .context("curl does not start")?;
        if !output.status.success() {
            bail!("{address}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        understand(&String::from_utf8_lossy(&output.stdout), name, version).with_context(|| address)
    }

    fn wait(&mut self) {
        std::thread::sleep(BETWEEN_LOOKS);
    }
}

/// Reads a page with its status on the last line.
fn understand(answer: &str, name: &str, version: &str) -> Result<Option<String>> {
    let (body, status) = answer.rsplit_once('\n').unwrap_or(("", answer));
    match status.trim() {
        "404" => return Ok(None),
        "200" => {}
        other => bail!("status {other}"),
    }
    let page: Value = serde_json::from_str(body).context("the page is no JSON")?;
    let page = &page["version"];
    if page["crate"] != name || page["num"] != version {
        bail!("the page is about {} {}", page["crate"], page["num"]);
    }
    if page["yanked"] == true {
        bail!("{name} {version} was yanked");
    }
    let sum = page["checksum"].as_str().context("the page gives no checksum")?;
    Ok(Some(sum.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::toy::Toy;
    use super::*;

    /// A registry that remembers, and somebody who types.
    struct Fake {
        is_person: bool,
        typed: &'static str,
        pages: BTreeMap<String, String>,
        /// What the registry makes of an upload.
        takes: BTreeMap<String, String>,
        calls: Vec<String>,
    }

    impl Fake {
        fn new(typed: &'static str) -> Fake {
            let takes = [("toy-base", "b5"), ("toy-top", "70")].map(|(name, sum)| (name.into(), sum.into()));
            Fake { is_person: true, typed, pages: BTreeMap::new(), takes: takes.into(), calls: Vec::new() }
        }
    }

    impl World for Fake {
        fn is_person(&self) -> bool {
            self.is_person
        }
        fn ask(&mut self, question: &str) -> Result<String> {
            self.calls.push(format!("ask {}", question.lines().rev().nth(1).unwrap_or_default()));
            Ok(self.typed.to_owned())
        }
        fn publish(&mut self, names: &[&str]) -> Result<()> {
            self.calls.push(format!("publish {}", names.join(" ")));
            for name in names {
                match self.takes.get(*name) {
                    Some(sum) => self.pages.insert((*name).to_owned(), sum.clone()),
                    None => bail!("{name} was refused"),
                };
            }
            Ok(())
        }
        fn page(&mut self, name: &str, _version: &str) -> Result<Option<String>> {
            Ok(self.pages.get(name).cloned())
        }
        fn wait(&mut self) {
            self.calls.push("wait".into());
        }
    }

    fn ready(tree: &Tree<'_>) -> Ready {
        let crates = [("toy-base", "b5"), ("toy-top", "70")].map(|(name, sum)| (name.into(), sum.into()));
        Ready { version: "0.3.0".into(), commit: tree.head().unwrap(), crates: crates.into() }
    }

    const NOTES: &str = "### toy-base\n- Added: one";

    fn try_ship(toy: &Toy, world: &mut Fake) -> Result<(), String> {
        let tree = Tree::new(toy.root());
        ship(&ready(&tree), "v0.3.0", NOTES, &tree, world).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_person_who_types_it_tags_publishes_and_sees_the_pages() {
        let toy = Toy::new("ship");
        let tree = Tree::new(toy.root());
        let mut world = Fake::new("ship 0.3.0\n");
        try_ship(&toy, &mut world).unwrap();
        assert_eq!(
            world.calls,
            [
                "ask This makes the tag v0.3.0 and publishes, for good: toy-base, toy-top",
                "publish toy-base toy-top"
            ]
        );
        assert_eq!(tree.tagged("v0.3.0").unwrap(), Some(tree.head().unwrap()));
        assert_eq!(tree.git(&["cat-file", "-t", "v0.3.0"]).unwrap(), "tag", "it is annotated");
        assert!(tree.git(&["tag", "-n9", "-l", "v0.3.0"]).unwrap().contains("### toy-base"));
        // Asked for again, nothing is left to do.
        try_ship(&toy, &mut world).unwrap();
        assert_eq!(world.calls.len(), 3);
    }

    #[test]
    fn without_a_person_and_their_word_nothing_happens() {
        let toy = Toy::new("nobody");
        let before = Tree::new(toy.root()).state().unwrap();
        for (is_person, typed, why) in [
            (false, "ship 0.3.0", "for a person at a terminal"),
            (true, "", "not confirmed"),
            (true, "y\n", "not confirmed"),
            (true, "ship 0.3.1\n", "not confirmed"),
        ] {
            let mut world = Fake { is_person, ..Fake::new(typed) };
            let error = try_ship(&toy, &mut world).unwrap_err();
            assert!(error.contains(why) && error.contains("nothing was done"), "{error}");
            assert!(!world.calls.iter().any(|call| call.starts_with("publish")));
        }
        assert_eq!(Tree::new(toy.root()).state().unwrap(), before);
    }

    #[test]
    fn what_went_wrong_half_way_is_gone_on_with() {
        let toy = Toy::new("half");
        let mut world = Fake::new("ship 0.3.0\n");
        world.takes.remove("toy-top");
        let error = try_ship(&toy, &mut world).unwrap_err();
        assert!(error.contains("the tag v0.3.0 is made") && error.contains("toy-top was refused"), "{error}");
        world.takes.insert("toy-top".into(), "70".into());
        world.calls.clear();
        try_ship(&toy, &mut world).unwrap();
        assert_eq!(world.calls[1], "publish toy-top");
    }

    #[test]
    fn pages_that_say_something_else_are_no_confirmation() {
        let toy = Toy::new("pages");
        // Somebody else's content stands under our name before we begin.
        let mut world = Fake::new("ship 0.3.0\n");
        world.pages.insert("toy-top".into(), "ff".into());
        let error = try_ship(&toy, &mut world).unwrap_err();
        assert!(error.contains("with other content") && world.calls.is_empty(), "{error}");
        // The registry got something else than we packed.
        let mut world = Fake::new("ship 0.3.0\n");
        world.takes.insert("toy-base".into(), "ff".into());
        let error = try_ship(&toy, &mut world).unwrap_err();
        assert!(error.contains("says sha-256 ff, but we packed b5"), "{error}");
        // No page comes.
        let mut world = Fake::new("");
        assert!(
            confirm("toy-base", "0.3.0", "b5", &mut world).unwrap_err().to_string().contains("no page yet")
        );
        assert_eq!(world.calls.len() + 1, LOOKS as usize);
    }

    #[test]
    fn only_what_was_ready_is_shipped() {
        let toy = Toy::new("ready");
        let release = toy.release("0.3.0");
        let tree = Tree::new(toy.root());
        let dist = release.dist();
        let error = |version: &str| format!("{:#}", recall(&dist, version, &tree).unwrap_err());
        assert!(
            error("0.3.0").starts_with("nothing is ready to ship; run `cargo xtask release --version 0.3.0`")
        );

        toy.write("target/release-dist/a.tar.gz", "abc");
        let sum = archive::sha256(b"abc");
        toy.write("target/release-dist/SHA256SUMS", &format!("{sum}  a.tar.gz\n"));
        for name in ["toy-base", "toy-top"] {
            toy.write(&format!("target/release-work/packages/package/{name}-0.3.0.crate"), name);
        }
        remember(&release).unwrap();
        let found = recall(&dist, "0.3.0", &tree).unwrap();
        assert_eq!(found.crates[1], ("toy-top".to_owned(), archive::sha256(b"toy-top")));
        assert!(error("0.4.0").starts_with("0.3.0 is ready, not 0.4.0"));

        toy.write("target/release-dist/a.tar.gz", "another");
        assert!(error("0.3.0").starts_with("a.tar.gz is not what SHA256SUMS says"));
        toy.write("target/release-dist/a.tar.gz", "abc");
        toy.write("base/src/lib.rs", "");
        assert!(error("0.3.0").contains("in no commit"));
        toy.commit("more");
        assert!(error("0.3.0").starts_with("another commit"));
        forget(&dist).unwrap();
        forget(&dist).unwrap();
        assert!(error("0.3.0").starts_with("nothing is ready"));
    }

    #[test]
    fn a_page_is_about_one_version() {
        let page = |text: &str| understand(text, "toy", "0.3.0").map_err(|error| format!("{error:#}"));
        let good = r#"{"version":{"crate":"toy","num":"0.3.0","checksum":"abcd","yanked":false}}"#;
        assert_eq!(page(&format!("{good}\n200")).unwrap(), Some("abcd".into()));
        assert_eq!(page("{\"errors\":[]}\n404").unwrap(), None);
        for (text, why) in [
            (format!("{good}\n500"), "status 500"),
            ("<html>\n200".to_owned(), "no JSON"),
            (format!("{}\n200", good.replace("0.3.0", "0.3.1")), "is about"),
            (format!("{}\n200", good.replace("false", "true")), "yanked"),
            (format!("{}\n200", good.replace("checksum", "x")), "no checksum"),
            (String::new(), "status"),
        ] {
            let error = page(&text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
