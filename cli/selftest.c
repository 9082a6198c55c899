/* selftest.c - `tintype selftest`: do the kernels give right numbers on this device and driver?
 *
 * The checks run in a child process, so that a driver that crashes takes the child with it and no more: the check that
 * was under way is told as crashed, and a new child goes on with the next. */
#include "cli/commands.h"
#include "cli/session.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a child sends: a description of the device first, then one message per check, before and after it ran. */
typedef enum message_kind { DEVICE, BEGUN, DONE, FAILED } message_kind;
typedef struct message {
    message_kind kind;
    size_t index;
    tt_device_info device;
    tt_selftest_result result;
    char text[1024]; /* FAILED: the sentence */
} message;

/* Everything the parent knows. */
typedef struct selftest {
    const cli_options *options;
    tt_device_info device;
    bool has_device;
    size_t next;          /* check to begin the next child with */
    size_t n_verdicts[4]; /* by tt_verdict */
    size_t n_printed;
} selftest;

/* The first check from `index` on that was asked for; past the last when there is none. */
static size_t next_check(const cli_options *o, size_t index)
{
    tt_selftest_result result;
    for (; index < tt_selftest_count(); index++) {
        tt_selftest_describe(index, &result);
        if (o->only == NULL || strcmp(result.op, o->only) == 0)
            break;
    }
    return index;
}

/* ---- the child */

static bool send_all(int to, const message *m)
{
    const char *bytes = (const char *)m;
    for (size_t sent = 0; sent < sizeof *m;) {
        ssize_t n = write(to, bytes + sent, sizeof *m - sent);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        sent += (size_t)n;
    }
    return true;
}

static bool send_failure(int to, const tt_context *context)
{
    message m = {.kind = FAILED};
    (void)snprintf(m.text, sizeof m.text, "%s", tt_context_message(context));
    return send_all(to, &m);
}

static cli_exit run_checks(const cli_options *o, cli_session *session, int to, size_t first)
{
    message m = {.kind = DEVICE};
    if (tt_context_device(session->context, &m.device) != TT_OK || !send_all(to, &m))
        return CLI_FAILED;
    for (size_t i = next_check(o, first); i < tt_selftest_count(); i = next_check(o, i + 1)) {
        m = (message){.kind = BEGUN, .index = i};
        if (!send_all(to, &m))
            return CLI_FAILED;
        m.kind = DONE;
        if (tt_selftest_run(session->context, i, &m.result) != TT_OK) {
            (void)send_failure(to, session->context);
            return CLI_FAILED;
        }
        if (!send_all(to, &m))
            return CLI_FAILED;
    }
    return CLI_OK;
}

static cli_exit be_child(const cli_options *o, int to, size_t first)
{
    cli_session session = {0};
    tt_device_params params;
    tt_device_params_default(&params);
    params.device = o->device;
    params.cache_dir = o->cache_dir;
    params.kernel_dir = o->kernel_dir;
    cli_exit code = cli_session_begin(o, &session);
    if (code == CLI_OK && tt_context_open_device(session.context, &params) != TT_OK) {
        (void)send_failure(to, session.context);
        code = CLI_FAILED;
    }
    if (code == CLI_OK)
        code = run_checks(o, &session, to, first);
    cli_session_end(&session);
    return code;
}

/* ---- what is printed */

static void print_result(selftest *s, const tt_selftest_result *r)
{
    s->n_verdicts[r->verdict]++;
    if (s->options->json) {
        (void)printf("%s  {\"op\": ", s->n_printed++ > 0 ? ",\n" : "");
        cli_print_json_string(stdout, r->op);
        (void)printf(", \"variant\": ");
        cli_print_json_string(stdout, r->variant);
        (void)printf(", \"verdict\": \"%s\", \"ways\": %u, \"error\": %.3g, \"tolerance\": %.3g, \"message\": ",
                     tt_verdict_name(r->verdict), r->n_names, r->error > 1e30 ? 1e30 : r->error, r->tolerance);
        cli_print_json_string(stdout, r->message);
        (void)printf("}");
    } else {
        (void)printf("  %-12s %-22s %s", r->op, r->variant, tt_verdict_name(r->verdict));
        if (r->verdict == TT_VERDICT_OK && r->n_names == 0)
            (void)printf(" (the device has no unit for it)");
        else if (r->verdict == TT_VERDICT_OK)
            (void)printf(" (%.1e)", r->error);
        if (r->message[0] != '\0') {
            (void)printf(": ");
            cli_print_plain(stdout, r->message);
        }
        (void)printf("\n");
    }
    (void)fflush(stdout);
}

static void print_text_field(const char *key, const char *text)
{
    (void)printf("\"%s\": ", key);
    cli_print_json_string(stdout, text);
    (void)printf(", ");
}

static void print_device(selftest *s, const tt_device_info *d)
{
    if (s->has_device)
        return;
    s->has_device = true;
    s->device = *d;
    if (s->options->json) {
        (void)printf("{");
        print_text_field("engine", tt_version());
        print_text_field("device", d->name);
        print_text_field("platform", d->platform);
        print_text_field("driver", d->driver);
        print_text_field("version", d->version);
        print_text_field("kernels", d->variant);
        (void)printf("\"checks\": [\n");
        return;
    }
    (void)printf("tintype %s self-test\n", tt_version());
    (void)printf("device %s, %s\ndriver %s, %s\nkernels %s\n", d->name, d->platform, d->driver, d->version, d->variant);
}

static cli_exit print_end(const selftest *s)
{
    size_t n_bad =
        s->n_verdicts[TT_VERDICT_WRONG] + s->n_verdicts[TT_VERDICT_NO_BUILD] + s->n_verdicts[TT_VERDICT_CRASHED];
    if (s->options->json)
        (void)printf("\n], \"n_ok\": %zu, \"n_wrong\": %zu, \"n_not_built\": %zu, \"n_crashed\": %zu}\n",
                     s->n_verdicts[TT_VERDICT_OK], s->n_verdicts[TT_VERDICT_WRONG], s->n_verdicts[TT_VERDICT_NO_BUILD],
                     s->n_verdicts[TT_VERDICT_CRASHED]);
    else
        (void)printf("%zu checks: %zu ok, %zu wrong, %zu not built, %zu crashed\n",
                     s->n_verdicts[TT_VERDICT_OK] + n_bad, s->n_verdicts[TT_VERDICT_OK],
                     s->n_verdicts[TT_VERDICT_WRONG], s->n_verdicts[TT_VERDICT_NO_BUILD],
                     s->n_verdicts[TT_VERDICT_CRASHED]);
    if (n_bad == 0)
        return CLI_OK;
    return cli_fail(CLI_FAILED, "%zu of the kernels' variants do not work on this driver; others take their place",
                    n_bad);
}

/* ---- the parent */

/* False at the end of what the child has to say. */
static bool receive(int from, message *m)
{
    char *bytes = (char *)m;
    for (size_t got = 0; got < sizeof *m;) {
        ssize_t n = read(from, bytes + got, sizeof *m - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        got += (size_t)n;
    }
    return true;
}

/* Listens to one child until it ends. *running: a check was begun and not ended. */
static cli_exit listen(selftest *s, int from, bool *running)
{
    message m;
    cli_exit code = CLI_OK;
    *running = false;
    while (receive(from, &m)) {
        if (m.kind == FAILED)
            code = cli_fail(CLI_FAILED, "%s", m.text);
        else if (m.kind == DEVICE)
            print_device(s, &m.device);
        else if (m.kind == BEGUN)
            *running = true;
        else {
            print_result(s, &m.result);
            *running = false;
        }
        if (m.kind == BEGUN || m.kind == DONE)
            s->next = m.index + 1; /* also what a crash is told of */
    }
    return code;
}

static void print_crash(selftest *s, int how)
{
    tt_selftest_result result;
    tt_selftest_describe(s->next - 1, &result);
    result.verdict = TT_VERDICT_CRASHED;
    if (WIFSIGNALED(how))
        (void)snprintf(result.message, sizeof result.message, "the driver ended the process by signal %d",
                       WTERMSIG(how));
    else
        (void)snprintf(result.message, sizeof result.message, "the driver ended the process with code %d",
                       WIFEXITED(how) ? WEXITSTATUS(how) : -1);
    print_result(s, &result);
}

static cli_exit run_child(selftest *s)
{
    int ends[2], how = 0;
    bool running = false;
    if (fflush(stdout) != 0 || pipe(ends) != 0)
        return cli_fail(CLI_FAILED, "the self-test cannot be started: %s", strerror(errno));
    pid_t child = fork();
    if (child == 0) {
        (void)close(ends[0]);
        cli_exit code = be_child(s->options, ends[1], s->next);
        _exit((int)code);
    }
    (void)close(ends[1]);
    cli_exit code = child > 0 ? listen(s, ends[0], &running) : cli_fail(CLI_FAILED, "no process: %s", strerror(errno));
    (void)close(ends[0]);
    while (child > 0 && waitpid(child, &how, 0) < 0 && errno == EINTR)
        continue;
    if (code != CLI_OK)
        return code;
    if (running)
        print_crash(s, how);
    else if (next_check(s->options, s->next) < tt_selftest_count())
        return cli_fail(CLI_FAILED,
                        "the driver ended the process while the device was opened; there is nothing to check");
    return CLI_OK;
}

cli_exit cli_selftest(const cli_options *options)
{
    selftest s = {.options = options};
    cli_exit code = CLI_OK;
    if (next_check(options, 0) == tt_selftest_count())
        return cli_fail(CLI_USAGE, "there is no check of \"%.80s\"; names are those that tintype selftest prints",
                        options->only);
    while (code == CLI_OK && next_check(options, s.next) < tt_selftest_count())
        code = run_child(&s);
    return code == CLI_OK ? print_end(&s) : code;
}
