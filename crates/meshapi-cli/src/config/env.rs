//! The process environment as a value. The only place of the crate that reads it.

use std::{ffi::OsString, path::PathBuf};

use crate::{sys, ui::theme::TerminalEnv};

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
    /// `MESHAPI_LOG`: file for the trace; empty counts as unset.
    pub log: Option<PathBuf>,
    /// `MESHAPI_LOG_LEVEL`: which spans and events go there.
    pub log_level: Option<String>,
    /// How the terminal looks.
    pub terminal: TerminalEnv,
}

impl Environment {
    /// Reads the environment of this process.
    pub fn of_process() -> Environment {
        Environment::from_lookup(|name| std::env::var_os(name))
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
            log: path("MESHAPI_LOG"),
            log_level: filled("MESHAPI_LOG_LEVEL"),
            terminal: TerminalEnv {
                meshapi_theme: any("MESHAPI_THEME"),
                colorfgbg: any("COLORFGBG"),
                no_color: any("NO_COLOR"),
                term: any("TERM"),
                colorterm: any("COLORTERM"),
            },
        }
    }
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
