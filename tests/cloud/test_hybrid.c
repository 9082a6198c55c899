/* test_hybrid.c - `tintype --draft` as a user meets it, with a real gate behind a relay that records: who sharpens,
 * what is sent, what is said, and what happens when the service goes away or the program is killed. */
#define _DEFAULT_SOURCE
#include "base/clock.h"
#include "base/sha256.h"
#include "service/tokens.h"
#include "tests/support/built-in.h"
#include "tests/support/fake-worker.h"
#include "tests/support/gate-host.h"
#include "tests/support/relay.h"
#include "tests/support/run-cli.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define MODEL "-m", "tests/golden/data/models/sd1"
#define PROMPT "a photo of an orange cat"
#define NEGATIVE "sepia tones"
#define SEED "987654321"
#define DRAFT MODEL, "-p", PROMPT, "-n", NEGATIVE, "-s", SEED, "-W", "32", "-H", "24", "--draft", "16", "--steps", "2"

typedef struct place {
    gate_host host;
    fake_worker worker;
    relay way;
    tt_context *context;
    char url[64], path[TT_TEMP_PATH], state[TT_TEMP_PATH], job[TT_TEMP_PATH];
} place;

static int setup(void **state)
{
    place *p = calloc(1, sizeof *p);
    assert_non_null(p);
    gate_host_prepare(&p->host, NULL);
    p->context = tt_context_create();
    assert_non_null(p->context);
    (void)temp_folder_path(&p->host.folder, "out.png", p->path);
    (void)temp_folder_path(&p->host.folder, "state", p->state);
    (void)temp_folder_path(&p->host.folder, "state.job", p->job);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    place *p = *state;
    tt_context_destroy(p->context);
    free(p);
    return 0;
}

static void start(place *p)
{
    gate_host_start(&p->host);
    fake_worker_start(&p->worker, p->host.address);
    relay_start(&p->way, p->host.port, NULL, NULL);
    (void)snprintf(p->url, sizeof p->url, "http://127.0.0.1:%u", p->way.port);
}

static void stop(place *p)
{
    if (!atomic_load(&p->way.is_stopping))
        relay_stop(&p->way);
    relay_free(&p->way);
    fake_worker_stop(&p->worker);
    gate_host_stop(&p->host);
}

static bool is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

static void assert_size(const place *p, uint32_t width, uint32_t height)
{
    tt_image image;
    if (tt_image_read(p->context, p->path, 3, &image) != TT_OK)
        fail_msg("%s", tt_context_message(p->context));
    assert_int_equal(image.width, width);
    assert_int_equal(image.height, height);
    tt_image_free(&image);
}

static void expect_inspect(const place *p, const char *mention)
{
    expect_out(RUN("inspect", p->path), mention);
}

/* ---- who sharpens */

static void test_local(void **state)
{
    place *p = *state;
    expect_out(RUN(DRAFT, "--upscale", "local", "-o", p->path), "sharpened on this device");
    assert_size(p, 32, 24);
    expect_inspect(p, PROMPT "\nNegative prompt: " NEGATIVE "\nSteps: 2");
    expect_inspect(p, "Size: 16x12");
    expect_inspect(p, "Hires upscale: 2, Hires upscaler: tintype-x2, Draft size: 16x12, Sharpened by: this device");
    expect_inspect(p, "digitalsourcetype/trainedAlgorithmicMedia");
    expect_inspect(p, "AIGC: {\"Label\":\"1\"");
    expect_out(RUN(DRAFT, "-o", p->path), "sharpened on this device"); /* auto without a service */
    temp_folder_remove(&p->host.folder);
}

/* Nothing that says what the picture is of, or how it was made, is on the wire. */
static void check_wire(const place *p)
{
    static const char *const secrets[] = {PROMPT,     "orange", NEGATIVE, SEED,     "Steps",  "Sampler",
                                          "sd1",      "tEXt",   "iTXt",   "zTXt",   "eXIf",   "parameters",
                                          "Software", "AIGC",   "XMP",    "cookie", "Cookie", "Referer"};
    assert_true(relay_saw(&p->way, "POST /v1/upscales?scale=2", 25));
    assert_true(relay_saw(&p->way, "\x89PNG\r\n\x1a\n", 8));
    for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++)
        if (relay_saw(&p->way, secrets[i], strlen(secrets[i])))
            fail_msg("\"%s\" was sent", secrets[i]);
}

static void test_cloud(void **state)
{
    place *p = *state;
    start(p);
    cli_run run = RUN(DRAFT, "--upscale", "cloud", "--cloud-url", p->url, "--allow-upload", "-o", p->path);
    assert_fine(&run, "cloud");
    assert_non_null(strstr(run.out, "sends to http://127.0.0.1:"));
    assert_non_null(strstr(run.out,
                           "the draft's pixels as a PNG without any text (16x12) and the scale 2; no prompt, no "
                           "seed, no metadata"));
    assert_non_null(strstr(run.out, "sharpened by the service in "));
    cli_run_free(&run);
    assert_size(p, 32, 24);
    expect_inspect(p, "Hires upscaler: upscale service, Draft size: 16x12, Sharpened by: service");
    expect_inspect(p, "digitalsourcetype/trainedAlgorithmicMedia");
    relay_stop(&p->way);
    check_wire(p);
    assert_int_equal(atomic_load(&p->worker.n_done), 1);
    stop(p);
}

static void test_batch(void **state)
{
    place *p = *state;
    char second[TT_TEMP_PATH];
    start(p);
    cli_run run = RUN(DRAFT, "--cloud-url", p->url, "--allow-upload", "-b", "3", "-o", p->path);
    assert_fine(&run, "batch");
    const char *first = strstr(run.out, "sends to ");
    assert_non_null(first);
    assert_null(strstr(first + 1, "sends to ")); /* said once */
    cli_run_free(&run);
    assert_true(is_there(temp_folder_path(&p->host.folder, "out_2.png", second)));
    assert_int_equal(atomic_load(&p->worker.n_done), 3);
    stop(p);
}

/* The latent instead of the draft, for a model that is one file. */
static void test_latent(void **state)
{
    enum { LATENT_BYTES = 52 + 2 * 12 * 2 * 2 };
    place *p = *state;
    char hash[65];
    tt_error err = {""};
    assert_int_equal(tt_sha256_file_hex(BUILT_IN_MODEL, hash, &err), TT_OK);
    const char *const hashes[] = {hash};
    p->host.params.model_hashes = hashes;
    p->host.params.n_model_hashes = 1;
    start(p);
    expect_out(RUN("-p", PROMPT, "-W", "64", "-H", "64", "--draft", "32", "--steps", "1", "-o", p->path, "--upscale",
                   "cloud", "--upload", "latent", "--cloud-url", p->url, "--allow-upload"),
               "the draft's latent with its model's hash (32x32) and the scale 2");
    assert_size(p, 64, 64);
    assert_int_equal(atomic_load(&p->worker.n_body_bytes), LATENT_BYTES);
    expect_refused(
        RUN(DRAFT, "-o", p->path, "--upscale", "cloud", "--upload", "latent", "--cloud-url", p->url, "--allow-upload"),
        1, "this model is no single file; send pixels");
    expect_out(RUN(DRAFT, "-o", p->path, "--upload", "latent", "--cloud-url", p->url, "--allow-upload"),
               "sharpened on this device in ");
    relay_stop(&p->way);
    assert_false(relay_saw(&p->way, "PNG", 3));
    stop(p);
}

static void test_route(void **state)
{
    place *p = *state;
    start(p);
    expect_out(RUN(DRAFT, "--cloud-url", p->url, "--allow-upload", "--route=0.99", "-o", p->path),
               "so that a service would not do it noticeably better");
    assert_int_equal(atomic_load(&p->worker.n_done), 0);
    expect_out(RUN(DRAFT, "--cloud-url", p->url, "--allow-upload", "--route=0.001", "-o", p->path),
               "sharpened by the service");
    assert_int_equal(atomic_load(&p->worker.n_done), 1);
    expect_out(RUN(DRAFT, "--cloud-url", p->url, "--allow-upload", "--route", "-o", p->path), "may send to ");
    stop(p);
}

/* ---- permission and tokens */

static void test_permission(void **state)
{
    place *p = *state;
    start(p);
    expect_refused(RUN(DRAFT, "--upscale", "cloud", "--cloud-url", p->url, "-o", p->path), 2, "add --allow-upload");
    expect_refused(RUN(DRAFT, "--cloud-url", p->url, "-o", p->path), 2, "add --allow-upload");
    expect_refused(RUN(DRAFT, "--cloud-url", "http://192.0.2.1", "--allow-upload", "-o", p->path), 1, "unencrypted");
    expect_out(RUN(DRAFT, "--upscale", "local", "--cloud-url", p->url, "-o", p->path), "sharpened on this device");
    relay_stop(&p->way);
    assert_int_equal(p->way.sent.n_bytes, 0);
    stop(p);
}

static void test_tokens(void **state)
{
    place *p = *state;
    char token[64], line[160], tokens[TT_TEMP_PATH], file[TT_TEMP_PATH], variable[128];
    tt_error err = {""};
    const char *const environment[] = {variable, NULL};
    const char *const arguments[] = {DRAFT, "--upscale", "cloud",          "--cloud-url", p->url,
                                     "-o",  p->path,     "--allow-upload", NULL};
    assert_int_equal(tt_token_make("phone", token, line, &err), TT_OK);
    temp_folder_write_text(&p->host.folder, "tokens", line);
    p->host.params.tokens_path = temp_folder_path(&p->host.folder, "tokens", tokens);
    start(p);
    expect_refused(run_cli_with(NULL, arguments), 3, "wants a token");
    (void)snprintf(variable, sizeof variable, "TINTYPE_CLOUD_TOKEN=%s", token);
    expect_out(run_cli_with(environment, arguments), "sharpened by the service");
    (void)snprintf(variable, sizeof variable, "%s\n", token);
    temp_folder_write_text(&p->host.folder, "token", variable);
    expect_out(RUN(DRAFT, "--upscale", "cloud", "--cloud-url", p->url, "--allow-upload", "--cloud-token-file",
                   temp_folder_path(&p->host.folder, "token", file), "-o", p->path),
               "sharpened by the service");
    temp_folder_write_text(&p->host.folder, "token", "\n");
    expect_refused(RUN(DRAFT, "--cloud-url", p->url, "--allow-upload", "--cloud-token-file", file, "-o", p->path), 1,
                   "holds no token");
    stop(p);
}

/* ---- a service that is not there, or not for long */

static void test_nobody(void **state)
{
    place *p = *state;
    start(p);
    relay_stop(&p->way);
    expect_refused(RUN(DRAFT, "--upscale", "cloud", "--cloud-url", p->url, "--allow-upload", "-q", "-o", p->path), 3,
                   "cannot be reached");
    assert_false(is_there(p->path));
    expect_out(RUN(DRAFT, "--cloud-url", p->url, "--allow-upload", "-o", p->path), " s: the service at http://127");
    assert_size(p, 32, 24);
    expect_inspect(p, "Sharpened by: this device");
    stop(p);
}

static void test_limits(void **state)
{
    place *p = *state;
    atomic_store(&p->worker.is_holding, true);
    start(p);
    expect_out(RUN(DRAFT, "--cloud-url", p->url, "--allow-upload", "--cloud-max-bytes", "100B", "-o", p->path),
               "at most 100 may be");
    expect_out(RUN(DRAFT, "--cloud-url", p->url, "--allow-upload", "--cloud-timeout", "2", "-o", p->path),
               "was not done within 2 s");
    assert_size(p, 32, 24);
    gate_host_expect_metric(&p->host, "tintype_jobs{stage=\"queued\"} ", 0, 2); /* it was dropped */
    stop(p);
}

/* Waits for a job in the ledger, then cuts the way to the gate for good. */
static void *cut(void *user)
{
    place *p = user;
    const struct timespec pause = {.tv_nsec = 20000000};
    const double until = tt_clock_seconds() + 60;
    uint64_t counts[5] = {0};
    double oldest;
    while (counts[TT_JOB_QUEUED] == 0 && tt_clock_seconds() < until) {
        (void)tt_ledger_length(p->host.ledger, counts, &oldest, NULL);
        (void)nanosleep(&pause, NULL);
    }
    relay_stop(&p->way);
    return NULL;
}

static void test_gone_midway(void **state)
{
    place *p = *state;
    pthread_t thread;
    atomic_store(&p->worker.is_holding, true);
    start(p);
    assert_int_equal(pthread_create(&thread, NULL, cut, p), 0);
    cli_run run = RUN(DRAFT, "--cloud-url", p->url, "--allow-upload", "-o", p->path);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_fine(&run, "the service goes away");
    assert_non_null(strstr(run.out, "waiting at the service"));
    assert_non_null(strstr(run.out, "sharpened on this device in "));
    assert_non_null(strstr(run.out, "cannot be reached or broke off"));
    cli_run_free(&run);
    assert_size(p, 32, 24);
    stop(p);
}

/* ---- a program that ends early */

static void test_killed(void **state)
{
    place *p = *state;
    const char *const line[] = {DRAFT, "--upscale", "cloud",    "--cloud-url", p->url, "--allow-upload",
                                "-o",  p->path,     "--resume", p->state,      NULL};
    atomic_store(&p->worker.is_holding, true);
    start(p);
    cli_run run = run_cli_interrupted(SIGKILL, "waiting at the service", line);
    assert_int_equal(run.signal, SIGKILL);
    cli_run_free(&run);
    assert_true(is_there(p->state));
    assert_true(is_there(p->job));
    atomic_store(&p->worker.is_holding, false);
    run = run_cli_once(line);
    assert_fine(&run, "the same command");
    assert_non_null(strstr(run.out, "0.0 KB sent"));
    assert_non_null(strstr(run.out, "a job of an earlier run"));
    cli_run_free(&run);
    assert_false(is_there(p->state));
    assert_false(is_there(p->job));
    assert_size(p, 32, 24);
    assert_int_equal(atomic_load(&p->worker.n_done), 1);
    stop(p);
}

static void test_interrupted(void **state)
{
    place *p = *state;
    const char *const line[] = {DRAFT, "--cloud-url", p->url, "--allow-upload", "-o", p->path, NULL};
    atomic_store(&p->worker.is_holding, true);
    start(p);
    cli_run run = run_cli_interrupted(SIGINT, "waiting at the service", line);
    assert_refused(&run, 130, "no picture was written", "SIGINT");
    cli_run_free(&run);
    assert_false(is_there(p->path));
    gate_host_expect_metric(&p->host, "tintype_jobs{stage=\"queued\"} ", 0, 2);
    stop(p);
}

/* ---- wrong command lines */

static void test_usage(void **state)
{
    place *p = *state;
    const char *path = p->path;
    expect_refused(RUN("-p", "x", "--upscale", "local"), 2, "with --draft PIXELS");
    expect_refused(RUN("-p", "x", "--cloud-url", "https://example.org"), 2, "--cloud-url is about sharpening a draft");
    expect_refused(RUN("-p", "x", "--route"), 2, "--route is about");
    expect_refused(RUN("-p", "x", "--draft", "16", "--upscale", "cloud"), 2, "add --cloud-url");
    expect_refused(RUN("-p", "x", "--draft", "16", "--upscale", "moon"), 2, "auto|cloud|local");
    expect_refused(RUN("-p", "x", "--draft", "16", "--route=2"), 2, "from 0.001 to 1");
    expect_refused(RUN("-p", "x", "--draft", "16", "--upload", "latent", "--taesd", "x", "--cloud-url",
                       "https://example.org", "--allow-upload"),
                   2, "send pixels");
    expect_refused(RUN(MODEL, "-p", "x", "-W", "32", "-H", "24", "--draft", "15", "-o", path), 2,
                   "--draft 15 does not");
    expect_refused(RUN(MODEL, "-p", "x", "-W", "32", "-H", "24", "--draft", "32", "-o", path), 2, "16, 10 or 8");
    expect_refused(RUN(DRAFT, "--upscale-model", "/no/such.safetensors", "-o", path), 1, "/no/such.safetensors");
    temp_folder_remove(&p->host.folder);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_local),      TEST(test_cloud),       TEST(test_batch),  TEST(test_latent), TEST(test_route),
        TEST(test_permission), TEST(test_tokens),      TEST(test_nobody), TEST(test_limits), TEST(test_gone_midway),
        TEST(test_killed),     TEST(test_interrupted), TEST(test_usage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
