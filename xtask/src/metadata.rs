//! What `cargo metadata` says of the packages and of who depends on whom.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Packages of the workspace and of all its dependencies.
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) target_directory: PathBuf,
}

/// One package, as its manifest declares it and as this workspace resolves it.
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    /// The registry it comes from; none for a package by path.
    pub(crate) source: Option<String>,
    /// It may go to a registry.
    pub(crate) is_publishable: bool,
    pub(crate) description: Option<String>,
    pub(crate) repository: Option<String>,
    /// File name of the readme, below the folder.
    pub(crate) readme: Option<String>,
    /// The SPDX expression of the manifest.
    pub(crate) license: Option<String>,
    /// The declared `rust-version`.
    pub(crate) rust_version: Option<String>,
    /// Folder of the manifest.
    pub(crate) folder: PathBuf,
    pub(crate) is_member: bool,
    /// Dependencies on packages by path, as declared.
    pub(crate) path_dependencies: Vec<(String, Kind)>,
    /// The versions that it asks of packages by path, such as `^0.1.0`; `*` where it names none.
    pub(crate) path_requirements: Vec<(String, String, Kind)>,
    /// Resolved dependencies: package ids.
    pub(crate) resolved: Vec<(String, Kind)>,
}

/// What a dependency is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal,
    Build,
    Dev,
}

/// Which platforms' dependencies count.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Platforms {
    Host,
    All,
}

impl Metadata {
    /// Asks cargo.
    pub(crate) fn read(root: &Path, platforms: Platforms) -> Result<Metadata> {
        Metadata::ask(cargo(root).arg("--locked"), platforms)
    }

    /// Asks a cargo command that is ready but for the subcommand.
    pub(crate) fn ask(command: &mut Command, platforms: Platforms) -> Result<Metadata> {
        command.args(["metadata", "--format-version", "1"]);
        if platforms == Platforms::Host {
            command.args(["--filter-platform", &host()?]);
        }
        let output = command.output().context("cargo metadata does not start")?;
        if !output.status.success() {
            bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Metadata::from_json(&serde_json::from_slice(&output.stdout)?)
    }

    pub(crate) fn from_json(json: &Value) -> Result<Metadata> {
        let members: BTreeSet<&str> = list(&json["workspace_members"]).filter_map(Value::as_str).collect();
        let mut resolved: BTreeMap<&str, Vec<(String, Kind)>> =
            list(&json["resolve"]["nodes"]).map(|node| (text(&node["id"]), edges(node))).collect();
        let packages = list(&json["packages"])
            .map(|package| {
                let id = text(&package["id"]);
                Package {
                    id: id.to_owned(),
                    name: text(&package["name"]).to_owned(),
                    version: text(&package["version"]).to_owned(),
                    source: package["source"].as_str().map(str::to_owned),
                    // `publish = false` is an empty list of registries.
                    is_publishable: package["publish"]
                        .as_array()
                        .is_none_or(|registries| !registries.is_empty()),
                    description: package["description"].as_str().map(str::to_owned),
                    repository: package["repository"].as_str().map(str::to_owned),
                    readme: package["readme"].as_str().map(str::to_owned),
                    license: package["license"].as_str().map(str::to_owned),
                    rust_version: package["rust_version"].as_str().map(str::to_owned),
                    folder: Path::new(text(&package["manifest_path"]))
                        .parent()
                        .map_or_else(PathBuf::new, Path::to_path_buf),
                    is_member: members.contains(id),
                    path_dependencies: list(&package["dependencies"])
                        .filter(|dependency| dependency["path"].is_string())
                        .map(|dependency| (text(&dependency["name"]).to_owned(), kind(&dependency["kind"])))
                        .collect(),
                    path_requirements: list(&package["dependencies"])
                        .filter(|dependency| dependency["path"].is_string())
                        .map(|dependency| {
                            let (name, wanted) = (text(&dependency["name"]), text(&dependency["req"]));
                            (name.to_owned(), wanted.to_owned(), kind(&dependency["kind"]))
                        })
                        .collect(),
                    resolved: resolved.remove(id).unwrap_or_default(),
                }
            })
            .collect();
        Ok(Metadata { packages, target_directory: text(&json["target_directory"]).into() })
    }

    /// Members of the workspace, in cargo's order.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.is_member)
    }

    /// The packages reached from `roots` by dependencies of the given kinds; the roots are among them.
    pub(crate) fn closure<'a>(
        &'a self,
        roots: impl IntoIterator<Item = &'a Package>,
        kinds: &[Kind],
    ) -> Vec<&'a Package> {
        let by_id: BTreeMap<&str, &Package> =
            self.packages.iter().map(|package| (package.id.as_str(), package)).collect();
        let mut open: Vec<&Package> = roots.into_iter().collect();
        let mut seen: BTreeMap<&str, &Package> = BTreeMap::new();
        while let Some(package) = open.pop() {
            if seen.insert(&package.id, package).is_none() {
                let wanted = package.resolved.iter().filter(|(_, kind)| kinds.contains(kind));
                open.extend(wanted.filter_map(|(id, _)| by_id.get(id.as_str()).copied()));
            }
        }
        seen.into_values().collect()
    }
}

/// A cargo command in the workspace, the same cargo that runs us.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

/// The triple of the machine that we run on.
pub(crate) fn host() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output().context("rustc does not start")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_owned())
}

/// One edge for each kind in which a dependency is used.
fn edges(node: &Value) -> Vec<(String, Kind)> {
    list(&node["deps"])
        .flat_map(|dependency| {
            let id = text(&dependency["pkg"]).to_owned();
            list(&dependency["dep_kinds"]).map(move |used| (id.clone(), kind(&used["kind"])))
        })
        .collect()
}

fn kind(value: &Value) -> Kind {
    match value.as_str() {
        Some("dev") => Kind::Dev,
        Some("build") => Kind::Build,
        _ => Kind::Normal,
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_closure_follows_the_wanted_kinds() {
        let package = |id: &str| json!({"id": id, "name": id, "version": "1.0.0", "manifest_path": format!("/w/{id}/Cargo.toml")});
        let edge = |id: &str, kind: Value| json!({"pkg": id, "dep_kinds": [{"kind": kind}]});
        let metadata = Metadata::from_json(&json!({
            "packages": [package("a"), package("b"), package("c"), package("d")],
            "workspace_members": ["a"],
            "target_directory": "/w/target",
            "resolve": {"nodes": [
                {"id": "a", "deps": [edge("b", json!(null)), edge("c", json!("dev"))]},
                {"id": "b", "deps": [edge("d", json!("build")), edge("a", json!(null))]},
            ]},
        }))
        .unwrap();
        let names = |kinds: &[Kind]| -> Vec<&str> {
            metadata.closure(metadata.members(), kinds).iter().map(|package| package.name.as_str()).collect()
        };
        assert_eq!(names(&[Kind::Normal]), ["a", "b"]);
        assert_eq!(names(&[Kind::Normal, Kind::Build]), ["a", "b", "d"]);
        assert_eq!(names(&[Kind::Normal, Kind::Build, Kind::Dev]), ["a", "b", "c", "d"]);
    }
}
