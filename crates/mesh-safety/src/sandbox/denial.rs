//! Which rule kept a command from something, and what of it a person may grant.
//!
//! The kernel says only "no": what a program prints of it is compared with the policy. A program may print what it likes, so this
//! decides nothing: it is shown, and a person's answer is what counts. Keys, settings that run later, the home as a whole and the
//! system are never offered.

use std::{
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    Policy,
    places::{HOME_SECRETS, PROTECTED, SYSTEM, TOOLCHAINS},
    policy::{plain, text},
};
use crate::{PermissionMode, judge_read, judge_write};

/// What is told at most of one command.
const MOST: usize = 6;

/// Longer lines are not read: no program complains so.
const LONGEST_LINE: usize = 8192;

/// Something that a command was kept from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// The rule.
    pub rule: Rule,
    /// What it was about: a host with its port, or a path; empty where nobody said.
    pub subject: String,
    /// What would have let it happen, where a person may say so.
    pub grant: Option<Grant>,
}

/// A rule of the sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Only hosts on the list are reached.
    Host,
    /// Names are looked up by the proxy alone.
    Network,
    /// Commands write in the working folder and `/tmp` only.
    Write,
    /// Settings of git, editors and agents are read-only.
    Protected,
    /// What is neither the system's nor the project's is not there.
    Unseen,
    /// Keys and logins are not there, whoever asks.
    Secret,
}

/// One thing that a person may let commands have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grant {
    /// A host, as on the list of hosts.
    Host(String),
    /// Writing in a folder.
    Write(#[serde(with = "text")] PathBuf),
    /// Reading a file or folder.
    Read(#[serde(with = "text")] PathBuf),
}

impl Rule {
    /// The rule in words.
    pub const fn says(self) -> &'static str {
        match self {
            Rule::Host => "it is not on the list of allowed hosts",
            Rule::Network => {
                "commands have no network but a proxy to allowed hosts, which this program did not ask"
            }
            Rule::Write => "commands write in the working folder and /tmp only",
            Rule::Protected => "settings of git, editors and agents are read-only for commands",
            Rule::Unseen => "commands see the system, toolchains and the working folder only",
            Rule::Secret => "commands see no keys",
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.subject.is_empty() {
            write!(f, "{}: ", self.subject)?;
        }
        f.write_str(self.rule.says())
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Grant::Host(host) => f.write_str(host),
            Grant::Write(path) => write!(f, "writing in {}", path.display()),
            Grant::Read(path) => write!(f, "reading {}", path.display()),
        }
    }
}

impl Denial {
    /// A host that the proxy refused because it is not on the list.
    pub fn host(host: &str, port: u16) -> Denial {
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let is_web = super::policy::WEB.contains(&port);
        let entry = match (is_web, host.contains(':')) {
            (true, _) => host.to_owned(),
            (false, true) => format!("[{name}]:{port}"),
            (false, false) => format!("{host}:{port}"),
        };
        // An address of this machine's or another's network is what the user would have to write down themselves.
        let grant = match name.parse::<IpAddr>() {
            Ok(address) if crate::judge_address(address).is_allow() => Some(Grant::Host(entry)),
            Ok(_) => None,
            // On the list a word may mean many hosts, and so may a star: a command must not be able to ask for those.
            Err(_) => is_one_name(name).then_some(Grant::Host(entry)),
        };
        Denial { rule: Rule::Host, subject: format!("{host}:{port}"), grant }
    }
}

/// Whether a host is a name that stands for itself on a list of hosts.
fn is_one_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    name.bytes().all(is_plain) && name.contains('.') && !name.starts_with('.')
}

impl Policy {
    /// This policy with more; a folder that is gone or too wide gives nothing.
    pub fn granting(&self, grants: &[Grant]) -> Policy {
        let mut policy = self.clone();
        for grant in grants {
            match grant {
                Grant::Host(host) => match &mut policy.network {
                    super::Network::Hosts(hosts) => hosts.push(host.clone()),
                    super::Network::None => policy.network = super::Network::Hosts(vec![host.clone()]),
                },
                Grant::Write(folder) => {
                    // Where the folder leads now, it must still be what the person saw.
                    let is_same = folder.canonicalize().is_ok_and(|real| real == *folder);
                    if is_same && Policy::new(std::slice::from_ref(folder), None).is_ok() {
                        policy.writable.push(folder.clone());
                    }
                }
                Grant::Read(path) => policy.readable.push(path.clone()),
            }
        }
        policy
    }
}

/// What a failed command's output says of rules that it met. `cwd` is where it ran.
pub fn explain(output: &str, cwd: &Path, policy: &Policy) -> Vec<Denial> {
    let mut denials: Vec<Denial> = Vec::new();
    for line in output.lines().filter(|line| line.len() <= LONGEST_LINE) {
        let Some(trouble) = Trouble::of(line) else { continue };
        let found = match trouble {
            Trouble::Lookup => Some(Denial { rule: Rule::Network, subject: String::new(), grant: None }),
            _ => paths_of(line).find_map(|path| judge(&path, line, trouble, cwd, policy)),
        };
        let nameless = || Denial { rule: Rule::Write, subject: String::new(), grant: None };
        let found = found.or_else(|| (trouble == Trouble::ReadOnly).then(nameless));
        if let Some(found) = found.filter(|found| !denials.contains(found)) {
            denials.push(found);
        }
        if denials.len() == MOST {
            break;
        }
    }
    // One that names nothing says nothing beside one that does.
    let is_told = |rule| denials.iter().any(|one: &Denial| one.rule == rule && !one.subject.is_empty());
    let told = [is_told(Rule::Write) || is_told(Rule::Protected)];
    denials.retain(|one| !(one.subject.is_empty() && one.rule == Rule::Write && told[0]));
    denials
}

/// What a line complains of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// A file system that is read-only.
    ReadOnly,
    /// Something that is not allowed.
    Refused,
    /// Something that is not there.
    Absent,
    /// A name that no resolver knows, or a network that is not there.
    Lookup,
}

impl Trouble {
    fn of(line: &str) -> Option<Trouble> {
        #[rustfmt::skip]
        const WORDS: [(&str, Trouble); 18] = [
            ("Read-only file system", Trouble::ReadOnly), ("EROFS", Trouble::ReadOnly), ("os error 30", Trouble::ReadOnly),
            ("Permission denied", Trouble::Refused), ("EACCES", Trouble::Refused), ("EPERM", Trouble::Refused),
            ("Operation not permitted", Trouble::Refused), ("File exists", Trouble::Refused),
            ("Device or resource busy", Trouble::Refused),
            ("No such file or directory", Trouble::Absent), ("ENOENT", Trouble::Absent),
            ("Directory nonexistent", Trouble::Absent),
            ("Could not resolve host", Trouble::Lookup), ("ame resolution", Trouble::Lookup), ("ENOTFOUND", Trouble::Lookup),
            ("EAI_AGAIN", Trouble::Lookup), ("Network is unreachable", Trouble::Lookup), ("ENETUNREACH", Trouble::Lookup),
        ];
        WORDS.iter().find(|(words, _)| line.contains(words)).map(|(_, trouble)| *trouble)
    }
}

/// What in a line may be a path: what stands in quotes, then single words.
fn paths_of(line: &str) -> impl Iterator<Item = String> + '_ {
    let quoted = ['\'', '"', '`', '‘'].into_iter().flat_map(move |quote| {
        let end = match quote {
            '‘' => '’',
            '`' => '\'',
            quote => quote,
        };
        let mut parts = Vec::new();
        let mut rest = line;
        while let Some((_, after)) = rest.split_once(quote) {
            let Some((inner, more)) = after.split_once([end, quote]) else { break };
            parts.push(inner.to_owned());
            rest = more;
        }
        parts
    });
    let words = line.split([' ', '\t', '(', ')', '=']).map(|word| {
        word.trim_matches(['\'', '"', '`', '‘', '’', ':', ',', '.', ';', '[', ']'].as_slice()).to_owned()
    });
    // `.vscode` begins with a point, `.` at an end is the sentence's.
    let dotted =
        line.split([' ', '\t', '(', ')', '\'', '"', '`', '‘', '’', ':', ',', '=']).map(str::to_owned);
    quoted.chain(words).chain(dotted).filter(|path| !path.is_empty() && path.len() < 4096)
}

fn judge(word: &str, line: &str, trouble: Trouble, cwd: &Path, policy: &Policy) -> Option<Denial> {
    let home = policy.home.as_deref();
    let named = match (word.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => Path::new(word).to_owned(),
    };
    let path = plain(&cwd.join(&named));
    let denial = |rule, grant| Some(Denial { rule, subject: path.display().to_string(), grant });
    if policy.may_write(&path) {
        let is_held = trouble != Trouble::Absent && is_protected(&path, policy);
        return is_held.then(|| denial(Rule::Protected, None)).flatten();
    }
    // A word that is no absolute path is taken for one only in a writable folder.
    if !named.is_absolute() || !is_hidden_or_read_only(&path, trouble, policy) {
        return None;
    }
    let judged = crate::Policy {
        workspace: path.parent()?.to_owned(),
        home: home.map(Path::to_owned),
        ..crate::Policy::default()
    };
    if !judge_read(&path, &judged).is_allow() {
        return denial(Rule::Secret, None);
    }
    let stands = path.symlink_metadata().is_ok();
    let writes = ["create", "creating", "touch", "mkdir", "write", "writing", "cannot move", "cannot remove"];
    let is_write = trouble == Trouble::ReadOnly || !stands || writes.iter().any(|word| line.contains(word));
    if !is_write {
        return denial(Rule::Unseen, may_be_read(&path, home).map(Grant::Read));
    }
    let folder = if path.is_dir() { path.clone() } else { path.parent()?.to_owned() };
    // What is neither there nor could be made is simply missing.
    if trouble == Trouble::Absent && !folder.is_dir() {
        return None;
    }
    let is_safe = judge_write(&path, PermissionMode::Bypass, &judged).is_allow();
    let grant = may_be_written(&folder, home).filter(|_| is_safe).map(Grant::Write);
    denial(Rule::Write, grant)
}

/// Whether the policy is what stands in the way: the place is on this machine, and commands do not have it so.
fn is_hidden_or_read_only(path: &Path, trouble: Trouble, policy: &Policy) -> bool {
    let below = |place: &Path| path.starts_with(place);
    let scratch = ["/tmp", "/var/tmp"].map(Path::new);
    let is_scratch = scratch.contains(&path) || path.parent().is_some_and(|folder| scratch.contains(&folder));
    // Commands have a /tmp of their own: what stands in this machine's is not there.
    if is_scratch && !(trouble == Trouble::Absent && path.symlink_metadata().is_ok()) {
        return false;
    }
    if ["/dev", "/proc", "/sys"].iter().any(|place| below(Path::new(place))) {
        return false;
    }
    let toolchain = policy
        .home
        .iter()
        .flat_map(|home| TOOLCHAINS.iter().map(|place| home.join(place)))
        .any(|p| below(&p));
    let is_seen = SYSTEM.iter().any(|place| below(Path::new(place)))
        || toolchain
        || policy.readable.iter().any(|place| below(place));
    match trouble {
        Trouble::ReadOnly => true,
        Trouble::Refused => is_seen,
        Trouble::Absent => !is_seen,
        Trouble::Lookup => false,
    }
}

/// Whether a path of a writable folder is covered.
fn is_protected(path: &Path, policy: &Policy) -> bool {
    let Some(root) = policy.writable.iter().find(|root| path.starts_with(root)) else { return false };
    let Ok(inside) = path.strip_prefix(root) else { return false };
    let names: Vec<String> =
        inside.components().map(|part| part.as_os_str().to_string_lossy().to_ascii_lowercase()).collect();
    let joined = names.join("/");
    let git = ["hooks", "config", "config.worktree", "commondir", "config.lock"];
    names.windows(2).any(|pair| pair[0] == ".git" && git.contains(&&*pair[1]))
        || PROTECTED.iter().any(|place| format!("/{joined}/").contains(&format!("/{place}/")))
}

/// A file that may be offered, or a folder that is nobody's home and holds no store of keys.
fn may_be_read(path: &Path, home: Option<&Path>) -> Option<PathBuf> {
    let real = path.canonicalize().ok()?;
    (real.components().count() > 2 && (!real.is_dir() || holds_nothing_private(&real, home))).then_some(real)
}

/// A folder that may be offered: nobody's home, no store of keys, nothing of the system.
fn may_be_written(folder: &Path, home: Option<&Path>) -> Option<PathBuf> {
    let real = folder.canonicalize().ok()?;
    Policy::new(std::slice::from_ref(&real), None).ok()?;
    let is_system = SYSTEM.iter().any(|place| real.starts_with(place)) || real.components().count() < 3;
    (!is_system && holds_nothing_private(&real, home)).then_some(real)
}

/// Whether a folder is no home, nothing above one, none of its hidden folders, and holds no store of keys.
fn holds_nothing_private(real: &Path, home: Option<&Path>) -> bool {
    let of_others = [".ssh", ".gnupg", ".aws", ".bash_history"];
    if of_others.iter().any(|name| real.join(name).symlink_metadata().is_ok()) {
        return false;
    }
    let Some(home) = home else { return true };
    let home = home.canonicalize().unwrap_or_else(|_| home.to_owned());
    let first = real.strip_prefix(&home).ok().and_then(|inside| inside.components().next());
    let is_hidden = first.is_some_and(|first| first.as_os_str().as_encoded_bytes().starts_with(b"."));
    let holds_keys = HOME_SECRETS.iter().any(|place| home.join(place).starts_with(real));
    !(home.starts_with(real) || is_hidden || holds_keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct World {
        _folder: tempfile::TempDir,
        root: PathBuf,
        policy: Policy,
    }

    impl World {
        /// A project, a home with keys, and a folder of somebody else.
        fn new() -> World {
            let folder = tempfile::tempdir().unwrap();
            let root = folder.path().canonicalize().unwrap();
            for name in ["work/.git", "home/.ssh", "other/.ssh", "home/Documents", "data", "home/.config/app"]
            {
                std::fs::create_dir_all(root.join(name)).unwrap();
            }
            for name in ["data/set.csv", "home/.ssh/id_rsa", "home/Documents/letter"] {
                std::fs::write(root.join(name), "x").unwrap();
            }
            let policy = Policy::new(&[root.join("work")], Some(&root.join("home"))).unwrap();
            World { _folder: folder, root, policy }
        }

        fn explain(&self, line: &str) -> String {
            let line = line.replace('@', &self.root.display().to_string());
            let said = explain(&line, &self.root.join("work"), &self.policy);
            let shown = said.iter().map(|one| {
                let grant = one.grant.as_ref().map(|grant| format!(" [{grant}]")).unwrap_or_default();
                format!("{:?} {}{grant}", one.rule, one.subject)
            });
            shown.collect::<Vec<_>>().join(", ").replace(&self.root.display().to_string(), "@")
        }
    }

    #[test]
    fn complaints_are_traced_to_rules() {
        let world = World::new();
        for (line, want) in [
            // What could be offered.
            (
                "cp: cannot create regular file '@/data/new.csv': No such file or directory",
                "Write @/data/new.csv [writing in @/data]",
            ),
            (
                "cat: @/data/set.csv: No such file or directory",
                "Unseen @/data/set.csv [reading @/data/set.csv]",
            ),
            (
                "FileNotFoundError: [Errno 2] No such file or directory: '@/data/set.csv'",
                "Unseen @/data/set.csv [reading @/data/set.csv]",
            ),
            (
                "sh: 1: cannot create @/home/Documents/a: Directory nonexistent",
                "Write @/home/Documents/a [writing in @/home/Documents]",
            ),
            // What is told only.
            ("cat: @/home/.ssh/id_rsa: No such file or directory", "Secret @/home/.ssh/id_rsa"),
            ("ls: cannot access '@/home/.config': No such file or directory", "Unseen @/home/.config"),
            ("ls: cannot access '@/other': No such file or directory", "Unseen @/other"),
            ("ls: cannot access '@/data': No such file or directory", "Unseen @/data [reading @/data]"),
            ("sh: 1: cannot create /usr/x: Read-only file system", "Write /usr/x"),
            (
                "touch: cannot touch '@/home/.config/app/a': No such file or directory",
                "Write @/home/.config/app/a",
            ),
            ("touch: cannot touch '@/home/a': No such file or directory", "Write @/home/a"),
            ("mkdir: cannot create directory '.vscode': File exists", "Protected @/work/.vscode"),
            ("bash: .envrc: Permission denied", "Protected @/work/.envrc"),
            (
                "error: could not write config file .git/config: Device or resource busy",
                "Protected @/work/.git/config",
            ),
            ("OSError: [Errno 30] Read-only file system", "Write "),
            ("curl: (6) Could not resolve host: example.org", "Network "),
            // What is nobody's rule.
            ("cat: @/work/missing: No such file or directory", ""),
            ("cat: @/data/missing/deep: No such file or directory", ""),
            ("cat: /usr/missing: No such file or directory", ""),
            ("mkdir: cannot create directory 'src': File exists", ""),
            ("all is well", ""),
        ] {
            assert_eq!(world.explain(line), want, "{line}");
        }
    }

    #[test]
    fn grants_widen_no_more_than_they_say() {
        let world = World::new();
        let data = world.root.join("data");
        let grants = [Grant::Host("a.org".into()), Grant::Write(data.clone()), Grant::Read("/srv/x".into())];
        let wide = world.policy.granting(&grants);
        assert!(wide.may_write(&data) && !world.policy.may_write(&data));
        assert_eq!(wide.network, super::super::Network::Hosts(vec!["a.org".into()]));
        assert_eq!(wide.readable, [PathBuf::from("/srv/x")]);
        let same = world.policy.granting(&[Grant::Write("/".into()), Grant::Write(world.root.join("gone"))]);
        assert_eq!(same, world.policy);
    }

    #[test]
    fn only_the_web_is_offered() {
        let grant = |host, port| Denial::host(host, port).grant.map(|grant| grant.to_string());
        assert_eq!(grant("a.org", 443).as_deref(), Some("a.org"));
        assert_eq!(grant("a.org", 8443).as_deref(), Some("a.org:8443"));
        assert_eq!(grant("169.254.169.254", 80), None);
        assert_eq!(grant("[::1]", 80), None);
        assert_eq!(grant("127.0.0.1", 5432), None);
        for many in ["registries", "*.a.org", ".a.org", "localhost", "a.org,b.org"] {
            assert_eq!(grant(many, 443), None, "{many}");
        }
        assert_eq!(
            Denial::host("a.org", 443).to_string(),
            "a.org:443: it is not on the list of allowed hosts"
        );
    }
}
