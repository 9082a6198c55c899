/* bench-start.c - cold and warm starts, each in a process of its own. */
#define _XOPEN_SOURCE 700 /* nftw */
#include "cli/bench.h"

#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* Notes when text encoding ended and when the first step did; then the run is over. */
typedef struct watcher {
    double begun, text_ms, first_step_ms;
} watcher;

static bool watch(void *user, const tt_progress *report)
{
    watcher *w = user;
    if (report->phase != TT_PHASE_DENOISE)
        return true;
    if (report->step == 0) {
        w->text_ms = now_ms() - w->begun;
        return true;
    }
    w->first_step_ms = now_ms() - w->begun;
    return false;
}

static cli_exit begin(const cli_options *o, cli_session *session, cli_request *request, cli_bench_start *start)
{
    double begun = now_ms();
    cli_exit code = cli_session_begin(o, session);
    if (code == CLI_OK)
        code = cli_session_load(o, session);
    start->load_model_ms = now_ms() - begun;
    if (code == CLI_OK)
        code = cli_request_make(o, session, request);
    begun = now_ms();
    if (code == CLI_OK)
        code = cli_session_open_device(o, session);
    start->open_device_ms = now_ms() - begun;
    return code;
}

/* Runs in the child. stores: programs are stored afterwards. */
static cli_exit measure(const cli_options *o, bool stores, cli_bench_start *start)
{
    cli_session session = {0};
    cli_request request = {0};
    watcher w = {.begun = now_ms()};
    cli_exit code = begin(o, &session, &request, start);
    if (code == CLI_OK) {
        double ready = now_ms();
        tt_image image = {0};
        tt_generate_stats stats;
        request.params.progress = watch;
        request.params.progress_user = &w;
        request.params.n_images = 1;
        request.params.seed = 0;
        tt_status status = tt_generate(session.model, &request.params, &image, &stats);
        if (status != TT_OK && status != TT_ERROR_CANCELLED)
            code = cli_fail_status(session.context, status);
        tt_image_free(&image);
        if (code == CLI_OK && stores &&
            (status = tt_context_store_programs(session.context, &start->n_stored)) != TT_OK)
            code = cli_fail_status(session.context, status);
        start->text_ms = w.text_ms > 0 ? w.text_ms - (ready - w.begun) : 0;
        start->first_step_ms = w.first_step_ms;
    }
    cli_request_free(&request);
    cli_session_end(&session);
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    start->peak_bytes = (double)usage.ru_maxrss * 1024.0;
    return code;
}

/* Forks, measures with this cache folder, and takes the figures from a pipe. */
static cli_exit start_once(const cli_bench *bench, const char *cache, bool stores, cli_bench_start *start)
{
    int ends[2], status = 0;
    (void)fflush(NULL);
    if (pipe(ends) != 0)
        return cli_fail(CLI_FAILED, "a pipe cannot be made");
    pid_t child = fork();
    if (child == 0) {
        cli_options options = *bench->options;
        options.cache_dir = cache;
        (void)close(ends[0]);
        cli_exit code = measure(&options, stores, start);
        bool written = write(ends[1], start, sizeof *start) == (ssize_t)sizeof *start;
        _exit(code != CLI_OK || written ? (int)code : (int)CLI_FAILED);
    }
    (void)close(ends[1]);
    bool whole = child > 0 && read(ends[0], start, sizeof *start) == (ssize_t)sizeof *start;
    (void)close(ends[0]);
    if (child < 0 || waitpid(child, &status, 0) != child)
        return cli_fail(CLI_FAILED, "a process cannot be started");
    if (!WIFEXITED(status))
        return cli_fail(CLI_FAILED, "the measurement of a start was ended by signal %d", WTERMSIG(status));
    if (WEXITSTATUS(status) != 0) /* the child has said why */
        return (cli_exit)WEXITSTATUS(status);
    return whole ? CLI_OK : cli_fail(CLI_FAILED, "the measurement of a start gave nothing");
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *place)
{
    (void)info;
    (void)kind;
    (void)place;
    return remove(path);
}

cli_exit cli_bench_starts(cli_bench *bench)
{
    const char *base = getenv("TMPDIR");
    char folder[512], driver[600];
    (void)snprintf(folder, sizeof folder, "%s/tintype-bench-XXXXXX", base != NULL && base[0] != '\0' ? base : "/tmp");
    if (mkdtemp(folder) == NULL)
        return cli_fail(CLI_FAILED, "no folder can be made in %s for empty caches: set TMPDIR",
                        base != NULL && base[0] != '\0' ? base : "/tmp");
    /* PoCL keeps a cache of its own. */
    const char *kept = getenv("POCL_CACHE_DIR");
    char *kept_copy = kept != NULL ? strdup(kept) : NULL;
    (void)snprintf(driver, sizeof driver, "%s/driver", folder);
    (void)setenv("POCL_CACHE_DIR", driver, 1);
    cli_exit code = start_once(bench, folder, false, &bench->cold);
    bench->has_cold = code == CLI_OK;
    if (code == CLI_OK)
        code = start_once(bench, folder, true, &bench->warm);
    bench->has_warm = code == CLI_OK;
    bool has_more = bench->has_warm && bench->warm.n_stored > 0;
    if (has_more)
        code = start_once(bench, folder, false, &bench->stored);
    bench->has_stored = has_more && code == CLI_OK;
    (void)(kept_copy != NULL ? setenv("POCL_CACHE_DIR", kept_copy, 1) : unsetenv("POCL_CACHE_DIR"));
    free(kept_copy);
    (void)nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return code;
}
