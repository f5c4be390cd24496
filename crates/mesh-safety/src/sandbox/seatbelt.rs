//! The same policy for macOS: the text of a seatbelt profile. Pure; it was never run by us, only read.

use std::{fmt::Write, path::Path};

use super::{
    places::{HOME_SECRETS, PROTECTED, SETTINGS, SYSTEM, TOOLCHAINS},
    policy::Policy,
};

/// Folders of the system that are seen, beside those of Linux.
#[rustfmt::skip]
const SYSTEM_MAC: &[&str] = &[
    "/System", "/Library/Frameworks", "/Library/Developer", "/Library/Apple", "/usr/local", "/opt/homebrew", "/private/etc",
    "/private/var/db/timezone", "/private/var/select", "/dev",
];

/// The profile by which `sandbox-exec` confines a command: nothing but what it allows.
///
/// Later rules go before earlier ones, so what is protected stands last.
pub fn seatbelt_profile(policy: &Policy) -> String {
    let mut text = String::from(
        "(version 1)\n(deny default)\n(allow process-fork process-exec)\n(allow signal (target same-sandbox))\n\
         (allow sysctl-read)\n(allow mach-lookup (global-name \"com.apple.system.opendirectoryd.libinfo\"))\n\
         (allow ipc-posix-sem ipc-posix-shm)\n(allow file-read-metadata)\n",
    );
    let rule = |text: &mut String, what: &str, kind: &str, path: &Path| {
        let _ = writeln!(text, "({what} ({kind} {}))", quoted(path));
    };
    for place in SYSTEM.iter().chain(SYSTEM_MAC) {
        rule(&mut text, "allow file-read*", "subpath", Path::new(place));
    }
    if let Some(home) = &policy.home {
        for place in TOOLCHAINS.iter().chain(SETTINGS) {
            rule(&mut text, "allow file-read*", "subpath", &home.join(place));
        }
    }
    for place in &policy.readable {
        rule(&mut text, "allow file-read*", "subpath", place);
    }
    if let Some(session) = &policy.session {
        rule(&mut text, "allow file-read* file-write*", "subpath", session);
    }
    for device in ["null", "zero", "tty", "random", "urandom"] {
        rule(&mut text, "allow file-write*", "literal", &Path::new("/dev").join(device));
    }
    for root in &policy.writable {
        rule(&mut text, "allow file-read* file-write*", "subpath", root);
    }
    for root in &policy.writable {
        for name in PROTECTED {
            rule(&mut text, "deny file-write*", "subpath", &root.join(name));
        }
        for name in ["hooks", "config", "config.worktree", "commondir"] {
            // In every repository below, of which the profile need not know.
            let pattern =
                format!("^{}/(.*/)?\\.git/(modules/.*/)?{}(/|$)", escaped(root), name.replace('.', "\\."));
            let _ = writeln!(text, "(deny file-write* (regex #\"{pattern}\"))");
        }
    }
    if let Some(home) = &policy.home {
        for place in HOME_SECRETS {
            let _ = writeln!(text, "(deny file-read* file-write* (subpath {}))", quoted(&home.join(place)));
        }
    }
    text.push_str("(deny network*)\n(allow network* (local ip \"localhost:*\"))\n(allow network-outbound (remote ip \"localhost:*\"))\n");
    text
}

fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A path in a pattern.
fn escaped(path: &Path) -> String {
    let mut text = String::new();
    for letter in path.to_string_lossy().chars() {
        if !letter.is_alphanumeric() && !matches!(letter, '/' | '-' | '_' | ' ') {
            text.push('\\');
        }
        text.push(letter);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_what_it_was() {
        let policy = Policy {
            writable: vec!["/Users/dev/a \"b\".c".into()],
            home: Some("/Users/dev".into()),
            session: Some("/private/tmp/s".into()),
            ..Policy::default()
        };
        insta::assert_snapshot!(seatbelt_profile(&policy));
    }
}
