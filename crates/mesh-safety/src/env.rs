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
    fn a_child_gets_the_rest() {
        let all =
            [("PATH", "/bin"), ("MESHAPI_API_KEY", "x")].map(|(n, v)| (OsString::from(n), OsString::from(v)));
        let kept: Vec<_> = for_child(all).collect();
        assert_eq!(kept, [(OsString::from("PATH"), OsString::from("/bin"))]);
    }
}
