//! Which variables a child process inherits: our own keys stay here, and what loads foreign code into a shell does not pass.

use std::ffi::{OsStr, OsString};

/// Words that make a variable's name that of a credential.
const CREDENTIAL_WORDS: [&str; 8] =
    ["KEY", "KEYS", "SECRET", "TOKEN", "PASSWORD", "PASSWD", "CREDENTIAL", "CREDENTIALS"];

/// Prefixes of the variables that are ours.
const OUR_PREFIXES: [&str; 2] = ["MESHAPI_", "MESH_"];

/// Returns whether a variable is one of ours and holds a credential, so that no child process gets it (D-17).
///
/// Ours begin with `MESHAPI_` or `MESH_`; a part between underscores says what it holds. Case does not count.
///
/// ```
/// use mesh_safety::env::is_withheld;
/// assert!(is_withheld("MESHAPI_API_KEY"));
/// assert!(!is_withheld("MESHAPI_BASE_URL"));
/// assert!(!is_withheld("GITHUB_TOKEN"));
/// ```
pub fn is_withheld(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    OUR_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) && names_credential(&name)
}

/// Returns whether a variable's name says that it holds a credential, whoever it belongs to.
///
/// Judged by whole words between underscores, as in `AWS_SECRET_ACCESS_KEY`; also by a run of letters that ends so, as in
/// `PGPASSWORD` or `OPENAI_APIKEY`.
pub fn names_credential(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    name.split('_').any(|part| {
        CREDENTIAL_WORDS.contains(&part)
            || ["APIKEY", "PASSWORD", "PASSWD", "TOKEN", "SECRET"].iter().any(|word| part.ends_with(word))
    })
}

/// Returns the variables that a child process gets: all but the withheld ones.
///
/// Names that are not Unicode are kept: none of ours is.
pub fn for_child(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> impl Iterator<Item = (OsString, OsString)> {
    variables.into_iter().filter(|(name, _)| !is_withheld_os(name))
}

/// Names that a confined command gets. From spec/safety.md 5.8, and what toolchains look for; none is a place for a secret.
#[rustfmt::skip]
const CONFINED: &[&str] = &[
    "PATH", "HOME", "LANG", "LANGUAGE", "TERM", "COLORTERM", "TERMINFO", "TZ", "USER", "LOGNAME", "SHELL", "PWD", "COLUMNS",
    "LINES", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CI", "EDITOR", "VISUAL", "PAGER", "GIT_PAGER",
    "GIT_EDITOR", "DEBIAN_FRONTEND", "SOURCE_DATE_EPOCH", "PORT", "BROWSER",
    "CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_BUILD_JOBS", "CARGO_INCREMENTAL", "CARGO_NET_OFFLINE", "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN", "RUSTFLAGS", "RUST_BACKTRACE", "RUST_LOG", "RUST_TEST_THREADS", "NODE_ENV", "NODE_OPTIONS",
    "NODE_PATH", "NVM_DIR", "NVM_BIN", "VOLTA_HOME", "FNM_DIR", "BUN_INSTALL", "DENO_DIR", "PNPM_HOME", "COREPACK_HOME",
    "VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV", "PYENV_ROOT", "PYENV_VERSION", "PYTHONPATH", "PYTHONUNBUFFERED",
    "PYTHONDONTWRITEBYTECODE", "PYTHONHASHSEED", "UV_CACHE_DIR", "GOPATH", "GOROOT", "GOCACHE", "GOMODCACHE", "GOFLAGS",
    "JAVA_HOME", "JAVA_OPTS", "MAVEN_OPTS", "GRADLE_OPTS", "GEM_HOME", "GEM_PATH", "BUNDLE_PATH", "RBENV_ROOT",
    "RBENV_VERSION", "DOTNET_ROOT", "ANDROID_HOME", "MAKEFLAGS", "CC", "CXX", "AR", "LD", "CFLAGS", "CXXFLAGS", "CPPFLAGS",
    "LDFLAGS", "PKG_CONFIG_PATH", "LD_LIBRARY_PATH", "CMAKE_PREFIX_PATH", "OMP_NUM_THREADS",
    "GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_AUTHOR_DATE", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL",
    "GIT_COMMITTER_DATE", "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
    "PIP_CERT", "GIT_SSL_CAINFO",
];

/// Returns the variables that a confined command gets: the listed names, less those whose value looks like a credential.
///
/// `more` are names that the user lets through. None of ours that holds a credential is among them, whatever the user says.
pub fn for_confined<'a>(
    variables: impl IntoIterator<Item = (OsString, OsString)> + 'a,
    more: &'a [String],
) -> impl Iterator<Item = (OsString, OsString)> + 'a {
    variables.into_iter().filter(move |(name, value)| {
        let Some(name) = name.to_str() else { return false };
        if more.iter().any(|more| more == name) {
            return !is_withheld(name);
        }
        (CONFINED.contains(&name) || name.starts_with("LC_")) && !holds_login(value)
    })
}

/// Whether a value has an address with a name and a password in it.
fn holds_login(value: &OsStr) -> bool {
    let value = value.to_string_lossy();
    value.split("://").skip(1).any(|rest| rest.split('/').next().is_some_and(|host| host.contains('@')))
}

fn is_withheld_os(name: &OsStr) -> bool {
    name.to_str().is_some_and(is_withheld)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_credentials_are_withheld_and_nothing_else() {
        for (name, want) in [
            ("MESHAPI_API_KEY", true),
            ("MESH_API_KEY", true),
            ("mesh_api_key", true),
            ("MESH_GATEWAY_TOKEN", true),
            ("MESHAPI_DB_PASSWORD", true),
            ("MESH_CREDENTIALS", true),
            ("MESHAPI_BASE_URL", false),
            ("MESHAPI_LOG", false),
            ("MESHAPI_KEYBOARD", false),
            ("MESHKEY", false),
            ("OPENAI_API_KEY", false),
            ("PATH", false),
        ] {
            assert_eq!(is_withheld(name), want, "{name}");
        }
    }

    #[test]
    fn a_credential_is_named_by_its_words() {
        for name in ["AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "PGPASSWORD", "OPENAI_APIKEY", "npm_token"] {
            assert!(names_credential(name), "{name}");
        }
        for name in ["HOME", "MONKEY", "TOKENIZERS_PARALLELISM", "KEYBOARD", "SECRETS_DIR"] {
            assert!(!names_credential(name), "{name}");
        }
    }

    #[test]
    fn a_confined_command_gets_what_is_listed() {
        let all = [
            ("PATH", "/bin"),
            ("LC_ALL", "C"),
            ("GITHUB_TOKEN", "x"),
            ("DATABASE_URL", "x"),
            ("SSH_AUTH_SOCK", "/run/agent"),
            ("GOFLAGS", "-x https://u:p@host/"),
            ("MESH_API_KEY", "x"),
            ("ASKED_FOR", "x"),
        ]
        .map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let more = ["ASKED_FOR".to_owned(), "MESH_API_KEY".to_owned()];
        let kept: Vec<_> = for_confined(all, &more).map(|(name, _)| name).collect();
        assert_eq!(kept, ["PATH", "LC_ALL", "ASKED_FOR"]);
    }

    #[test]
    fn a_child_gets_the_rest() {
        let all =
            [("PATH", "/bin"), ("MESHAPI_API_KEY", "x")].map(|(n, v)| (OsString::from(n), OsString::from(v)));
        let kept: Vec<_> = for_child(all).collect();
        assert_eq!(kept, [(OsString::from("PATH"), OsString::from("/bin"))]);
    }
}
