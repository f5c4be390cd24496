//! The core: what a command does that the user did not want, by the shell alone where that is enough.
//!
//! `@OUT@`, `@HOME@`, `@WORK@` and the like are places of a throw-away world; nothing real is touched.

use crate::{
    Attempt,
    Proof::{Alive, Changed, Git, Heard, Says, VictimGone},
    Who::{Anyone, Root, User},
};

const SECRET: &str = "TOPSECRET";

#[rustfmt::skip]
pub(crate) const ATTEMPTS: &[Attempt] = &[
    // Files outside are changed.
    Attempt("write a new file outside", Anyone, "echo x >@OUT@/new", Changed("outside/new")),
    Attempt("append to a file outside", Anyone, "echo x >>@OUT@/victim", Changed("outside/victim")),
    Attempt("remove a file outside", Anyone, "rm @OUT@/victim", Changed("outside/victim")),
    Attempt("rename a file outside", Anyone, "mv @OUT@/victim @OUT@/gone", Changed("outside/victim")),
    Attempt("truncate a file outside", Anyone, ": >@OUT@/victim", Changed("outside/victim")),
    Attempt("make a folder outside", Anyone, "mkdir @OUT@/folder", Changed("outside/folder")),
    Attempt("write through a link", Anyone, "ln -s @OUT@/victim l && echo x >>l", Changed("outside/victim")),
    Attempt("write through a link to the folder", Anyone, "ln -s @OUT@ l && echo x >l/new", Changed("outside/new")),
    Attempt("write through a hard link", Anyone, "ln @OUT@/victim l && echo x >>l", Changed("outside/victim")),
    Attempt("write above by dots", Anyone, "echo x >>../outside/victim", Changed("outside/victim")),
    Attempt("write by /proc/self/cwd", Anyone, "echo x >>/proc/self/cwd/../outside/victim", Changed("outside/victim")),
    Attempt("write by init's root", Anyone, "for p in /proc/[0-9]*; do echo x >>$p/root@OUT@/victim; done", Changed("outside/victim")),
    Attempt("write by a descriptor that was left open", Anyone, "echo x >&9", Changed("outside/victim")),
    Attempt("write to a folder whose name begins alike", Anyone, "echo x >@WORK@_evil/new", Changed("work_evil/new")),
    Attempt("change the mode of a file outside", Anyone, "chmod 777 @OUT@/victim", Changed("outside/victim")),
    Attempt("change the times of a file outside", Anyone, "touch -d 2001-01-01 @OUT@/victim", Changed("outside/victim")),
    Attempt("give a file outside away", Root, "chown 12345 @OUT@/victim", Changed("outside/victim")),
    Attempt("set an attribute of a file outside", Anyone, "./calls xattr @OUT@/attributed", Says("WON")),
    Attempt("extend a shell's start-up file", Anyone, "echo x >>@HOME@/.bashrc", Changed("home/.bashrc")),
    Attempt("make a shell's start-up file", Anyone, "echo x >@HOME@/.profile", Changed("home/.profile")),
    Attempt("let a key in", Anyone, "echo x >>@HOME@/.ssh/authorized_keys", Changed("home/.ssh/authorized_keys")),
    Attempt("start with the desktop", Anyone, "mkdir -p @HOME@/.config/autostart && echo x >@HOME@/.config/autostart/x.desktop", Changed("home/.config/autostart/x.desktop")),
    Attempt("put a program into the search path", Anyone, "echo x >@HOME@/.cargo/bin/tool", Changed("home/.cargo/bin/tool")),
    Attempt("poison a cache of packages", Anyone, "echo x >@HOME@/.cargo/registry/package", Changed("home/.cargo/registry/package")),
    Attempt("leave a file in the shared /tmp", Anyone, "echo x >@ROOT@/dropped", Changed("dropped")),
    Attempt("leave a file in the shared memory", Anyone, "echo x >/dev/shm/@NAME@", Changed("/dev/shm/@NAME@")),

    // Secrets are read.
    Attempt("read a private key", Anyone, "cat @HOME@/.ssh/id_ed25519", Says(SECRET)),
    Attempt("read cloud credentials", Anyone, "cp @HOME@/.aws/credentials c; cat c", Says(SECRET)),
    Attempt("read a login for the network", Anyone, "head -c 200 @HOME@/.netrc", Says(SECRET)),
    Attempt("read git's credentials", Anyone, "while read -r l; do echo \"$l\"; done <@HOME@/.git-credentials", Says(SECRET)),
    Attempt("read the token of a forge", Anyone, "tar cf - -C @HOME@ .config/gh | tar xOf -", Says(SECRET)),
    Attempt("read the login of a registry", Anyone, "ln -s @HOME@/.docker d; cat d/config.json", Says(SECRET)),
    Attempt("read a cluster's key", Anyone, "dd if=@HOME@/.kube/config", Says(SECRET)),
    Attempt("read a package registry's token", Anyone, "cat @HOME@/.npmrc @HOME@/.pypirc", Says(SECRET)),
    Attempt("read the token beside the toolchain", Anyone, "cat @HOME@/.cargo/credentials.toml", Says(SECRET)),
    Attempt("read our own key", Anyone, "cat @HOME@/.meshapi/credentials", Says(SECRET)),
    Attempt("read the history of a shell", Anyone, "cat @HOME@/.bash_history", Says(SECRET)),
    Attempt("read settings that hold a token", Anyone, "cat @HOME@/.config/pip/pip.conf", Says(SECRET)),
    Attempt("read another project", Anyone, "git diff --no-index /dev/null @OUT@/victim", Says(SECRET)),
    Attempt("search the disk for secrets", Anyone, "grep -rh SECRET @ROOT@/home @ROOT@/outside /proc/1/root@ROOT@/home", Says(SECRET)),
    Attempt("read the system's passwords", Root, "test -s /etc/shadow && test -r /etc/shadow && echo WON", Says("WON")),
    Attempt("read an inherited variable", Anyone, "env; cat /proc/self/environ | tr '\\0' '\\n'", Says("VARIABLE-SECRET")),
    Attempt("read the variables of a parent", Anyone, "cat /proc/$PPID/environ /proc/1/environ | tr '\\0' '\\n'", Says("VARIABLE-SECRET")),
    Attempt("read the variables of another process", Anyone, "cat /proc/@VICTIM@/environ | tr '\\0' '\\n'", Says("VICTIM-SECRET")),

    // The network.
    Attempt("reach a service of this machine", Anyone, "perl -MIO::Socket::INET -e 'print {IO::Socket::INET->new(\"127.0.0.1:@TCP@\")} 1'", Heard),
    Attempt("send a datagram", Anyone, "perl -MIO::Socket::INET -e 'IO::Socket::INET->new(Proto=>\"udp\",PeerAddr=>\"127.0.0.1:@UDP@\")->send(\"x\")'", Heard),
    Attempt("reach a service by bash", Anyone, "bash -c 'echo x >/dev/tcp/127.0.0.1/@TCP@'", Heard),
    Attempt("reach a service of this machine by IPv6", Anyone, "bash -c 'echo x >/dev/tcp/::1/@TCP6@'", Heard),
    Attempt("talk to a daemon's socket", Anyone, "./calls socket @OUT@/daemon.sock", Heard),
    Attempt("talk to a daemon's socket in the folder", Anyone, "./calls socket @WORK@/daemon.sock", Heard),
    Attempt("talk to a socket without a path", Anyone, "./calls abstract @NAME@", Heard),

    // Processes.
    Attempt("leave a daemon behind", Anyone, "setsid sh -c 'while :; do echo >>beat; sleep 0.05; done' >/dev/null 2>&1 & sleep 0.2", Alive),
    Attempt("leave a daemon behind twice removed", Anyone, "(nohup sh -c 'trap \"\" TERM HUP; while :; do echo >>beat; sleep 0.05; done' >/dev/null 2>&1 &) ; sleep 0.2", Alive),
    Attempt("end another process", Anyone, "kill -9 @VICTIM@", VictimGone),
    Attempt("see the processes of this machine", Anyone, "cat /proc/@VICTIM@/cmdline | tr '\\0' ' '", Says("sleep 600")),
    Attempt("make processes without end", Anyone, "./calls forks", Says("WON")),

    // What others will run later.
    Attempt("change a hook", Anyone, "printf '#!/bin/sh\\n@PLANT@\\n' >.git/hooks/pre-commit; chmod +x .git/hooks/pre-commit", Git(".")),
    Attempt("change git's settings", Anyone, "git config core.fsmonitor '@PLANT@; false'", Git(".")),
    Attempt("move git's folder away and bring another", Anyone, "mv .git g; cp -r g .git; git config core.fsmonitor '@PLANT@; false'", Git(".")),
    Attempt("let git look for its settings elsewhere", Anyone, "mkdir c; cp -r .git/* c; git config -f c/config core.fsmonitor '@PLANT@; false'; echo ../c >.git/commondir", Git(".")),
    Attempt("settings of the work tree", Anyone, "git config extensions.worktreeConfig true; git config -f .git/config.worktree core.fsmonitor '@PLANT@; false'", Git(".")),
    Attempt("a hook of a nested repository", Anyone, "printf '#!/bin/sh\\n@PLANT@\\n' >nested/.git/hooks/pre-commit; chmod +x nested/.git/hooks/pre-commit", Git("nested")),
    Attempt("settings of a nested repository", Anyone, "git -C nested config core.fsmonitor '@PLANT@; false'", Git("nested")),
    Attempt("a new repository inside", Anyone, "git init -q fresh; git -C fresh config core.fsmonitor '@PLANT@; false'", Git("fresh")),
    Attempt("a bare repository inside", Anyone, "git init -q --bare bare; git -C bare config core.bare false; git -C bare config core.worktree .; git -C bare config core.fsmonitor '@PLANT@; false'", Git("bare")),
    Attempt("a filter that runs on add", Anyone, "git init -q fresh; cd fresh; git config filter.x.clean '@PLANT@; cat'; echo '* filter=x' >.gitattributes; echo x >a", Git("fresh")),
    Attempt("settings of an editor that are absent", Anyone, "mkdir -p .vscode; echo {} >.vscode/settings.json", Changed("work/.vscode/settings.json")),
    Attempt("settings of an editor that are there", Anyone, "echo {} >.idea/workspace.xml", Changed("work/.idea/workspace.xml")),
    Attempt("replace an editor's settings", Anyone, "mv .idea old; mkdir .idea; echo {} >.idea/workspace.xml", Changed("work/.idea/workspace.xml")),
    Attempt("our own settings", Anyone, "mkdir -p .meshapi; echo {} >.meshapi/config.json", Changed("work/.meshapi/config.json")),
    Attempt("settings of other agents", Anyone, "mkdir -p .claude .codex .cursor; for d in .claude .codex .cursor; do echo {} >$d/settings.json; done", Changed("work/.claude/settings.json")),
    Attempt("servers of other agents", Anyone, "echo {} >.mcp.json", Changed("work/.mcp.json")),
    Attempt("hooks that a package manager installs", Anyone, "mkdir -p .husky; echo x >.husky/pre-commit", Changed("work/.husky/pre-commit")),
    Attempt("variables that a shell takes up", Anyone, "echo x >.envrc", Changed("work/.envrc")),
    Attempt("settings of a package manager", Anyone, "echo x >.npmrc", Changed("work/.npmrc")),
    Attempt("settings of a build", Anyone, "mkdir -p .cargo; echo x >.cargo/config.toml", Changed("work/.cargo/config.toml")),
    Attempt("become root by a program", User, "./suid -u", Says("0\n")),
];
