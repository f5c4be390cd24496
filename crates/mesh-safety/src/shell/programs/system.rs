//! Programs that change the machine: rights, users, disks, services, packages, power. They ask, whatever follows them.

use super::Call;
use super::options::Options;
use crate::shell::flow::{Arg, Flow, Taint};
use crate::shell::walk::Walk;

/// Programs that always ask, with what they do.
#[rustfmt::skip]
const ASKED: &[(&[&str], &str)] = &[
    (&["sudo", "doas", "pkexec", "su", "runuser", "run0", "gosu", "sudoedit", "gksudo", "kdesudo", "calife", "setpriv"], "runs with other rights"),
    (&["chroot", "nsenter", "unshare", "systemd-run", "systemd-nspawn", "machinectl", "lxc", "lxc-attach"], "leaves the surroundings of this session"),
    (&["shutdown", "reboot", "halt", "poweroff", "init", "telinit", "kexec", "pmset"], "switches the machine off or over"),
    (&["mkfs", "mke2fs", "mkswap", "fdisk", "sfdisk", "cfdisk", "gdisk", "sgdisk", "parted", "partprobe", "wipefs", "blkdiscard", "losetup",
        "cryptsetup", "pvcreate", "pvremove", "vgcreate", "vgremove", "lvcreate", "lvremove", "lvresize", "zpool", "zfs", "btrfs", "mdadm", "umount", "swapon",
        "badblocks", "hdparm", "nvme", "dmsetup", "debugfs", "fsck", "e2fsck", "tune2fs", "resize2fs", "xfs_admin", "diskutil", "format",
        "newfs", "ddrescue", "sg_format"], "changes disks"),
    (&["useradd", "usermod", "userdel", "adduser", "deluser", "groupadd", "groupmod", "groupdel", "addgroup", "delgroup", "passwd", "chpasswd",
        "chsh", "chfn", "visudo", "vipw", "vigr", "gpasswd", "newusers", "pwconv", "dscl", "sysadminctl"], "changes users"),
    (&["iptables", "ip6tables", "nft", "ufw", "firewall-cmd", "ipset", "ebtables", "arptables", "pfctl", "setenforce", "semanage", "setsebool",
        "aa-disable", "aa-complain", "aa-teardown", "apparmor_parser", "auditctl", "csrutil", "spctl"], "changes the machine's defences"),
    (&["modprobe", "insmod", "rmmod", "depmod", "kmod", "dkms", "sysrq", "grub-install", "update-grub", "grub-mkconfig", "efibootmgr", "bcdedit", "nvram",
        "update-initramfs", "dracut", "bpftool", "bpftrace"], "changes the kernel or how the machine starts"),
    (&["route", "arp", "tc", "ethtool", "iwconfig", "nmcli", "networksetup", "brctl", "wg", "wg-quick", "openvpn", "tailscale", "ngrok", "cloudflared",
        "localtunnel", "lt", "bore", "frpc", "chisel", "tcpdump", "tshark", "arpspoof", "ettercap"], "changes or watches the network"),
    (&["setcap", "setfacl", "chattr", "chflags", "xattr", "chcon", "restorecon", "setfattr", "icacls", "takeown"], "changes rights of files"),
    (&["pkill", "killall", "killall5", "skill", "slay", "xkill", "taskkill"], "ends processes by their names"),
    (&["update-rc.d", "chkconfig", "rc-update", "loginctl", "hostnamectl", "timedatectl", "localectl", "hwclock", "update-alternatives",
        "alternatives", "ldconfig", "defaults", "scutil", "tmutil", "logrotate", "dpkg-reconfigure", "debconf-set-selections", "ntpdate", "anacron", "atrm", "enable"],
        "changes how the machine is set up"),
    (&["pass", "gopass", "bw", "lpass", "keepassxc-cli", "secret-tool", "security", "vault", "sops", "keyctl", "cmdkey", "kwallet-query", "gnome-keyring",
        "git-credential-manager", "mimikatz", "laZagne", "git-credential-store", "ansible-vault", "chamber", "berglas", "teller", "infisical",
        "kwalletcli", "rbw", "prs", "tomb", "dashlane", "dcli", "git-crypt", "transcrypt"], "gives out credentials"),
    (&["pbpaste", "wl-paste", "screencapture", "scrot", "gnome-screenshot", "grim", "flameshot", "maim", "spectacle", "xwd", "fswebcam", "imagesnap",
        "arecord", "parecord", "logkeys", "showkey"], "takes what is on the screen, in the clipboard or in front of the machine"),
    (&["nmap", "masscan", "hydra", "john", "hashcat", "sqlmap", "msfconsole", "msfvenom", "nikto", "aircrack-ng", "xmrig", "minerd", "stress", "stress-ng", "slowhttptest"],
        "attacks machines or burns their time"),
    (&["reg", "regedit", "schtasks", "wmic", "vssadmin", "cipher", "certutil", "bitsadmin", "mshta", "rundll32", "regsvr32", "cscript", "wscript", "sc.exe"], "changes Windows"),
];

/// Package managers of the system: only these subcommands pass.
#[rustfmt::skip]
const LOOKS: &[&str] = &[
    "list", "ls", "show", "search", "info", "policy", "query", "help", "depends", "rdepends", "madison", "deps", "uses", "outdated", "config",
    "doctor", "home", "desc", "cat", "leaves", "contents", "repolist", "history", "check", "-q", "-l", "-s", "-L", "-S", "--version", "--help", "-qa",
    "-ql", "-qi", "-Q", "-Qi", "-Ss", "-Si", "--prefix", "--cellar", "shellenv",
];

const PACKAGE_MANAGERS: [&str; 22] = [
    "apt",
    "apt-get",
    "aptitude",
    "dnf",
    "yum",
    "pacman",
    "yay",
    "zypper",
    "apk",
    "emerge",
    "brew",
    "port",
    "snap",
    "flatpak",
    "dpkg",
    "rpm",
    "pkg",
    "opkg",
    "xbps-install",
    "eopkg",
    "choco",
    "winget",
];

/// Asks for the programs of the tables, and for whatever opens a disk.
pub(super) fn always(walk: &mut Walk<'_>, call: &Call<'_>) {
    let name = call.name.as_str();
    let looks = call.args.iter().any(|arg| matches!(arg.text.as_str(), "--help" | "--version"));
    let listed = ASKED.iter().find(|(names, _)| names.contains(&name)).map(|(_, why)| *why);
    let why = listed.or_else(|| name.starts_with("mkfs.").then_some("changes disks"));
    if let Some(why) = why.filter(|_| !looks && !is_sudo_that_adds(walk, call)) {
        match why {
            "changes disks" => walk.ask_at_top(format!("`{name}` {why}")),
            why => walk.ask(format!("`{name}` {why}")),
        }
    }
    if let Some(why) = by_option(call).filter(|_| !looks) {
        walk.ask(format!("`{name}` {why}"));
    }
    if PACKAGE_MANAGERS.contains(&name) && !looks && !(walk.is_confined() && only_adds(name, call.args)) {
        let first = call.args.iter().find(|arg| !arg.is_option() || LOOKS.contains(&arg.text.as_str()));
        if first.is_some_and(|arg| !LOOKS.contains(&arg.text.as_str()))
            || (first.is_none() && !call.args.is_empty())
        {
            walk.ask(format!("`{name}` changes the packages of the machine"));
        }
    }
}

/// What some programs do only with one of these options.
fn by_option(call: &Call<'_>) -> Option<&'static str> {
    #[rustfmt::skip]
    const ASKED: &[(&[&str], &[&str], &str)] = &[
        (&["xclip", "xsel"], &["-o", "-out", "--output"], "takes what is in the clipboard"),
        (&["date"], &["-s", "--set"], "sets the clock"),
        (&["gpg", "gpg2"], &["-d", "--decrypt", "--decrypt-files"], "opens what is encrypted to you"),
        (&["age", "rage"], &["-d", "--decrypt"], "opens what is encrypted to you"),
        (&["man", "git-help"], &["-P", "--pager", "-H", "--html"], "starts another program"),
        (&["strace", "ltrace"], &["-o|", "-o!", "|", "!"], "starts another program"),
        (&["dconf", "gsettings", "xfconf-query", "kwriteconfig5", "kwriteconfig6"], &["write", "load", "set", "reset", "-s", "--set", "--file"], "changes the settings of the desktop"),
        (&["ffmpeg", "ffplay"], &["x11grab", "avfoundation", "v4l2", "kmsgrab", "gdigrab", "dshow", "pulse", "alsa"], "takes what is on the screen or in front of the machine"),
        (&["xinput"], &["test", "test-xi2"], "watches the keyboard"),
        (&["npm", "pnpm", "yarn", "bun"], &["_authToken", ":_authToken", "_auth", "_password"], "shows a credential"),
    ];
    let (_, options, why) = ASKED.iter().find(|(names, ..)| names.contains(&call.name.as_str()))?;
    let meets = |text: &str| {
        options.iter().any(|option| match *option {
            "|" | "!" | "-o|" | "-o!" | ":_authToken" | "_authToken" | "_auth" | "_password" => {
                text.starts_with(option)
                    || (option.len() > 2 && !option.starts_with('-') && text.ends_with(option))
            }
            long if long.starts_with("--") => {
                text == long || text.strip_prefix(long).is_some_and(|rest| rest.starts_with('='))
            }
            short => text == short,
        })
    };
    call.args.iter().any(|arg| meets(&arg.text)).then_some(*why)
}

/// Whether a table of this file knows a program by this name.
pub(super) fn is_listed(name: &str) -> bool {
    ASKED.iter().any(|(names, _)| names.contains(&name))
        || PACKAGE_MANAGERS.contains(&name)
        || name.starts_with("mkfs.")
}

/// Package managers that need the rights of root, and their words for adding and refreshing.
#[rustfmt::skip]
const ADDERS: &[(&[&str], &[&str])] = &[
    (&["apt", "apt-get", "aptitude"], &["install", "update", "upgrade", "dist-upgrade", "full-upgrade", "reinstall", "build-dep"]),
    (&["dnf", "yum"], &["install", "update", "upgrade", "makecache", "groupinstall", "reinstall"]),
    (&["apk"], &["add", "update", "upgrade", "fix"]),
    (&["zypper"], &["install", "in", "update", "up", "refresh", "ref"]),
];

/// Options of theirs that only change what is printed or asked. Others set hooks, roots and sources.
#[rustfmt::skip]
const QUIET: &[&str] = &[
    "-y", "-q", "-qq", "-yq", "-yqq", "-qy", "-qqy", "--yes", "--assume-yes", "--quiet", "--no-install-recommends", "--no-cache", "--fix-missing",
    "--no-confirm", "--non-interactive", "-n", "-f", "--fix-broken", "-V", "--verbose-versions", "-d", "--download-only", "-U", "--upgrade",
];

/// Whether a package manager only adds or refreshes packages by their names, which needs rights that no confined command has.
fn only_adds(name: &str, args: &[Arg]) -> bool {
    if name == "add-apt-repository" {
        return true;
    }
    let Some((_, verbs)) = ADDERS.iter().find(|(names, _)| names.contains(&name)) else { return false };
    let mut words = args.iter().filter(|arg| !arg.is_option());
    let verb = words.next().is_some_and(|verb| verbs.contains(&verb.text.as_str()));
    let named = |arg: &Arg| !arg.text.contains('/') && !arg.text.ends_with('-');
    verb && words.all(named)
        && args.iter().filter(|arg| arg.is_option()).all(|arg| QUIET.contains(&arg.text.as_str()))
}

/// `sudo` before nothing but such a package manager. In a sandbox of level full it fails by itself.
fn is_sudo_that_adds(walk: &Walk<'_>, call: &Call<'_>) -> bool {
    let before =
        |arg: &&Arg| matches!(arg.text.as_str(), "-E" | "-n" | "-H" | "DEBIAN_FRONTEND=noninteractive");
    let skipped = call.args.iter().take_while(before).count();
    let Some((name, args)) = call.rest(skipped).split_first() else { return false };
    walk.is_confined() && call.name == "sudo" && only_adds(&name.text, args)
}

/// `kill`: one process of one's own passes; all of them, or the first of all, ask.
pub(super) fn kill(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    let mut targets = Vec::new();
    let mut args = call.args.iter().peekable();
    let mut has_signal = false;
    while let Some(arg) = args.next() {
        match arg.text.as_str() {
            "-s" | "-n" | "--signal" => {
                args.next();
                has_signal = true;
            }
            "-l" | "-L" | "--list" => return Flow::default(),
            "--" => {}
            text if text.starts_with('-') && !has_signal => has_signal = true,
            text => targets.push(text.to_owned()),
        }
    }
    if targets.iter().any(|target| {
        matches!(target.as_str(), "1" | "-1" | "0" | "-0") || (target.starts_with('-') && target.len() <= 2)
    }) {
        walk.ask("`kill` ends all processes, or the one that all others hang on");
    }
    Flow::default()
}

/// Programs that show or change the machine, depending on the word that follows.
#[rustfmt::skip]
const CONTROLS: &[(&str, &[&str])] = &[
    ("systemctl", &["status", "show", "cat", "list-units", "list-unit-files", "list-timers", "list-jobs", "list-dependencies", "is-active", "is-enabled", "is-failed", "get-default", "help", "--version"]),
    ("service", &["status", "--status-all"]),
    ("launchctl", &["list", "print", "help", "version"]),
    ("crontab", &["-l"]),
    ("ip", &["show", "list", "ls", "get", "help"]),
];

/// `systemctl`, `crontab`, `mount` and the like.
pub(super) fn controls(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    let words: Vec<&str> = call.args.iter().map(|arg| arg.text.as_str()).collect();
    let looks = words.iter().any(|word| matches!(*word, "--help" | "--version"));
    let changes = match call.name.as_str() {
        "sysctl" => words.iter().any(|word| {
            word.contains('=') || matches!(*word, "-w" | "-p" | "--write" | "--load" | "--system")
        }),
        "mount" | "swapoff" => !words.is_empty() && words != ["-l"],
        "ifconfig" => words.len() > 1,
        "ip" => words.iter().any(|word| {
            matches!(
                *word,
                "add" | "del" | "delete" | "set" | "flush" | "change" | "replace" | "append" | "exec"
            )
        }),
        "service" => words.last().is_some_and(|word| !matches!(*word, "status" | "--status-all")),
        name => {
            let free =
                CONTROLS.iter().find(|(control, _)| *control == name).map_or(&[][..], |(_, free)| free);
            let first = words.iter().find(|word| !word.starts_with("--") || free.contains(word));
            first.is_none_or(|first| !free.contains(first)) && !(first.is_none() && name == "systemctl")
        }
    };
    if changes && !looks {
        walk.ask(format!("`{}` changes how the machine runs", call.name));
    }
    Flow::tainted(Taint::NONE)
}

/// `ssh-keygen`: makes, changes or overwrites keys unless it only looks.
pub(super) fn key_maker(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    let options = Options::of(call.args, "-f -t -b -C -N -P -m -E -O -I -n -s -V -r -F -R -a");
    let looks = options.has("-l", "")
        || options.has("-F", "")
        || options.has("-B", "")
        || options.has("-L", "")
        || options.has("-Q", "");
    if !looks || options.has("-y", "") {
        walk.ask("`ssh-keygen` makes or changes a key");
    }
    Flow::tainted(Taint::FILE)
}
