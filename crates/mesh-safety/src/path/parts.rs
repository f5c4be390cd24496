//! A path as a list of names, compared name by name and never by a prefix of letters.

use std::path::{Component, Path};

/// The names of an absolute path, lower case, without the root. A name may be a shell's pattern.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    names: Vec<String>,
    /// One of the names may be a pattern. Where none is, most places are told apart by their first letters.
    may_match: bool,
}

impl Parts {
    /// Takes the path apart; `.` falls away, `..` takes the name before it.
    pub(crate) fn of(path: &Path) -> Parts {
        let mut names: Vec<String> = Vec::new();
        for component in path.components() {
            match component {
                Component::Prefix(prefix) => names.push(prefix.as_os_str().to_string_lossy().to_lowercase()),
                Component::RootDir | Component::CurDir => {}
                Component::ParentDir => {
                    names.pop();
                }
                Component::Normal(name) => names.push(name.to_string_lossy().to_lowercase()),
            }
        }
        Parts::from(names)
    }

    fn from(names: Vec<String>) -> Parts {
        let may_match = names.iter().any(|name| is_pattern(name));
        Parts { names, may_match }
    }

    /// Whether no name is left: the root itself.
    pub(crate) fn is_root(&self) -> bool {
        self.names.is_empty()
    }

    /// How many names there are.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// The last name.
    pub(crate) fn last(&self) -> Option<&str> {
        self.names.last().map(String::as_str)
    }

    /// Whether the path is the place or below it. The place is written with slashes, lower case.
    pub(crate) fn is_below(&self, place: &str) -> bool {
        if !self.may_match && self.names.first().is_none_or(|first| !place.starts_with(first.as_str())) {
            return false;
        }
        let mut names = self.names.iter();
        place.split('/').all(|want| names.next().is_some_and(|name| matches(name, want)))
    }

    /// The same where no name is a pattern: what may stand for the place may stand for another.
    pub(crate) fn is_plainly_below(&self, place: &str) -> bool {
        let depth = place.split('/').count();
        self.is_below(place) && !self.names.iter().take(depth).any(|name| is_pattern(name))
    }

    /// Whether the path is equal to the other or below it, exactly by names.
    pub(crate) fn is_inside(&self, other: &Parts) -> bool {
        self.names.len() >= other.names.len() && self.names.iter().zip(&other.names).all(|(a, b)| a == b)
    }

    /// Whether the place stands anywhere along the path.
    pub(crate) fn holds(&self, place: &str) -> bool {
        (0..self.names.len()).any(|start| {
            if !self.may_match && !place.starts_with(self.names[start].as_str()) {
                return false;
            }
            let mut names = self.names[start..].iter();
            place
                .split('/')
                .all(|want| names.next().is_some_and(|name| says_enough(name) && matches(name, want)))
        })
    }

    /// Whether one of the names before the last is this one.
    pub(crate) fn stands_in(&self, folder: &str) -> bool {
        self.names.split_last().is_some_and(|(_, above)| above.iter().any(|name| name == folder))
    }

    /// Whether the last name is this one, or a pattern that would find it.
    pub(crate) fn last_is(&self, want: &str) -> bool {
        self.last()
            .is_some_and(|name| name == want || (self.may_match && says_enough(name) && matches(name, want)))
    }

    /// Whether the first name is the history of a shell or an interpreter.
    pub(crate) fn first_is_history(&self) -> bool {
        self.names.first().is_some_and(|name| name.starts_with('.') && name.ends_with("_history"))
    }

    /// The final extension of each name along the path: a file below `x.pem/` counts like `x.pem` itself.
    pub(crate) fn extensions(&self) -> impl Iterator<Item = &str> {
        self.names
            .iter()
            .filter_map(|name| name.rsplit_once('.'))
            .filter(|(stem, _)| !stem.is_empty())
            .map(|(_, e)| e)
    }

    /// The names after those of `above`, when the path is inside it.
    pub(crate) fn below(&self, above: &Parts) -> Option<Parts> {
        let inside = self.is_inside(above);
        inside.then(|| Parts::from(self.names[above.names.len()..].to_vec()))
    }

    /// The names after the home of any user by the usual places of homes: `/home/X`, `/Users/X`, `/root`.
    pub(crate) fn below_any_home(&self) -> Option<Parts> {
        let depth = match self.names.first()?.as_str() {
            "home" | "users" if self.names.len() >= 2 => 2,
            "var" if self.is_below("var/root") => 2,
            "root" => 1,
            first if is_pattern(first) && self.names.len() >= 3 => 2,
            _ => return None,
        };
        Some(Parts::from(self.names[depth..].to_vec()))
    }
}

fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '['])
}

/// A pattern that is nearly all wildcard says nothing about the name it is after; a leading dot does.
fn says_enough(name: &str) -> bool {
    !is_pattern(name) || name.starts_with('.') || name.bytes().filter(u8::is_ascii_alphanumeric).count() >= 2
}

/// Whether a name, which may be a shell's pattern, can stand for the wanted one.
pub(crate) fn matches(name: &str, want: &str) -> bool {
    if !is_pattern(name) {
        return name == want;
    }
    if want.starts_with('.') && !name.starts_with(['.', '[']) {
        return false;
    }
    glob(&name.chars().collect::<Vec<_>>(), &want.chars().collect::<Vec<_>>())
}

/// Shell pattern against text; a set in brackets is taken to match any character, which errs towards asking.
fn glob(pattern: &[char], text: &[char]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                back = Some((p + 1, t));
                p += 1;
                continue;
            }
            Some('[') => {
                if let Some(close) = pattern[p + 1..].iter().skip(1).position(|&c| c == ']') {
                    p += close + 3;
                    t += 1;
                    continue;
                }
            }
            Some('?') => {
                (p, t) = (p + 1, t + 1);
                continue;
            }
            Some(&c) if c == text[t] => {
                (p, t) = (p + 1, t + 1);
                continue;
            }
            _ => {}
        }
        match back {
            Some((after, from)) => {
                (p, t) = (after, from + 1);
                back = Some((after, from + 1));
            }
            None => return false,
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_met_by_whole_names() {
        let parts = |text: &str| Parts::of(Path::new(text));
        assert!(parts("/etc/passwd").is_below("etc"));
        assert!(!parts("/etcx").is_below("etc"));
        assert!(parts("/a/../ETC/x").is_below("etc"));
        assert!(parts("/w/.aws/credentials").holds(".aws/credentials"));
        assert!(!parts("/w/aws/credentials").holds(".aws/credentials"));
        assert!(parts("/home/x/.ssh/id").below_any_home().is_some_and(|p| p.is_below(".ssh")));
        assert!(parts("/w/x.pem/y").extensions().any(|e| e == "pem"));
        assert!(parts("/w/.pem").extensions().next().is_none());
    }

    #[test]
    fn patterns_match_as_a_shell_would() {
        for (pattern, name, want) in [
            (".s?h", ".ssh", true),
            ("*", ".ssh", false),
            (".*", ".ssh", true),
            ("id_*", "id_rsa", true),
            ("e[t]c", "etc", true),
            ("???", "bin", true),
            ("*.rs", "id_rsa", false),
            ("[", "a", false),
        ] {
            assert_eq!(matches(pattern, name), want, "{pattern} {name}");
        }
        assert!(!says_enough("*") && says_enough("id_*") && says_enough(".*"));
    }
}
