// Starts a program without some system calls: what a container's filter, or a kernel built without them, looks like from inside.
//   without namespaces|landlock PROGRAM [ARGUMENT]...
#include <errno.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define IF(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, yes, no)
#define HAS(bits, yes, no) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, yes, no)
#define SAY(what) BPF_STMT(BPF_RET | BPF_K, what)

int main(int count, char **words) {
    if (count < 3) return 2;
    struct sock_filter landlock[] = {
        LOAD(nr),
        IF(444, 2, 0), IF(445, 1, 0), IF(446, 0, 1),
        SAY(SECCOMP_RET_ERRNO | ENOSYS),
        SAY(SECCOMP_RET_ALLOW),
    };
    struct sock_filter namespaces[] = {
        LOAD(nr),
        IF(SYS_unshare, 4, 0), IF(SYS_mount, 3, 0), IF(SYS_clone, 0, 3),
        LOAD(args[0]),
        HAS(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET, 0, 1),
        SAY(SECCOMP_RET_ERRNO | EPERM),
        SAY(SECCOMP_RET_ALLOW),
    };
    int is_landlock = strcmp(words[1], "landlock") == 0;
    struct sock_fprog program = {
        is_landlock ? sizeof landlock / sizeof *landlock : sizeof namespaces / sizeof *namespaces,
        is_landlock ? landlock : namespaces,
    };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) return 3;
    execvp(words[2], words + 2);
    return 127;
}
