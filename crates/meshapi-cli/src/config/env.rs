//! The process environment as a value. The only place of the crate that reads it.

use std::{ffi::OsString, path::PathBuf};

use crate::{sys, ui::theme::TerminalEnv};

/// What the environment says of the user's mailbox; an empty value counts as unset.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct MailEnv {
    /// `MESH_NODE`.
    pub node: Option<String>,
    /// `MESH_GATEWAY_URL`.
    pub gateway: Option<String>,
    /// `MESH_GATEWAY_TOKEN`.
    pub token: Option<String>,
}

/// What the environment says to this program. Text that is not UTF-8 is kept as far as it can be shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// The user's home; an empty or relative one counts as missing.
    pub home: Option<PathBuf>,
    /// `MESHAPI_API_KEY`; an empty one counts as unset.
    pub api_key: Option<String>,
    /// `MESH_API_KEY`, the old name; an empty one counts as unset.
    pub legacy_api_key: Option<String>,
    /// `MESHAPI_BASE_URL`; an empty one counts, and is refused later.
    pub base_url: Option<String>,
    /// Who the user is to their peers.
    pub mail: MailEnv,
    /// `MESHAPI_LOG`: file for the trace; empty counts as unset.
    pub log: Option<PathBuf>,
    /// `MESHAPI_LOG_LEVEL`: which spans and events go there.
    pub log_level: Option<String>,
    /// How the terminal looks.
    pub terminal: TerminalEnv,
    /// The terminal wraps what stands on it anew when it is made narrower, as far as its variables tell.
    pub rewraps: bool,
}

impl Environment {
    /// Reads the environment of this process.
    pub fn of_process() -> Environment {
        let env = Environment::from_lookup(|name| std::env::var_os(name));
        // Without the variable the system's list of users says where the home is, as for the Python releases.
        let listed = || std::env::home_dir().filter(|home| home.is_absolute());
        Environment { home: env.home.or_else(listed), ..env }
    }

    /// The same from any table of variables.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<OsString>) -> Environment {
        let any = |name: &str| lookup(name).map(|value| value.to_string_lossy().into_owned());
        let filled = |name: &str| any(name).filter(|value| !value.trim().is_empty());
        let path = |name: &str| lookup(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Environment {
            home: path(sys::HOME_VARIABLE).filter(|home| home.is_absolute()),
            api_key: filled("MESHAPI_API_KEY"),
            legacy_api_key: filled("MESH_API_KEY"),
            base_url: any("MESHAPI_BASE_URL"),
            mail: MailEnv {
                node: filled("MESH_NODE"),
                gateway: filled("MESH_GATEWAY_URL"),
                token: filled("MESH_GATEWAY_TOKEN"),
            },
            log: path("MESHAPI_LOG"),
            log_level: filled("MESHAPI_LOG_LEVEL"),
            terminal: TerminalEnv {
                meshapi_theme: any("MESHAPI_THEME"),
                colorfgbg: any("COLORFGBG"),
                no_color: any("NO_COLOR"),
                term: any("TERM"),
                colorterm: any("COLORTERM"),
            },
            rewraps: rewraps(&filled),
        }
    }
}

/// Terminals that wrap anew say who they are. GNU screen does not, whatever terminal it runs in; tmux does, whatever it runs in.
fn rewraps(filled: &impl Fn(&str) -> Option<String>) -> bool {
    const VARIABLES: [&str; 8] = [
        "ALACRITTY_WINDOW_ID",
        "GHOSTTY_RESOURCES_DIR",
        "ITERM_SESSION_ID",
        "KITTY_WINDOW_ID",
        "KONSOLE_VERSION",
        "VTE_VERSION",
        "WEZTERM_PANE",
        "WT_SESSION",
    ];
    let is_vs_code = || filled("TERM_PROGRAM").is_some_and(|name| name == "vscode");
    let says_so = || VARIABLES.iter().any(|name| filled(name).is_some()) || is_vs_code();
    filled("TMUX").is_some() || (filled("STY").is_none() && says_so())
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment")
            .field("home", &self.home)
            .field("has_api_key", &(self.api_key.is_some() || self.legacy_api_key.is_some()))
            .field("log", &self.log)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_that_wrap_anew() {
        let rewraps = |variables: &[(&str, &str)]| {
            let value = |name: &str| variables.iter().find(|(one, _)| *one == name);
            Environment::from_lookup(|name| value(name).map(|(_, value)| value.into())).rewraps
        };
        assert!(rewraps(&[("TMUX", "/tmp/tmux-1/default,1,0"), ("TERM", "screen-256color")]));
        assert!(rewraps(&[("VTE_VERSION", "7600"), ("TERM", "xterm-256color")]));
        assert!(rewraps(&[("TERM_PROGRAM", "vscode")]));
        assert!(!rewraps(&[("TERM", "xterm-256color")]));
        assert!(!rewraps(&[("STY", "1.tty"), ("KITTY_WINDOW_ID", "1")]));
        assert!(!rewraps(&[("TMUX", "")]));
    }

    #[test]
    fn empty_variables() {
        let env = Environment::from_lookup(|name| match name {
            "MESHAPI_API_KEY" => Some("  ".into()),
            "MESH_API_KEY" => Some("rsk_old".into()),
            "MESHAPI_BASE_URL" | "MESHAPI_LOG" => Some("".into()),
            "HOME" | "USERPROFILE" => Some("relative".into()),
            _ => None,
        });
        assert_eq!(env.api_key, None);
        assert_eq!(env.legacy_api_key.as_deref(), Some("rsk_old"));
        assert_eq!(env.base_url.as_deref(), Some(""));
        assert_eq!((env.log.as_ref(), env.home.as_ref()), (None, None));
        assert!(!format!("{env:?}").contains("rsk_old"));
    }
}
