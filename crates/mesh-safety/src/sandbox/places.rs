//! Tables: what of the system and of a home is seen inside, and what is never written.
#![cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only Linux uses all of them"))]

/// Folders of the system that are seen, read-only. Links among them (`/bin` to `usr/bin`) are made again.
#[rustfmt::skip]
pub(super) const SYSTEM: &[&str] = &[
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/nix", "/gnu/store", "/snap",
    "/run/current-system", "/sys/devices/system/cpu", "/sys/devices/system/node", "/var/lib/dpkg", "/var/lib/texmf",
    "/var/cache/fontconfig", "/System", "/Library",
];

/// Below those, what holds keys or says who may do what. As root they could be read.
#[rustfmt::skip]
pub(super) const SYSTEM_HIDDEN: &[&str] = &[
    "/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-", "/etc/sudoers", "/etc/sudoers.d", "/etc/ssl/private",
    "/etc/pki/tls/private", "/etc/security/opasswd", "/etc/wireguard", "/etc/openvpn", "/etc/ipsec.secrets", "/etc/ipsec.d",
    "/etc/letsencrypt", "/etc/kubernetes", "/etc/rancher", "/etc/docker", "/etc/containerd", "/etc/krb5.keytab", "/etc/samba",
    "/etc/ppp", "/etc/NetworkManager", "/etc/wpa_supplicant", "/etc/netplan", "/etc/ssh", "/etc/credstore",
    "/etc/credstore.encrypted", "/etc/cloud", "/etc/fstab", "/etc/crypttab", "/etc/postfix/sasl_passwd", "/etc/msmtprc",
    "/etc/mysql/debian.cnf", "/etc/redis", "/etc/grafana", "/etc/vault.d", "/etc/consul.d", "/etc/nomad.d", "/etc/boto.cfg",
    "/etc/s3cmd", "/etc/davfs2", "/etc/apt/auth.conf", "/etc/apt/auth.conf.d", "/etc/environment", "/etc/npmrc",
    "/usr/etc/npmrc", "/usr/local/etc/npmrc",
];

/// Single device nodes.
pub(super) const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];

/// Below a home, seen read-only.
pub(super) use crate::path::TOOLCHAINS;

/// Settings below a home that programs ask for; seen only when nothing in them looks like a credential.
#[rustfmt::skip]
pub(super) const SETTINGS: &[&str] = &[
    ".gitconfig", ".config/git/config", ".config/git/ignore", ".config/git/attributes", ".gitignore_global",
    ".gitignore", ".cargo/config.toml", ".cargo/config", ".config/pip/pip.conf", ".pip/pip.conf", ".config/uv/uv.toml",
    ".condarc", ".bazelrc", ".rustfmt.toml", ".editorconfig", ".tool-versions", ".python-version", ".node-version",
    ".nvmrc", ".gemrc", ".Rprofile", ".config/rustfmt", ".config/black", ".config/ruff", ".config/flake8",
];

/// Below a home and in no writable folder, these would be hidden by themselves; in a writable one they are masked.
pub(super) use crate::path::HOME_SECRETS;

/// Below a home, what a shell or desktop runs: read-only when the home is writable.
pub(super) use crate::path::HOME_STARTUP;

/// At the top of a writable folder and of each repository in it: read-only, whether or not it is there.
#[rustfmt::skip]
pub(super) const PROTECTED: &[&str] = &[
    ".meshapi", ".vscode", ".idea", ".mcp.json", ".claude", ".codex", ".cursor", ".gemini", ".husky", ".envrc",
    ".cargo/config.toml", ".cargo/config", ".npmrc", ".yarnrc.yml", ".devcontainer",
];

/// Folders of packages and builds, too large to be searched for repositories before and after each call.
#[rustfmt::skip]
pub(super) const PRUNED: &[&str] = &[
    "node_modules", "target", ".venv", "venv", "__pycache__", ".tox", ".mypy_cache", ".pytest_cache", ".gradle",
    "site-packages", ".next", ".nuxt", ".turbo", ".terraform", "bazel-out", ".cache", "dist-packages",
];
