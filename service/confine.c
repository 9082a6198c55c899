/* confine.c - rlimits and a seccomp filter. */
#define _GNU_SOURCE
#include "service/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* Bytes of address space that the process has; 0 where /proc does not tell. */
static uint64_t address_space(void)
{
    char text[64] = "";
    const int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    const ssize_t n = file >= 0 ? read(file, text, sizeof text - 1) : -1;
    if (file >= 0)
        (void)close(file);
    const unsigned long long n_pages = n > 0 ? strtoull(text, NULL, 10) : 0;
    return n_pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static bool set_limit(int resource, uint64_t value)
{
    const struct rlimit limit = {.rlim_cur = (rlim_t)value, .rlim_max = (rlim_t)value};
    return setrlimit((__rlimit_resource_t)resource, &limit) == 0;
}

/* The signal of the first limit says why the process ended; the second one ends it in any case. */
static bool limit_time(double seconds)
{
    const rlim_t n = (rlim_t)ceil(seconds);
    const struct rlimit limit = {.rlim_cur = n, .rlim_max = n + 1};
    return setrlimit(RLIMIT_CPU, &limit) == 0;
}

static tt_status set_limits(const tt_confinement *confinement, tt_error *err)
{
    const uint64_t now = address_space();
    if (now == 0)
        return tt_fail(err, TT_ERROR_UNSUPPORTED, "a sandbox needs /proc to know how much memory it begins with");
    const bool is_set = set_limit(RLIMIT_AS, now + confinement->max_memory) && limit_time(confinement->seconds) &&
                        set_limit(RLIMIT_CORE, 0) && set_limit(RLIMIT_FSIZE, 0) && set_limit(RLIMIT_NOFILE, 0) &&
                        set_limit(RLIMIT_NPROC, 0) && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
                        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0;
    return is_set ? TT_OK : tt_fail(err, TT_ERROR_UNSUPPORTED, "the system limits no process: %s", strerror(errno));
}

/* Nothing here opens, sends, starts or waits for anything. (sigaltstack: the sanitizers put their stack away.) */
static const int allowed[] = {
    SCMP_SYS(brk),           SCMP_SYS(munmap),    SCMP_SYS(mremap), SCMP_SYS(madvise),      SCMP_SYS(exit),
    SCMP_SYS(exit_group),    SCMP_SYS(futex),     SCMP_SYS(getpid), SCMP_SYS(sched_yield),  SCMP_SYS(rt_sigreturn),
    SCMP_SYS(clock_gettime), SCMP_SYS(getrandom), SCMP_SYS(gettid), SCMP_SYS(gettimeofday), SCMP_SYS(sigaltstack),
};

/* Memory that is no file's, and never for instructions. */
static bool allow_memory(scmp_filter_ctx filter)
{
    const struct scmp_arg_cmp no_code = SCMP_A2_64(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
    const struct scmp_arg_cmp no_file = SCMP_A3_64(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, MAP_ANONYMOUS);
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2, no_code, no_file) == 0 &&
           seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, no_code) == 0;
}

static tt_status set_filter(tt_error *err)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    bool is_fine = filter != NULL && allow_memory(filter);
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++)
        is_fine = is_fine && seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0) == 0;
    is_fine = is_fine && seccomp_load(filter) == 0;
    if (filter != NULL)
        seccomp_release(filter);
    return is_fine ? TT_OK
                   : tt_fail(err, TT_ERROR_UNSUPPORTED,
                             "this kernel takes no filter of system calls (seccomp): allow it, or decide to work "
                             "without it (--no-seccomp)");
}

tt_status tt_confine(const tt_confinement *confinement, tt_error *err)
{
    const tt_status status = set_limits(confinement, err);
    return status != TT_OK || confinement->without_seccomp ? status : set_filter(err);
}

bool tt_confine_has_filter(void)
{
    int status = 0;
    const pid_t child = fork();
    if (child == 0) {
        (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        _exit(set_filter(NULL) == TT_OK ? 0 : 1);
    }
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
