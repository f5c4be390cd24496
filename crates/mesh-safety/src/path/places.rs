//! Which places are secret, which belong to the system, and which files run by themselves later.
//!
//! Tables of components, lower case: a place is met when it is equal to the path or above it, never by a prefix of letters
//! (seed 14.2: `~/.npmrcx` is not `~/.npmrc`). Case never counts, which is too strict only for files that nobody has.

#[cfg(feature = "fs")]
use std::{collections::BTreeMap, sync::LazyLock};

use super::parts::Parts;

/// Stores of keys and histories below a home. The first two lines are seed 14.2.
#[rustfmt::skip]
pub(crate) const HOME_SECRETS: &[&str] = &[
    ".ssh", ".aws", ".gnupg", ".gpg", ".docker", ".kube", ".npmrc", ".pypirc", ".netrc", ".bash_history", ".zsh_history",
    ".python_history", ".mysql_history", ".psql_history", ".sqlite_history", ".meshapi",
    ".azure", ".bitcoin", ".boto", ".cache/huggingface/token", ".cargo/credentials", ".cargo/credentials.toml", ".claude.json",
    ".claude/.credentials.json", ".codex/auth.json", ".composer/auth.json", ".config/age", ".config/chromium",
    ".config/containers/auth.json", ".config/doctl", ".config/gcloud", ".config/gh", ".config/git/credentials",
    ".config/glab-cli", ".config/google-chrome", ".config/heroku", ".config/hub", ".config/ngrok", ".config/op",
    ".config/rclone", ".config/sops", ".databrickscfg", ".electrum", ".ethereum", ".fly", ".gem/credentials", ".gemini",
    ".git-credentials", ".huggingface/token", ".kaggle", ".local/share/fish/fish_history", ".local/share/keyrings",
    ".local/share/kwalletd", ".m2/settings.xml", ".mozilla", ".my.cnf", ".mylogin.cnf", ".ngrok2", ".oci", ".password-store",
    ".pgpass", ".s3cfg", ".snowsql", ".terraform.d/credentials.tfrc.json", ".terraformrc", ".thunderbird", ".vault-token",
    ".viminfo", "library/application support/google/chrome", "library/cookies", "library/keychains",
    ".anthropic", ".authinfo", ".authinfo.gpg", ".bundle/config", ".config/anthropic", ".config/atuin", ".config/bitwarden cli",
    ".config/bravesoftware", ".config/composer/auth.json", ".config/configstore", ".config/discord", ".config/electrum",
    ".config/evolution", ".config/filezilla", ".config/fly", ".config/github-copilot", ".config/goose/secrets.yaml",
    ".config/hcloud", ".config/helm/registry", ".config/hexchat", ".config/keybase", ".config/linode-cli", ".config/mc",
    ".config/microsoft-edge", ".config/netlify", ".config/openai", ".config/openstack", ".config/opera",
    ".config/pypoetry/auth.toml", ".config/remmina", ".config/scaleway", ".config/signal", ".config/slack", ".config/solana",
    ".config/stripe", ".config/vivaldi", ".config/.wrangler", ".config/wrangler", ".dbshell", ".fetchmailrc", ".git-askpass",
    ".gradle/gradle.properties", ".histfile", ".history", ".irssi", ".jupyter/jupyter_server_config.json", ".keystore",
    ".lesshst", ".local/share/atuin", ".local/share/com.vercel.cli", ".local/share/evolution", ".local/share/gnome-keyring",
    ".local/share/keybase", ".local/share/telegramdesktop", ".m2/settings-security.xml", ".minikube", ".mongorc.js", ".msmtprc",
    ".mutt", ".muttrc", ".netrc.gpg", ".nuget/nuget/nuget.config", ".openai", ".pki", ".pulumi/credentials.json", ".purple",
    ".rhosts", ".smbcredentials", ".sops", ".subversion/auth", ".vercel", ".wrangler", ".zhistory", "snap/firefox",
    "appdata/local/google/chrome", "appdata/roaming/microsoft/credentials", "appdata/roaming/mozilla",
    "library/application support/bravesoftware", "library/application support/firefox", "library/application support/microsoft edge",
    "library/application support/slack", "library/mail", "library/messages", "library/safari",
];

/// Secret wherever they stand: in the workspace, in another user's home, in a mounted backup.
#[rustfmt::skip]
const SECRETS_ANYWHERE: &[&str] = &[
    ".ssh", ".gnupg", ".password-store", ".aws/credentials", ".aws/config", ".kube/config", ".docker/config.json",
    ".config/gcloud", ".meshapi/config.json", ".meshapi/credentials",
];

/// Names of files that hold credentials, whatever the folder.
#[rustfmt::skip]
const SECRET_NAMES: &[&str] = &[
    ".dockercfg", ".env", ".envrc", ".git-credentials", ".htpasswd", ".my.cnf", ".netrc", ".npmrc", ".pgpass", ".pypirc",
    ".vault-token", "_netrc", "application_default_credentials.json", "credentials.json", "secrets.json", "secrets.toml",
    "secrets.yaml", "secrets.yml", "service-account.json", "service_account.json", "terraform.tfstate",
    "terraform.tfstate.backup",
    ".authinfo", ".dockerconfigjson", ".fetchmailrc", ".keystore", ".msmtprc", ".mylogin.cnf", ".s3cfg", ".smbcredentials",
    ".terraformrc", ".vault-pass", ".vault_pass", ".vault_password", ".vault-password", "accesskeys.csv", "credentials",
    "credentials.csv", "credentials.db", "credentials.ini", "credentials.toml", "credentials.xml", "credentials.yaml",
    "credentials.yml", "gcp-key.json", "google-credentials.json", "htpasswd", "key3.db", "key4.db", "kubeconfig",
    "local.settings.json", "login.keyring", "logins.json", "rootkey.csv", "secret.json", "secret.toml", "secret.yaml",
    "secret.yml", "secrets.ini", "secrets.properties", "secrets.tfvars", "secrets.txt", "secrets.xml", "sftp-config.json",
    "terraform.tfvars", "vault-password.txt", "vault_pass.txt", "wallet.dat",
];

/// What names of key files of accounts hold, before `.json`: clouds add the project and a number.
const ACCOUNT_KEYS: &[&str] = &[
    "firebase-adminsdk",
    "service-account",
    "service_account",
    "serviceaccount",
    "client_secret",
    "oauth_creds",
];

/// Folders in which each file of data is a secret.
const SECRET_FOLDERS: &[&str] = &[".secrets", "secrets"];

/// Endings of files of data.
const DATA_EXTENSIONS: &[&str] =
    &["cfg", "conf", "enc", "ini", "json", "properties", "tfvars", "toml", "txt", "yaml", "yml"];

/// Private keys of ssh by their usual names; the public half ends in `.pub` and is no secret.
#[rustfmt::skip]
const KEY_NAMES: &[&str] = &[
    "id_rsa", "id_dsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk", "id_xmss", "ssh_host_rsa_key",
    "ssh_host_ecdsa_key", "ssh_host_ed25519_key",
];

/// Final extensions of keys and certificates. The first line is seed 14.3.
#[rustfmt::skip]
const SECRET_EXTENSIONS: &[&str] = &[
    "pem", "key", "p12", "pfx", "crt", "cer", "der", "asc", "gpg", "kdbx",
    "agekey", "bcfks", "bks", "env", "jceks", "jks", "kdb", "keychain", "keychain-db", "keyring", "keystore", "keytab",
    "kubeconfig", "mobileprovision", "ovpn", "p8", "pk8", "pkcs12", "ppk",
];

/// Of these, the ones that are public by nature: a command may print a certificate.
const PUBLIC_EXTENSIONS: &[&str] = &["crt", "cer", "der", "asc", "gpg"];

/// Endings that make `.env.X` a template.
const TEMPLATE_ENDINGS: &[&str] =
    &["example", "sample", "template", "tmpl", "dist", "defaults", "schema", "md"];

/// Places of the system that are not read unasked (seed 14.2), with the few exceptions below.
#[rustfmt::skip]
const READ_SYSTEM: &[&str] = &[
    "etc", "sys", "proc", "boot", "private/etc", "usr/bin", "usr/sbin", "sbin", "bin",
    "dev", "run/secrets", "run/user", "var/run/secrets", "var/spool/cron", "var/lib/docker", "root",
    "private/var/db/dslocal", "private/var/root", "private/var/vm", "var/backups", "var/db/dslocal", "var/lib/cloud",
    "var/lib/etcd", "var/lib/kubelet", "var/lib/mysql", "var/lib/postgresql", "var/lib/rancher", "var/lib/samba/private",
    "var/lib/sss", "var/log/auth.log", "var/log/secure", "var/mail", "var/spool/mail",
];

/// Harmless files below those. From spec/safety.md 5.4: a few pseudo files of /proc, and /etc/hosts.
#[rustfmt::skip]
const READ_SYSTEM_FREE: &[&str] = &[
    "dev/fd", "dev/full", "dev/null", "dev/random", "dev/shm", "dev/stdin", "dev/tty", "dev/urandom", "dev/zero",
    "etc/alpine-release", "etc/debian_version", "etc/fedora-release", "etc/hosts", "etc/issue", "etc/localtime",
    "etc/lsb-release", "etc/mime.types", "etc/nsswitch.conf", "etc/os-release", "etc/protocols", "etc/redhat-release",
    "etc/resolv.conf", "etc/services", "etc/shells", "etc/ssl/certs", "etc/timezone",
    "proc/cpuinfo", "proc/filesystems", "proc/loadavg", "proc/meminfo", "proc/self/limits", "proc/self/status", "proc/stat",
    "proc/uptime", "proc/version", "sys/class/thermal", "sys/devices/system/cpu", "sys/fs/cgroup",
];

/// Of the system's places, those whose content gives away accounts, keys or memory.
#[rustfmt::skip]
const READ_SYSTEM_SECRET: &[&str] = &[
    "boot", "dev", "etc/passwd", "etc/shadow", "etc/gshadow", "etc/group", "etc/sudoers", "etc/sudoers.d", "etc/ssh",
    "etc/ssl/private", "etc/kubernetes", "etc/krb5.keytab", "etc/security", "etc/rancher", "etc/wireguard",
    "etc/openvpn", "etc/letsencrypt", "etc/networkmanager", "private/etc/passwd", "private/etc/sudoers", "proc", "root",
    "run/secrets", "run/user", "var/run/secrets", "var/spool/cron", "var/lib/docker",
    "etc/ceph", "etc/credstore", "etc/credstore.encrypted", "etc/docker/key.json", "etc/exim4/passwd.client", "etc/group-",
    "etc/gshadow-", "etc/ipsec.d", "etc/ipsec.secrets", "etc/ldap.secret", "etc/master.passwd", "etc/mysql/debian.cnf",
    "etc/pam_ldap.secret", "etc/passwd-", "etc/pki/tls/private", "etc/postfix/sasl_passwd", "etc/ppp/chap-secrets",
    "etc/ppp/pap-secrets", "etc/salt/pki", "etc/samba/smbpasswd", "etc/shadow-", "etc/sudoers.dist", "etc/vault.d",
    "etc/wpa_supplicant", "private/etc/master.passwd", "private/etc/ssh", "private/var/db/dslocal", "private/var/root",
    "private/var/vm", "var/backups", "var/db/dslocal", "var/lib/cloud", "var/lib/etcd", "var/lib/kubelet", "var/lib/mysql",
    "var/lib/postgresql", "var/lib/rancher", "var/lib/samba/private", "var/lib/sss", "var/log/auth.log", "var/log/secure",
    "var/mail", "var/spool/mail",
];

/// Never written unasked, even when the workspace lies inside: seed 14.2, and devices.
#[rustfmt::skip]
const WRITE_SYSTEM: &[&str] = &[
    "etc", "sys", "proc", "boot", "private/etc", "usr/bin", "usr/sbin", "sbin", "bin",
    "dev",
];

/// Not written unasked unless the workspace lies inside.
#[rustfmt::skip]
const WRITE_SYSTEM_OUTSIDE: &[&str] = &[
    "applications", "c:/program files", "c:/program files (x86)", "c:/programdata", "c:/windows", "lib", "lib32", "lib64",
    "libx32", "library", "opt", "private/var", "root", "run", "srv", "system", "usr", "var",
];

/// Scratch folders inside those.
const SCRATCH: &[&str] =
    &["tmp", "var/tmp", "dev/shm", "private/tmp", "private/var/tmp", "var/folders", "private/var/folders"];

/// Below a home, run by a shell, an editor, a desktop or a scheduler without being asked again (D-26).
#[rustfmt::skip]
pub(crate) const HOME_STARTUP: &[&str] = &[
    ".bash_aliases", ".bash_login", ".bash_logout", ".bash_profile", ".bashrc", ".cshrc", ".curlrc", ".emacs", ".emacs.d",
    ".gdbinit", ".gitconfig", ".gvimrc", ".inputrc", ".irbrc", ".kshrc", ".lldbinit", ".local/bin", ".local/lib",
    ".local/share/applications", ".local/share/systemd", ".login", ".logout", ".mailcap", ".oh-my-zsh", ".pam_environment",
    ".pip", ".profile", ".psqlrc", ".pythonrc", ".pythonstartup", ".screenrc", ".sqliterc", ".tcshrc", ".tmux.conf", ".vim",
    ".vimrc", ".wgetrc", ".xinitrc", ".xprofile", ".xsession", ".xsessionrc", ".zlogin", ".zlogout", ".zprofile", ".zshenv",
    ".zshrc", "bin", "library/launchagents", "library/preferences",
    ".config/autostart", ".config/environment.d", ".config/fish", ".config/git", ".config/nvim", ".config/pip",
    ".config/plasma-workspace", ".config/systemd", ".config/tmux", ".config/zsh",
    ".cargo/bin", ".cargo/config", ".cargo/config.toml", ".cargo/env", ".m2", ".gradle/init.d", ".rustup",
    ".antigen", ".asdf", ".bash.d", ".bash_completion", ".bash_it", ".bashrc.d", ".bashrc.local", ".bazelrc", ".bun/bin",
    ".condarc", ".config/awesome", ".config/bash", ".config/code", ".config/containers", ".config/cursor", ".config/direnv",
    ".config/elvish", ".config/emacs", ".config/helix", ".config/hypr", ".config/i3", ".config/jj", ".config/karabiner",
    ".config/kitty", ".config/mimeapps.list", ".config/mise", ".config/npm", ".config/nushell", ".config/openbox",
    ".config/powershell", ".config/shell", ".config/starship.toml", ".config/sway", ".config/vim", ".config/wezterm",
    ".config/xonsh", ".config/zed", ".config/zellij", ".cursor-server", ".deno/bin", ".dotnet/tools", ".editrc", ".exrc",
    ".forward", ".ghci", ".gradle/init.gradle", ".guile", ".hammerspoon", ".hgrc", ".ipython", ".julia/config", ".kshenv",
    ".lein", ".ltrace.conf", ".mkshrc", ".nix-defexpr", ".nix-profile", ".npmrc", ".nvm", ".ocamlinit", ".octaverc",
    ".oh-my-bash", ".procmailrc", ".profile.d", ".pryrc", ".pydistutils.cfg", ".pyenv", ".rbenv", ".rprofile", ".sbclrc",
    ".sbt", ".sdkman", ".shosts", ".shrc", ".subversion/config", ".volta", ".vscode", ".vscode-server", ".xbindkeysrc",
    ".xserverrc", ".yarnrc", ".yarnrc.yml", ".zgen", ".zimrc", ".zinit", ".zplug", ".zsh", ".zsh.d", ".zshrc.local", "go/bin",
    "library/application support/code", "library/launchdaemons", "library/services",
];

/// Run later by git, an editor, an agent or a build, wherever they stand (D-26, spec/safety.md 5.1).
#[rustfmt::skip]
const STARTUP_ANYWHERE: &[&str] = &[
    ".cargo/config", ".cargo/config.toml", ".claude", ".codex", ".cursor", ".devcontainer", ".direnv", ".envrc", ".gemini",
    ".git", ".husky", ".idea", ".mcp.json", ".meshapi", ".npmrc", ".vscode/launch.json", ".vscode/settings.json",
    ".vscode/tasks.json", ".yarnrc", ".yarnrc.yml",
    ".aider.conf.yml", ".amazonq", ".augment", ".continue", ".dir-locals.el", ".exrc", ".fleet", ".gdbinit", ".hg", ".jj", ".junie",
    ".kiro", ".lldbinit", ".lvimrc", ".nvim.lua", ".nvimrc", ".opencode", ".qwen", ".roo", ".svn", ".trae", ".vs", ".vscode/mcp.json",
    ".windsurf", ".zed", "opencode.json", "sitecustomize.py", "usercustomize.py",
];

/// A place as it is told to a person: with slashes, as the table has it.
pub(super) type Place = &'static str;

/// Toolchains and caches below a home: what was installed, not what the user wrote. Credentials stand beside them, never in them.
#[rustfmt::skip]
pub(crate) const TOOLCHAINS: &[&str] = &[
    ".cargo/bin", ".cargo/registry", ".cargo/git", ".cargo/env", ".rustup", ".pyenv", ".rbenv", ".nodenv", ".goenv",
    ".jenv", ".asdf", ".nvm", ".fnm", ".volta", ".bun", ".deno", ".sdkman", ".ghcup", ".stack/programs", ".opam", ".juliaup",
    ".julia/packages", ".julia/artifacts", ".julia/compiled", ".julia/registries", ".dotnet", ".nuget/packages", ".pub-cache/hosted", ".pub-cache/bin", ".pub-cache/git", ".rvm", ".gem/ruby", ".bundle/cache", ".swiftly", ".elan", ".zvm",
    ".local/bin", ".local/lib", ".local/pipx", ".local/share/uv", ".local/share/pipx", ".local/share/pnpm",
    ".local/share/fnm", ".local/share/mise", ".local/share/rtx", ".local/share/virtualenvs", ".local/share/nvim/mason",
    ".local/state/nix", ".nix-profile", ".npm-global", ".npm-packages", ".yarn", ".npm/_cacache", ".cache/pip", ".cache/uv",
    ".cache/go-build", ".cache/yarn", ".cache/pnpm", ".cache/node", ".cache/deno", ".cache/bazel", ".cache/pre-commit",
    ".cache/ms-playwright", ".cache/huggingface/hub", "go", ".m2/repository", ".m2/wrapper", ".gradle/caches",
    ".gradle/wrapper", ".ivy2/cache", ".sbt/boot", ".cabal/bin", ".cabal/packages", ".cabal/store", ".hex/packages", ".mix/archives", ".mix/elixir",
    "miniconda3", "miniforge3", "mambaforge", "anaconda3", ".conda/pkgs", "perl5", "bin",
];

/// The secret store below a home that these components (relative to it) are in.
pub(super) fn home_secret(relative: &Parts) -> Option<Place> {
    let listed = HOME_SECRETS.iter().find(|place| relative.is_below(place)).copied();
    listed.or_else(|| relative.first_is_history().then_some("a shell's history"))
}

/// Whether these components (relative to a home) are of a toolchain or of a cache of packages.
pub(super) fn is_installed(relative: &Parts) -> bool {
    TOOLCHAINS.iter().any(|place| relative.is_below(place))
}

/// The start-up file below a home that these components (relative to it) are in.
pub(super) fn home_startup(relative: &Parts) -> Option<Place> {
    HOME_STARTUP.iter().find(|place| relative.is_below(place)).copied()
}

/// The secret that stands in these components; names and endings count below the workspace, if the path is inside.
pub(super) fn secret_anywhere(whole: &Parts, parts: &Parts, strict: Strictness) -> Option<String> {
    if let Some(place) = SECRETS_ANYWHERE.iter().find(|place| whole.holds(place)) {
        return Some(format!("`{place}` holds credentials"));
    }
    if let Some(name) = SECRET_NAMES.iter().chain(KEY_NAMES).find(|name| parts.last_is(name)) {
        return Some(format!("`{name}` holds credentials"));
    }
    let last = parts.last()?;
    if let Some(ending) = last.strip_prefix(".env.").or_else(|| last.strip_prefix(".env-"))
        && !ending.split('.').next_back().is_some_and(|ending| TEMPLATE_ENDINGS.contains(&ending))
    {
        return Some(format!("`{last}` holds credentials"));
    }
    if is_data_of_secrets(last, parts) {
        return Some(format!("`{last}` holds credentials"));
    }
    if KEY_NAMES.iter().any(|key| is_backup_of(last, key)) {
        return Some(format!("`{last}` is the copy of a private key"));
    }
    parts.extensions().find_map(|extension| {
        let listed = SECRET_EXTENSIONS.contains(&extension);
        let free = strict == Strictness::Content && PUBLIC_EXTENSIONS.contains(&extension);
        (listed && !free).then(|| format!("files that end in `.{extension}` hold keys or certificates"))
    })
}

/// Whether a file of data is the key of an account by its name, or stands in a folder of secrets; examples of one are not.
fn is_data_of_secrets(last: &str, parts: &Parts) -> bool {
    let is_example = TEMPLATE_ENDINGS.iter().any(|ending| last.contains(ending));
    let extension = last.rsplit_once('.').map_or("", |(_, extension)| extension);
    let is_account = extension == "json" && ACCOUNT_KEYS.iter().any(|key| last.contains(key));
    let is_kept =
        DATA_EXTENSIONS.contains(&extension) && SECRET_FOLDERS.iter().any(|folder| parts.stands_in(folder));
    !is_example && (is_account || is_kept)
}

/// How far the extensions reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// As the seed has it: certificates too.
    Seed,
    /// Only what gives a secret away when it is printed.
    Content,
}

fn is_backup_of(name: &str, key: &str) -> bool {
    let Some(ending) = name.strip_prefix(key) else { return false };
    matches!(ending, ".bak" | ".old" | ".backup" | ".orig" | ".copy" | ".save" | "~" | ".txt")
}

/// The place of the system that a read would look into.
pub(super) fn read_system(parts: &Parts, strict: Strictness) -> Option<Place> {
    if READ_SYSTEM_FREE.iter().any(|place| parts.is_plainly_below(place)) {
        return None;
    }
    let table = match strict {
        Strictness::Seed => READ_SYSTEM,
        Strictness::Content => READ_SYSTEM_SECRET,
    };
    table.iter().find(|place| parts.is_below(place)).copied()
}

/// The place of the system that a write would change.
pub(super) fn write_system(parts: &Parts, workspace: &Parts) -> Option<Place> {
    if is_scratch(parts) {
        return None;
    }
    let fixed = WRITE_SYSTEM.iter().find(|place| parts.is_below(place));
    let outside = || {
        WRITE_SYSTEM_OUTSIDE
            .iter()
            .find(|place| parts.is_below(place) && !(workspace.is_below(place) && parts.is_inside(workspace)))
    };
    fixed.or_else(outside).copied()
}

/// Whether a folder below a home holds a key store further down.
pub(super) fn holds_home_secret(relative: &Parts) -> bool {
    HOME_SECRETS
        .iter()
        .any(|place| Parts::of(place.as_ref()).below(relative).is_some_and(|rest| !rest.is_root()))
}

/// Whether the path lies in a folder for scratch files.
pub(super) fn is_scratch(parts: &Parts) -> bool {
    SCRATCH.iter().any(|place| parts.is_below(place))
}

/// Whether the path is such a folder itself.
pub(super) fn is_scratch_root(parts: &Parts) -> bool {
    SCRATCH.iter().any(|place| parts.is_below(place) && parts.len() == place.split('/').count())
}

/// The file that runs later, wherever it stands.
pub(super) fn startup_anywhere(parts: &Parts) -> Option<Place> {
    STARTUP_ANYWHERE.iter().find(|place| parts.holds(place)).copied()
}

/// Key stores below a home as a tree of names, for comparing by device and inode.
#[cfg(feature = "fs")]
#[derive(Debug, Default)]
pub(super) struct Names {
    /// A store ends here.
    pub(super) is_store: bool,
    /// The names below, lower case.
    pub(super) below: BTreeMap<&'static str, Names>,
}

/// The stores of the table; built once.
#[cfg(feature = "fs")]
pub(super) fn home_stores() -> &'static Names {
    static NAMES: LazyLock<Names> = LazyLock::new(|| {
        let mut names = Names::default();
        for place in HOME_SECRETS {
            let last = place.split('/').fold(&mut names, |at, name| at.below.entry(name).or_default());
            last.is_store = true;
        }
        names
    });
    &NAMES
}
