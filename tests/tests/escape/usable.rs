//! What has to go on working inside: a wall that people switch off protects nobody.

use crate::Usage;

#[rustfmt::skip]
pub(crate) const USES: &[Usage] = &[
    Usage("write in the folder", "echo hi >kept; cat kept", "hi"),
    Usage("commit", "echo x >a; git add -A && git commit -qm m && git log -1 --format=%s; git status --short", "m"),
    Usage("stage nothing of ours", "rm -f calls suid; git add -A; git status --short; git ls-files; echo end", "A  nested.txt\nnested.txt\nend"),
    Usage("compile", "printf '#include <stdio.h>\\nint main(void){puts(\"built\");}' >m.c && cc m.c -o m && ./m", "built"),
    Usage("make and talk over a pair of sockets", "./calls socketpair", "WON"),
    Usage("serve and ask on the loopback", "perl -MIO::Socket::INET -e '$s=IO::Socket::INET->new(Listen=>1,LocalAddr=>\"127.0.0.1\") or die; if(!fork){$c=$s->accept;print $c \"served\";exit} $c=IO::Socket::INET->new(\"127.0.0.1:\".$s->sockport) or die; print <$c>; wait'", "served"),
    Usage("talk over a socket of its own", "perl -MIO::Socket::UNIX -e '$s=IO::Socket::UNIX->new(Local=>\"/tmp/s\",Listen=>1) or die; if(!fork){$c=$s->accept;print $c \"served\";exit} $c=IO::Socket::UNIX->new(Peer=>\"/tmp/s\") or die; print <$c>; wait'", "served"),
    Usage("scratch files", "f=$(mktemp) && echo t >$f && cat $f && echo h >$HOME/x && cat $HOME/x && echo s >/dev/shm/x && cat /dev/shm/x", "t\nh\ns"),
    Usage("processes of its own", "sleep 9 & for i in $(seq 99); do c=$(ps -o comm= -p $! || cat /proc/$!/comm); [ \"$c\" = sleep ] && break; done; echo $c; kill $!", "sleep"),
    Usage("pipes, substitution and archives", "bash -c 'cat <(tar cf - nested.txt | tar tf -)'", "nested.txt"),
    Usage("many processes", "for i in $(seq 200); do sleep 1 & done; echo many; kill $(jobs -p)", "many"),
    Usage("a terminal of its own", "script -qec 'echo typed' /dev/null </dev/null", "typed"),
    Usage("clone", "git clone -q . copy && git -C copy log --oneline | wc -l && git -C copy config remote.origin.url", "1\n@WORK@/."),
    Usage("another work tree", "git worktree add -q wt 2>&1 && git -C wt status --short && echo made", "made"),
    Usage("a repository of its own", "git init -q mine && cd mine && echo x >f && git add f && git commit -qm first && git log --format=%s", "first"),
    Usage("programs of the home", "tool", "a tool of the home"),
];
