/* System calls that no shell makes. `calls NAME [ARGUMENT]` says WON when the call did what it should not do inside. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static int won(int it_did) {
    if (it_did) puts("WON");
    else printf("held: %s\n", strerror(errno));
    return !it_did;
}

/* A call with nonsense for arguments: whoever may make it hears about the nonsense. */
static int reached(long result) { return won(result >= 0 || (errno != EPERM && errno != ENOSYS && errno != EACCES)); }

static int in_child(int (*body)(void)) {
    pid_t pid = fork();
    if (pid == 0) _exit(body());
    int status = 1;
    waitpid(pid, &status, 0);
    return won(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static int new_user(void) { return unshare(CLONE_NEWUSER); }
static int new_user_and_root(void) { return chroot("."); }

static int forks(void) {
    int made = 0;
    pid_t pids[400];
    for (; made < 400; made++) {
        pids[made] = fork();
        if (pids[made] < 0) break;
        if (pids[made] == 0) {
            pause();
            _exit(0);
        }
    }
    for (int i = 0; i < made; i++) kill(pids[i], SIGKILL);
    while (wait(NULL) > 0) {}
    return won(made == 400);
}

static int memfd_exec(void) {
    int fd = syscall(SYS_memfd_create, "x", 0);
    if (fd < 0) return won(0);
    FILE *program = fopen("/bin/echo", "r");
    char buffer[65536];
    size_t count;
    while ((count = fread(buffer, 1, sizeof buffer, program)) > 0)
        if (write(fd, buffer, count) != (ssize_t)count) return won(0);
    char *arguments[] = {"echo", "WON", NULL}, *environment[] = {NULL};
    fexecve(fd, arguments, environment);
    return won(0);
}

static int type_for_the_user(unsigned long request) {
    setsid();
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    if (master < 0) return won(0);
    int unlock = 0;
    ioctl(master, TIOCSPTLCK, &unlock);
    int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
    if (slave < 0 || ioctl(slave, TIOCSCTTY, 0) < 0) return won(0);
    return won(ioctl(slave, request, "x") == 0);
}

/* Opens an inode of the file system by its number, past every name: the handle of ext4 is its number and generation. */
static int by_handle(const char *number) {
    struct { unsigned bytes; int type; uint32_t inode, generation; } handle = {8, 1, (uint32_t)atoi(number), 0};
    int mount = open(".", O_RDONLY | O_DIRECTORY);
    int fd = syscall(SYS_open_by_handle_at, mount, &handle, O_RDONLY);
    if (fd < 0) return won(0);
    char text[256] = {0};
    ssize_t count = read(fd, text, sizeof text - 1);
    printf("%.*s\n", (int)(count > 0 ? count : 0), text);
    return won(1);
}

static int abstract_socket(const char *name) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path + 1, name, sizeof address.sun_path - 2);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    int result = connect(fd, (struct sockaddr *)&address, sizeof(sa_family_t) + 1 + strlen(name));
    if (result == 0 && write(fd, "x", 1) != 1) result = -1;
    return won(result == 0);
}

static int path_socket(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    int result = connect(fd, (struct sockaddr *)&address, sizeof address);
    if (result == 0 && write(fd, "x", 1) != 1) result = -1;
    return won(result == 0);
}

static int socketpair_talks(void) {
    int pair[2];
    char text[3] = {0};
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) return won(0);
    return won(send(pair[0], "hi", 2, 0) == 2 && recv(pair[1], text, 2, 0) == 2 && !strcmp(text, "hi"));
}

static int int80(void) {
#ifdef __x86_64__
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory", "r8", "r9", "r10", "r11");
    return won(result == getpid());
#else
    return won(0);
#endif
}

int main(int count, char **words) {
    const char *name = count > 1 ? words[1] : "", *argument = count > 2 ? words[2] : "";
    pid_t victim = atoi(argument);
    char scratch[4096] = {0};
#define ON(text) if (!strcmp(name, text))
    ON("io_uring") return won(syscall(SYS_io_uring_setup, 1, scratch) >= 0);
    ON("userfaultfd") return won(syscall(SYS_userfaultfd, 1) >= 0);
    ON("bpf") {
        uint32_t map[18] = {2, 4, 4, 1};
        return won(syscall(SYS_bpf, 0, map, sizeof map) >= 0);
    }
    ON("perf") {
        uint32_t event[32] = {1, sizeof event};
        return won(syscall(SYS_perf_event_open, event, 0, -1, -1, 0) >= 0);
    }
    ON("add_key") return won(syscall(SYS_add_key, "user", "mesh-escape", "x", 1, -2) >= 0);
    ON("keyctl") return won(syscall(SYS_keyctl, 0, -4, 1) >= 0);
    ON("ptrace") return won(ptrace(PTRACE_SEIZE, victim, 0, 0) == 0);
    ON("vm_read") {
        struct iovec local = {scratch, 8}, remote = {&scratch[64], 8};
        return won(syscall(SYS_process_vm_readv, getpid(), &local, 1, &remote, 1, 0) == 8);
    }
    ON("pidfd_getfd") return won(syscall(SYS_pidfd_getfd, syscall(SYS_pidfd_open, victim, 0), 0, 0) >= 0);
    ON("kcmp") return won(syscall(SYS_kcmp, getpid(), getpid(), 0, 0, 1) >= 0);
    ON("unshare") return in_child(new_user);
    ON("clone_user") {
        long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
        if (pid == 0) _exit(0);
        return won(pid > 0);
    }
    ON("clone3_user") {
        uint64_t arguments[11] = {CLONE_NEWUSER, 0, 0, 0, SIGCHLD};
        long pid = syscall(SYS_clone3, arguments, 64);
        if (pid == 0) _exit(0);
        return won(pid > 0);
    }
    ON("setns") return won(setns(open("/proc/self/ns/net", O_RDONLY), CLONE_NEWNET) == 0);
    ON("mount") {
        mkdir("mnt", 0755);
        int done = mount("tmpfs", "mnt", "tmpfs", 0, NULL) == 0;
        if (done) umount2("mnt", MNT_DETACH);
        return won(done);
    }
    ON("fsopen") return won(syscall(SYS_fsopen, "tmpfs", 0) >= 0);
    ON("open_tree") return won(syscall(SYS_open_tree, AT_FDCWD, ".", 1) >= 0);
    ON("mount_setattr") {
        uint64_t nothing[4] = {0};
        return reached(syscall(SYS_mount_setattr, -1, "", AT_EMPTY_PATH, nothing, sizeof nothing));
    }
    ON("umount") return reached(umount2("/nowhere", 0));
    ON("pivot_root") return reached(syscall(SYS_pivot_root, "/nowhere", "/nowhere"));
    ON("chroot") return in_child(new_user_and_root);
    ON("by_handle") return by_handle(argument);
    ON("fanotify") return won(syscall(SYS_fanotify_init, 0, 0) >= 0);
    ON("packet") return won(socket(AF_PACKET, SOCK_RAW, 0) >= 0);
    ON("raw") return won(socket(AF_INET, SOCK_RAW, 1) >= 0);
    ON("vsock") return won(socket(40, SOCK_STREAM, 0) >= 0);
    ON("alg") return won(socket(38, SOCK_SEQPACKET, 0) >= 0);
    ON("audit") return won(socket(16, SOCK_RAW, 9) >= 0);
    ON("uevent") return won(socket(16, SOCK_RAW, 15) >= 0);
    ON("tiocsti") return type_for_the_user(0x5412);
    ON("memfd") return memfd_exec();
    ON("forks") return forks();
    ON("int80") return int80();
    ON("sethostname") return reached(syscall(SYS_sethostname, scratch, 4000));
    ON("settime") return won(syscall(SYS_settimeofday, NULL, NULL) == 0);
    ON("kexec") return reached(syscall(SYS_kexec_load, 0, 99, 0, 0));
    ON("module") return reached(syscall(SYS_delete_module, "mesh-no-such-module", 0));
    ON("swapon") return reached(syscall(SYS_swapon, "/nowhere", 0));
    ON("acct") return reached(syscall(SYS_acct, "/nowhere"));
    ON("reboot") return reached(syscall(SYS_reboot, 0, 0, 0, 0));
    ON("syslog") return won(syscall(SYS_syslog, 10, 0, 0) >= 0);
    ON("iopl") {
#ifdef SYS_iopl
        return won(syscall(SYS_iopl, 3) == 0);
#else
        return won(0);
#endif
    }
    ON("realtime") {
        struct sched_param highest = {1};
        return won(sched_setscheduler(0, SCHED_FIFO, &highest) == 0);
    }
    ON("capset") {
        uint32_t header[2] = {0x20080522, 0}, sets[6] = {~0u, ~0u, 0, ~0u, ~0u, 0};
        syscall(SYS_capget, header, sets);
        return won((sets[0] | sets[1]) != 0);
    }
    ON("xattr") return won(setxattr(argument, "user.mesh", "x", 1, 0) == 0);
    ON("abstract") return abstract_socket(argument);
    ON("socket") return path_socket(argument);
    ON("socketpair") return socketpair_talks();
    fprintf(stderr, "no such call: %s\n", name);
    return 2;
}
