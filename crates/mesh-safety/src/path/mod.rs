//! Guards of reads and writes: workspace scope and sensitive places, links resolved (seed 14.1 to 14.5, D-24, D-26).
//!
//! A path is judged twice: as it is written, and, with the feature `fs`, as what it really names. Both must pass. What passed is
//! opened by its [`Sighting`]: a path that leads elsewhere by then is refused.

mod guard;
#[cfg(feature = "fs")]
mod opened;
mod parts;
mod places;
#[cfg(feature = "fs")]
mod resolve;
mod spell;

use std::path::Path;

pub(crate) use guard::{Finding, Guard, Scope};
#[cfg(feature = "fs")]
pub use opened::{Entry, OpenError, OpenedFolder, OpenedForRead, OpenedForWrite, Sighting, judge_opened};
pub(crate) use parts::matches;
pub(crate) use places::Strictness;
#[cfg(feature = "sandbox")]
pub(crate) use places::{HOME_SECRETS, HOME_STARTUP, TOOLCHAINS};
pub use spell::is_invisible;

use crate::{Decision, PermissionMode, Policy};

/// Judges the reading of one file, folder or tree: secret stores and the system's places ask (seed 14.2, 14.3).
///
/// `~` is the home, and a relative path starts at the workspace. There is no scope: where to read is the matrix's matter.
pub fn judge_read(path: impl AsRef<Path>, policy: &Policy) -> Decision {
    read_by(&Guard::new(policy), path.as_ref())
}

/// As [`judge_read`], by a guard that may have looked before.
pub(crate) fn read_by(guard: &Guard<'_>, path: &Path) -> Decision {
    decide("reading", path, guard.read(path, &guard.policy().workspace, Strictness::Seed))
}

/// Judges the creation or change of one file: as for reading, and what runs later asks too (D-26).
///
/// Outside bypass the file must also lie inside the workspace (seed 14.4).
pub fn judge_write(path: impl AsRef<Path>, mode: PermissionMode, policy: &Policy) -> Decision {
    write_by(&Guard::new(policy), path.as_ref(), mode)
}

/// As [`judge_write`], by a guard that may have looked before.
pub(crate) fn write_by(guard: &Guard<'_>, path: &Path, mode: PermissionMode) -> Decision {
    let scope = match mode {
        PermissionMode::Default | PermissionMode::AcceptEdits | PermissionMode::Auto => Scope::Workspace,
        PermissionMode::Bypass => Scope::Anywhere,
    };
    decide("writing", path, guard.write(path, &guard.policy().workspace, scope))
}

fn decide(verb: &str, path: &Path, found: Result<(), Finding>) -> Decision {
    match found {
        Ok(()) => Decision::Allow,
        Err(Finding::Empty) => Decision::ask_by_check("empty path"),
        Err(finding) => Decision::ask_by_check(format!("{verb} `{}`: {finding}", shown(path))),
    }
}

/// A path for a person's eyes: control characters escaped.
fn shown(path: &Path) -> String {
    path.to_string_lossy()
        .chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        Policy { workspace: "/home/dev/w".into(), home: Some("/home/dev".into()), ..Policy::default() }
    }

    #[track_caller]
    fn reads(path: &str, want: bool) {
        assert_eq!(judge_read(path, &policy()).is_allow(), want, "{path}");
    }

    #[track_caller]
    fn writes(path: &str, want: bool) {
        assert_eq!(judge_write(path, PermissionMode::Bypass, &policy()).is_allow(), want, "{path}");
    }

    #[test]
    fn secrets_are_not_read() {
        for path in [
            "~/.ssh/id_rsa",
            "/home/eve/.ssh/x",
            "/root/.aws/credentials",
            "keys/id_ed25519",
            ".env",
            ".env.local",
        ] {
            reads(path, false);
        }
        for path in [
            "server.key",
            "a.PEM",
            "/etc/shadow",
            "/proc/self/environ",
            "/dev/sda",
            "src/../../.netrc",
            "~/.x_history",
        ] {
            reads(path, false);
        }
        for path in [
            "src/keys.rs",
            ".env.example",
            "id_rsa.pub",
            "/etc/hosts",
            "/proc/cpuinfo",
            "~/.npmrcx",
            "../x",
            "...",
        ] {
            reads(path, true);
        }
    }

    #[test]
    fn stores_of_other_tools_and_files_of_data_are_secrets_too() {
        for path in [
            "~/.config/stripe/config.toml",
            "~/.local/share/gnome-keyring/login.keyring",
            "~/.m2/settings-security.xml",
            "keys/app-service-account-7.json",
            "deploy/secrets/prod.yaml",
            "terraform.tfvars",
            "host.keytab",
            "/etc/shadow-",
            "/var/mail/dev",
            "/var/lib/kubelet/config",
        ] {
            reads(path, false);
        }
        for path in
            ["src/secrets/mod.rs", "secrets/app.example.yaml", "docs/secrets.md", "k8s/serviceaccount.yaml"]
        {
            reads(path, true);
        }
        for path in [
            "~/.config/sway/config",
            "~/go/bin/x",
            "~/.pyenv/x",
            ".windsurf/rules",
            ".vscode/mcp.json",
            ".hg/hgrc",
        ] {
            writes(path, false);
        }
    }

    #[test]
    fn what_runs_later_is_not_written() {
        for path in [
            "~/.bashrc",
            ".git/hooks/x",
            "sub/.git/config",
            "~/.config/fish/config.fish",
            ".vscode/tasks.json",
        ] {
            writes(path, false);
        }
        for path in ["/etc/x", "/usr/lib/x", "/lib/x", "/dev/null", "/var/spool/cron/x", "/home/eve/.zshrc"] {
            writes(path, false);
        }
        for path in
            [".github/workflows/ci.yml", ".gitignore", "docs/.bashrc.md", "~/other/x", "routes/$id.tsx"]
        {
            writes(path, true);
        }
    }

    #[test]
    fn outside_the_workspace_only_bypass_writes() {
        for (path, want) in
            [("a", true), ("../a", false), ("/home/dev/wx/a", false), ("x/../a", true), ("x/../../a", false)]
        {
            assert_eq!(judge_write(path, PermissionMode::Auto, &policy()).is_allow(), want, "{path}");
        }
    }

    #[test]
    fn a_path_that_hides_its_meaning_asks() {
        for path in
            ["", "  ", "a\nb", "$HOME/x", "~eve/x", "file:///etc/hosts", "a\u{202e}b", "x /y", "${X}/y"]
        {
            reads(path, false);
            writes(path, false);
        }
    }

    #[test]
    fn a_workspace_inside_a_place_of_the_system_is_written() {
        let policy =
            Policy { workspace: "/usr/src/app".into(), home: Some("/root".into()), ..Policy::default() };
        assert!(judge_write("main.rs", PermissionMode::Auto, &policy).is_allow());
        assert!(!judge_write("/usr/src/other", PermissionMode::Bypass, &policy).is_allow());
        let policy =
            Policy { workspace: "/root/app".into(), home: Some("/root".into()), ..Policy::default() };
        assert!(judge_write("main.rs", PermissionMode::Auto, &policy).is_allow());
        assert!(judge_read("/root/notes", &policy).is_allow());
    }
}
