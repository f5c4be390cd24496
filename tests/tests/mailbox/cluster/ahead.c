/* A clock of the day that goes an hour ahead; all other clocks as they are. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) {
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    }
    int done = real(clock, now);
    if (done == 0 && clock == CLOCK_REALTIME) {
        now->tv_sec += 3600;
    }
    return done;
}
